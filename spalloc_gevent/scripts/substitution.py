"""What a wrapped command is told of its machine: tokens, environment, list of hostnames."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from shlex import quote

TOKENS = (
    ("{}", "hostname of chip (0, 0)"),
    ("{hostname}", "hostname of chip (0, 0)"),
    ("{w}", "width of the machine in chips"),
    ("{width}", "width of the machine in chips"),
    ("{h}", "height of the machine in chips"),
    ("{height}", "height of the machine in chips"),
    ("{ethernet_ips}", "name of a CSV file: x,y,hostname of each Ethernet-connected chip"),
    ("{id}", "the job's ID"),
    ("{{ and }}", "a brace"),
)
"""The tokens of a command, and what they stand for."""

VARIABLES = (
    ("SPALLOC_JOB_ID", "the job's ID"),
    ("SPALLOC_JOB_HOSTNAME", "hostname of chip (0, 0)"),
    ("SPALLOC_JOB_WIDTH", "width of the machine in chips"),
    ("SPALLOC_JOB_HEIGHT", "height of the machine in chips"),
    ("SPALLOC_JOB_ETHERNET_IPS", "name of the CSV file of {ethernet_ips}"),
    ("SPALLOC_JOB_MACHINE", "name of the machine that the boards are part of"),
    ("SPALLOC_JOB_NUM_BOARDS", "number of boards"),
    ("SPALLOC_JOB_BOARDS", "logical positions x,y,z of the boards, blanks between them"),
)
"""The environment of a command, and what it says."""

# A doubled brace first, so that {{w}} is text; a brace left over is a mistake.
_TOKEN = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<stray>[{}])")


class TokenError(ValueError):
    """A command has braces that mean nothing."""


@dataclass(frozen=True)
class Facts:
    """A job that is ready, as its command gets to know it.

    width and height in chips; connections {(x, y) of an Ethernet chip: hostname};
    boards logical (x, y, z); ethernet_ips the name of the CSV file.
    """

    id: int
    hostname: str
    width: int
    height: int
    machine: str
    connections: Mapping[tuple[int, int], str]
    boards: Sequence[tuple[int, int, int]]
    ethernet_ips: str

    @property
    def values(self) -> dict[str, str]:
        """What the names in :data:`TOKENS` stand for."""
        width, height = str(self.width), str(self.height)
        return {
            "": self.hostname,
            "hostname": self.hostname,
            "w": width,
            "width": width,
            "h": height,
            "height": height,
            "ethernet_ips": self.ethernet_ips,
            "id": str(self.id),
        }


@dataclass(frozen=True)
class Command:
    """A command as it was given: one word is a line for the shell, several are a vector.

    own: tokens of this command alone, by their names, and what they stand for.
    Raises TokenError at once for braces that mean nothing.
    """

    words: tuple[str, ...]
    own: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for word in self.words:
            self.check(word)

    def check(self, word: str) -> None:
        """Refuse a word with a brace that is no part of a token."""
        tokens = [*(token for token, _ in TOKENS[:-1]), *(f"{{{name}}}" for name in self.own)]
        for token in _TOKEN.finditer(word):
            if stray := token["stray"]:
                raise TokenError(f"a single {stray} in {word!r}: double it to mean a brace")
            if token["name"] is not None and token[0] not in tokens:
                raise TokenError(
                    f"{token[0]} in {word!r} stands for nothing: there are {', '.join(tokens)}; "
                    f"write {{{token[0]}}} for the braces themselves"
                )

    @property
    def is_shell_line(self) -> bool:
        return len(self.words) == 1

    def argv(self, facts: Facts) -> list[str]:
        """The program and its arguments, every token replaced by what it stands for."""
        values = {**facts.values, **self.own}
        if self.is_shell_line:
            values = {name: quote(value) for name, value in values.items()}

        def stands_for(token: re.Match[str]) -> str:
            return token["brace"][0] if token["brace"] else values[token["name"]]

        filled = [_TOKEN.sub(stands_for, word) for word in self.words]
        return ["/bin/sh", "-c", *filled] if self.is_shell_line else filled


def environment_of(facts: Facts, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` and the variables of :data:`VARIABLES`."""
    boards = " ".join(",".join(map(str, board)) for board in sorted(facts.boards))
    return {
        **environ,
        "SPALLOC_JOB_ID": str(facts.id),
        "SPALLOC_JOB_HOSTNAME": facts.hostname,
        "SPALLOC_JOB_WIDTH": str(facts.width),
        "SPALLOC_JOB_HEIGHT": str(facts.height),
        "SPALLOC_JOB_ETHERNET_IPS": facts.ethernet_ips,
        "SPALLOC_JOB_MACHINE": facts.machine,
        "SPALLOC_JOB_NUM_BOARDS": str(len(facts.boards)),
        "SPALLOC_JOB_BOARDS": boards,
    }


def render_csv(connections: Mapping[tuple[int, int], str]) -> str:
    """`x,y,hostname`, then a row a chip, sorted; every line ends in a line feed."""
    rows = [f"{x},{y},{hostname}\n" for (x, y), hostname in sorted(connections.items())]
    return "x,y,hostname\n" + "".join(rows)


@contextmanager
def csv_file(connections: Mapping[tuple[int, int], str]) -> Iterator[str]:
    """The name of a CSV file of the connections, which exists while the block runs."""
    handle, name = tempfile.mkstemp(".csv", "spinnaker_ips_")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(render_csv(connections))
        yield name
    finally:
        # Whoever tidied up the folder meanwhile has done our work.
        if os.path.exists(name):
            os.remove(name)
