"""The command ``spalloc-simulator``: a simulated server to try things on.

On its own it serves until Ctrl+C. With ``--run COMMAND...`` it serves on a free
port for as long as the command runs, and ends with the command's exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from spalloc_gevent.command_line.help_text import described
from spalloc_gevent.command_line.standard_options import add_standard_options
from spalloc_gevent.geometry import Board, BoardLink
from spalloc_gevent.simulator.dialects import DIALECTS
from spalloc_gevent.simulator.java_options import ORDINARY, REVIVE_CHOICES, JavaOptions
from spalloc_gevent.simulator.machine import MachineSpec
from spalloc_gevent.simulator.server import DEFAULT_PORT, SimulatedServer

EXIT_FAILED = 1
EXIT_CANNOT_RUN = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL_BASE = 128

EXIT_CODES = (
    (0, "ended by Ctrl+C or SIGTERM"),
    ("any", "with --run: the command's own; 128 + n when signal n ended it"),
    (EXIT_FAILED, "nothing can listen at that address and port, or the server broke down"),
    (2, "the command line is wrong"),
    (EXIT_CANNOT_RUN, "with --run: the command cannot be executed"),
    (EXIT_NOT_FOUND, "with --run: there is no such command"),
)
"""What --help says of them."""

EXAMPLE = "example: spalloc-simulator --run spalloc 3 -c 'echo got {}'"

OWNER = "spalloc-simulator"
REACHED_AT = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where a client finds a server that listens on every address."""
LONGEST_WAIT_S = 0.1
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
SENT_BY_TERMINALS = (signal.SIGINT, signal.SIGQUIT)


class ServerEnded(BaseException):
    """A signal asked the server to end."""


def machine_from_text(text: str) -> MachineSpec:
    """``NAME:WIDTHxHEIGHT`` or ``NAME:WIDTHxHEIGHT:TAG,TAG``, sizes in triads."""
    name, _, rest = text.partition(":")
    size, _, tags = rest.partition(":")
    try:
        width, height = map(int, size.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME:WxH[:TAG,...] with a size in triads, such as m:4x2"
        ) from None
    try:
        return MachineSpec(name, width, height, tuple(tags.split(",")) if tags else ("default",))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def dead_board_from_text(text: str) -> tuple[str | None, Board]:
    """``X,Y,Z``, after ``NAME:`` when it is not on the first machine."""
    name, numbers = place_from_text(text)
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not [NAME:]X,Y,Z")
    return name, (numbers[0], numbers[1], numbers[2])


def dead_link_from_text(text: str) -> tuple[str | None, BoardLink]:
    """``X,Y,Z,LINK``, after ``NAME:`` when it is not on the first machine."""
    name, numbers = place_from_text(text)
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not [NAME:]X,Y,Z,LINK")
    return name, (numbers[0], numbers[1], numbers[2], numbers[3])


def place_from_text(text: str) -> tuple[str | None, list[int]]:
    name, colon, numbers = text.rpartition(":")
    try:
        return (name if colon else None), [int(number) for number in numbers.split(",")]
    except ValueError:
        return None, []


def seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")


def count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535, 0 for a free one")
    return int(text)


def make_parser() -> argparse.ArgumentParser:
    """The parser of ``spalloc-simulator``."""
    parser = argparse.ArgumentParser(
        prog="spalloc-simulator",
        description="A spalloc server without hardware, to try and test things on.",
        epilog=f"{EXAMPLE}\n\n{described('exit codes', EXIT_CODES)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_machine_options(parser.add_argument_group("machines (default: m:4x2, 24 boards)"))
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=port, help=f"port to listen on; 0 takes a free one (default: "
        f"{DEFAULT_PORT}, with --run 0)")  # fmt: skip
    add("--power-seconds", type=seconds, default=1.0, metavar="S",
        help="how long powering on takes (default: %(default)s)")  # fmt: skip
    add("--free-seconds", type=seconds, default=0.0, metavar="S",
        help="how long freed boards stay unavailable (default: %(default)s)")  # fmt: skip
    add("--dialect", choices=sorted(DIALECTS), default="python",
        help="which server to behave like (default: %(default)s)")  # fmt: skip
    add_java_options(parser.add_argument_group("what is chance on the Java server"))
    add("--version-string", metavar="V", help="the version to report (default: the dialect's)")
    add("--quiet", "-q", action="store_true", help="do not describe the server on stderr")
    add("--run", nargs=argparse.REMAINDER,
        help="a COMMAND with its arguments: run it, pointed at the server by the "
        "environment, and end with its exit code")  # fmt: skip
    add_standard_options(parser)
    return parser


def add_machine_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--machines", dest="files", action="append", default=[],
                       type=machines_in_file, metavar="FILE.json",
                       help="the machines of a file: {NAME: {width, height, tags, absent, "
                       "dead_boards, dead_links}}; repeat for more")  # fmt: skip
    group.add_argument("--machine", dest="machines", action="append", type=machine_from_text,
                       metavar="NAME:WxH[:TAG,...]",
                       help="a machine of W x H triads; repeat for more")  # fmt: skip
    group.add_argument("--dead-board", dest="dead_boards", action="append", default=[],
                       type=dead_board_from_text, metavar="[NAME:]X,Y,Z",
                       help="a board that does not work; repeat for more")  # fmt: skip
    group.add_argument("--dead-link", dest="dead_links", action="append", default=[],
                       type=dead_link_from_text, metavar="[NAME:]X,Y,Z,LINK",
                       help="a link of a board that does not work; repeat for more")  # fmt: skip


def add_java_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--allocator-seconds", type=seconds, default=ORDINARY.allocator_seconds, metavar="S",
        help="how long the allocator works for each queued job; 0.036 on the real server "
        "(default: %(default)s)")  # fmt: skip
    add("--revive", choices=REVIVE_CHOICES, default=ORDINARY.revive,
        help="which jobs live on that are destroyed while the allocator works on them "
        "(default: %(default)s)")  # fmt: skip
    add("--database-refusals", type=count, default=0, metavar="N",
        help="the database refuses one command in N")  # fmt: skip
    add("--notify-twice", action="store_true", help="tell of every change twice")
    add("--failing-power-ons", type=count, default=0, metavar="N",
        help="the first N jobs fail to power on, and move to other boards")  # fmt: skip
    add("--expiry-check-seconds", type=seconds, default=ORDINARY.expiry_check_seconds, metavar="S",
        help="how often keepalives are looked at (default: %(default)s)")  # fmt: skip


def machines_in_file(text: str) -> list[MachineSpec]:
    """The machines of a JSON file; of several lines only the first one counts.

    Either ``{NAME: {"width": 4, "height": 2, "tags": [], "absent": [], "dead_boards": [],
    "dead_links": []}}``, or that under the key ``machines``.
    """
    try:
        body = json.loads(Path(text).read_text("utf-8").partition("\n{")[0])
        machines = body.get("machines", body)
        return [MachineSpec(name, **facts) for name, facts in machines.items()]
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"{text} has no machines: {error}") from None


def machines_from(arguments: argparse.Namespace) -> list[MachineSpec]:
    """The machines asked for, with what is dead on them; ValueError if they contradict."""
    given = [*(arguments.machines or ()), *itertools.chain.from_iterable(arguments.files)]
    asked: list[MachineSpec] = given or [MachineSpec()]
    machines = {machine.name: machine for machine in asked}
    if len(machines) < len(asked):
        raise ValueError("two machines have the same name: give each one of its own")
    for broken in ("dead_boards", "dead_links"):
        for name, place in getattr(arguments, broken):
            known = next(iter(machines)) if name is None else name
            if known not in machines:
                raise ValueError(f"there is no machine {name!r}; there is {', '.join(machines)}")
            more: dict[str, Any] = {broken: (*getattr(machines[known], broken), place)}
            machines[known] = dataclasses.replace(machines[known], **more)
    return list(machines.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words, command = split(sys.argv[1:] if argv is None else argv)
    parser = make_parser()
    arguments = parser.parse_args(words)
    if command == []:
        parser.error("--run needs a command")
    try:
        server = server_from(arguments, DEFAULT_PORT if command is None else 0)
    except ValueError as error:
        parser.error(str(error))
    try:
        if command is None:
            return serve(server, arguments.quiet)
        return serve_command(server, command, arguments.quiet)
    except OSError as error:
        where = f"{arguments.host}:{server.port}"
        print(f"cannot listen on {where}: {error.strerror or error}; "
              "choose another with --host and --port (0: a free one)", file=sys.stderr)  # fmt: skip
    except RuntimeError as error:
        print(error, file=sys.stderr)
    return EXIT_FAILED


def split(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Our own words, and the command after ``--run``, whose options are not ours."""
    if "--run" not in argv:
        return list(argv), None
    place = argv.index("--run")
    command = list(argv[place + 1 :])
    return list(argv[:place]), command[1:] if command[:1] == ["--"] else command


def server_from(arguments: argparse.Namespace, default_port: int) -> SimulatedServer:
    """The server that is asked for; ValueError if it cannot be."""
    return SimulatedServer(
        machines_from(arguments),
        power_seconds=arguments.power_seconds,
        seconds_before_free=arguments.free_seconds,
        version=arguments.version_string,
        host=arguments.host,
        port=default_port if arguments.port is None else arguments.port,
        dialect=arguments.dialect,
        java=JavaOptions(
            **{field.name: getattr(arguments, field.name) for field in dataclasses.fields(ORDINARY)}
        ),
    )


def serve(server: SimulatedServer, quiet: bool) -> int:
    """Serve until a signal ends it."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise ServerEnded

    with (
        contextlib.suppress(ServerEnded, KeyboardInterrupt),
        handling([signal.SIGTERM], end),
        server,
    ):
        if not quiet:
            print(description(server), file=sys.stderr)
        try:
            print(f"{server.host}:{server.port}", flush=True)
        except BrokenPipeError:
            # Whoever wanted to know has gone; what is left in the buffer must not fail at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        server.wait()
    return 0


def serve_command(server: SimulatedServer, command: Sequence[str], quiet: bool) -> int:
    """Serve while `command` runs; its exit code, 128 + n when signal n ended it."""
    child = ServedCommand()
    with handling(PASSED_ON, child.pass_on), server:
        if not quiet:
            print(description(server), file=sys.stderr)
        # What a client finds the server by.
        environment = {
            "SPALLOC_OWNER": OWNER,
            **os.environ,
            "SPALLOC_HOSTNAME": REACHED_AT.get(server.host, server.host),
            "SPALLOC_PORT": str(server.port),
        }
        try:
            code = child.run(command, environment)
        except FileNotFoundError:
            print(f"there is no command {command[0]!r}", file=sys.stderr)
            return EXIT_NOT_FOUND
        except OSError as error:
            print(f"cannot run {command[0]!r}: {error.strerror}", file=sys.stderr)
            return EXIT_CANNOT_RUN
    return code if code >= 0 else EXIT_SIGNAL_BASE - code


def description(server: SimulatedServer) -> str:
    """What is served, and where."""
    machines = ", ".join(
        f"{machine.name} of {machine.width} x {machine.height} triads ({machine.boards} boards)"
        for machine in server.machines
    )
    return f"simulated spalloc server {server.version} on {server.host}:{server.port}: {machines}"


@contextlib.contextmanager
def handling(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Have signals handled for a while."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)


class ServedCommand:
    """A command that gets the signals that we get."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run it to its end; its exit code, negative for the number of a signal."""
        with subprocess.Popen(command, env=environment) as process:
            self._process = process
            for number in self._early:
                process.send_signal(number)
            # A signal that comes just before the wait does not interrupt it, so that its handler,
            # which passes it on, would have to wait for the command's end: hence not one long wait.
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(LONGEST_WAIT_S)

    def pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Have the command get a signal that we got."""
        if number in SENT_BY_TERMINALS and in_foreground():
            return  # the terminal has sent it to the command as well
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def in_foreground() -> bool:
    """Whether what is typed on the terminal goes to our process group."""
    try:
        with open(os.ctermid(), "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
