"""``spalloc`` as a user sees it: chapter 3 of the manual, and what goes wrong."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import spalloc_gevent
from spalloc_gevent import JobState, ProtocolClient
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.cli.conftest import Shell, Site
from tests.cli.terminal import eventually, is_alive
from tests.conftest import MakeRealServer

PROMPT = "<Press enter when done>"
UP = "echo up; "
"""Begins a shell line with the news that it runs."""


@contextmanager
def another_client(server: SimulatedServer) -> Iterator[ProtocolClient]:
    with ProtocolClient(server.host, server.port, timeout=10.0) as client:
        yield client


def make_rig(folder: Path, controller: str) -> str:
    """A folder for PYTHONPATH with a package of Rig's name and this machine_controller module."""
    package = folder / "site" / "rig" / "machine_control"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "machine_controller.py").write_text(controller, encoding="utf-8")
    return os.pathsep.join([str(folder / "site"), os.path.dirname(os.path.dirname(PACKAGE))])


PACKAGE = spalloc_gevent.__file__

WORKING_RIG = """
class SpiNNakerBootError(Exception):
    pass

class MachineController:
    def __init__(self, hostname):
        self.hostname = hostname

    def boot(self, width, height):
        print("booted", self.hostname, width, height, flush=True)
"""

FAILING_RIG = WORKING_RIG.replace("print(", "raise SpiNNakerBootError(")

RIG_2_4_1_ON_PYTHON_3_11 = "from inspect import getargspec_that_is_gone"


# -------------------------------------------------------------- 3.1 basic usage


def test_the_command_allocates_according_to_the_command_line_then_waits_for_boards_powered_on(
    shell: Shell,
) -> None:
    with SimulatedServer([MachineSpec("big")], power_seconds=0.2) as server:
        done = Site(server, shell).shell.run("alloc", "3", "-c", "echo {id}")
    assert done.stderr.splitlines() == ["Job 1: Waiting for power on...", "Job 1: Ready!"]
    assert (done.stdout, done.returncode) == ("1\n", 0)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [([], []), (["5"], [5]), (["4", "2"], [4, 2]), (["3", "1", "0"], [3, 1, 0])],
    ids=[
        "spalloc: a single SpiNN-5 board",
        "spalloc 5: a machine with at least 5 boards",
        "spalloc 4 2: a 4x2 triad machine",
        "spalloc 3 1 0: a single board at logical position (3, 1, 0)",
    ],
)
def test_the_command_can_be_called_in_one_of_the_following_styles(
    site: Site, arguments: list[str], what: list[int]
) -> None:
    done = site.shell.run("alloc", *arguments, "-c", "echo $SPALLOC_JOB_BOARDS")
    assert done.returncode == 0
    assert [args for args, _ in site.requests()] == [what]
    boards = done.stdout.split()
    assert len(boards) >= {0: 1, 1: 5, 2: 24, 3: 1}[len(what)]
    if len(what) == 3:
        assert boards == ["3,1,0"]


def test_by_default_allocated_machines_are_powered_on_but_not_booted(
    site: Site, tmp_path: Path
) -> None:
    rig = make_rig(tmp_path, WORKING_RIG)
    done = site.shell.run("alloc", "-c", "true", PYTHONPATH=rig)
    assert "booted" not in done.stdout


def test_if_rig_is_installed_boot_also_boots_the_allocated_machine_once_powered_on(
    site: Site, tmp_path: Path
) -> None:
    rig = make_rig(tmp_path, WORKING_RIG)
    done = site.shell.run("alloc", "3", "--boot", "-c", "echo ran", PYTHONPATH=rig)
    assert done.stdout == "booted 127.1.0.1 16 16\nran\n"
    assert done.stderr.splitlines() == ["Job 1: Booting...", "Job 1: Ready!"]


def test_this_dependency_can_be_installed_using_the_boot_option() -> None:
    setup = Path(PACKAGE).parent.parent / "setup.cfg"
    assert re.search(r"^boot =\n    rig$", setup.read_text(encoding="utf-8"), re.MULTILINE)


def test_a_range_of_additional_arguments_controls_the_allocation(site: Site) -> None:
    arguments = (
        "4 2 --owner you --machine big --min-ratio 0.5 --max-dead-boards 2 --max-dead-links -1 "
        "--require-torus --keepalive 30"
    )
    done = site.shell.run("alloc", *arguments.split(), "-c", "true")
    assert done.returncode == 0
    assert site.requests() == [
        (
            [4, 2],
            {
                "owner": "you",
                "machine": "big",
                "tags": None,
                "min_ratio": 0.5,
                "max_dead_boards": 2,
                "max_dead_links": None,
                "require_torus": True,
                "keepalive": 30.0,
            },
        )
    ]


def test_the_summary_of_several_boards_is_on_stdout_before_the_prompt(site: Site) -> None:
    done = site.shell.run("alloc", "3")
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        "     Hostname: 127.1.0.1",
        "        Width: 16",
        "       Height: 16",
        "   Num boards: 3",
    ]
    assert re.fullmatch(r"All hostnames: /\S+\.csv", lines[4])
    assert lines[5:] == ["   Running on: big", PROMPT]
    assert done.returncode == 0


def test_the_summary_of_a_single_board_has_neither_number_nor_list_of_boards(site: Site) -> None:
    done = site.shell.run("alloc")
    assert done.stdout.splitlines() == [
        "  Hostname: 127.1.0.1",
        "     Width: 8",
        "    Height: 8",
        "Running on: big",
        PROMPT,
    ]


# --------------------------------------------------- 3.2 wrapping other commands


def test_the_command_can_wrap_an_existing_command_and_cleans_up_when_it_exits(
    site: Site, tmp_path: Path
) -> None:
    process = site.shell.start("alloc", "3", "-c", UP + "read line; exit 7")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert [job["state"] for job in site.server.jobs] == [JobState.ready]
    assert list(tmp_path.glob("*.csv"))
    process.communicate("go on\n")
    assert process.returncode == 7
    assert site.destroyed() == [(1, None)]
    assert not list(tmp_path.glob("*.csv"))


def test_the_example_of_the_manual_works_as_written(site: Site, tmp_path: Path) -> None:
    boot = tmp_path / "rig-boot"
    boot.write_text('#!/bin/sh\necho "rig-boot $@"\n', encoding="utf-8")
    boot.chmod(0o755)
    (tmp_path / "my_app.py").write_text("import sys; print(sys.argv)", encoding="utf-8")
    (tmp_path / "python").symlink_to(sys.executable)
    done = site.shell.run(
        "alloc",
        "24",
        "-c",
        "rig-boot {} {w} {h} && python my_app.py {}",
        PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
    )
    assert done.stdout == "rig-boot 127.1.0.1 48 24\n['my_app.py', '127.1.0.1']\n"


def test_a_command_of_several_words_runs_without_a_shell(site: Site) -> None:
    show = "import sys; print(sys.argv[1:])"
    done = site.shell.run(
        "alloc", "3", "-c", sys.executable, "-c", show, "{}", "--hostname", "{{x}}", "$HOME", "a b"
    )
    assert done.stdout == "['127.1.0.1', '--hostname', '{x}', '$HOME', 'a b']\n"


def test_the_environment_of_the_command_has_the_facts_and_ours(site: Site) -> None:
    line = "echo $SPALLOC_JOB_ID $SPALLOC_JOB_HOSTNAME $SPALLOC_JOB_WIDTH $SPALLOC_JOB_HEIGHT $OURS"
    done = site.shell.run("alloc", "3", "-c", line, OURS="kept")
    assert done.stdout == "1 127.1.0.1 16 16 kept\n"


def test_the_exit_code_is_the_command_s_own(site: Site) -> None:
    assert site.shell.run("alloc", "-c", "exit 42").returncode == 42


def test_the_exit_code_of_a_command_that_a_signal_ended_is_128_and_its_number(site: Site) -> None:
    assert site.shell.run("alloc", "-c", "kill -KILL $$").returncode == 137
    assert site.shell.run("alloc", "-c", "sh", "-c", "kill -SEGV $$").returncode == 139


def test_a_command_that_does_not_exist_is_127_and_the_job_destroyed(site: Site) -> None:
    done = site.shell.run("alloc", "-c", "nosuch-command", "{}")
    assert done.stderr.splitlines()[-1] == "spalloc: nosuch-command: command not found"
    assert done.returncode == 127
    assert site.destroyed() == [(1, None)]


def test_a_command_that_cannot_be_executed_is_126_and_the_job_destroyed(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("text", encoding="utf-8")
    done = site.shell.run("alloc", "-c", "./plain", "{}")
    assert "spalloc: ./plain: cannot be executed: Permission denied" in done.stderr
    assert done.returncode == 126
    assert site.destroyed() == [(1, None)]


def test_a_token_that_stands_for_nothing_is_refused_before_anything_is_allocated(
    site: Site,
) -> None:
    done = site.shell.run("alloc", "-c", "echo {nosuch}")
    assert "{nosuch} in 'echo {nosuch}' stands for nothing" in done.stderr
    assert done.returncode == 2
    assert site.requests() == []


# ------------------------------------------------------------- 3.3 the CSV file


def test_hostnames_of_all_ethernet_connected_chips_are_provided_in_a_csv_file(
    site: Site, tmp_path: Path
) -> None:
    done = site.shell.run("alloc", "3", "-c", "cat {ethernet_ips} $SPALLOC_JOB_ETHERNET_IPS")
    text = "x,y,hostname\n0,0,127.1.0.1\n4,8,127.1.0.3\n8,4,127.1.0.2\n"
    assert done.stdout == text * 2
    assert not list(tmp_path.glob("*.csv"))


def test_the_csv_file_exists_while_the_prompt_is_shown(site: Site, tmp_path: Path) -> None:
    terminal = site.shell.on_terminal("alloc", "3")
    terminal.read_until(PROMPT)
    (file,) = tmp_path.glob("*.csv")
    assert str(file) in terminal.screen
    terminal.type("\r")
    assert terminal.wait() == 0
    assert not file.exists()


def test_a_csv_file_that_cannot_be_written_is_5_and_the_job_destroyed(site: Site) -> None:
    # Python falls back to the current folder when no temporary one can be written to.
    program = (
        "import sys, tempfile; tempfile.tempdir = '/nonexistent'; "
        "from spalloc_gevent.scripts.alloc import main; sys.exit(main(['-c', 'true']))"
    )
    terminal = site.shell.terminal([sys.executable, "-c", program])
    assert terminal.wait() == 5
    assert "Job 1: The list of hostnames cannot be written: " in terminal.screen
    assert site.destroyed() == [(1, None)]


# ---------------------------------------------- 3.4 disconnecting and resuming


def test_by_default_when_the_command_exits_the_job_is_destroyed(site: Site) -> None:
    assert site.shell.run("alloc").returncode == 0
    assert site.destroyed() == [(1, None)]
    assert site.server.jobs == []


@pytest.mark.parametrize("quiet", [[], ["-q"]], ids=["", "quiet"])
def test_no_destroy_leaves_the_job_after_the_command_exits_and_tells_its_id_on_standard_error(
    site: Site, quiet: list[str]
) -> None:
    done = site.shell.run("alloc", "3", *quiet, "--no-destroy", "-c", "echo ran")
    assert done.stdout == "ran\n"
    told = done.stderr.splitlines()
    assert told[-1] == "Job 1: Not destroyed; spalloc --resume 1 resumes it."
    assert len(told) == (1 if quiet else 2)
    assert site.destroyed() == []
    assert [job["state"] for job in site.server.jobs] == [JobState.ready]


def test_such_a_job_may_be_resumed(site: Site) -> None:
    site.shell.run("alloc", "3", "-qD", "-c", "true")
    done = site.shell.run("alloc", "--resume", "1", "-c", "echo {id} {w}")
    assert done.stdout == "1 16\n"
    assert len(site.requests()) == 1
    assert site.destroyed() == [(1, None)]


def test_keepalives_are_sent_automatically_while_the_command_is_running(site: Site) -> None:
    process = site.shell.start("alloc", "--keepalive", "0.6", "-c", UP + "read line")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    before = site.server.command_counts["get_job_state"]
    eventually(lambda: site.server.command_counts["get_job_state"] > before + 6, "more keepalives")
    assert [job["job_id"] for job in site.server.jobs] == [1]
    process.communicate("go on\n")
    assert process.returncode == 0


def test_after_exiting_keepalives_are_no_longer_sent(site: Site) -> None:
    site.shell.run("alloc", "--no-destroy", "--keepalive", "0.5", "-c", "true")
    eventually(lambda: site.server.jobs == [], "the end of a job without keepalives")
    assert site.destroyed() == []


def test_keepalive_minus_1_when_creating_a_job_disables_this(site: Site) -> None:
    site.shell.run("alloc", "--no-destroy", "--keepalive", "-1", "-c", "true")
    assert [job["keepalive"] for job in site.server.jobs] == [None]


# --------------------------------------------------- what the job may come to


def test_a_request_that_no_machine_can_meet_is_1_with_the_server_s_reason(site: Site) -> None:
    done = site.shell.run("alloc", "100", "--quiet")
    reason = "Cancelled: No suitable machines available."
    assert done.stderr == f"Job 1: Destroyed: {reason}\n"
    assert (done.stdout, done.returncode) == ("", 1)


def test_a_job_destroyed_by_somebody_else_while_it_waits_is_1(slow_site: Site) -> None:
    process = slow_site.shell.start("alloc")
    assert process.stderr is not None
    assert process.stderr.readline() == "Job 1: Waiting for power on...\n"
    with another_client(slow_site.server) as client:
        client.destroy_job(1, "taking too long\x1b[2J")
    _, errors = process.communicate()
    assert errors == "Job 1: Destroyed: taking too long\\x1b[2J\n"
    assert process.returncode == 1


def test_a_job_to_resume_that_is_not_recognised_is_2(site: Site) -> None:
    done = site.shell.run("alloc", "--resume", "77")
    assert done.stderr == "Job 77: Job not recognised by server.\n"
    assert done.returncode == 2


def test_a_job_to_resume_that_was_destroyed_is_1(site: Site) -> None:
    site.shell.run("alloc", "-c", "true")
    done = site.shell.run("alloc", "--resume", "1")
    assert done.stderr == "Job 1: Destroyed.\n"
    assert done.returncode == 1


def test_a_queued_job_says_that_it_waits_in_the_queue(site: Site) -> None:
    with another_client(site.server) as client:
        client.create_job(4, 2, owner="first")
        process = site.shell.start("alloc", "-c", "true")
        assert process.stderr is not None
        assert process.stderr.readline() == "Job 2: Waiting in queue...\n"
        client.destroy_job(1)
    _, errors = process.communicate()
    assert errors == "Job 2: Ready!\n"
    assert process.returncode == 0


def test_a_job_destroyed_while_the_command_runs_is_told_once_and_the_command_runs_on(
    site: Site,
) -> None:
    process = site.shell.start("alloc", "-qc", UP + "read line; exit 9")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    with another_client(site.server) as client:
        client.destroy_job(1, "needed elsewhere")
    assert process.stderr is not None
    assert process.stderr.readline() == "Job 1: Destroyed: needed elsewhere\n"
    assert process.communicate("go on\n") == ("", "")
    assert process.returncode == 9


def test_a_job_destroyed_while_the_prompt_is_shown_ends_it_with_1(site: Site) -> None:
    terminal = site.shell.on_terminal("alloc", NO_COLOR="1")
    terminal.read_until(PROMPT)
    with another_client(site.server) as client:
        client.destroy_job(1, "needed elsewhere")
    assert terminal.wait() == 1
    assert terminal.screen.endswith(f"{PROMPT}\r\nJob 1: Destroyed: needed elsewhere\r\n")


def test_no_server_is_6_and_one_line(shell: Shell) -> None:
    with SimulatedServer() as server:
        host, port = server.host, str(server.port)
    done = shell.run("alloc", "-H", host, "-P", port, "--owner", "me", "--quiet")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error communicating with server: ")
    assert f"{host}:{port}" in line
    assert (done.stdout, done.returncode) == ("", 6)


def test_a_server_of_another_version_is_6_unless_it_is_ignored(shell: Shell) -> None:
    with SimulatedServer(version="99.0.0") as server:
        site = Site(server, shell)
        done = shell.run("alloc", "-c", "true")
        assert "'99.0.0'" in done.stderr
        assert done.returncode == 6
        assert site.requests() == []
        assert shell.run("alloc", "--ignore-version", "-c", "true").returncode == 0


def test_a_configuration_that_cannot_be_understood_is_2_and_one_line(site: Site) -> None:
    done = site.shell.run("alloc", SPALLOC_KEEPALIVE="sometimes")
    (line,) = done.stderr.splitlines()
    assert line.startswith("spalloc: error: environment variable SPALLOC_KEEPALIVE")
    assert done.returncode == 2


# --------------------------------------------------------------------- booting


@pytest.mark.parametrize("module", [RIG_2_4_1_ON_PYTHON_3_11, "import inspect; inspect.nosuch"])
def test_a_rig_that_cannot_be_imported_is_2_before_anything_is_allocated(
    site: Site, tmp_path: Path, module: str
) -> None:
    done = site.shell.run("alloc", "--boot", PYTHONPATH=make_rig(tmp_path, module))
    (line,) = done.stderr.splitlines()
    assert line.startswith("spalloc: error: --boot needs Rig, which this Python cannot import")
    assert "--boot-command" in line
    assert done.returncode == 2
    assert site.requests() == []


def test_a_boot_that_fails_is_5_and_the_job_destroyed(site: Site, tmp_path: Path) -> None:
    rig = make_rig(tmp_path, FAILING_RIG)
    done = site.shell.run("alloc", "-B", "-c", "echo ran", PYTHONPATH=rig)
    assert "Job 1: the machine at 127.1.0.1 did not boot" in done.stderr
    assert (done.stdout, done.returncode) == ("", 5)
    assert site.destroyed() == [(1, None)]


def test_a_boot_command_runs_before_the_command_with_the_same_tokens(site: Site) -> None:
    done = site.shell.run("alloc", "3", "--boot-command", "echo boot {} {w}", "-c", "echo ran")
    assert done.stdout == "boot 127.1.0.1 16\nran\n"
    assert done.stderr.splitlines() == ["Job 1: Booting...", "Job 1: Ready!"]


def test_a_boot_command_that_fails_gives_its_exit_code_and_the_job_is_destroyed(
    site: Site,
) -> None:
    done = site.shell.run("alloc", "--boot-command", "exit 33", "-c", "echo ran")
    assert (done.stdout, done.returncode) == ("", 33)
    assert "Job 1: The boot command failed with exit code 33." in done.stderr
    assert site.destroyed() == [(1, None)]


# ------------------------------------------------------------ what it looks like


def test_on_a_terminal_each_status_line_is_written_over_the_last(shell: Shell) -> None:
    with SimulatedServer([MachineSpec("big")], power_seconds=0.2) as server:
        terminal = Site(server, shell).shell.on_terminal("alloc", "-c", "true", NO_COLOR="1")
        assert terminal.wait() == 0
    over = "\r\x1b[2K"
    assert terminal.screen == f"{over}Job 1: Waiting for power on...{over}Job 1: Ready!\r\n"


def test_on_a_terminal_the_status_has_colours(site: Site) -> None:
    terminal = site.shell.on_terminal("alloc", "-c", "true")
    assert terminal.wait() == 0
    assert "\x1b[32mJob 1: Ready!\x1b[0m" in terminal.screen


def test_without_a_terminal_there_are_no_escape_codes(site: Site) -> None:
    done = site.shell.run("alloc", "3", TERM="xterm")
    assert "\x1b" not in done.stdout + done.stderr


def test_colour_is_decided_for_each_stream_by_itself(site: Site, tmp_path: Path) -> None:
    with open(tmp_path / "out", "w", encoding="utf-8") as out:
        terminal = site.shell.terminal(Shell.argv("alloc", "3"), stdout=out.fileno())
        terminal.read_until("Ready!")
        terminal.type("\r")
        assert terminal.wait() == 0
    assert "\x1b[32m" in terminal.screen
    summary = (tmp_path / "out").read_text(encoding="utf-8")
    assert "Hostname: 127.1.0.1\n" in summary
    assert "\x1b" not in summary


def test_quiet_leaves_only_the_result(site: Site) -> None:
    done = site.shell.run("alloc", "--quiet")
    assert done.stderr == ""
    assert "Hostname: 127.1.0.1" in done.stdout


def test_debug_shows_on_stderr_what_the_library_does(site: Site) -> None:
    done = site.shell.run("alloc", "--debug", "-c", "true")
    assert "spalloc_gevent" in done.stderr
    assert "create_job" in done.stderr
    assert "create_job" not in site.shell.run("alloc", "-c", "true").stderr


def test_python_m_does_the_same_as_the_scripts(site: Site) -> None:
    done = site.shell.run("alloc", "-c", "echo {id}")
    program = "import sys; from spalloc_gevent.scripts.alloc import main; sys.exit(main())"
    script = site.shell.terminal([sys.executable, "-c", program, "-c", "echo {id}"])
    assert script.wait() == 0
    assert done.stdout == "1\n"
    assert "Job 2: Ready!" in script.screen


@pytest.mark.parametrize("arguments", [[], ["nosuch"]])
def test_python_m_without_a_command_that_exists_is_2(shell: Shell, arguments: list[str]) -> None:
    done = shell.run(*(arguments or [""]))
    assert "alloc, batch, ps, job, machine, where-is, simulator, config" in done.stderr
    assert done.returncode == 2


def test_python_m_help_names_every_command(shell: Shell) -> None:
    done = shell.run("--help")
    assert done.returncode == 0
    for name in ("alloc", "ps", "job", "machine", "where-is", "simulator", "config"):
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)


# ----------------------------------------------------------------- the prompt


def test_enter_at_the_prompt_destroys_the_job(site: Site) -> None:
    terminal = site.shell.on_terminal("alloc")
    terminal.read_until(PROMPT)
    assert site.destroyed() == []
    terminal.type("\r")
    assert terminal.wait() == 0
    assert site.destroyed() == [(1, None)]


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl+C", "end of input"])
def test_ctrl_c_and_the_end_of_input_at_the_prompt_destroy_the_job_with_0(
    site: Site, key: str
) -> None:
    terminal = site.shell.on_terminal("alloc")
    terminal.read_until(PROMPT)
    terminal.type(key)
    assert terminal.wait() == 0
    assert site.destroyed() == [(1, None)]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_at_the_prompt_destroy_the_job_with_128_and_their_number(
    site: Site, signum: int
) -> None:
    terminal = site.shell.on_terminal("alloc")
    terminal.read_until(PROMPT)
    terminal.signal(signum)
    assert terminal.wait() == 128 + signum
    assert site.destroyed() == [(1, None)]


def test_a_closed_standard_input_is_the_end_of_input(site: Site) -> None:
    argv = " ".join(Shell.argv("alloc"))
    assert site.shell.terminal(["/bin/sh", "-c", f"{argv} <&-"]).wait() == 0
    assert site.destroyed() == [(1, None)]


def test_a_reader_that_leaves_does_not_keep_the_job(site: Site) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    terminal = site.shell.terminal(Shell.argv("alloc", "3"), stdout=write_end)
    os.close(write_end)
    assert terminal.wait() == 128 + signal.SIGPIPE
    assert "Traceback" not in terminal.screen
    assert site.destroyed() == [(1, None)]


# -------------------------------------------------------- signals, while waiting


def test_ctrl_c_while_waiting_is_4_and_destroys_the_job_saying_why(slow_site: Site) -> None:
    terminal = slow_site.shell.on_terminal("alloc", NO_COLOR="1")
    terminal.read_until("Waiting for power on...")
    terminal.type("\x03")
    assert terminal.wait() == 4
    assert terminal.screen.endswith("\r\x1b[2KJob 1: Keyboard interrupt.\r\n")
    assert slow_site.destroyed() == [(1, "Keyboard interrupt.")]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_while_waiting_destroy_the_job_with_128_and_their_number(
    slow_site: Site, signum: int
) -> None:
    process = slow_site.shell.start("alloc")
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signum)
    process.communicate()
    assert process.returncode == 128 + signum
    assert slow_site.destroyed() == [(1, f"Ended by {signal.Signals(signum).name}.")]


def test_ctrl_c_in_the_queue_with_no_destroy_leaves_the_job_and_tells_its_id(
    slow_site: Site,
) -> None:
    process = slow_site.shell.start("alloc", "-D")
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    output, told = process.communicate()
    assert (output, process.returncode) == ("", 4)
    assert told.endswith("Job 1: Not destroyed; spalloc --resume 1 resumes it.\n")
    assert slow_site.destroyed() == []


def test_a_signal_that_was_ignored_from_the_start_stays_so(slow_site: Site) -> None:
    argv = " ".join(Shell.argv("alloc"))
    terminal = slow_site.shell.terminal(["/bin/sh", "-c", f"trap '' HUP INT; exec {argv}"])
    terminal.read_until("Waiting for power on...")
    terminal.type("\x03")
    terminal.signal(signal.SIGHUP)
    terminal.signal(signal.SIGTERM)
    assert terminal.wait() == 128 + signal.SIGTERM


# ----------------------------------------------- signals, while the command runs

# Notes each signal in a file; SIGUSR1 ends it with exit code 7.
RECORDER = """
import os, signal, sys
noted = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
signal.pthread_sigmask(signal.SIG_BLOCK, [*noted, signal.SIGUSR1])
open("pid", "w").write(str(os.getpid()))
if "--tty" in sys.argv:
    input("type: ")
print("recording", flush=True)
while (signum := signal.sigwait([*noted, signal.SIGUSR1])) != signal.SIGUSR1:
    with open("signals", "a") as file:
        file.write(signal.Signals(signum).name + "\\n")
sys.exit(7)
"""


class Recorder:
    """The command that notes its signals, as the test sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "recorder.py").write_text(RECORDER, encoding="utf-8")
        self.argv = [sys.executable, "recorder.py"]

    @property
    def signals(self) -> list[str]:
        file = self._folder / "signals"
        return file.read_text(encoding="utf-8").split() if file.exists() else []

    def await_signals(self, number: int) -> None:
        eventually(lambda: len(self.signals) >= number, f"{number} signals")

    def end(self) -> None:
        os.kill(int((self._folder / "pid").read_text(encoding="utf-8")), signal.SIGUSR1)


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_to_the_command_once_and_its_exit_code_is_ours(
    site: Site, recorder: Recorder, signum: signal.Signals
) -> None:
    process = site.shell.start("alloc", "-c", *recorder.argv)
    assert process.stdout is not None
    assert process.stdout.readline() == "recording\n"
    process.send_signal(signum)
    recorder.await_signals(1)
    assert site.destroyed() == []
    recorder.end()
    process.communicate()
    assert process.returncode == 7
    assert recorder.signals == [signum.name]
    assert site.destroyed() == [(1, None)]


@pytest.mark.parametrize("tty", [[], ["--tty"]], ids=["in the background", "reading the terminal"])
def test_ctrl_c_on_a_terminal_reaches_the_command_once(
    site: Site, recorder: Recorder, tty: list[str]
) -> None:
    terminal = site.shell.terminal(
        [sys.executable, "-c", CHANGE_FOLDER, *Shell.argv("alloc", "-c", *recorder.argv, *tty)],
        {"FOLDER": str(site.shell.folder)},
    )
    if tty:
        terminal.read_until("type: ")
        terminal.type("x\r")
    terminal.read_until("recording")
    terminal.type("\x03")
    recorder.await_signals(1)
    terminal.type("\x03")
    recorder.await_signals(2)
    recorder.end()
    assert terminal.wait() == 7
    assert recorder.signals == ["SIGINT", "SIGINT"]
    assert site.destroyed() == [(1, None)]


CHANGE_FOLDER = (
    "import os, sys; os.chdir(os.environ['FOLDER']); os.execv(sys.argv[1], sys.argv[1:])"
)


def test_a_signal_sent_to_us_alone_on_a_terminal_reaches_the_command(
    site: Site, recorder: Recorder
) -> None:
    terminal = site.shell.terminal(
        [sys.executable, "-c", CHANGE_FOLDER, *Shell.argv("alloc", "-c", *recorder.argv)],
        {"FOLDER": str(site.shell.folder)},
    )
    terminal.read_until("recording")
    terminal.signal(signal.SIGINT)
    recorder.await_signals(1)
    recorder.end()
    assert terminal.wait() == 7
    assert recorder.signals == ["SIGINT"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_orphan_of_a_shell_line(site: Site, tmp_path: Path, signum: int) -> None:
    process = site.shell.start("alloc", "-c", f"{sys.executable} -c '{SLEEPER}' && true; exit 5")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.send_signal(signum)
    process.communicate()
    assert process.returncode in (128 + signum, 5)
    assert not is_alive(pid)
    assert site.destroyed() == [(1, None)]


SLEEPER = "import os, signal; print(os.getpid(), flush=True); signal.pause()"


def test_a_third_signal_kills_a_command_that_refuses_to_end(site: Site) -> None:
    line = "trap 'echo again' TERM; " + UP + "while :; do sleep 1000 & wait; done"
    process = site.shell.start("alloc", "-c", line)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert process.stdout.readline() == "again\n"
    process.terminate()
    assert process.stdout.readline() == "again\n"
    process.terminate()
    process.communicate()
    assert process.returncode == 137
    assert site.destroyed() == [(1, None)]


def test_a_signal_during_the_boot_command_ends_it_and_nothing_else_is_run(site: Site) -> None:
    boot = "trap 'exit 0' TERM; " + UP + "while :; do sleep 1000 & wait; done"
    process = site.shell.start("alloc", "--boot-command", boot, "-c", "echo ran")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.terminate()
    output, _ = process.communicate()
    assert (output, process.returncode) == ("", 128 + signal.SIGTERM)
    assert site.destroyed() == [(1, None)]


def test_a_closed_terminal_ends_the_command_and_destroys_the_job(site: Site) -> None:
    terminal = site.shell.on_terminal("alloc", "-c", f"{sys.executable} -c '{SLEEPER}' && true")
    pid = int(terminal.read_match(r"^(\d+)$"))
    terminal.hang_up()
    assert terminal.wait() == 128 + signal.SIGHUP
    assert not is_alive(pid)
    assert site.destroyed() == [(1, None)]


# ------------------------------------------------------- the terminal is shared


def test_a_command_can_ask_its_user(site: Site) -> None:
    line = "printf 'name? '; read name; echo hello $name"
    terminal = site.shell.on_terminal("alloc", "-c", line)
    terminal.read_until("name? ")
    terminal.type("world\r")
    terminal.read_until("hello world")
    assert terminal.wait() == 0


def test_a_command_in_a_pipeline_can_ask_its_user(site: Site) -> None:
    line = "echo name?; read name; echo hello $name"
    argv = " ".join(Shell.argv("alloc", "-c", f"'{line}'"))
    terminal = site.shell.terminal(["/bin/sh", "-c", f"{argv} | sed s/hello/goodbye/"])
    terminal.read_until("name?")
    terminal.type("world\r")
    terminal.read_until("goodbye world")
    assert terminal.wait() == 0


# A program rather than a shell's loop: a shell that is stopped in the middle of
# starting something is a story of its own.
CONTINUED = """
import os, signal, sys
if "--tty" in sys.argv:
    input("type: ")
signal.signal(signal.SIGCONT, lambda *_: os.write(1, b"continued\\n"))
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("running", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("tty", ["", "--tty"], ids=["in the background", "reading the terminal"])
def test_ctrl_z_stops_the_command_and_us_and_fg_continues_both(
    site: Site, tmp_path: Path, tty: str
) -> None:
    program = tmp_path / "continued.py"
    program.write_text(CONTINUED, encoding="utf-8")
    terminal = site.shell.terminal(["/bin/sh", "-i"], {"PS1": "$ "})
    terminal.read_until("$ ")
    terminal.type(" ".join(Shell.argv("alloc", "-c", sys.executable, str(program), tty)) + "\r")
    if tty:
        terminal.read_until("\r\ntype: ")
        terminal.type("x\r")
    terminal.read_until("running\r\n")
    terminal.type("\x1a")
    terminal.read_until("Stopped")
    terminal.type("fg; echo code=$?\r")
    terminal.read_until("\r\ncontinued\r\n")
    terminal.type("\x03")
    terminal.read_until("code=130\r\n")
    assert site.destroyed() == [(1, None)]


# --------------------------------------------------------------- the real server


@pytest.mark.real_server
def test_the_real_server_is_served_as_well(shell: Shell, make_real_server: MakeRealServer) -> None:
    server = make_real_server()
    environ = {
        "SPALLOC_HOSTNAME": server.host,
        "SPALLOC_PORT": str(server.port),
        "SPALLOC_OWNER": "me",
    }
    done = shell.run("alloc", "3", "-c", "cat {ethernet_ips}; exit 3", **environ)
    assert done.stdout.splitlines()[0] == "x,y,hostname"
    assert len(done.stdout.splitlines()) == 4
    assert done.returncode == 3
    terminal = shell.on_terminal("alloc", **environ)
    terminal.read_until(PROMPT)
    terminal.type("\x03")
    assert terminal.wait() == 0
    with ProtocolClient(server.host, server.port, timeout=10.0) as client:
        assert client.list_jobs() == []
        assert client.get_job_state(2)["state"] == JobState.destroyed


# ----------------------------------------------------------------- time limits


def test_a_command_whose_time_is_up_is_ended_and_its_job_destroyed_with_124(site: Site) -> None:
    done = site.shell.run("alloc", "-q", "--time-limit", "0.1", "-c", "sleep 1000")
    why = "The time limit of 0.1 s was reached."
    assert (done.returncode, done.stderr) == (124, f"Job 1: {why}\n")
    assert site.destroyed() == [(1, why)]


def test_a_boot_command_that_hangs_is_ended_when_the_time_is_up(site: Site) -> None:
    done = site.shell.run(
        *("alloc", "--time-limit", "0.1", "--boot-command", "sleep 1000", "-c", "echo ran")
    )
    assert (done.returncode, done.stdout) == (124, "")
    assert site.destroyed() == [(1, "The time limit of 0.1 s was reached.")]


def test_a_prompt_ends_when_the_time_is_up(site: Site) -> None:
    process = site.shell.start("alloc", "-q", "--time-limit", "0.1")
    assert process.wait() == 124
    assert site.destroyed() == [(1, "The time limit of 0.1 s was reached.")]


def test_no_time_counts_while_boards_are_waited_for(shell: Shell) -> None:
    with SimulatedServer([MachineSpec("big")], power_seconds=4.0) as server:
        done = Site(server, shell).shell.run(
            *("alloc", "-q", "--time-limit", "3.9", "-c", "echo ran")
        )
    assert (done.returncode, done.stdout) == (0, "ran\n")
