"""The cases of a campaign: one a line, all understood before any of them is run."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from dataclasses import dataclass

from spalloc_gevent.display.terminal import printable
from spalloc_gevent.scripts.substitution import Command

CASE_TOKEN = ("{case}", "the case's name")
CASE_VARIABLE = ("SPALLOC_CASE", "the case's name")

LONGEST_FILE_NAME = 240
"""In bytes: what systems take (255), and room for what is added."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.+=,@-]", re.ASCII)


class CasesError(ValueError):
    """The cases cannot be understood; the message says which line, and why."""


@dataclass(frozen=True)
class Case:
    """One command that is to be run on boards of its own."""

    name: str
    command: Command
    line: int
    """Where it stands among the cases, from 1."""

    @property
    def text(self) -> str:
        """The command as it was given."""
        return self.command.words[0]


def file_name(name: str) -> str:
    """What files of a case are called: its name, with % and two digits for what may not be."""
    text = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)
    return f"%2E{text[1:]}" if text.startswith(".") else text


def read_cases(content: bytes, source: str, *, named: bool = True) -> list[Case]:
    """The cases in what was read from `source`.

    A line is ``NAME COMMAND``, the name quoted as in a shell where it has blanks.
    named: False where a line is all command, and its number the name.
    Empty lines and those that begin with # are passed over.
    Raises CasesError for the first line that will not do, and where there is no case.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        message = f"{source}, line {number}: this is not UTF-8 text: save the file as UTF-8"
        raise CasesError(message) from error
    cases: dict[str, Case] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r").strip()
        if not line or line.startswith("#"):
            continue
        try:
            name, command = split_name(line) if named else (str(number), line)
            check_case(name, command, line)
            if (first := cases.get(name)) is not None:
                raise CasesError(
                    f"there is a case {printable(name)!r} on line {first.line} already: a line "
                    "begins with a name of its own (or give --unnamed, when lines are commands "
                    "and nothing else)"
                )
            cases[name] = Case(name, Command((command,), {"case": name}), number)
        except ValueError as error:
            raise CasesError(f"{source}, line {number}: {error}") from error
    if not cases:
        raise CasesError(f"there are no cases in {source}")
    return list(cases.values())


def split_name(line: str) -> tuple[str, str]:
    """The first field, its quotes taken off, and what follows."""
    rest = io.StringIO(line)
    lexer = shlex.shlex(rest, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        name = lexer.get_token()
    except ValueError:
        raise CasesError(f"a quotation in {printable(line)!r} has no end: close it") from None
    return name or "", rest.read().strip()


def check_case(name: str, command: str, line: str) -> None:
    """Raises CasesError for what can be no name, or no line for a shell."""
    if not command:
        raise CasesError(
            f"{printable(line)!r} has no command: a line is NAME COMMAND "
            "(or give --unnamed, when lines are commands and nothing else)"
        )
    if not name or len(printable(name)) > len(name):
        raise CasesError(f"{printable(name)!r} is no name for a case: give it one that can be seen")
    if len(file_name(name)) > LONGEST_FILE_NAME:
        raise CasesError(
            f"the name {printable(name[:20])!r}... is too long: its files could not be called so"
        )
    if "\0" in command:
        raise CasesError("a command cannot have a NUL in it: remove it")
    try:
        shlex.split(command)
    except ValueError:
        # It knows less of shells than a shell does.
        checked = ["/bin/sh", "-n", "-c", command]
        if subprocess.run(checked, capture_output=True, check=False).returncode:
            message = f"a quotation in {printable(command)!r} has no end: close it"
            raise CasesError(message) from None
