"""``--watch`` where there is no terminal, and colours wherever something is printed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from spalloc_gevent.simulator import SimulatedServer
from tests.cli.conftest import Shell, Site
from tests.cli.desk import Desk, MakeDesk
from tests.cli.desk import desk_fixture as desk_fixture
from tests.cli.desk import make_desk_fixture as make_desk_fixture
from tests.cli.desk import make_simulated_desk_fixture as make_simulated_desk_fixture
from tests.cli.desk import simulated_desk_fixture as simulated_desk_fixture
from tests.cli.emulator import windows_fixture as windows_fixture
from tests.cli.piped import Piped

NEVER = ("--interval", "3600")
RED, YELLOW, GREEN = "\x1b[31m", "\x1b[33m", "\x1b[32m"

# ------------------------------------------------------------- plain blocks


def test_pipe_gets_a_plain_block_an_update_and_nothing_that_a_parser_would_not_know(
    desk: Desk,
) -> None:
    held = desk.create_ready_job(1)
    piped = Piped(desk.shell.start("ps", "--watch", *NEVER))
    piped.read_until(lambda piped: len(piped.blocks) == 1, "first block")
    desk.client.destroy_job(held)
    piped.read_until(lambda piped: len(piped.blocks) == 2, "second block")
    assert piped.interrupt() == 0
    first, second = (block.splitlines() for block in piped.blocks)
    assert [line.split()[0] for line in first] == ["ID", str(held)]
    assert [line.split()[0] for line in second] == ["ID"]
    assert "\x1b" not in piped.out
    assert piped.err == ""


def test_block_is_not_repeated_when_nothing_has_changed(simulated_desk: Desk) -> None:
    piped = Piped(simulated_desk.shell.start("ps", "--watch", "--interval", "0.05"))
    server = simulated_desk.server
    assert isinstance(server, SimulatedServer)
    piped.read_until(lambda _: server.commands_seen.count("list_jobs") > 5, "fifth look")
    assert piped.interrupt() == 0
    assert len(piped.blocks) == 1


def test_interval_has_it_look_though_no_notification_comes(simulated_desk: Desk) -> None:
    server = simulated_desk.server
    assert isinstance(server, SimulatedServer)
    piped = Piped(simulated_desk.shell.start("ps", "--watch", "--interval", "0.05"))
    piped.read_until(lambda piped: piped.blocks, "first block")
    asked = server.commands_seen.count("list_jobs")
    # Nothing changes, and so nothing is notified.
    piped.read_until(lambda _: server.commands_seen.count("list_jobs") > asked + 3, "more looks")
    assert piped.interrupt() == 0


def test_trouble_goes_to_standard_error_once_and_the_block_is_repeated_after_it(
    desk: Desk,
) -> None:
    held = desk.create_ready_job(1)
    piped = Piped(desk.shell.start("ps", "--watch", *NEVER))
    piped.read_until(lambda piped: len(piped.blocks) == 1, "first block")
    desk.server.stop()
    piped.read_until(lambda piped: piped.err.endswith("\n"), "trouble")
    desk.server.restart()
    piped.read_until(lambda piped: len(piped.blocks) == 2, "second block")
    assert piped.interrupt() == 0
    assert [block.splitlines()[1].split()[0] for block in piped.blocks] == [str(held)] * 2
    assert piped.err.startswith("spalloc-ps: trying again since ")
    assert "Error communicating with server: " in piped.err
    assert piped.err.count("\n") == 1
    assert "\x1b" not in piped.err


def test_job_that_has_ended_ends_the_watching_in_a_pipe(desk: Desk) -> None:
    held = desk.create_ready_job(1)
    piped = Piped(desk.shell.start("job", str(held), "--watch", *NEVER))
    piped.read_until(lambda piped: piped.blocks, "first block")
    desk.client.destroy_job(held, "Enough.")
    assert piped.wait() == 0
    assert "State: ready" in piped.blocks[0]
    assert piped.blocks[-1].splitlines()[:3] == [
        f"Job ID: {held}",
        " State: destroyed",
        "Reason: Enough.",
    ]


def test_job_that_had_ended_before_is_shown_once(desk: Desk) -> None:
    held = desk.create_ready_job(1)
    desk.client.destroy_job(held)
    piped = Piped(desk.shell.start("job", str(held), "--watch"))
    assert piped.wait() == 0
    assert len(piped.blocks) == 1


@pytest.mark.parametrize("arguments", [(), ("m",), ("m", "--detailed")])
def test_machines_are_watched_in_a_pipe_too(desk: Desk, arguments: tuple[str, ...]) -> None:
    piped = Piped(desk.shell.start("machine", *arguments, "--watch", *NEVER))
    piped.read_until(lambda piped: piped.blocks, "first block")
    held = desk.create_ready_job(1)
    shown = f"A:{held}" if arguments == ("m",) else ("me (" if arguments else "       1     1  ")
    piped.read_until(lambda piped: shown in piped.out, "job")
    assert piped.interrupt() == 0
    assert "\x1b" not in piped.out


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_ends_the_watching_in_a_pipe(simulated_desk: Desk, signum: int, code: int) -> None:
    piped = Piped(simulated_desk.shell.start("ps", "--watch"))
    piped.read_until(lambda piped: piped.blocks, "first block")
    piped.process.send_signal(signum)
    assert piped.wait() == code
    assert piped.err == ""


def test_reader_that_leaves_ends_the_watching(simulated_desk: Desk) -> None:
    process = simulated_desk.shell.start("ps", "--watch", *NEVER)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("ID")
    process.stdout.close()
    simulated_desk.create_ready_job(1)
    assert process.wait(20.0) == 141
    assert process.stderr.read() == ""


def test_terminal_that_understands_nothing_gets_plain_blocks(site: Site) -> None:
    terminal = site.shell.terminal(Shell.argv("ps", "--watch"), {"TERM": "dumb"})
    terminal.read_until("ID  State")
    terminal.type("\x03")
    assert terminal.wait() == 0
    assert "\x1b" not in terminal.screen


def test_keys_are_left_to_others_when_only_the_output_is_redirected(
    simulated_desk: Desk, tmp_path: Path
) -> None:
    shell = simulated_desk.shell
    with (tmp_path / "out").open("wb") as out:
        terminal = shell.terminal(Shell.argv("ps", "--watch"), stdout=out.fileno())
        before = terminal.modes()
        terminal.read_on_until(lambda: b"ID  State" in (tmp_path / "out").read_bytes(), "a block")
        assert terminal.modes() == before
        terminal.type("\x03")
        assert terminal.wait() == 0


# ------------------------------------------------------------- colours


@pytest.mark.parametrize("option", ["--color", "--colour"])
def test_colours_are_had_in_a_pipe_for_the_asking(simulated_desk: Desk, option: str) -> None:
    simulated_desk.create_ready_job(1)
    shell = simulated_desk.shell
    assert f"{GREEN}ready" in shell.run("ps", option, "always").stdout
    assert f"{GREEN}ready" in shell.run("ps", option, "always", NO_COLOR="1").stdout
    for when in ("auto", "never"):
        assert "\x1b" not in shell.run("ps", option, when).stdout


def test_colours_are_had_on_a_terminal_unless_they_are_refused(simulated_desk: Desk) -> None:
    simulated_desk.create_ready_job(1)

    def shown(*arguments: str, **environ: str) -> str:
        terminal = simulated_desk.shell.on_terminal("ps", *arguments, **environ)
        assert terminal.wait() == 0
        return terminal.screen

    assert f"{GREEN}ready" in shown()
    assert f"{GREEN}ready" in shown(NO_COLOR="")
    assert f"{GREEN}ready" in shown("--color", "always", NO_COLOR="1")
    assert "\x1b" not in shown("--color", "never")
    assert "\x1b" not in shown(NO_COLOR="1")


@pytest.mark.parametrize("command", ["ps", "job 1", "machine", "machine m", "machine m -d"])
def test_every_command_colours_when_asked_and_never_when_not(
    simulated_desk: Desk, command: str
) -> None:
    simulated_desk.create_ready_job(1)
    name, *arguments = command.split()
    run = simulated_desk.shell.run
    assert "\x1b[" in run(name, *arguments, "--color", "always").stdout
    assert "\x1b" not in run(name, *arguments).stdout


@pytest.mark.parametrize(
    ("arguments", "environ", "is_red"),
    [
        ((), {}, False),
        (("--color", "always"), {}, True),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color", "never"), {}, False),
    ],
)
def test_error_line_in_a_pipe_is_red_for_the_asking(
    site: Site, arguments: tuple[str, ...], environ: dict[str, str], is_red: bool
) -> None:
    run = site.shell.run("machine", "nosuch", *arguments, **environ)
    assert run.returncode == 6
    assert run.stderr.startswith(RED if is_red else "No machine 'nosuch' was found")
    assert run.stderr.count("\x1b") == (2 if is_red else 0)


@pytest.mark.parametrize(
    ("arguments", "environ", "is_red"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        (("--color", "never"), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
    ],
)
def test_error_line_on_a_terminal_is_red_unless_that_is_refused(
    site: Site, arguments: tuple[str, ...], environ: dict[str, str], is_red: bool
) -> None:
    terminal = site.shell.on_terminal("machine", "nosuch", *arguments, **environ)
    assert terminal.wait() == 6
    assert terminal.screen.startswith(RED if is_red else "No machine 'nosuch' was found")


def test_each_stream_is_coloured_for_itself(simulated_desk: Desk, tmp_path: Path) -> None:
    held = simulated_desk.create_ready_job(1)
    with (tmp_path / "out").open("wb") as out:
        argv = Shell.argv("job", "99", "--destroy")
        terminal = simulated_desk.shell.terminal(argv, stdout=out.fileno())
        assert terminal.wait() == 0
        assert terminal.screen.startswith(f"{YELLOW}spalloc-job: warning: there was no live job")
        listing = simulated_desk.shell.terminal(Shell.argv("ps"), stdout=out.fileno())
        assert listing.wait() == 0
    written = (tmp_path / "out").read_text()
    assert written.splitlines()[1].split()[:2] == [str(held), "ready"]
    assert "\x1b" not in written


@pytest.mark.parametrize(("when", "is_yellow"), [("always", True), ("never", False)])
def test_warning_is_coloured_as_the_option_says(
    simulated_desk: Desk, when: str, is_yellow: bool
) -> None:
    told = "spalloc-job: warning: there was no live job 99"
    piped = simulated_desk.shell.run("job", "99", "--destroy", "--color", when).stderr
    assert piped == (f"{YELLOW}{told}\x1b[0m\n" if is_yellow else f"{told}\n")
    terminal = simulated_desk.shell.on_terminal("job", "99", "--destroy", "--color", when)
    assert terminal.wait() == 0
    assert terminal.screen.startswith(YELLOW) == is_yellow


def test_trouble_while_watching_is_coloured_as_the_option_says(
    make_simulated_desk: MakeDesk,
) -> None:
    desk = make_simulated_desk()
    terminals = {
        when: desk.shell.on_terminal("ps", "--watch", "--no-clear", "--color", when)
        for when in ("auto", "always", "never")
    }
    for terminal in terminals.values():
        terminal.read_until("Updated")
    desk.server.stop()
    for when, terminal in terminals.items():
        terminal.read_until("trying again since")
        coloured = f"{YELLOW}spalloc-ps: trying again" in terminal.screen
        assert coloured == (when != "never")
        terminal.type("q")
        assert terminal.wait() == 0


def test_colour_that_there_is_not_is_a_usage_error(shell: Shell) -> None:
    for command in ("ps", "job", "machine"):
        run = shell.run(command, "--color", "sometimes")
        assert run.returncode == 2
        assert "invalid choice: 'sometimes'" in run.stderr
