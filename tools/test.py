"""``python3 tools/test.py``: lint, format, strict types and every test, from a bare Python.

Makes the environments first (kept for the next time), and sees to a browser. Every step runs,
whatever failed before it; the exit code is 0 only when all went well. Arguments go to pytest:
``python3 tools/test.py tests/unit -k pool``. Standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import browser, environments

ENVIRONMENTS = (
    "project",
    "real-server",
    "existing-client",
    "runtime",
    "user",
    "packaging",
    "front-end",
)


@dataclass(frozen=True)
class Step:
    """One check: arguments for a Python, by default that of the project environment."""

    name: str
    arguments: tuple[str, ...]
    python: Path | None = None


IN_PARALLEL = ("-n", "4", "--dist", "worksteal")
"""Most tests wait for something; tests that share a fixture stay together."""

ON_OTHER_PYTHONS = ("tests/unit", "tests/contract", "-m", "not real_server")
"""Enough to tell what a version of Python changes, in half a minute."""


def steps(pytest_arguments: Sequence[str], others: Mapping[str, Path]) -> list[Step]:
    """All checks in the order they run; the tests last, so that their verdict ends the output.

    `others` are other Pythons to run a part of the tests on, by the names of their environments.
    """
    parallel = () if pytest_arguments else IN_PARALLEL
    return [
        Step("ruff check", ("-m", "ruff", "check", ".")),
        Step("ruff format", ("-m", "ruff", "format", "--check", ".")),
        Step("mypy", ("-m", "mypy")),
        *(
            Step(f"pytest on {name}", ("-m", "pytest", "-q", *IN_PARALLEL, *ON_OTHER_PYTHONS), path)
            for name, path in others.items()
        ),
        Step("pytest", ("-m", "pytest", "-v", *parallel, *pytest_arguments)),
    ]


def run(python: Path, todo: Sequence[Step], environ: Mapping[str, str]) -> list[str]:
    """Run every step and say which is which; the names of those that failed."""
    failed = []
    for step in todo:
        print(f"== {step.name}", flush=True)
        own = step.python or python
        done = subprocess.run(
            [str(own), *step.arguments],
            cwd=environments.ROOT,
            env=environ_for(own, environ),
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            print(f"== {step.name} failed (exit code {done.returncode})", flush=True)
            failed.append(step.name)
    return failed


def environ_for(python: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the environment's own commands (``spalloc``, ...) found first."""
    folders = [str(python.parent), *filter(None, [environ.get("PATH")])]
    return {**environ, "PATH": os.pathsep.join(folders)}


def prepared() -> Path:
    """The project environment's Python, once all that the tests need is there.

    Made now, two at a time, so that no test's time limit has to cover an installation.
    """
    with ThreadPoolExecutor(2) as pool:
        browsing = pool.submit(_prepare_browser)
        project, *_ = list(pool.map(environments.python_of, ENVIRONMENTS))
        browsing.result()
    return project


def other_pythons() -> dict[str, Path]:
    """The oldest and the newest Python of this machine beside this one, by name."""
    # One after the other: installing the checkout itself writes into it.
    found = {
        recipe.name: environments.prepared(recipe, environments.CACHE)
        for recipe in environments.other_pythons()
    }
    if not found:
        print("no other Python that setup.cfg names is here: the tests run on this one alone")
    return found


def _prepare_browser() -> None:
    try:
        browser.ready()
    except browser.BrowserError as error:
        # The tests that need one fail, and nothing else.
        print(error, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    environments.check_python()
    arguments = sys.argv[1:] if argv is None else argv
    try:
        project = prepared()
        # Whoever names tests wants those alone.
        others = {} if arguments else other_pythons()
    except environments.EnvironmentBuildError as error:
        print(error, file=sys.stderr)
        return 1
    failed = run(project, steps(arguments, others), os.environ)
    if failed:
        print(f"FAILED: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
