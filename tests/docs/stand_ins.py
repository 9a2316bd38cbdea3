"""All that the pages' examples do not say themselves: what stands for the reader's own things.

The one place for it. Functions here are known to Python examples that leave their names open;
``FILES`` are in the folder in which an example runs, ``TOOLS`` can be called in it, ``SCENES``
says what a page's server is like, ``KEYS`` what is typed, and ``NOT_RUN`` what is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spalloc_gevent import Job
from spalloc_gevent.batch import Allocation

# -- names that Python examples leave open --------------------------------------


def my_ping(job: Job) -> bool:
    """The reader's test of boards."""
    return job.hostname is not None


def run_trial(boards: Job | Allocation | str, trial: object = None) -> object:
    """The reader's work."""
    return boards and trial


NAMES = ("my_ping", "run_trial")


# -- servers --------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """A page's server: one machine, and the jobs that run on it from the start."""

    machine: str = "my-machine"
    triads: tuple[int, int] = (12, 12)
    power_s: float = 0.0
    dialect: str = "python"
    jobs: Mapping[int, str] = field(default_factory=lambda: {12: OWNER, 24: "you@example.org"})
    """Owner by number, of jobs with 2 x 2 triads."""
    is_configured: bool = True
    """Whether the environment says where the server is and who asks; else the page does."""


OWNER = "me@example.org"
"""Whose jobs the examples are, where they do not say it."""

EMPTY = Scene(jobs={})

SCENES: Mapping[str, Scene] = {
    "docs/howto/campaigns.rst": EMPTY,
    "docs/reference/commands/spalloc.rst": EMPTY,
    "docs/tutorial.rst": Scene(jobs={}, is_configured=False),
}
"""By page, for pages whose server is not the usual one."""

SERVERS: Mapping[str, Scene] = {"java": Scene(dialect="java"), "empty": EMPTY}
"""By name, for blocks that ask for one with a note."""

REPLACED: Mapping[str, str] = {
    'ProtocolClient("spalloc.example.org"': 'ProtocolClient("{host}", {port}',
    "spalloc.example.org": "{host}",
    "/tmp/": "{folder}/",
    # The tutorial's own server.
    "22250": "{own_port}",
    # The port that it takes by itself may be in use.
    "spalloc-simulator --machine": "spalloc-simulator --port 0 --machine",
    "spalloc-simulator --dialect": "spalloc-simulator --port 0 --dialect",
}
"""What is written in examples and what they show, and what is put in its place, in this order."""


# -- command lines --------------------------------------------------------------

FILES: Mapping[str, str] = {
    "my_app.py": "import sys\nassert len(sys.argv) == 2, sys.argv\n",
    "my_campaign.py": "from spalloc_gevent import Job\nwith Job(3):\n    pass\n",
    "cases.txt": (
        "# NAME COMMAND\n"
        "conv-1   ./trial {} --seed 1\n"
        "conv-2   ./trial {} --seed 2 && ./compare {case}.dat\n"
    ),
    "trial": '#!/bin/sh\ntest "$2" = --seed\n',
    "ping": "#!/bin/sh\ntest $# -eq 1\n",
    "compare": '#!/bin/sh\ntest -n "$1"\n',
    # Of an environment that has the package: it is on PATH here.
    "venv/bin/activate": "",
}

TOOLS: Mapping[str, str] = {
    "rig-boot": "#!/bin/sh\ntest $# -eq 3\n",
    # For machines without it: whether the document has every field that the filter names.
    "jq": (
        "#!/usr/bin/env python3\n"
        "import json, re, sys\n"
        "text = sys.stdin.read()\n"
        "json.loads(text)\n"
        "names = re.findall(r'\\.(\\w+)', sys.argv[1])\n"
        "sys.exit(any(f'\"{name}\"' not in text for name in names))\n"
    ),
}
"""Found on PATH after everything else."""


@dataclass(frozen=True)
class Typing:
    """What is typed at commands that match, once the screen shows a text."""

    command: str
    once: str
    keys: str
    exit_code: int = 0


KEYS = (
    Typing(r"spalloc-\S+ [^|]*(--watch|-w\b)(?!.*--json)", "my-machine", "q"),
    Typing(r"spalloc-ps --watch --json \|", '"format"', "\x03", 130),
    Typing(r"spalloc( \d+)*(?= *(#|$))", "<Press enter", "\r"),
    Typing(r"spalloc-simulator (?!.*--run)", "127.0.0.1:", "\x03"),
)
"""These run on a terminal of their own."""


# -- what is left out -----------------------------------------------------------

NOT_RUN: Mapping[tuple[str, str], str] = {
    ("README.rst", "$ python3 tools/demo.py"): (
        "tests/tools/test_demo.py runs the one, and the other runs this test"
    ),
    ("README.rst", "$ pip install ."): "installs; tests/tools/test_package.py is about that",
    ("docs/tutorial.rst", "$ python3 -m venv"): "installs; tests/tools/test_package.py does so too",
    ("README.rst", "$ python3 tools/bench.py"): (
        "takes twenty minutes; tests/tools/test_bench_quick.py runs the short form"
    ),
    ("docs/explanation/figures.rst", "$ python3 tools/bench.py"): "as in README.rst",
    ("docs/reference/commands/index.rst", '$ man "$(python3 tools/docs.py man)'): (
        "needs a checkout and man; tests/docs/test_commands.py makes and reads the pages"
    ),
}
"""Page and beginning of a block, and why it is not run."""
