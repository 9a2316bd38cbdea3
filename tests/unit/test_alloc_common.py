"""What the commands share: exit codes, errors on one line."""

from __future__ import annotations

import io
import os
import signal
import sys
import types
from collections.abc import Callable

import pytest

from spalloc_gevent.errors import (
    ConfigError,
    ConnectionLostError,
    IncompatibleServerError,
    JobDestroyedError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocServerException,
)
from spalloc_gevent.scripts.boot import BootFailedError, RigBoot, RigUnusableError
from spalloc_gevent.scripts.common import CommandError, ExitCode, complain, ended_by, run


def failing(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


def test_exit_codes_are_those_that_users_know() -> None:
    assert (ExitCode.DESTROYED, ExitCode.USAGE, ExitCode.UNKNOWN_JOB) == (1, 2, 2)
    assert (ExitCode.UNKNOWN_STATE, ExitCode.INTERRUPTED, ExitCode.NO_SERVER) == (3, 4, 6)
    assert (ExitCode.SERVER_TROUBLE, ExitCode.NOT_ONE_JOB, ExitCode.NO_BOARDS) == (1, 3, 4)
    assert (ExitCode.NO_MACHINE, ExitCode.POWER_INTERRUPTED) == (6, 7)
    assert (ExitCode.NO_POWER, ExitCode.NO_ALLOCATION) == (8, 9)
    assert ended_by(signal.SIGKILL) == 137


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (CommandError("No machine 'x' was found", 6), 6, "No machine 'x' was found"),
        (ConfigError("f, line 3: bad"), 2, "prog: error: f, line 3: bad"),
        (IncompatibleServerError("version 9"), 2, "prog: error: version 9"),
        (SpallocServerException("x", "no"), 1, "Error from server: the server refused 'x': no"),
        (ConnectionLostError("refused"), 1, "Error communicating with server: refused"),
        (ProtocolError("garbage"), 1, "Error communicating with server: garbage"),
        (ProtocolTimeoutError("too late"), 1, "Error communicating with server: too late"),
        (OSError("no space left"), 1, "Error: no space left"),
        (JobDestroyedError("job 3 is gone"), 1, "Error: job 3 is gone"),
        (ProtocolError("two\nlines"), 1, "Error communicating with server: two lines"),
    ],
)
def test_a_known_error_is_one_line_and_an_exit_code(
    error: Exception, code: int, message: str
) -> None:
    stderr = io.StringIO()
    assert run(failing(error), prog="prog", stderr=stderr) == code
    assert stderr.getvalue() == message + "\n"


def test_a_command_says_which_codes_stand_for_the_server() -> None:
    def code_of(error: Exception) -> int:
        return run(failing(error), prog="prog", stderr=io.StringIO(), server_code=6, version_code=5)

    assert code_of(ConnectionLostError("gone")) == 6
    assert code_of(IncompatibleServerError("old")) == 5


def test_what_a_command_returns_is_its_exit_code() -> None:
    assert run(lambda: 17, prog="prog") == 17


def test_ctrl_c_that_nobody_expected_is_silent() -> None:
    stderr = io.StringIO()
    assert run(failing(KeyboardInterrupt()), prog="prog", stderr=stderr) == 130
    assert stderr.getvalue() == ""


def test_an_error_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(failing(ZeroDivisionError()), prog="prog")


def test_a_reader_that_has_left_is_no_error_of_the_server(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)

        def command() -> int:
            print("x", flush=True)
            return 0

        assert run(command, prog="prog") == 128 + signal.SIGPIPE
    assert capfd.readouterr().err == ""


class AsciiStream(io.StringIO):
    encoding = "ascii"

    def write(self, text: str) -> int:
        text.encode("ascii")
        return super().write(text)


def test_a_message_survives_a_stream_that_has_no_letters_for_it() -> None:
    stream = AsciiStream()
    complain("no machine 'Gerät'", stream)
    assert stream.getvalue() == "no machine 'Ger\\xe4t'\n"


# ------------------------------------------------------------------ booting


class FakeBootError(Exception):
    pass


def install_rig(monkeypatch: pytest.MonkeyPatch, boot: Callable[[str, int, int], None]) -> None:
    class MachineController:
        def __init__(self, hostname: str) -> None:
            self._hostname = hostname

        def boot(self, width: int, height: int) -> None:
            boot(self._hostname, width, height)

    module = types.ModuleType("rig.machine_control.machine_controller")
    module.__dict__.update(MachineController=MachineController, SpiNNakerBootError=FakeBootError)
    for name in ("rig", "rig.machine_control"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_rig_boots_the_machine_behind_a_hostname(monkeypatch: pytest.MonkeyPatch) -> None:
    booted = []
    install_rig(monkeypatch, lambda *machine: booted.append(machine))
    RigBoot()("board-0", 16, 28)
    assert booted == [("board-0", 16, 28)]


@pytest.mark.parametrize("error", [FakeBootError("no answer"), OSError("no route")])
def test_a_boot_that_fails_says_which_machine_and_why(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def boot(*machine: object) -> None:
        raise error

    install_rig(monkeypatch, boot)
    with pytest.raises(BootFailedError, match=f"board-0 did not boot: .*{error}"):
        RigBoot()("board-0", 16, 28)


def test_a_rig_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "rig"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(RigUnusableError, match=r"install spalloc_gevent\[boot\]"):
        RigBoot()
