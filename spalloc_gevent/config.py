"""Where a job's defaults come from: configuration files, the environment, built-in values.

A value is looked for in these places; the later ones win: the built-in default, the system-wide
files (``/etc/xdg/spalloc``, say), the user's file (``$HOME/.config/spalloc``, say), ``.spalloc``
in the current directory, and an environment variable, such as ``SPALLOC_HOSTNAME``, that is not
empty. An argument to a command or a method always wins over all of them.

Files are UTF-8 text in the format of :py:mod:`configparser` with one section, ``spalloc``::

    [spalloc]
    hostname = my_server
    owner = me@example.org

``[DEFAULT]`` counts, below ``[spalloc]``, and other sections are left alone. A percent sign is
just that (a doubled one is read as a single one, because the existing client asks for it to
be doubled). A value of the wrong type is an error where it is in force, not where a later
place replaces it. ``python -m spalloc_gevent.config`` shows the files that are looked for on
this machine and what came from where; with ``--help`` it describes the options.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TextIO

import platformdirs

from spalloc_gevent.address import server_address
from spalloc_gevent.errors import ConfigError

SECTION = "spalloc"
"""The section of a configuration file that is read."""
ENVIRONMENT_PREFIX = "SPALLOC_"
NEVER_READ = ("SPALLOC_USER", "SPALLOC_PASSWORD")
"""Variables that belong to another tool."""
SET_FOR_WRAPPED_COMMANDS = "SPALLOC_JOB_"
LONGEST_QUOTE = 80

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


class ConfigWarning(UserWarning):
    """A configuration file holds something that was passed over."""


# -- the places ---------------------------------------------------------------


def find_search_path() -> list[str]:
    """The files read by default on this machine.

    Returns:
        Their names, lowest priority first, existing or not.
    """
    system_wide = platformdirs.site_config_dir("spalloc", multipath=True).split(os.pathsep)
    user = user_path(platformdirs.user_config_dir)
    local = os.path.join(os.curdir, ".spalloc")
    return [*reversed(system_wide), *([] if user is None else [user]), local]


def user_cache_folder() -> str | None:
    """Where programs keep what they can find out again; it need not exist."""
    return user_path(platformdirs.user_cache_dir)


def user_path(path_of: Callable[[str], str]) -> str | None:
    """None for a user without a home, as in containers: no HOME, and no entry for the user ID."""
    try:
        path = path_of("spalloc")
    except RuntimeError:
        return None
    # Older versions of platformdirs leave a "~" that stands for nothing as it is.
    return path if os.path.isabs(path) else None


SEARCH_PATH: list[str] = find_search_path()
"""The files read by default, lowest priority first: system-wide, the user's, ``./.spalloc``."""
USER_CONFIG_FILE = user_path(platformdirs.user_config_dir)
SYSTEM_CONFIG_FILE = SEARCH_PATH[-2 if USER_CONFIG_FILE is None else -3]
CWD_CONFIG_FILE = SEARCH_PATH[-1]


# -- from text to values; ValueError or KeyError for what is not allowed ------


def plain(text: str) -> str:
    """Text without control characters, line breaks, and bytes that were no text."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
        raise ValueError(text)
    return text


def name(text: str) -> str | None:
    return None if text.lower() in ("", "none") else plain(text)


def host(text: str) -> str | None:
    return None if name(text) is None else server_address(text).host


def tags(text: str) -> tuple[str, ...] | None:
    stripped = (tag.strip() for tag in text.split(","))
    return None if text.lower() == "none" else tuple(plain(tag) for tag in stripped if tag)


def flag(text: str) -> bool:
    return configparser.RawConfigParser.BOOLEAN_STATES[text.lower()]


def number(
    kind: type[float], least: float, most: float = math.inf, *, or_none: bool = False
) -> Callable[[str], Any]:
    """What makes a finite number from `least` to `most` of a text."""

    def parse(text: str) -> float | None:
        if or_none and text.lower() == "none":
            return None
        value = kind(text)
        if not least <= value <= most or value == math.inf:
            raise ValueError(text)
        return value

    return parse


# -- the options --------------------------------------------------------------


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


class OptionType(NamedTuple):
    """A type of values: what makes one of a text, and what it allows in words."""

    parse: Callable[[str], Any]
    allowed: str


HOST = OptionType(host, "a host name or IP address on one line, perhaps with :PORT")
NAME = OptionType(name, "a name on one line")
MACHINE = OptionType(name, "the name of a machine on one line, or None")
FILE = OptionType(name, "the name of a file on one line, or None")
TAGS = OptionType(tags, "names with commas between them, or None")
FLAG = OptionType(flag, "True or False (or yes, no, on, off, 1, 0)")
PORT = OptionType(number(int, 1, 65535), "a whole number from 1 to 65535")
RATIO = OptionType(number(float, 0.0, 1.0), "a number from 0.0 to 1.0")
COUNT = OptionType(number(int, 0, or_none=True), "a whole number, 0 or more, or None")
DELAY = OptionType(number(float, 0.0), "a number of seconds, 0 or more")
SECONDS = OptionType(
    number(float, math.ulp(0.0), or_none=True), "a number of seconds above 0, or None"
)


def option(default: Any, kind: OptionType, meaning: str) -> Any:
    """A field of Config."""
    return field(default=default, metadata={**kind._asdict(), "help": meaning})


@dataclass(frozen=True)
class Config:
    """The value of every option; what None means is said in :data:`OPTIONS`.

    ``keepalive``, ``reconnect_delay`` and ``timeout`` are in seconds.
    """

    # The defaults are those of chapter 2 of the manual, but for the tags: there they are
    # "default". None means the same machines to a server, and does not stand in the way of a
    # machine that is asked for by name.
    hostname: str | None = option(None, HOST, "Host name or IP address of the spalloc server.")
    owner: str | None = option(
        None, NAME, "Who owns the jobs that are created; an e-mail address, by custom."
    )
    port: int = option(22244, PORT, "Port of the spalloc server.")
    keepalive: float | None = option(
        60.0,
        SECONDS,
        "Seconds of silence after which the server destroys a job; None: it never does.",
    )
    reconnect_delay: float = option(
        5.0, DELAY, "Seconds between attempts to reach a server that was lost."
    )
    timeout: float | None = option(
        5.0, SECONDS, "Seconds to wait for the server's answer; None: for ever."
    )
    machine: str | None = option(
        None, MACHINE, "The machine on which to run all jobs; None: any that is suitable."
    )
    tags: tuple[str, ...] | None = option(
        None,
        TAGS,
        'Tags that a machine must have, all of them; None: the tag "default"; blank: any machine.',
    )
    min_ratio: float = option(
        0.333, RATIO, "How square several boards must lie: 0.0 is any shape, 1.0 a square."
    )
    max_dead_boards: int | None = option(
        0, COUNT, "Most dead boards to accept in an allocation; None: any number."
    )
    max_dead_links: int | None = option(
        None, COUNT, "Most dead links to accept in an allocation; None: any number."
    )
    require_torus: bool = option(
        False, FLAG, "Insist on wrap-around links, which mostly takes a whole machine."
    )
    ignore_version: bool = option(
        False, FLAG, "Talk to a server whose version is not known to work."
    )
    guardian: bool = option(
        True,
        FLAG,
        "Start a small process that keeps jobs alive while the program is held up or stopped.",
    )
    ledger: str | None = option(
        None, FILE, "File in which every allocation is entered; None: no file."
    )


OPTIONS: tuple[Option, ...] = tuple(
    Option(name=one.name, default=one.default, **one.metadata) for one in fields(Config)
)
"""Everything that can be configured, in the order in which it is shown."""
NAMES = [one.name for one in OPTIONS]
VARIABLES = [one.variable for one in OPTIONS]


class Setting(NamedTuple):
    """A value and where it was said.

    ``source`` is ``"default"``, the name of a file, or ``"environment variable
    SPALLOC_..."``.
    """

    value: Any
    source: str


# -- reading ------------------------------------------------------------------


def read_config(
    filenames: Iterable[Filename] | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The value of every option by name, as in the existing client.

    Args:
        filenames: the files to read, lowest priority first; None for
            :data:`SEARCH_PATH`, an empty list for no files at all.
        environ: the environment variables, None for those of this process.

    Returns:
        A dictionary that is the caller's to change; ``tags`` is a list of names or None.
        :class:`ConfigWarning` tells of what was passed over.

    Raises:
        ConfigError: a file or value cannot be understood.
    """
    config = {key: found.value for key, found in load_settings(filenames, environ).items()}
    config["tags"] = None if config["tags"] is None else list(config["tags"])
    return config


def load_config(
    filenames: Iterable[Filename] | None = None, environ: Mapping[str, str] | None = None
) -> Config:
    """The same as :func:`read_config`, typed and not to be changed."""
    settings = load_settings(filenames, environ)
    return Config(**{key: found.value for key, found in settings.items()})


def load_settings(
    filenames: Iterable[Filename] | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, Setting]:
    """Every option by name, with its value (tags are a tuple) and where that came from.

    For the rest the same as :func:`read_config`.
    """
    if isinstance(filenames, (str, bytes, os.PathLike)):
        raise TypeError(f"filenames must be a list of file names, not {filenames!r} alone")
    environ = os.environ if environ is None else environ
    places: list[dict[str, Setting]] = []
    for filename in map(os.fsdecode, SEARCH_PATH if filenames is None else filenames):
        texts = texts_in_file(filename)
        places.append({key: Setting(text, filename) for key, text in texts.items()})
    said = {one: environ.get(one.variable, "").strip() for one in OPTIONS}
    places.append(
        {
            one.name: Setting(text, f"environment variable {one.variable}")
            for one, text in said.items()
            if text
        }
    )
    found: dict[str, Setting] = {}
    for place in places:
        found.update(place)
    take_address_apart(found, places)
    return {
        one.name: parsed(one, found[one.name])
        if one.name in found
        else Setting(one.default, "default")
        for one in OPTIONS
    }


def take_address_apart(found: dict[str, Setting], places: Sequence[dict[str, Setting]]) -> None:
    """Let the port and user in the host name that is in force count where it was said.

    Raises ConfigError where another port is said in the same place.
    """
    said = found.get("hostname")
    if said is None:
        return
    try:
        address = server_address(said.value)
    except ValueError:
        return  # It is refused where the values are read.
    number = max(number for number, place in enumerate(places) if "hostname" in place)
    for key, part in (("port", address.port), ("owner", address.user)):
        if part is None or any(key in place for place in places[number + 1 :]):
            continue
        beside = places[number].get(key)
        if beside is None:
            found[key] = Setting(str(part), said.source)
        elif key == "port" and beside.value != str(part):
            raise ConfigError(
                f"{printable(said.source)}: hostname {quoted(said.value)} names another port than "
                f"{quoted(beside.value)}, which port is set to in the same place"
            )


def parsed(option: Option, said: Setting) -> Setting:
    """The value that a text stands for; ConfigError if it is none."""
    try:
        return Setting(option.parse(said.value), said.source)
    except (ValueError, KeyError):
        place, hint = printable(said.source), ""
    if "\n" in said.value:
        hint = "; an indented line continues the one above it"
    elif re.search(r"\s[#;]", said.value):
        hint = "; a comment needs a line of its own"
    raise ConfigError(
        f"{place}: {option.name} cannot be {quoted(said.value)}: give {option.allowed}{hint}"
    )


def texts_in_file(filename: str) -> dict[str, str]:
    """What a file says of each option."""
    content = content_of(filename)
    if content is None:
        return {}
    shown = printable(filename)
    # No header can be empty, so [DEFAULT] comes out as a section like any other.
    parser = configparser.RawConfigParser(default_section="")
    try:
        # A byte order mark is what some editors of Windows put first.
        text = content.decode("utf-8-sig")
        parser.read_file(io.StringIO(text, newline=None), filename)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{shown}, line {line}: this is not UTF-8 text: save the file as UTF-8"
        ) from None
    except configparser.Error as error:
        raise ConfigError(shown + ", " + format_complaint(error)) from None
    sections = {section: dict(parser.items(section)) for section in parser.sections()}
    if sections and not sections.keys() & {SECTION, "DEFAULT"}:
        warn(f"{shown}: passed over, because it has no section [{SECTION}]")
    ours = sections.get(SECTION, {})
    for unknown in ours.keys() - set(NAMES):
        warn(
            f"{shown}: passed over {quoted(unknown)}, because there is no such "
            f"option; the nearest is {nearest(unknown, NAMES)!r}"
        )
    texts = {**sections.get("DEFAULT", {}), **ours}
    return {key: texts[key].replace("%%", "%").strip() for key in NAMES if key in texts}


def content_of(filename: str) -> bytes | None:
    """None when there is no such file, or none that can be reached."""
    shown = printable(filename)
    try:
        with open(filename, "rb", opener=open_at_once) as file:
            if comes_to_an_end(file.fileno()):
                return file.read()
        warn(
            f"{shown}: passed over, because it is a pipe or a device, and not a configuration file"
        )
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        if os.path.isdir(filename):
            warn(f"{shown}: passed over, because it is a folder and not a configuration file")
        elif isinstance(error, PermissionError) and not os.path.exists(filename):
            # Common in containers and services, whose HOME may be another user's.
            warn(f"{shown}: passed over, because this user may not enter its folder")
        else:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"{shown}: this configuration file cannot be read ({why}): "
                "make it readable, or move it out of the way"
            ) from None
    return None


def open_at_once(filename: str, flags: int) -> int:
    """A named pipe would have its reader wait for somebody who writes."""
    return os.open(filename, flags | os.O_NONBLOCK)


def comes_to_an_end(file: int | str) -> bool:
    """Whether it can be read to its end: what is linked to /dev/null is a file, and empty."""
    told = os.stat(file)
    return stat.S_ISREG(told.st_mode) or os.path.samestat(told, os.stat(os.devnull))


def format_complaint(error: configparser.Error) -> str:
    """What is wrong with the format of a file, and where."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno}: put [{SECTION}] on a line before {quoted(error.line.strip())}"
    if isinstance(error, configparser.DuplicateOptionError):
        return f"line {error.lineno}: option {quoted(error.option)} is given again: remove one"
    if isinstance(error, configparser.DuplicateSectionError):
        return f"line {error.lineno}: section {quoted(error.section)} begins again: join the two"
    if isinstance(error, configparser.ParsingError) and error.errors:
        line, _text = error.errors[0]
        return f"line {line}: this is no 'option = value', [section] or # comment: correct it"
    return " ".join(error.message.split())


def warn(message: str) -> None:
    warnings.warn(message, ConfigWarning, stacklevel=2)


def quoted(text: str) -> str:
    return ascii(text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "...")


def printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def nearest(name: str, known: Iterable[str]) -> str:
    # Costs as much as all the rest of this module to import, and is seldom needed.
    from difflib import get_close_matches

    return get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]


# -- the command --------------------------------------------------------------

EXIT_CODES = """\
exit codes:
  0  shown
  2  the command line is wrong, or a file or variable cannot be understood, or nothing be written"""


def main(argv: Sequence[str] | None = None) -> int:
    """Show the search path and every setting; 0, or 2 when that cannot be done."""
    # Not needed by a program that only reads its configuration.
    import argparse

    described = ["options in a file:"]
    for one in OPTIONS:
        facts = f"{one.help} Takes {one.allowed}. Default: {one.default}."
        body = textwrap.fill(facts, 76, initial_indent="    ", subsequent_indent="    ")
        described.append(f"  {one.name} ({one.variable})\n{body}")
    argparse.ArgumentParser(
        prog="python -m spalloc_gevent.config",
        description="Show which configuration files are read, and each option's value and source.",
        epilog="\n\n".join([*described, EXIT_CODES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(argv)
    problem: ConfigError | None = None
    parts = [files_part(), environment_part(os.environ)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            parts.append(settings_part(load_settings(SEARCH_PATH)))
        except ConfigError as error:
            problem = error
    for warning in caught:
        say(f"warning: {warning.message}\n", sys.stderr)
    try:
        say("\n".join(parts), sys.stdout)
    except OSError as error:
        problem = ConfigError(f"this cannot be written: {error.strerror}")
    if problem is not None:
        say(f"error: {problem}\n", sys.stderr)
    return 0 if problem is None else 2


def files_part() -> str:
    """The search path, and what is there."""
    rows = []
    for filename in SEARCH_PATH:
        if os.path.isdir(filename):
            found = "a folder, passed over"
        elif not os.path.exists(filename):
            found = "does not exist"
        else:
            found = "exists" if comes_to_an_end(filename) else "a pipe or a device, passed over"
        rows.append((filename, found))
    return "Default search path (lowest-priority first):\n" + columns(rows)


def environment_part(environ: Mapping[str, str]) -> str:
    """The variables that are set, and what they are used for."""
    rows: list[tuple[str, ...]] = []
    for variable in sorted(environ):
        text = environ[variable]
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NEVER_READ:
            continue
        if variable not in VARIABLES:
            likely = nearest(variable, VARIABLES)
            text = f"not used: there is no such option; the nearest is {likely}"
        elif not text.strip():
            text = "not used: it is empty"
        if not variable.startswith(SET_FOR_WRAPPED_COMMANDS):
            rows.append((variable, printable(text)))
    title = "Environment variables (they outrank the files):\n"
    return title + columns(rows or [("none are set",)])


def settings_part(settings: Mapping[str, Setting]) -> str:
    """Every option, its value and where it came from."""
    rows = []
    for key, (value, source) in settings.items():
        shown = ", ".join(value) if isinstance(value, tuple) else str(value)
        rows.append((key, shown, source))
    return "Options, their values and where they come from:\n" + columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def say(text: str, stream: TextIO) -> None:
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
