"""Where a job's defaults come from: configuration files, the environment, built-in values.

Everything here is optional: whatever a file may say can also be given as an
argument to a command or a method, and an argument always wins.

A value is looked for in these places; the later ones win:

1. the built-in default;
2. the system-wide file (``/etc/xdg/spalloc``, say);
3. the user's file (``$HOME/.config/spalloc``, say);
4. the file ``.spalloc`` in the current directory;
5. an environment variable: ``SPALLOC_`` and the option's name in capitals, such as
   ``SPALLOC_HOSTNAME``. One that is set to nothing counts as not set.
   ``SPALLOC_USER`` and ``SPALLOC_PASSWORD`` belong to another tool and are never read.

``python -m spalloc_gevent.config`` shows which files are looked for on this
machine, and what came from where. Where the system names several system-wide
directories (``XDG_CONFIG_DIRS``), all are read, the first of them with the
highest priority.

Files are UTF-8 text in the format of :py:mod:`configparser`, with one section,
``spalloc``::

    [spalloc]
    hostname = my_server
    owner = me@example.org

Other sections are left alone; ``[DEFAULT]`` counts, below ``[spalloc]``. A
percent sign is just that (a doubled one is read as a single one, because the
existing client asks for it to be doubled). A comment has a line of its own.

A file that does not exist is fine, and so is a user without a home, who has no
file. Passed over, with a :class:`ConfigWarning`, are an option that nobody knows,
a file without the section, a folder, a pipe or a device in place of a file, and a
file in a folder that this user may not enter. A file that
cannot be read or understood is a :class:`~spalloc_gevent.errors.ConfigError`.
So is a value of the wrong type where it is in force; one that a later place
replaces is not looked at.

The options, each with what it may be and its default, are in :data:`OPTIONS`
(``python -m spalloc_gevent.config --help`` prints them). ``None`` may be written
in capitals or not; a ``hostname``, ``owner`` or ``machine`` left blank in a file
is None as well, and blank ``tags`` ask for none, so for any machine.
"""

from __future__ import annotations

import configparser
import io
import math
import os
import re
import stat
import sys
import textwrap
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TextIO, TypeVar

import platformdirs

from spalloc_gevent.errors import ConfigError

SECTION = "spalloc"
"""The section of a configuration file that is read."""

ENVIRONMENT_PREFIX = "SPALLOC_"

_FALLBACK_SECTION = "DEFAULT"
_NOT_OURS = ("SPALLOC_USER", "SPALLOC_PASSWORD")
_SET_FOR_WRAPPED_COMMANDS = "SPALLOC_JOB_"
_LONGEST_QUOTE = 80

Filename = str | os.PathLike[str]

__all__ = [
    "OPTIONS",
    "SEARCH_PATH",
    "Config",
    "ConfigWarning",
    "Option",
    "Setting",
    "find_search_path",
    "load_config",
    "load_settings",
    "read_config",
]

_T = TypeVar("_T")


class ConfigWarning(UserWarning):
    """A configuration file holds something that was passed over."""


# ---------------------------------------------------------------- the places


def find_search_path() -> list[str]:
    """The files read by default on this machine, lowest priority first, existing or not."""
    system_wide = platformdirs.site_config_dir("spalloc", multipath=True).split(os.pathsep)
    user = _user_config_file()
    local = os.path.join(os.curdir, ".spalloc")
    return [*reversed(system_wide), *([] if user is None else [user]), local]


def _user_config_file() -> str | None:
    return _user_path(platformdirs.user_config_dir)


def user_cache_folder() -> str | None:
    """Where programs keep what they can find out again; it need not exist."""
    return _user_path(platformdirs.user_cache_dir)


def _user_path(path_of: Callable[[str], str]) -> str | None:
    """None for a user without a home, as in containers: no HOME, and no entry for the user ID."""
    try:
        path = path_of("spalloc")
    except RuntimeError:
        return None
    # Older versions of platformdirs leave a "~" that stands for nothing as it is.
    return path if os.path.isabs(path) else None


SEARCH_PATH: list[str] = find_search_path()
"""The files read by default, lowest priority first: system-wide, the user's, ``./.spalloc``."""

USER_CONFIG_FILE = _user_config_file()
SYSTEM_CONFIG_FILE = SEARCH_PATH[-2 if USER_CONFIG_FILE is None else -3]
CWD_CONFIG_FILE = SEARCH_PATH[-1]


# -------------------------------------------------------- from text to values


def _is_none(text: str) -> bool:
    return text.lower() == "none"


def _checked(value: _T, is_allowed: Callable[[_T], object]) -> _T:
    if not is_allowed(value):
        raise ValueError(value)
    return value


def _is_plain(text: str) -> bool:
    """No control characters, no line breaks, no bytes that were no text."""
    return not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text)


def _name(text: str) -> str | None:
    return None if not text or _is_none(text) else _checked(text, _is_plain)


def _host(text: str) -> str | None:
    return _name(_checked(text, lambda host: not re.search(r"[\s'\"]", host)))


def _tags(text: str) -> tuple[str, ...] | None:
    if _is_none(text):
        return None
    names = (tag.strip() for tag in text.split(","))
    return tuple(_checked(name, _is_plain) for name in names if name)


def _flag(text: str) -> bool:
    return configparser.RawConfigParser.BOOLEAN_STATES[text.lower()]


def _port(text: str) -> int:
    return _checked(int(text), lambda port: 1 <= port <= 65535)


def _count_or_none(text: str) -> int | None:
    return None if _is_none(text) else _checked(int(text), lambda count: count >= 0)


def _ratio(text: str) -> float:
    return _checked(float(text), lambda ratio: 0.0 <= ratio <= 1.0)


def _delay_s(text: str) -> float:
    return _checked(float(text), lambda delay_s: 0.0 <= delay_s < math.inf)


def _seconds_or_none(text: str) -> float | None:
    return None if _is_none(text) else _checked(float(text), lambda span_s: 0.0 < span_s < math.inf)


class Option(NamedTuple):
    """One thing that can be configured.

    ``parse`` turns stripped text into a value, or raises ValueError or
    KeyError; ``allowed`` says in words what it takes, ``help`` what it is for.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    allowed: str
    help: str

    @property
    def variable(self) -> str:
        """The environment variable of this option."""
        return ENVIRONMENT_PREFIX + self.name.upper()


_A_FLAG = "True or False (or yes, no, on, off, 1, 0)"

# The defaults are those of chapter 2 of the manual, but for one word: there
# the tags are "default". None means the same machines to a server, and does
# not stand in the way of a machine that is asked for by name.
OPTIONS: tuple[Option, ...] = (
    Option(
        "hostname",
        _host,
        None,
        "a host name or IP address on one line, without blanks or quotes",
        "Host name or IP address of the spalloc server.",
    ),
    Option(
        "owner",
        _name,
        None,
        "a name on one line",
        "Who owns the jobs that are created; an e-mail address, by custom.",
    ),
    Option("port", _port, 22244, "a whole number from 1 to 65535", "Port of the spalloc server."),
    Option(
        "keepalive",
        _seconds_or_none,
        60.0,
        "a number of seconds above 0, or None",
        "Seconds of silence after which the server destroys a job; None: it never does.",
    ),
    Option(
        "reconnect_delay",
        _delay_s,
        5.0,
        "a number of seconds, 0 or more",
        "Seconds between attempts to reach a server that was lost.",
    ),
    Option(
        "timeout",
        _seconds_or_none,
        5.0,
        "a number of seconds above 0, or None",
        "Seconds to wait for the server's answer; None: for ever.",
    ),
    Option(
        "machine",
        _name,
        None,
        "the name of a machine on one line, or None",
        "The machine on which to run all jobs; None: any that is suitable.",
    ),
    Option(
        "tags",
        _tags,
        None,
        "names with commas between them, or None",
        'Tags that a machine must have, all of them; None: the tag "default"; blank: any machine.',
    ),
    Option(
        "min_ratio",
        _ratio,
        0.333,
        "a number from 0.0 to 1.0",
        "How square several boards must lie: 0.0 is any shape, 1.0 a square.",
    ),
    Option(
        "max_dead_boards",
        _count_or_none,
        0,
        "a whole number, 0 or more, or None",
        "Most dead boards to accept in an allocation; None: any number.",
    ),
    Option(
        "max_dead_links",
        _count_or_none,
        None,
        "a whole number, 0 or more, or None",
        "Most dead links to accept in an allocation; None: any number.",
    ),
    Option(
        "require_torus",
        _flag,
        False,
        _A_FLAG,
        "Insist on wrap-around links, which mostly takes a whole machine.",
    ),
    Option(
        "ignore_version",
        _flag,
        False,
        _A_FLAG,
        "Talk to a server whose version is not known to work.",
    ),
    Option(
        "guardian",
        _flag,
        True,
        _A_FLAG,
        "Start a small process that keeps jobs alive while the program is held up or stopped.",
    ),
    Option(
        "ledger",
        _name,
        None,
        "the name of a file on one line, or None",
        "File in which every allocation is entered; None: no file.",
    ),
)
"""Everything that can be configured, in the order in which it is shown."""

_NAMES = frozenset(option.name for option in OPTIONS)
_VARIABLES = {option.name: option.variable for option in OPTIONS}


@dataclass(frozen=True)
class Config:
    """The value of every option; what None means is said in :data:`OPTIONS`.

    ``keepalive``, ``reconnect_delay`` and ``timeout`` are in seconds.
    """

    hostname: str | None
    owner: str | None
    port: int
    keepalive: float | None
    reconnect_delay: float
    timeout: float | None
    machine: str | None
    tags: tuple[str, ...] | None
    min_ratio: float
    max_dead_boards: int | None
    max_dead_links: int | None
    require_torus: bool
    ignore_version: bool
    guardian: bool
    ledger: str | None


class Setting(NamedTuple):
    """A value and where it was said.

    ``source`` is ``"default"``, the name of a file, or ``"environment variable
    SPALLOC_..."``.
    """

    value: Any
    source: str


# ---------------------------------------------------------------- the reading


def read_config(
    filenames: Iterable[Filename] | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The value of every option by name, in a dictionary that is the caller's to change.

    filenames: the files to read, lowest priority first; None for
    :data:`SEARCH_PATH`, an empty list for no files at all.
    environ: the environment variables, None for those of this process.

    ``tags`` is a list of names or None, as in the existing client.

    Raises ConfigError for a file or value that cannot be understood, and warns
    with :class:`ConfigWarning` of what was passed over.
    """
    config = _values(load_settings(filenames, environ))
    config["tags"] = None if config["tags"] is None else list(config["tags"])
    return config


def load_config(
    filenames: Iterable[Filename] | None = None, environ: Mapping[str, str] | None = None
) -> Config:
    """The same as :func:`read_config`, typed and not to be changed."""
    return Config(**_values(load_settings(filenames, environ)))


def load_settings(
    filenames: Iterable[Filename] | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, Setting]:
    """Every option by name, with its value (tags are a tuple) and where that came from.

    For the rest the same as :func:`read_config`.
    """
    said: dict[str, _Said] = {}
    for filename in _file_names(filenames):
        said.update(_said_in_file(filename))
    said.update(_said_in_environment(os.environ if environ is None else environ))
    return {option.name: _setting(option, said.get(option.name)) for option in OPTIONS}


def _values(settings: Mapping[str, Setting]) -> dict[str, Any]:
    return {name: setting.value for name, setting in settings.items()}


class _Said(NamedTuple):
    """What one place says about one option. `lines`: the file's, None for the environment."""

    text: str
    source: str
    lines: Sequence[str] | None = None


def _setting(option: Option, said: _Said | None) -> Setting:
    if said is None:
        return Setting(option.default, "default")
    try:
        return Setting(option.parse(said.text), said.source)
    except (ValueError, KeyError):
        raise ConfigError(_complaint(option, said)) from None


def _complaint(option: Option, said: _Said) -> str:
    place = _printable(said.source)
    if said.lines is not None:
        place = f"{place}, line {_line_of(option.name, said.lines)}"
    hint = _hint(said.text)
    return f"{place}: {option.name} cannot be {_quoted(said.text)}: give {option.allowed}{hint}"


def _hint(text: str) -> str:
    if "\n" in text:
        return "; an indented line continues the one above it"
    if re.search(r"\s[#;]", text):
        return "; a comment needs a line of its own"
    return ""


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "...")


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def _said_in_environment(environ: Mapping[str, str]) -> dict[str, _Said]:
    texts = {name: environ.get(variable, "").strip() for name, variable in _VARIABLES.items()}
    return {
        name: _Said(text, f"environment variable {_VARIABLES[name]}")
        for name, text in texts.items()
        if text
    }


def _file_names(filenames: Iterable[Filename] | None) -> Iterator[str]:
    if isinstance(filenames, (str, bytes, os.PathLike)):
        raise TypeError(f"filenames must be a list of file names, not {filenames!r} alone")
    return map(os.fsdecode, SEARCH_PATH if filenames is None else filenames)


def _said_in_file(filename: str) -> dict[str, _Said]:
    content = _content_of(filename)
    if content is None:
        return {}
    lines = _lines(content, filename)
    parser = _parsed(lines, filename)
    _warn_if_nothing_is_for_us(parser, filename)
    _warn_of_unknown_options(parser, filename)
    said = {**_section(parser, _FALLBACK_SECTION), **_section(parser, SECTION)}
    return {
        name: _Said(text.replace("%%", "%").strip(), filename, lines)
        for name, text in said.items()
        if name in _NAMES
    }


def _content_of(filename: str) -> bytes | None:
    """None when there is no such file, or none that can be reached."""
    try:
        with open(filename, "rb", opener=_open_at_once) as file:
            if _may_be_read(file.fileno()):
                return file.read()
        _warn(
            f"{_printable(filename)}: passed over, because it is a pipe or a device, and not a "
            "configuration file"
        )
        return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        _pass_over_or_refuse(filename, error)
        return None


def _open_at_once(filename: str, flags: int) -> int:
    """A named pipe would have its reader wait for somebody who writes."""
    return os.open(filename, flags | os.O_NONBLOCK)


def _may_be_read(file: int | str) -> bool:
    """Whether reading comes to an end: what is linked to /dev/null is a file, and empty."""
    told = os.stat(file)
    return stat.S_ISREG(told.st_mode) or os.path.samestat(told, os.stat(os.devnull))


def _pass_over_or_refuse(filename: str, error: OSError | ValueError) -> None:
    shown = _printable(filename)
    if os.path.isdir(filename):
        _warn(f"{shown}: passed over, because it is a folder and not a configuration file")
    elif isinstance(error, PermissionError) and not os.path.exists(filename):
        # Common in containers and services, whose HOME may be another user's.
        _warn(f"{shown}: passed over, because this user may not enter its folder")
    else:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{shown}: this configuration file cannot be read ({why}): "
            "make it readable, or move it out of the way"
        ) from None


def _lines(content: bytes, filename: str) -> list[str]:
    try:
        # A byte order mark is what some editors of Windows put first.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{_printable(filename)}, line {line}: this is not UTF-8 text: save the file as UTF-8"
        ) from None
    return list(io.StringIO(text, newline=None))


def _section(parser: configparser.RawConfigParser, section: str) -> dict[str, str]:
    return dict(parser.items(section)) if parser.has_section(section) else {}


def _parsed(lines: Iterable[str], filename: str) -> configparser.RawConfigParser:
    # No header can be empty, so [DEFAULT] comes out as a section like any other
    # and what it says can be told from what [spalloc] says.
    parser = configparser.RawConfigParser(default_section="")
    try:
        parser.read_file(lines, filename)
    except configparser.Error as error:
        raise ConfigError(_printable(filename) + ", " + _format_complaint(error)) from None
    return parser


def _format_complaint(error: configparser.Error) -> str:
    if isinstance(error, configparser.MissingSectionHeaderError):
        return (
            f"line {error.lineno}: put [{SECTION}] on a line before {_quoted(error.line.strip())}"
        )
    if isinstance(error, configparser.DuplicateOptionError):
        return f"line {error.lineno}: option {_quoted(error.option)} is given again: remove one"
    if isinstance(error, configparser.DuplicateSectionError):
        return f"line {error.lineno}: section {_quoted(error.section)} begins again: join the two"
    if isinstance(error, configparser.ParsingError) and error.errors:
        line, _text = error.errors[0]
        return f"line {line}: this is no 'option = value', [section] or # comment: correct it"
    return " ".join(error.message.split())


def _line_of(name: str, lines: Sequence[str]) -> int:
    """The number of the line that sets the option.

    The parser does not tell. So: the number of lines that it takes until the
    parser has seen it.
    """
    parser = _parsed(lines, "")
    section = SECTION if parser.has_option(SECTION, name) else _FALLBACK_SECTION
    return bisect_left(
        range(len(lines)), True, key=lambda n: _parsed(lines[:n], "").has_option(section, name)
    )


# --------------------------------------------------------------- the warnings


def _warn(message: str) -> None:
    warnings.warn(message, ConfigWarning, stacklevel=2)


def _warn_if_nothing_is_for_us(parser: configparser.RawConfigParser, filename: str) -> None:
    sections = parser.sections()
    if sections and SECTION not in sections and _FALLBACK_SECTION not in sections:
        _warn(f"{_printable(filename)}: passed over, because it has no section [{SECTION}]")


def _warn_of_unknown_options(parser: configparser.RawConfigParser, filename: str) -> None:
    for name in _section(parser, SECTION):
        if name not in _NAMES:
            _warn(
                f"{_printable(filename)}: passed over {_quoted(name)}, because there is no such "
                f"option; the nearest is {_nearest(name, _NAMES)!r}"
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    # Costs as much as all the rest of this module to import, and is seldom needed.
    from difflib import get_close_matches

    return get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]


# ---------------------------------------------------------------- the command


def main(argv: Sequence[str] | None = None) -> int:
    """Show the search path and every setting; 0, or 2 when that cannot be done."""
    _parse_arguments(argv)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report, problem = _report(os.environ)
    for warning in caught:
        _say(f"warning: {warning.message}\n", sys.stderr)
    try:
        _say(report, sys.stdout)
    except OSError as error:
        problem = ConfigError(f"this cannot be written: {error.strerror}")
    if problem is not None:
        _say(f"error: {problem}\n", sys.stderr)
    return 0 if problem is None else 2


def _parse_arguments(argv: Sequence[str] | None) -> None:
    # Not needed by a program that only reads its configuration.
    import argparse

    argparse.ArgumentParser(
        prog="python -m spalloc_gevent.config",
        description="Show which configuration files are read, and each option's value and source.",
        epilog="\n\n".join(["options in a file:", *map(_described, OPTIONS), _EXIT_CODES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(argv)


_EXIT_CODES = """\
exit codes:
  0  shown
  2  the command line is wrong, or a file or variable cannot be understood, or nothing be written"""


def _described(option: Option) -> str:
    facts = f"{option.help} Takes {option.allowed}. Default: {_shown(option.default)}."
    body = textwrap.fill(facts, 76, initial_indent="    ", subsequent_indent="    ")
    return f"  {option.name} ({option.variable})\n{body}"


def _report(environ: Mapping[str, str]) -> tuple[str, ConfigError | None]:
    """The text to show; with the error, when the settings cannot be shown."""
    parts = [_search_path_part(SEARCH_PATH), _environment_part(environ)]
    try:
        parts.append(_settings_part(load_settings(SEARCH_PATH, environ)))
    except ConfigError as error:
        return "\n".join(parts), error
    return "\n".join(parts), None


def _search_path_part(filenames: Sequence[str]) -> str:
    rows = [(name, _state_of(name)) for name in filenames]
    return "Default search path (lowest-priority first):\n" + _columns(rows)


def _state_of(filename: str) -> str:
    if os.path.isdir(filename):
        return "a folder, passed over"
    if not os.path.exists(filename):
        return "does not exist"
    return "exists" if _may_be_read(filename) else "a pipe or a device, passed over"


def _environment_part(environ: Mapping[str, str]) -> str:
    rows = [(name, _use_of(name, environ[name])) for name in environ if _may_be_ours(name)]
    title = "Environment variables (they outrank the files):\n"
    return title + _columns(sorted(rows) or [("none are set",)])


def _may_be_ours(variable: str) -> bool:
    is_like_ours = variable.startswith(ENVIRONMENT_PREFIX) and variable not in _NOT_OURS
    return is_like_ours and not variable.startswith(_SET_FOR_WRAPPED_COMMANDS)


def _use_of(variable: str, text: str) -> str:
    known = _VARIABLES.values()
    if variable not in known:
        return f"not used: there is no such option; the nearest is {_nearest(variable, known)}"
    return _printable(text) if text.strip() else "not used: it is empty"


def _settings_part(settings: Mapping[str, Setting]) -> str:
    rows = [(name, _shown(found.value), found.source) for name, found in settings.items()]
    return "Options, their values and where they come from:\n" + _columns(rows)


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def _say(text: str, stream: TextIO) -> None:
    """Write, whatever the terminal's encoding; quietly stop when nobody reads any more."""
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        # Else the interpreter tries again at exit, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        # What is only told ends nothing.
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            raise


if __name__ == "__main__":
    sys.exit(main())
