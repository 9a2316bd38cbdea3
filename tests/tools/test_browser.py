"""A browser is found, or installed where that can be done, or it is said what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tools.browser import BrowserError, dom_of, find, photograph, ready


class System:
    """A system whose package manager fails so many times, and brings a browser otherwise."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.browser: str | None = None
        self.commands: list[str] = []

    def find(self) -> str | None:
        return self.browser

    def run(self, command: Sequence[str]) -> None:
        self.commands.append(" ".join(command))
        if command[1] == "install":
            if self.failures:
                self.failures -= 1
                raise BrowserError("Unable to locate package")
            self.browser = "/usr/bin/chromium"

    def ready(self, *, may_install: bool = True) -> str:
        return ready(finding=self.find, may_install=lambda: may_install, run=self.run)


INSTALL = "apt-get install -y --no-install-recommends chromium"


def test_the_first_name_that_is_on_the_path_is_taken() -> None:
    there = {"google-chrome": "/opt/google-chrome", "chromium-browser": "/snap/chromium"}
    assert find(lambda name: there.get(name)) == "/snap/chromium"
    assert find(lambda _: None) is None


def test_what_is_there_is_not_installed() -> None:
    system = System(failures=0)
    system.browser = "/opt/chromium"
    assert (system.ready(), system.commands) == ("/opt/chromium", [])


def test_what_is_not_there_is_installed() -> None:
    system = System(failures=0)
    assert system.ready() == "/usr/bin/chromium"
    assert system.commands == [INSTALL]


def test_the_list_of_packages_is_renewed_when_it_does_not_do() -> None:
    system = System(failures=1)
    assert system.ready() == "/usr/bin/chromium"
    assert system.commands == [INSTALL, "apt-get update", INSTALL]


def test_an_installation_that_fails_tells_why() -> None:
    with pytest.raises(BrowserError, match="Unable to locate package"):
        System(failures=2).ready()


def test_who_may_not_install_is_told_what_to_install() -> None:
    system = System(failures=0)
    with pytest.raises(BrowserError, match="as root: apt-get install --no-install-recommends"):
        system.ready(may_install=False)
    assert system.commands == []


def test_scripts_of_a_page_run_and_know_the_colours_of_the_desktop(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<p id=it></p><script>it.textContent = "
        "matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'</script>",
        "utf-8",
    )
    assert '<p id="it">light</p>' in dom_of(page)
    assert '<p id="it">dark</p>' in dom_of(page, dark=True)


def test_a_page_is_photographed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>Cheese", "utf-8")
    photograph(tmp_path / "page.html", tmp_path / "page.png", (300, 200))
    png = (tmp_path / "page.png").read_bytes()
    assert (png[1:4], png[16:24]) == (b"PNG", bytes([0, 0, 1, 44, 0, 0, 0, 200]))
