"""The command line of ``spalloc``: what is asked for, and every way to get it wrong."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from spalloc_gevent.command_line.help_text import described
from spalloc_gevent.config import Config
from spalloc_gevent.scripts import common
from spalloc_gevent.scripts.common import ExitCode, or_minus_one
from spalloc_gevent.scripts.substitution import TOKENS, VARIABLES, Command, TokenError
from spalloc_gevent.wire.checks import check_create_job

PROG = "spalloc"

EXIT_CODES = (
    (
        ExitCode.OK.value,
        "the command succeeded, or Enter, Ctrl+C or the end of input at the prompt",
    ),
    ("any", "the command's own; 128 + n when signal n ended it, or spalloc itself"),
    (ExitCode.DESTROYED.value, "the job was destroyed before it was ready, or at the prompt"),
    (ExitCode.USAGE.value, "the job is not known to the server, or the command line is wrong"),
    (ExitCode.UNKNOWN_STATE.value, "the job is in a state that this spalloc does not know"),
    (ExitCode.INTERRUPTED.value, "Ctrl+C before the boards were ready"),
    (
        ExitCode.NOT_PREPARED.value,
        "the boards are ready, but could not be booted, or a message could not be written",
    ),
    (ExitCode.NO_SERVER.value, "the server cannot be reached, or reports an error"),
    (ExitCode.TIMED_OUT.value, "the time of --time-limit was up"),
    (ExitCode.CANNOT_EXECUTE.value, "the command cannot be executed"),
    (ExitCode.COMMAND_NOT_FOUND.value, "there is no such command"),
)

_CSV_NOTE = """\
The CSV file of {ethernet_ips} begins with the line x,y,hostname. It exists while
the command runs. One argument to --command or --boot-command is a line for the
shell, where values are quoted as needed; several are run without a shell."""

WHAT = (
    "nothing or 1 is a single SpiNN-5 board, NUM a machine of at least NUM boards, WIDTH HEIGHT "
    "one of WIDTH x HEIGHT triads, and X Y Z the single board at that logical position"
)

_NOT_SAID: Any = object()

_COMMAND_SWITCH = re.compile(r"-(?P<flags>[qDBwW]*)c|--command")


@dataclass(frozen=True)
class AllocationOrder:
    """What the user wants: the arguments of Job, and what to do with it."""

    what: tuple[int, ...]
    job_options: Mapping[str, Any]
    command: Command | None
    boot: bool
    boot_command: Command | None
    quiet: bool
    debug: bool
    no_destroy: bool
    time_limit_s: float | None
    """How long the boards are used, from when they are ready; None for ever."""


def parse(
    argv: Sequence[str] | None,
    environ: Mapping[str, str] | None = None,
    stderr: TextIO | None = None,
) -> AllocationOrder:
    """The order on a command line (None: this process's).

    Raises SystemExit(2) after a message about what is wrong with it, SystemExit(0)
    after --help and --version, and ConfigError.
    """
    parser = make_parser(defaults := common.read_defaults(PROG, environ, stderr))
    ours, command = split_at_command(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(ours)
    if command is not None:
        arguments.command = command
    common.require_hostname(parser, arguments)
    if arguments.boot and arguments.boot_command is not None:
        parser.error("--boot and --boot-command: give only one of the two")
    boot_words = None if arguments.boot_command is None else [arguments.boot_command]
    is_new = arguments.resume is None
    resumed = {"resume_job_id": arguments.resume, **server_of(arguments)}
    return AllocationOrder(
        what=checked_what(parser, arguments.what) if is_new else (),
        job_options=new_job(parser, arguments, defaults) if is_new else resumed,
        command=checked_command(parser, "--command", arguments.command),
        boot=arguments.boot,
        boot_command=checked_command(parser, "--boot-command", boot_words),
        quiet=arguments.quiet,
        debug=arguments.debug,
        no_destroy=arguments.no_destroy,
        time_limit_s=arguments.time_limit,
    )


def split_at_command(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """What is ours, and what follows --command, which argparse must not try to understand."""
    for place, word in enumerate(argv):
        if word == "--":
            break
        if switch := _COMMAND_SWITCH.fullmatch(word):
            flags = [f"-{switch['flags']}"] if switch["flags"] else []
            return [*argv[:place], *flags], list(argv[place + 1 :])
    return list(argv), None


# --------------------------------------------------------------- the parser


def make_parser(defaults: Config) -> argparse.ArgumentParser:
    """The parser of ``spalloc``, whose help tells these defaults."""
    parser = common.new_parser(
        PROG,
        "Request (and allocate) a SpiNNaker machine.",
        notes=[
            described("tokens in a command", TOKENS),
            described("environment of a command", VARIABLES),
            _CSV_NOTE,
        ],
        exit_codes=EXIT_CODES,
    )
    parser.add_argument(
        "--quiet", "-q", action="store_true", help="show no messages but errors and results"
    )
    parser.add_argument(
        "--debug", action="store_true", help="show on standard error what the library does"
    )
    parser.add_argument(
        *("--no-destroy", "-D"),
        action="store_true",
        help="leave the job to the server at the end, and tell its ID on standard error; without "
        "--keepalive -1 it lives only as long as its keepalive interval",
    )
    parser.add_argument(
        "--time-limit",
        type=common.positive_seconds,
        metavar="SECONDS",
        help="once the boards were ready for so long, end what runs on them and give them back "
        "(default: no limit)",
    )
    add_requirements(parser, defaults)
    add_command_options(parser)
    add_server_options(parser, defaults)
    return parser


def add_requirements(parser: argparse.ArgumentParser, defaults: Config) -> None:
    """WHAT, --resume, and the options that say which boards will do."""
    group = parser.add_argument_group("allocation requirement arguments")
    group.add_argument(
        "what",
        nargs="*",
        type=common.whole_number,
        metavar="WHAT",
        help=f"what to allocate: {WHAT}",
    )
    group.add_argument(
        *("--resume", "-r"),
        type=common.natural_number,
        metavar="JOB_ID",
        help="take on an existing job instead of creating one, and keep it alive; "
        "all requirements are ignored",
    )
    add_choice_of_boards(group, defaults)


def add_choice_of_boards(group: argparse._ArgumentGroup, defaults: Config) -> None:
    """The options that say which boards will do."""
    tags = "default" if defaults.tags is None else " ".join(defaults.tags) or "none"
    # argparse expands percent signs in a help.
    machine, tags = (text.replace("%", "%%") for text in (defaults.machine or "any", tags))
    group.add_argument(
        *("--machine", "-m"),
        nargs="?",
        default=_NOT_SAID,
        help="allocate boards of this machine, or of any machine if none is named "
        f"(default: {machine})",
    )
    group.add_argument(
        *("--tags", "-t"),
        nargs="*",
        metavar="TAG",
        default=_NOT_SAID,
        help="allocate boards of a machine that has all of these tags, or of any machine "
        f"if none are given (default: {tags})",
    )
    add_limits(group, defaults)


def add_limits(group: argparse._ArgumentGroup, defaults: Config) -> None:
    """The options that say how square and how sound the boards are to be."""
    group.add_argument(
        "--min-ratio",
        type=common.ratio,
        metavar="RATIO",
        default=defaults.min_ratio,
        help="how square the allocation of a number of boards must be at least: 0.0 is any "
        "shape, 1.0 a square (default: %(default)s)",
    )
    for kind, limit in (("boards", defaults.max_dead_boards), ("links", defaults.max_dead_links)):
        group.add_argument(
            f"--max-dead-{kind}",
            type=common.count_or_none,
            metavar="NUM",
            default=limit,
            help=f"most dead {kind} to accept in the allocation, -1 for any number "
            f"(default: {or_minus_one(limit)})",
        )
    in_force = {defaults.require_torus: " (default)"}
    group.add_argument(
        *("--require-torus", "-w"),
        action="store_true",
        default=defaults.require_torus,
        help="insist on wrap-around (torus) links" + in_force.get(True, ""),
    )
    group.add_argument(
        *("--no-require-torus", "-W"),
        action="store_false",
        dest="require_torus",
        help="do not insist on wrap-around (torus) links" + in_force.get(False, ""),
    )


def add_command_options(parser: argparse.ArgumentParser) -> None:
    """--command, and how the machine is booted before it."""
    group = parser.add_argument_group("command wrapping arguments")
    group.add_argument(
        *("--command", "-c"),
        nargs=argparse.REMAINDER,
        help="run this command once the boards are ready, and give the boards back when it "
        "ends; all that follows is part of it",
    )
    group.add_argument(
        *("--boot", "-B"),
        action="store_true",
        help="boot the machine with Rig once it is powered on",
    )
    group.add_argument(
        "--boot-command",
        metavar="LINE",
        help="boot the machine with this shell line, which knows the same tokens as --command; "
        "if it fails, its exit code is that of spalloc",
    )


def add_server_options(
    parser: argparse.ArgumentParser, defaults: Config, timeout_option: str = "--timeout"
) -> None:
    """The options about the server and the owner; timeout_option: as in :mod:`common`."""
    group = common.add_server_options(parser, defaults, timeout_option)
    # No options, but said in configuration files as well.
    parser.set_defaults(guardian=defaults.guardian, ledger=defaults.ledger)
    group.add_argument(
        "--owner",
        action=common.StoreSaid,
        default=defaults.owner,
        help="owner of the job, by convention an e-mail address (default: %(default)s)",
    )
    group.add_argument(
        "--keepalive",
        type=common.seconds_or_none,
        metavar="SECONDS",
        default=defaults.keepalive,
        help="seconds of silence after which the server destroys the job, -1 for never "
        f"(default: {or_minus_one(defaults.keepalive)})",
    )
    group.add_argument(
        "--reconnect-delay",
        type=common.seconds_or_at_once,
        metavar="SECONDS",
        default=defaults.reconnect_delay,
        help="seconds between attempts to reach a server that was lost (default: %(default)s)",
    )


# ---------------------------------------------------------------- the order


def checked_command(
    parser: argparse.ArgumentParser, option: str, words: Sequence[str] | None
) -> Command | None:
    """The command of an option, None without one; a usage error where it cannot be one."""
    if words is None:
        return None
    if not words or not words[0].strip():
        parser.error(f"{option} needs a command to run")
    try:
        return Command(tuple(words))
    except TokenError as error:
        parser.error(f"{option}: {error}")


def checked_what(parser: argparse.ArgumentParser, what: Sequence[int]) -> tuple[int, ...]:
    """The numbers of WHAT; a usage error when there are too many."""
    if len(what) > 3:
        parser.error(
            f"{len(what)} numbers given: expected none, NUM (boards), "
            "WIDTH HEIGHT (triads) or X Y Z (a board)"
        )
    return tuple(what)


def server_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The keywords of ``Job`` that say how to talk to the server."""
    names = ["hostname", "port", "timeout", "reconnect_delay", "ignore_version"]
    names += ["guardian", "ledger"]
    # The files have been read, and every option of them that counts is given.
    return {"config_filenames": [], **{name: getattr(arguments, name) for name in names}}


def new_job(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, defaults: Config
) -> dict[str, Any]:
    """The keywords of ``Job`` for a new one; a usage error where they will not do."""
    if not getattr(arguments, "owner_said", False):
        arguments.owner = arguments.user or arguments.owner
    if not arguments.owner:
        common.must_say(parser, "--owner", "owner", "(typically your e-mail address)")
    # At most one of the two counts; what is said here outranks what a file says.
    is_machine_said = arguments.machine is not _NOT_SAID
    is_tags_said = arguments.tags is not _NOT_SAID
    machine = arguments.machine if is_machine_said else defaults.machine
    tags = arguments.tags if is_tags_said else defaults.tags
    if is_machine_said and machine is not None and is_tags_said and tags:
        common.warn(f"{parser.prog}: warning: --tags ignored because --machine is given")
    if is_tags_said and not is_machine_said:
        machine = None
    names = ("owner", "keepalive", "min_ratio", "max_dead_boards", "max_dead_links")
    request = {name: getattr(arguments, name) for name in (*names, "require_torus")}
    request["machine"] = machine
    request["tags"] = None if machine is not None or tags is None else list(tags)
    try:
        check_create_job(arguments.what, request)
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    return {**request, **server_of(arguments)}
