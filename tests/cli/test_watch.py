"""``--watch`` on a terminal, as a person sees it: read back by a terminal emulator."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import pytest

from spalloc_gevent.protocol_client import ProtocolClient
from spalloc_gevent.simulator import Delay, MachineSpec, Silence, SimulatedServer
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.answers import JobDescription
from tests.cli.desk import Desk, MakeDesk
from tests.cli.desk import desk_fixture as desk_fixture
from tests.cli.desk import make_desk_fixture as make_desk_fixture
from tests.cli.desk import make_real_desk_fixture as make_real_desk_fixture
from tests.cli.desk import make_simulated_desk_fixture as make_simulated_desk_fixture
from tests.cli.desk import real_desk_fixture as real_desk_fixture
from tests.cli.desk import simulated_desk_fixture as simulated_desk_fixture
from tests.cli.emulator import CTRL_C, CTRL_Z, DOWN, LEFT, PAGE_DOWN, RIGHT, UP
from tests.cli.emulator import windows_fixture as windows_fixture
from tests.cli.terminal import eventually
from tools.emulator import Left, Look, Window
from tools.real_server import RealServer

HEADINGS = ["ID", "State", "Power", "Boards", "Machine", "Created", "at", "Keepalive", "Owner"]
NEVER = ("--interval", 3600)
"""Whatever is shown then was learned from a notification."""

SCROLLED = 'seq 60; cat "$GATE"; exec "$@"'
"""A window with a scroll-back, whose command waits to be let in."""


def headings_on(window: Window) -> int:
    return sum("Owner (Host)" in line for line in window.lines)


def first_words(window: Window) -> list[str]:
    return [line.split()[0] for line in window.body[1:]]


# ------------------------------------------------------------- what is shown


@pytest.mark.real_server
def test_queued_powering_and_ready_are_told_apart_by_colour_and_by_word(real_desk: Desk) -> None:
    server = real_desk.server
    assert isinstance(server, RealServer)
    ready = real_desk.create_ready_job(1, 1, owner="me@x")
    server.power_seconds = 60.0
    server.restart()
    powering = real_desk.create_job(1)
    queued = real_desk.create_job(4, 2, keepalive=None)
    window = real_desk.open("ps", "--watch", columns=100)
    window.wait_for_rows(ready, powering, queued)
    heading, *rows = window.body
    assert heading.split() == [*HEADINGS, "(Host)"]
    assert [row.split()[1] for row in rows] == ["ready", "power", "queue"]
    assert rows[0].split()[2:5] == ["on", "3", "m"]
    assert rows[0].endswith("60.0       me@x (127.0.0.1)")
    assert rows[2].split()[-3:] == ["None", "me", "(127.0.0.1)"]
    assert window.look_of("ready") == Look("green")
    assert window.look_of("power") == Look("brown")
    assert window.look_of("queue") == Look("blue")
    assert {window.look_of(word) for word in ("ID", "State", "Owner (Host)")} == {
        Look(is_bold=True, is_underlined=True)
    }
    assert re.fullmatch(r"Updated \d\d/\d\d/\d{4} \d\d:\d\d:\d\d; q quits", window.status)
    assert window.lines[-2] == ""


def test_list_is_redrawn_in_place_when_jobs_come_and_go(desk: Desk) -> None:
    first = desk.create_ready_job(1)
    window = desk.open("ps", "-w", *NEVER)
    window.wait_for_rows(first)
    second = desk.create_ready_job(1)
    window.wait_for_rows(first, second)
    desk.client.destroy_job(first)
    window.wait_for_rows(second)
    assert headings_on(window) == 1
    assert window.alternate_scrolls == 0
    assert window.status.startswith("Updated ")


def test_each_update_is_one_picture_that_clears_nothing_first(desk: Desk) -> None:
    window = desk.open("ps", "--watch", *NEVER)
    window.wait_for("ID")
    job_ids = [desk.create_ready_job(1) for _ in range(3)]
    window.wait_for_rows(*job_ids)
    window.type("q")
    assert window.wait() == 0
    entered, _, rest = window.terminal.screen.partition("\x1b[?1049h\x1b[?25l")
    pictures, _, left = rest.partition("\x1b[?25h\x1b[?1049l")
    assert (entered, left) == ("", "")
    assert pictures == "".join(f"\x1b[?2026h{each}\x1b[?2026l" for each in window.frames)
    assert len(window.frames) >= 2
    for picture in window.frames:
        assert picture.startswith("\x1b[H")
        assert "\x1b[2J" not in picture
        # What is below the text is cleared once the text is there.
        assert picture.index("\x1b[J") > picture.index("Owner (Host)")


def test_burst_of_changes_is_few_pictures(simulated_desk: Desk) -> None:
    window = simulated_desk.open("ps", "--watch", *NEVER, lines=60)
    window.wait_for("ID")
    job_ids = [simulated_desk.create_job(1) for _ in range(200)]
    for job_id in job_ids[:-2]:
        simulated_desk.client.destroy_job(job_id)
    window.wait_for_rows(*job_ids[-2:])
    assert len(window.frames) < 200


# ------------------------------------------------------------- windows


def test_smaller_window_clips_and_keeps_the_status_in_its_last_line(desk: Desk) -> None:
    job_ids = [desk.create_ready_job(1) for _ in range(20)]
    window = desk.open("ps", "--watch", *NEVER)
    window.wait_for_rows(*job_ids)
    window.resize(40, 10)
    window.wait_for_rows(*job_ids[:8])
    assert len(window.lines) == 10
    assert window.status.startswith("Updated ")
    assert max(map(len, window.lines)) <= 40
    assert not any("Keepalive" in line for line in window.lines)


def test_larger_window_is_filled_and_nothing_of_the_old_picture_remains(desk: Desk) -> None:
    job_ids = [desk.create_ready_job(1) for _ in range(20)]
    window = desk.open("ps", "--watch", *NEVER, columns=60, lines=8)
    window.wait_for_rows(*job_ids[:6])
    window.resize(120, 40)
    window.wait_for_rows(*job_ids)
    assert "me (127.0.0.1)" in window.body[1]
    assert sum("Updated" in line for line in window.lines) == 1
    assert window.status.startswith("Updated ")
    assert window.status.endswith("q quits")


def test_new_window_is_filled_at_once_and_waits_for_no_look(simulated_desk: Desk) -> None:
    job_ids = [simulated_desk.create_ready_job(1) for _ in range(20)]
    window = simulated_desk.open("ps", "--watch", *NEVER, "--timeout", -1, lines=8)
    window.wait_for_rows(*job_ids[:6])
    server = simulated_desk.server
    assert isinstance(server, SimulatedServer)
    server.set_faults([Silence(on="list_jobs", times=None)])
    window.resize(120, 40)
    window.wait_for_rows(*job_ids)


@pytest.mark.parametrize(("columns", "lines"), [(1, 1), (2, 2), (3, 24), (80, 1)])
def test_tiny_window_is_no_mess_and_no_end(simulated_desk: Desk, columns: int, lines: int) -> None:
    job_id = simulated_desk.create_ready_job(1)
    window = simulated_desk.open("ps", "--watch", *NEVER, columns=columns, lines=lines)
    window.wait_until(lambda window: window.frames, "a picture")
    assert window.alternate_scrolls == 0
    window.resize(80, 24)
    window.wait_for_rows(job_id)
    window.type("q")
    assert window.wait() == 0


def test_list_longer_than_the_window_scrolls_below_its_heading(simulated_desk: Desk) -> None:
    job_ids = [simulated_desk.create_job(1) for _ in range(40)]
    window = simulated_desk.open("ps", "--watch", *NEVER, columns=100, lines=12)
    window.wait_for_rows(*job_ids[:10])
    assert window.status.endswith("; lines 1-10 of 40; arrows scroll, q quits")
    steps = [(DOWN, 1), ("j", 2), (UP, 1), (PAGE_DOWN, 11), ("G", 30), (DOWN, 30), ("g", 0)]
    for key, top in steps:
        window.type(key)
        window.wait_for_rows(*job_ids[top : top + 10])
        assert window.lines[0].split()[0] == "ID"
        assert f"lines {top + 1}-{top + 10} of 40" in window.status
    assert headings_on(window) == 1


def test_scrolled_list_stays_where_it_is_when_it_is_updated(simulated_desk: Desk) -> None:
    job_ids = [simulated_desk.create_job(1) for _ in range(40)]
    window = simulated_desk.open("ps", "--watch", *NEVER, lines=12)
    window.wait_for_rows(*job_ids[:10])
    window.type(DOWN * 5)
    window.wait_for_rows(*job_ids[5:15])
    simulated_desk.create_job(1)
    window.wait_for("of 41")
    assert first_words(window) == [str(job_id) for job_id in job_ids[5:15]]


def test_list_that_shrinks_leaves_no_emptiness_above_its_end(simulated_desk: Desk) -> None:
    job_ids = [simulated_desk.create_job(1) for _ in range(40)]
    window = simulated_desk.open("ps", "--watch", *NEVER, lines=12)
    window.wait_for_rows(*job_ids[:10])
    window.type("G")
    window.wait_for_rows(*job_ids[30:])
    for job_id in job_ids[12:]:
        simulated_desk.client.destroy_job(job_id)
    window.wait_for_rows(*job_ids[2:12])


# ------------------------------------------------------ servers that go away


@pytest.mark.real_server
def test_restart_of_the_server_is_told_and_waited_out(real_desk: Desk) -> None:
    server = real_desk.server
    assert isinstance(server, RealServer)
    kept = real_desk.create_ready_job(1, 1)
    window = real_desk.open("ps", "--watch", *NEVER)
    window.wait_for_rows(kept)
    before = window.body
    server.stop()
    window.wait_for("Trying again")
    assert window.status.startswith("Trying again, shown as of ")
    assert window.look_of("Trying again") == Look("red")
    assert window.body == before
    server.restart()
    added = real_desk.create_job(1)
    window.wait_for_rows(kept, added)
    window.wait_until(lambda window: window.status.startswith("Updated "), "no more trouble")
    window.type("q")
    assert window.wait() == 0


@pytest.mark.real_server
def test_server_that_is_killed_and_comes_back_empty_is_shown_empty(real_desk: Desk) -> None:
    server = real_desk.server
    assert isinstance(server, RealServer)
    job_id = real_desk.create_ready_job(1)
    window = real_desk.open("ps", "--watch", *NEVER)
    window.wait_for_rows(job_id)
    server.kill()
    window.wait_for("Trying again")
    assert first_words(window) == [str(job_id)]
    server.restart(cold=True)
    window.wait_until(lambda window: "Updated" in window.status and not first_words(window), "none")


def test_picture_is_clipped_to_a_new_window_while_the_server_is_away(simulated_desk: Desk) -> None:
    job_ids = [simulated_desk.create_ready_job(1) for _ in range(12)]
    window = simulated_desk.open("ps", "--watch", *NEVER)
    window.wait_for_rows(*job_ids)
    assert isinstance(simulated_desk.server, SimulatedServer)
    simulated_desk.server.stop()
    window.wait_for("Trying again")
    window.resize(60, 8)
    window.wait_for_rows(*job_ids[:6])
    assert window.status.startswith("Trying again")
    assert len(window.status) <= 60


@pytest.mark.parametrize("key", ["q", CTRL_C])
def test_server_that_never_answers_keeps_nobody_from_leaving(
    simulated_desk: Desk, key: str
) -> None:
    desk, server = simulated_desk, simulated_desk.server
    assert isinstance(server, SimulatedServer)
    job_id = desk.create_job(1)
    window = desk.open("ps", "--watch", *NEVER, "--timeout", -1)
    window.wait_for_rows(job_id)
    looks = server.commands_seen.count("list_jobs")
    server.set_faults([Silence(on="list_jobs", times=None)])
    desk.create_job(1)
    eventually(lambda: server.commands_seen.count("list_jobs") > looks, "another look")
    window.type(key)
    assert window.wait() == 0


@pytest.mark.real_server
def test_server_that_is_frozen_is_told_and_keeps_nobody_from_leaving(real_desk: Desk) -> None:
    job_id = real_desk.create_job(1)
    window = real_desk.open("ps", "--watch", "--interval", 0.2, "--timeout", 0.5)
    window.wait_for_rows(job_id)
    assert isinstance(real_desk.server, RealServer)
    os.kill(real_desk.server.pid, signal.SIGSTOP)
    try:
        window.wait_for("Trying again")
        assert first_words(window) == [str(job_id)]
        window.type("q")
        assert window.wait() == 0
    finally:
        os.kill(real_desk.server.pid, signal.SIGCONT)


def test_ctrl_c_before_there_is_anything_to_show_leaves_too(simulated_desk: Desk) -> None:
    server = simulated_desk.server
    assert isinstance(server, SimulatedServer)
    server.set_faults([Delay(3600.0, on="list_jobs", times=None)])
    window = simulated_desk.open("ps", "--watch", "--timeout", -1)
    eventually(lambda: "list_jobs" in [c.name for c in server.commands_seen], "the first look")
    window.type(CTRL_C)
    assert window.wait() == 0


# --------------------------------------------------------- how it is left


def opened_after_much_else(desk: Desk, *arguments: object) -> tuple[Window, Left]:
    """A window where much has been written before, and what it was like."""
    gate = Path(desk.shell.folder, "gate")
    os.mkfifo(gate)
    window = desk.open(*map(str, arguments), wrapper=SCROLLED, GATE=str(gate))
    window.wait_for("60")
    before = window.left()
    assert len(before.scroll_back) >= 37
    gate.write_bytes(b"")
    return window, before


@pytest.mark.parametrize("key", ["q", "Q", CTRL_C])
def test_key_leaves_the_terminal_and_the_scroll_back_as_they_were(
    simulated_desk: Desk, key: str
) -> None:
    job_id = simulated_desk.create_ready_job(1)
    window, before = opened_after_much_else(simulated_desk, "ps", "--watch", *NEVER)
    window.wait_for_rows(job_id)
    during = window.left()
    assert during.is_alternate
    assert during.is_cursor_hidden
    assert during.modes != before.modes
    window.type(key)
    assert window.wait() == 0
    assert window.left() == before


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_that_ends_it_leaves_the_terminal_as_it_was(
    simulated_desk: Desk, signum: int, code: int
) -> None:
    job_id = simulated_desk.create_ready_job(1)
    window, before = opened_after_much_else(simulated_desk, "ps", "--watch", *NEVER)
    window.wait_for_rows(job_id)
    window.terminal.signal(signum)
    assert window.wait() == code
    assert window.left() == before


def test_window_that_is_closed_ends_it(simulated_desk: Desk) -> None:
    window = simulated_desk.open("ps", "--watch", *NEVER)
    window.wait_for("Updated")
    window.terminal.hang_up()
    assert window.wait() == 129


def test_signals_that_the_starter_had_ignored_stay_so_and_a_closed_window_ends_it_all_the_same(
    simulated_desk: Desk,
) -> None:
    window = simulated_desk.open("ps", "--watch", *NEVER, wrapper="trap '' HUP; exec \"$@\"")
    window.wait_for("Updated")
    window.terminal.signal(signal.SIGHUP)
    job_id = simulated_desk.create_ready_job(1)
    window.wait_for_rows(job_id)
    window.terminal.hang_up()
    simulated_desk.create_ready_job(1)
    assert window.wait() == 129


SHELL = 'seq 60; set -m; "$@"; echo "stopped $?"; cat "$GATE"; fg >/dev/null; echo "ended $?"'
"""A shell that looks after its jobs: it goes on when one is stopped, and continues it later."""


def test_ctrl_z_gives_the_terminal_back_and_fg_brings_the_picture_back(
    simulated_desk: Desk,
) -> None:
    gate = Path(simulated_desk.shell.folder, "gate")
    os.mkfifo(gate)
    first = simulated_desk.create_ready_job(1)
    window = simulated_desk.open("ps", "--watch", *NEVER, wrapper=SHELL, GATE=str(gate))
    window.wait_for_rows(first)
    window.type(CTRL_Z)
    window.wait_for("stopped 148")
    stopped = window.left()
    assert not stopped.is_alternate
    assert not stopped.is_cursor_hidden
    assert window.lines[-3:] == ["60", "stopped 148", ""]
    second = simulated_desk.create_ready_job(1)
    window.resize(60, 12)
    gate.write_bytes(b"")
    window.wait_for_rows(first, second)
    during = window.left()
    assert during.is_alternate
    assert during.is_cursor_hidden
    assert during.modes != stopped.modes
    window.type("q")
    window.wait_for("ended 0")
    assert window.wait() == 0
    after = window.left()
    assert not after.is_alternate
    assert not after.is_cursor_hidden
    assert after.modes == stopped.modes


def test_continuing_takes_the_terminal_back_from_whoever_changed_it(simulated_desk: Desk) -> None:
    job_id = simulated_desk.create_ready_job(1)
    window = simulated_desk.open("ps", "--watch", *NEVER)
    window.wait_for_rows(job_id)
    drawn = len(window.frames)
    window.terminal.signal(signal.SIGSTOP)
    window.terminal.signal(signal.SIGCONT)
    window.wait_until(lambda window: len(window.frames) > drawn, "another picture")
    window.wait_for_rows(job_id)
    assert window.left().is_alternate


@pytest.mark.parametrize("redirection", ["</dev/null", "<&-"], ids=["empty", "closed"])
def test_without_a_standard_input_ctrl_c_ends_it(simulated_desk: Desk, redirection: str) -> None:
    job_id = simulated_desk.create_ready_job(1)
    window = simulated_desk.open("ps", "--watch", *NEVER, wrapper=f'exec "$@" {redirection}')
    window.wait_for_rows(job_id)
    another = simulated_desk.create_ready_job(1)
    window.wait_for_rows(job_id, another)
    window.type(CTRL_C)
    assert window.wait() == 0


def test_keys_are_read_from_the_terminal_only(simulated_desk: Desk) -> None:
    window = simulated_desk.open("ps", "--watch", *NEVER, wrapper='yes q | "$@"; echo "code $?"')
    window.wait_for("Updated")
    job_id = simulated_desk.create_ready_job(1)
    window.wait_for_rows(job_id)
    window.type(CTRL_C)
    window.wait()


# ------------------------------------------------------------- --no-clear


def test_no_clear_writes_one_picture_below_another(desk: Desk) -> None:
    first = desk.create_ready_job(1)
    window = desk.open("ps", "--watch", "--no-clear", *NEVER, columns=100)
    window.wait_for("Updated")
    assert not window.left().is_alternate
    desk.client.destroy_job(first)
    window.wait_until(lambda window: headings_on(window) >= 2, "another picture")
    window.type("q")
    assert window.wait() == 0
    assert "\x1b[?" not in window.terminal.screen
    assert "\x1b[H" not in window.terminal.screen
    shown = [line.split()[0] for line in window.body if line]
    assert shown[:5] == ["ID", str(first), "Updated", "ID", "Updated"]


def test_no_clear_still_colours_and_leaves_the_terminal_as_it_was(simulated_desk: Desk) -> None:
    simulated_desk.create_ready_job(1)
    window = simulated_desk.open("ps", "--watch", "--no-clear", *NEVER)
    before = window.terminal.modes()
    window.wait_for("Updated")
    assert window.look_of("ready") == Look("green")
    window.type(CTRL_C)
    assert window.wait() == 0
    assert window.terminal.modes() == before


# ------------------------------------------------- jobs and machines, watched


def test_machines_are_watched_with_their_load(desk: Desk) -> None:
    window = desk.open("machine", "--watch", *NEVER)
    window.wait_until(lambda window: window.body[1:2] and "24" in window.body[1], "the machine")
    assert window.body[1].split() == ["m", "24", "0", "0", "default"]
    desk.create_ready_job(1, 1)
    window.wait_until(lambda window: window.body[1].split()[:4] == ["m", "24", "3", "1"], "the job")
    window.type("q")
    assert window.wait() == 0


def test_machine_is_watched_with_its_jobs_coming_and_going(desk: Desk) -> None:
    window = desk.open("machine", "m", "--watch", *NEVER, lines=40)
    window.wait_for("In-use: 0 of 24")
    first = desk.create_ready_job(1, 1)
    second = desk.create_ready_job(1)
    window.wait_for(f"A:{first}  B:{second}")
    assert window.look_of(f"A:{first}") != window.look_of(f"B:{second}")
    assert sum(line.count(" A ") for line in window.body) == 3
    desk.client.destroy_job(first)
    window.wait_for("In-use: 1 of 24")
    assert window.body[-1] == f"B:{second}"
    assert sum(line.count(" A ") for line in window.body) == 0
    window.type("q")
    assert window.wait() == 0


def test_detailed_machine_is_watched_too(simulated_desk: Desk) -> None:
    window = simulated_desk.open("machine", "m", "-dw", *NEVER, lines=40)
    window.wait_for("Key  Job ID")
    job_id = simulated_desk.create_ready_job(1)
    window.wait_for(f"A         {job_id}           1  me (127.0.0.1)")


def test_job_that_ends_while_it_is_watched_stays_until_q(desk: Desk) -> None:
    job_id = desk.create_ready_job(1, 1)
    window = desk.open("job", job_id, "--watch", *NEVER)
    window.wait_for("State: ready")
    assert "Allocation:" in str(window)
    assert "Hostname: 127." in str(window)
    desk.client.destroy_job(job_id, "Enough.")
    window.wait_for("State: destroyed")
    assert window.body == [f"Job ID: {job_id}", " State: destroyed", "Reason: Enough."]
    assert "ended" in window.status
    window.resize(60, 10)
    window.wait_until(lambda window: window.lines[9].startswith("Updated"), "the resized picture")
    window.type("q")
    assert window.wait() == 0


def test_job_is_watched_through_its_states(make_desk: MakeDesk) -> None:
    desk = make_desk()
    blocking = desk.create_ready_job(4, 2)
    job_id = desk.create_job(1)
    window = desk.open("job", job_id, "-w", *NEVER)
    window.wait_for("State: queued")
    desk.client.destroy_job(blocking)
    window.wait_for("State: ready")
    assert "Running on: m" in str(window)


@pytest.mark.real_server
def test_job_of_a_server_that_came_back_empty_is_not_taken_for_another(real_desk: Desk) -> None:
    assert isinstance(real_desk.server, RealServer)
    job_id = real_desk.create_ready_job(1, owner="me")
    window = real_desk.open("job", job_id, "--watch", *NEVER)
    window.wait_for("State: ready")
    real_desk.server.kill()
    window.wait_for("Trying again")
    real_desk.server.restart(cold=True)
    window.wait_for("State: unknown")
    assert "ended" in window.status


# ------------------------------------------------------------- wide machines

WIDE = MachineSpec("wide", 20, 2)


def test_machine_wider_than_the_terminal_is_cut_into_parts(make_desk: MakeDesk) -> None:
    desk = make_desk(WIDE)
    desk.create_ready_job(1)
    window = desk.open("machine", "wide", lines=80)
    assert window.wait() == 0
    shown = window.terminal.screen.replace("\r\n", "\n")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= 80
    parts = re.findall(r"\(part (\d+) of (\d+), from the left\)", plain)
    assert len(parts) > 1
    assert parts == [(str(n), str(len(parts))) for n in range(1, len(parts) + 1)]
    # Each board is whole in one part, and one at a cut may be in two.
    assert plain.count(" . ") >= 119
    assert plain.count(" A ") >= 1


def test_wide_machine_is_cut_into_parts_below_one_another_without_a_screen_of_its_own_too(
    make_simulated_desk: MakeDesk,
) -> None:
    window = make_simulated_desk(WIDE).open("machine", "wide", "--watch", "--no-clear", *NEVER)
    window.wait_for("Updated")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", window.terminal.screen.replace("\r\n", "\n"))
    assert max(map(len, plain.splitlines())) <= 80
    assert "(part 2 of" in plain


def test_machine_wider_than_the_window_scrolls_sideways_when_watched(make_desk: MakeDesk) -> None:
    window = make_desk(WIDE).open("machine", "wide", "--watch", *NEVER)
    window.wait_for("columns 1-80 of")
    assert "(part" not in str(window)
    assert window.alternate_scrolls == 0
    whole = int(window.status.partition("columns 1-80 of ")[2].partition(";")[0])
    at_the_left = window.body
    window.type(RIGHT)
    window.wait_for(f"columns 9-88 of {whole}")
    assert [line[:72].rstrip() for line in window.body[5:]] == [
        line[8:] for line in at_the_left[5:]
    ]
    window.type(RIGHT * 40)
    window.wait_for(f"columns {whole - 79}-{whole} of {whole}")
    window.type(LEFT * 40)
    window.wait_for("columns 1-80 of")
    assert window.body == at_the_left


# ------------------------------------------------------- looking never touches


def test_watched_job_is_asked_for_its_hostname_once_when_it_is_ready(
    make_simulated_desk: MakeDesk,
) -> None:
    desk = make_simulated_desk()
    blocking = desk.create_ready_job(4, 2)
    job_id = desk.create_job(1)
    window = desk.open("job", job_id, "--watch", "--interval", 0.05)
    window.wait_for("State: queued")
    assert desk.naming(job_id) == []
    desk.client.destroy_job(blocking)
    window.wait_for("Hostname: 127.1.0.1")
    server = desk.server
    assert isinstance(server, SimulatedServer)
    looks = server.commands_seen.count("list_jobs")
    eventually(lambda: server.commands_seen.count("list_jobs") > looks + 5, "more looks")
    assert desk.naming(job_id) == ["get_job_machine_info"]


@pytest.mark.parametrize("what", ["ps", "machine", "machine m", "machine m -d"])
def test_watching_never_names_a_live_job(simulated_desk: Desk, what: str) -> None:
    job_id = simulated_desk.create_job(4, 2)
    queued = simulated_desk.create_job(1)
    command, *arguments = what.split()
    window = simulated_desk.open(command, *arguments, "--watch", "--interval", 0.05)
    window.wait_for("Updated")
    server = simulated_desk.server
    assert isinstance(server, SimulatedServer)
    looks = server.commands_seen.count("list_jobs")
    simulated_desk.client.destroy_job(job_id)
    eventually(lambda: server.commands_seen.count("list_jobs") > looks + 5, "more looks")
    assert simulated_desk.naming(queued) == []
    assert simulated_desk.naming(job_id) == ["destroy_job"]
    watches = [c for c in server.commands_seen if c.name.startswith("notify_")]
    assert watches
    assert {tuple(c.args) for c in watches} <= {(), (None,)}


@pytest.mark.real_server
def test_watched_job_that_nobody_keeps_alive_expires(real_desk: Desk) -> None:
    job_id = real_desk.create_ready_job(1, keepalive=1.0)

    def keeps_it_and_shows(text: str, window: Window) -> bool:
        real_desk.client.job_keepalive(job_id)
        return text in str(window)

    often = ("--watch", "--interval", 0.2)
    of_job = real_desk.open("job", job_id, *often)
    of_all = real_desk.open("ps", *often)
    of_machine = real_desk.open("machine", "m", *often, lines=40)
    for window, text in (
        (of_job, "State: ready"),
        (of_all, "ready"),
        (of_machine, f"A:{job_id}"),
    ):
        window.wait_until(lambda window, text=text: keeps_it_and_shows(text, window), text)  # type: ignore[misc]
    # From here on nobody does anything for it but look.
    of_job.wait_for("State: destroyed")
    of_all.wait_for_rows()
    of_machine.wait_for("In-use: 0 of 24")


# ------------------------------------------------------------- many changes

SOCKETS = 4
ROUNDS = 250


@pytest.mark.real_server
def test_no_update_is_lost_when_a_thousand_jobs_change(real_desk: Desk) -> None:
    window = real_desk.open("ps", "--watch", *NEVER, lines=80)
    window.wait_for("Updated")
    changers = [
        threading.Thread(target=change_jobs, args=(real_desk, number)) for number in range(SOCKETS)
    ]
    for changer in changers:
        changer.start()
    for changer in changers:
        changer.join()
    assert len(jobs_of(real_desk)) == SOCKETS * 10
    # Boards still come free, and jobs are given them: what is shown has to catch up with that.
    window.wait_until(
        lambda window: [line.split()[:2] for line in window.body[1:]] == states(real_desk),
        "the final state",
    )
    assert window.alternate_scrolls == 0
    window.type("q")
    assert window.wait() == 0


def states(desk: Desk) -> list[list[str]]:
    """Each job's number and state at present, as they are shown."""
    words = {JobState.queued: "queue", JobState.power: "power", JobState.ready: "ready"}
    return [[str(job["job_id"]), words[JobState(job["state"])]] for job in jobs_of(desk)]


def change_jobs(desk: Desk, number: int) -> None:
    """Create ROUNDS jobs and destroy all but ten of them."""
    with ProtocolClient(desk.server.host, desk.server.port, timeout=20.0) as client:
        job_ids = [client.create_job(1, owner=f"user{number}", keepalive=None)]
        for _ in range(ROUNDS - 1):
            job_ids.append(client.create_job(1, owner=f"user{number}", keepalive=None))
            if len(job_ids) > 10:
                client.destroy_job(job_ids.pop(0))


def jobs_of(desk: Desk) -> list[JobDescription]:
    return desk.client.list_jobs()
