"""A Chromium to look at pictures with: found on the PATH, or installed where that can be done.

``python3 tools/browser.py`` prints which one it is. Standard library only.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 60.0
"""How long a page may take; nothing is asserted about how long it took."""

_PACKAGE = "chromium"
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # A page may look into the pictures that it embeds from beside it.
    "--allow-file-access-from-files",
)
_SCHEMES = {True: 0, False: 1}
"""What Blink calls a dark and a light colour scheme."""

Run = Callable[[Sequence[str]], None]


class BrowserError(RuntimeError):
    """There is no browser, or it failed; the message says what to do, or what it said."""


def find(which: Callable[[str], str | None] = shutil.which) -> str | None:
    """The path of a browser; None when there is none."""
    return next(filter(None, map(which, NAMES)), None)


def ready(
    *,
    finding: Callable[[], str | None] = find,
    may_install: Callable[[], bool] | None = None,
    run: Run | None = None,
) -> str:
    """The path of a browser, which is installed first if need be and if it can be.

    Raises BrowserError when there is none in the end. `run` carries out a command, and raises
    BrowserError when it fails.
    """
    if found := finding():
        return found
    if (may_install or _may_install)():
        _install(run or _run)
        if found := finding():
            return found
    raise BrowserError(
        f"no browser was found: install Chromium or Chrome, so that one of {', '.join(NAMES)} is "
        f"on the PATH (on Debian, as root: apt-get install --no-install-recommends {_PACKAGE})"
    )


def _may_install() -> bool:
    return os.geteuid() == 0 and _is_debian() and shutil.which("apt-get") is not None


def _is_debian() -> bool:
    try:
        return platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        return False


def _install(run: Run) -> None:
    print(f"installing {_PACKAGE} (once)", file=sys.stderr, flush=True)
    install = ("apt-get", "install", "-y", "--no-install-recommends", _PACKAGE)
    try:
        run(install)
    except BrowserError:
        # A list of packages that is old, or not there at all, is the likeliest reason.
        run(("apt-get", "update"))
        run(install)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode != 0:
        words = done.stdout.decode("utf-8", "replace").strip()
        raise BrowserError(
            f"cannot install a browser: {' '.join(command)}\n"
            f"ended with exit code {done.returncode} and said:\n{words}"
        )


def dom_of(page: Path, *, dark: bool = False) -> str:
    """The page as HTML once its scripts have run, on a light or a dark desktop."""
    return _browse(page, dark, "--window-size=1600,1200", "--dump-dom")


def photograph(page: Path, target: Path, size: tuple[int, int], *, dark: bool = False) -> None:
    """What a window of this size shows of the page, as a PNG in `target`."""
    _browse(page, dark, f"--window-size={size[0]},{size[1]}", f"--screenshot={target}")


def _browse(page: Path, dark: bool, *options: str) -> str:
    scheme = f"--blink-settings=preferredColorScheme={_SCHEMES[dark]}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Installing takes its time: that is done before, or not at all.
        browser = ready(may_install=lambda: False)
        command = [browser, *_OPTIONS, f"--user-data-dir={folder}", scheme, *options]
        done = subprocess.run(
            [*command, page.resolve().as_uri()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            encoding="utf-8",
            errors="replace",
        )
    if done.returncode != 0:
        raise BrowserError(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def main() -> int:
    try:
        print(ready())
    except BrowserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
