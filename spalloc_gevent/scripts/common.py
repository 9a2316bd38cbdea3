"""What the commands share: options, exit codes, and errors that fit on one line."""

from __future__ import annotations

import argparse
import enum
import errno
import math
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from configparser import RawConfigParser
from contextvars import ContextVar
from typing import NoReturn, TextIO, TypeVar

from spalloc_gevent.address import server_address, with_port
from spalloc_gevent.command_line.help_text import described
from spalloc_gevent.command_line.standard_options import add_standard_options
from spalloc_gevent.config import Config, load_config
from spalloc_gevent.display.terminal import (
    Colour,
    Paint,
    Style,
    Telling,
    discard_unwritable,
    write,
)
from spalloc_gevent.errors import (
    BadRequestError,
    BadValueError,
    ConfigError,
    IncompatibleServerError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocError,
    SpallocServerException,
)

T = TypeVar("T")


class ExitCode(enum.IntEnum):
    """Every way in which a command may end, as users and their scripts know them.

    A number can mean one thing in one command and another in the next; each meaning has a name
    of its own. What it is in a command, its ``EXIT_CODES`` say.
    """

    OK = 0
    DESTROYED = 1
    SERVER_TROUBLE = 1
    NOT_ALL_PASSED = 1
    USAGE = 2
    UNKNOWN_JOB = 2
    UNKNOWN_STATE = 3
    NOT_ONE_JOB = 3
    INTERRUPTED = 4
    NO_BOARDS = 4
    NOT_PREPARED = 5
    NOT_RECORDED = 5
    NOT_TOLD = 5
    NO_SERVER = 6
    NO_MACHINE = 6
    POWER_INTERRUPTED = 7
    NO_POWER = 8
    NO_ALLOCATION = 9
    WAIT_TIMED_OUT = 10
    NEVER_TO_BE = 11
    NOT_DRAWN = 12
    TIMED_OUT = 124
    CANNOT_EXECUTE = 126
    COMMAND_NOT_FOUND = 127
    SIGNALLED = 128
    """Plus the number of the signal that ended the command, as in a shell."""


def ended_by(signum: int) -> int:
    """The exit code of what signal `signum` ended."""
    return ExitCode.SIGNALLED + signum


INTERRUPTED = ended_by(2)
"""The exit code of what Ctrl+C ended, where it has no other."""


_remarks: ContextVar[Telling] = ContextVar("remarks")
"""What a command remarks on, that its exit code tells of what could not be written."""


class CommandError(Exception):
    """A command cannot go on: the line that the user gets to see, whole, and the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


# -------------------------------------------------------- errors on one line


def run(
    command: Callable[[], int],
    *,
    prog: str,
    stderr: TextIO | None = None,
    server_code: int = ExitCode.SERVER_TROUBLE,
    version_code: int = ExitCode.USAGE,
    output_code: int = ExitCode.SERVER_TROUBLE,
    colour: Colour = Colour.AUTO,
) -> int:
    """What `command` returns, or an error's exit code after one line about it on `stderr`.

    `server_code` stands for a server that cannot be reached or refuses, `version_code` for
    one of a version that will not do, `output_code` for a result that cannot be written;
    `colour`: whether the line is red.
    """
    remarks = Telling()
    _remarks.set(remarks)
    try:
        try:
            code = command()
            return code or (ExitCode.OK if remarks.trouble is None else ExitCode.NOT_TOLD)
        except BrokenPipeError:
            discard_unwritable(sys.stdout)
            return ended_by(13)  # The reader has left; a shell reports that as SIGPIPE.
        except KeyboardInterrupt as interrupted:
            # Other signals than Ctrl+C's have their number with them.
            return ended_by(getattr(interrupted, "signum", signal.SIGINT))
        except CommandError as error:
            message, code = str(error), error.code
        except ConfigError as error:
            message, code = usage_message(prog, error), ExitCode.USAGE
        except BadRequestError as error:
            message, code = usage_message(prog, error), ExitCode.USAGE
        except IncompatibleServerError as error:
            message, code = usage_message(prog, error), version_code
        except SpallocError as error:
            message, code = describe_server_trouble(error), server_code
        except OSError as error:
            discard_unwritable(sys.stdout)
            if error.errno == errno.EIO:
                return ended_by(1)  # A closed terminal may be found out before SIGHUP arrives.
            message, code = describe_server_trouble(error), output_code
        complain(message, stderr, colour)
        return code
    finally:
        discard_unwritable(sys.stderr)


def describe_server_trouble(error: SpallocError | OSError) -> str:
    """What a user is told of a server that cannot be reached or refuses, or of a full disk."""
    if isinstance(error, SpallocServerException):
        return f"Error from server: the server refused {error.command!r}: {error.reason}"
    if isinstance(error, (ProtocolError, ProtocolTimeoutError)):
        return f"Error communicating with server: {error}"
    return f"Error: {error}"


def usage_message(prog: str, error: object) -> str:
    """What is wrong with a command line, as argparse puts it."""
    return f"{prog}: error: {error}"


def complain(
    message: str,
    stderr: TextIO | None = None,
    colour: Colour = Colour.AUTO,
    style: Style = Style.RED,
) -> None:
    """One line about what went wrong, in red where `stderr` (None: sys.stderr) shows colours."""
    stream = sys.stderr if stderr is None else stderr
    line = Paint.for_stream(stream, colour)(" ".join(message.split()), style) + "\n"
    _remarks.get(Telling())(lambda: write(stream, line))


def warn(message: str, stderr: TextIO | None = None, colour: Colour = Colour.AUTO) -> None:
    """One line about what may surprise, in yellow where `stderr` shows colours."""
    complain(message, stderr, colour, Style.YELLOW)


# --------------------------------------------------------------- the parser


def read_defaults(
    prog: str, environ: Mapping[str, str] | None = None, stderr: TextIO | None = None
) -> Config:
    """The configuration in force; what was passed over in its files is warned of.

    Raises ConfigError for files or variables that cannot be understood.
    """
    with warnings.catch_warnings(record=True) as passed_over:
        warnings.simplefilter("always")
        defaults = load_config(environ=environ)
    for warning in passed_over:
        warn(f"{prog}: warning: {warning.message}", stderr)
    return defaults


def new_parser(
    prog: str,
    description: str,
    *,
    notes: Sequence[str] = (),
    exit_codes: Iterable[tuple[object, str]] = (),
) -> argparse.ArgumentParser:
    """A parser with the options of all commands; `notes` and `exit_codes` end its help."""
    epilog = "\n\n".join([*notes, described("exit codes", exit_codes)])
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog.strip().replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_standard_options(parser)
    return parser


def add_server_options(
    parser: argparse.ArgumentParser, defaults: Config, timeout_option: str = "--timeout"
) -> argparse._ArgumentGroup:
    """--hostname, --port, --timeout and --ignore-version; returns their group, to be added to.

    They set ``hostname`` (None when nobody said it), ``port``, ``timeout``
    (seconds, None for ever) and ``ignore_version``. timeout_option: what --timeout is called
    where that is something else.
    """
    group = parser.add_argument_group("spalloc server arguments")
    add_address_options(group, defaults)
    group.add_argument(
        timeout_option,
        dest="timeout",
        type=seconds_or_none,
        metavar="SECONDS",
        default=defaults.timeout,
        help=f"seconds to wait for an answer of the server, -1 for ever "
        f"(default: {or_minus_one(defaults.timeout)})",
    )
    group.add_argument(
        "--ignore-version",
        action="store_true",
        default=defaults.ignore_version,
        help="talk to a server whose version is not known to work (default: %(default)s)",
    )
    # As the existing client has it.
    group.add_argument(
        "--ignore_version", type=flag, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    return group


def add_address_options(group: argparse._ArgumentGroup, defaults: Config) -> None:
    """--hostname and --port."""
    group.add_argument(
        "--hostname",
        "-H",
        default=defaults.hostname,
        help="host name or IP address of the spalloc server, perhaps with :PORT "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--port",
        "-P",
        type=port,
        action=StoreSaid,
        default=defaults.port,
        help="port of the spalloc server (default: %(default)s)",
    )


class StoreSaid(argparse.Action):
    """Store the value, and in ``..._said`` that it was said here, and not in the configuration."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        _option: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        setattr(namespace, f"{self.dest}_said", True)


def require_hostname(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error when nobody said where the server is; take its address apart.

    Then ``hostname`` is without port and user, and ``user`` is the address's, or None.
    Raises CommandError for what cannot be an address, and for another port beside it.
    """
    if not arguments.hostname:
        must_say(parser, "--hostname", "hostname", "of the spalloc server")
    said = arguments.port if getattr(arguments, "port_said", False) else None
    try:
        address = with_port(server_address(arguments.hostname), said)
    except BadValueError as error:
        # Its words begin with the name of the option.
        raise CommandError(usage_message(parser.prog, f"--{error}"), ExitCode.USAGE) from None
    arguments.hostname, arguments.user = address.host, address.user
    arguments.port = address.port or arguments.port


def must_say(parser: argparse.ArgumentParser, option: str, name: str, what: str) -> NoReturn:
    """End with a usage error that names the three places where `name` can be said."""
    parser.error(
        f"{option} {what} must be specified: give {option}, set SPALLOC_{name.upper()}, "
        f"or write '{name} = ...' in a configuration file"
    )


def or_minus_one(value: object) -> str:
    """A default as --help shows it, where -1 on the command line stands for None."""
    return "-1" if value is None else str(value)


# ------------------------------------------------------- values of arguments


def whole_number(text: str) -> int:
    """Any whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def real_number(text: str) -> float:
    """Any number, with or without a fraction."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def number_type(
    kind: Callable[[str], T], is_right: Callable[[T], bool], refusal: str
) -> Callable[[str], T]:
    """A type of argument: a number that is right, or a refusal that names the ``<value>``."""

    def number(text: str) -> T:
        value = kind(text)
        if not is_right(value):
            raise argparse.ArgumentTypeError(refusal.replace("<value>", repr(text)))
        return value

    return number


port = number_type(
    whole_number,
    lambda number: 1 <= number <= 65535,
    "<value> is not a port: give a number from 1 to 65535",
)
natural_number = number_type(
    whole_number, lambda number: number >= 0, "<value> is less than 0: give 0 or more"
)
count = number_type(
    whole_number, lambda number: number >= 1, "<value> is not a count: give 1 or more"
)
count_or_zero = number_type(
    whole_number, lambda number: number >= 0, "<value> is not a count: give 0 or more"
)
seconds = number_type(
    real_number,
    lambda span_s: 0 <= span_s < math.inf,
    "<value> is not a time: give 0 seconds or more",
)
positive_seconds = number_type(
    real_number, lambda span_s: 0 < span_s < math.inf, "<value> is not a time: give seconds above 0"
)
limit = number_type(
    real_number,
    lambda span_s: span_s < math.inf and span_s != 0,
    "<value> is not a time: give seconds above 0, or -1 for no limit",
)
ratio = number_type(
    real_number,
    lambda value: 0.0 <= value <= 1.0,
    "<value> is not a ratio: give a number from 0.0 (any shape) to 1.0 (square)",
)


def count_or_none(text: str) -> int | None:
    """A whole number, 0 or more, or None for one below it."""
    number = whole_number(text)
    return None if number < 0 else number


def seconds_or_at_once(text: str) -> float:
    """A number of seconds, 0 for whatever is less."""
    return 0.0 if real_number(text) < 0 else seconds(text)


def seconds_or_none(text: str) -> float | None:
    """A number of seconds above 0, or None for one below it."""
    span_s = limit(text)
    return None if span_s < 0 else span_s


def flag(text: str) -> bool:
    """True or False, in the words of a configuration file."""
    try:
        return RawConfigParser.BOOLEAN_STATES[text.strip().lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False") from None
