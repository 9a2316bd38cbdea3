"""``spalloc-batch`` as a person sees it: what is redrawn, what stays, and which keys end it."""

from __future__ import annotations

import re

import pytest

from tests.cli.desk import Desk
from tests.cli.desk import desk_fixture as desk_fixture
from tests.cli.desk import make_desk_fixture as make_desk_fixture
from tests.cli.desk import make_simulated_desk_fixture as make_simulated_desk_fixture
from tests.cli.desk import simulated_desk_fixture as simulated_desk_fixture
from tests.cli.emulator import CTRL_C, CTRL_Z
from tests.cli.emulator import windows_fixture as windows_fixture
from tests.cli.terminal import is_alive
from tests.cli.test_batch import FOREVER, await_pids, joblog, write_cases
from tools.emulator import Window

WAITING = "while [ ! -e go ]; do sleep 0.05; done"
IN_FOLDER = 'cd "$HOME"; exec "$@"'
"""Windows open elsewhere; a shell's home is its folder."""


def opened(desk: Desk, *arguments: object, **options: object) -> Window:
    options = {"wrapper": IN_FOLDER, **options}
    return desk.open("batch", "cases", *arguments, **options)


def go(desk: Desk) -> None:
    (desk.shell.folder / "go").touch()


def test_progress_stays_at_the_bottom_while_failures_and_output_scroll_by(desk: Desk) -> None:
    write_cases(desk, "good echo fine", "bad echo oops >&2; exit 3", f"slow {WAITING}")
    window = opened(desk, "-j", 1)
    window.wait_until(
        lambda seen: "slow 1" in seen.body[-1] if seen.body else False, "a case that takes long"
    )
    *above, counts, doing = window.body
    assert above[:2] == ["fine", "oops"]
    assert re.fullmatch(r"\[2/3\] failed     bad: exit code 3, \d+ ms, job 2 on .*", above[2])
    assert re.search(r"\[#+\.+\]  2/3  1 passed  1 failed  .* left$", counts)
    assert doing.startswith("1 running; longest: slow 1.")
    assert window.look_of("1 passed").colour == "green"
    assert window.look_of("1 failed").colour == "red"
    go(desk)
    assert window.wait() == 1
    assert "running" not in str(window)
    assert window.body[:3] == above
    assert re.search(r"^Case +Verdict +s +Job +Boards +Result$", str(window), re.MULTILINE)
    assert re.search(r"^3 cases in .*, .*/", str(window), re.MULTILINE)
    assert not window.left().is_cursor_hidden


def test_nothing_is_lost_of_what_scrolls_out_of_a_small_window(simulated_desk: Desk) -> None:
    write_cases(simulated_desk, *(f"c{number} echo said {number}" for number in range(40)))
    window = opened(simulated_desk, "-j", 4, columns=30, lines=6)
    assert window.wait() == 0
    left = window.left()
    said = [line for line in (*left.scroll_back, *left.lines) if line.startswith("said")]
    assert sorted(said) == sorted(f"said {number}" for number in range(40))


def test_the_first_ctrl_c_waits_for_what_runs_and_the_second_ends_it(desk: Desk) -> None:
    write_cases(desk, *(f"{name} {FOREVER}" for name in "abc"))
    window = opened(desk, "-j", 2, "--joblog", "log")
    running = await_pids(desk, 2)
    window.wait_for("2 running")
    window.type(CTRL_C)
    window.wait_for("Ctrl+C: no more cases are started; waiting for the 2 that run (Ctrl+C")
    assert all(map(is_alive, running))
    window.type(CTRL_C)
    window.wait_for("SIGINT: ending 2 running cases")
    assert window.wait() == 130
    assert not any(map(is_alive, running))
    assert [line["verdict"] for line in joblog(desk)] == ["cancelled"] * 3
    assert desk.client.list_jobs() == []


def test_ctrl_c_while_boards_are_waited_for_ends_at_once(desk: Desk) -> None:
    held = desk.create_ready_job(4, 2)
    write_cases(desk, "a true")
    window = opened(desk)
    window.wait_for("1 queued")
    window.type(CTRL_C)
    assert window.wait() == 130
    assert [job["job_id"] for job in desk.client.list_jobs()] == [held]


def test_ctrl_c_during_a_check_ends_that_too(simulated_desk: Desk) -> None:
    write_cases(simulated_desk, "a true")
    check = f"trap '' TERM; {FOREVER}".replace("exec ", "")
    window = opened(simulated_desk, "--check", check)
    (pid,) = await_pids(simulated_desk, 1)
    window.type(CTRL_C)
    window.wait_for("Ctrl+C: no more cases are started")
    window.type(CTRL_C)
    window.wait_for("SIGINT: ending")
    window.type(CTRL_C)
    assert window.wait() == 130
    assert not is_alive(pid)
    assert simulated_desk.client.list_jobs() == []


def test_a_closed_window_ends_it_all(simulated_desk: Desk) -> None:
    write_cases(simulated_desk, f"a {FOREVER}")
    window = opened(simulated_desk, "--joblog", "log")
    (pid,) = await_pids(simulated_desk, 1)
    window.wait_for("1 running")
    window.terminal.hang_up()
    assert window.wait() == 129
    assert not is_alive(pid)
    assert [line["verdict"] for line in joblog(simulated_desk)] == ["cancelled"]
    assert simulated_desk.client.list_jobs() == []


def test_ctrl_z_stops_it_and_fg_goes_on(simulated_desk: Desk) -> None:
    write_cases(simulated_desk, f"a {WAITING}", "b true")
    window = opened(simulated_desk, "-j", 1, wrapper='cd "$HOME"; PS1="$ " COMMAND="$*" exec sh -i')
    window.wait_for("$")
    window.type("$COMMAND\r")
    window.wait_for("1 running")
    window.type(CTRL_Z)
    window.wait_for("Stopped")
    go(simulated_desk)
    window.type("fg; echo code=$?\r")
    window.wait_for("code=0")
    window.wait_for("2 cases in")


@pytest.mark.parametrize("columns", [1, 12, 200])
def test_any_width_will_do(simulated_desk: Desk, columns: int) -> None:
    write_cases(simulated_desk, "a exit 3", f"b {WAITING}")
    window = opened(simulated_desk, "-j", 1, columns=columns, lines=10)
    window.terminal.read_until("\x1b[?2026l")
    go(simulated_desk)
    assert window.wait() == 1
