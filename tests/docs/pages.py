"""The code blocks of README.rst and of the pages in docs, with the notes above them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sybil.document import Document
from sybil.parsers.rest.lexers import DirectiveLexer

from tests.transport.programs import ROOT

_CODE_BLOCKS = DirectiveLexer(directive="code-block")
_NOTE = re.compile(r" *\.\. example: (?P<note>.*)")
_FILE_NAME = r"[\w./-]+\.\w+"
_FILE = re.compile(rf"# (?P<name>{_FILE_NAME})\n")
_FILE_OF_A_CAPTION = re.compile(rf"~/\S+|{_FILE_NAME}")


@dataclass(frozen=True)
class Block:
    """A code block of a page; `line` is the number of its first line of code."""

    page: str
    line: int
    language: str
    text: str
    notes: tuple[str, ...] = ()
    caption: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first_line(self) -> str:
        return self.text.partition("\n")[0]

    def said(self, what: str) -> str | None:
        """What follows `what` in a note; None when no note begins with it."""
        found = [note for note in self.notes if note == what or note.startswith(f"{what} ")]
        return found[0].removeprefix(what).strip() if found else None

    @property
    def file(self) -> str | None:
        """The name of the file that the block is to be, if it is one."""
        named = _FILE.match(self.text) if self.language == "python" else None
        if named:
            return named["name"]
        return self.caption if _FILE_OF_A_CAPTION.fullmatch(self.caption) else self.said("file")


def pages() -> list[str]:
    """Every page that a reader may meet, by its path below the project."""
    found = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
    return [str(page.relative_to(ROOT)) for page in found]


def blocks_of(page: str) -> list[Block]:
    return list(blocks_in(page, Path(ROOT, page).read_text("utf-8")))


def blocks_in(page: str, text: str) -> Iterator[Block]:
    """The code blocks of a page's text, in order."""
    lines = text.split("\n")
    for region in _CODE_BLOCKS(Document(text, page)):
        directive = text.count("\n", 0, region.start)
        code = region.lexemes["source"]
        yield Block(
            page=page,
            line=directive + code.line_offset + 2,
            language=region.lexemes["arguments"],
            text=code.rstrip() + "\n",
            notes=_notes_above(lines, directive),
            caption=region.lexemes["options"].get("caption", ""),
        )


def _notes_above(lines: Sequence[str], directive: int) -> tuple[str, ...]:
    """The notes of the comment directly above; it may go on in indented lines."""
    said: list[str] = []
    for line in reversed(lines[:directive]):
        note = _NOTE.fullmatch(line.rstrip())
        if note:
            whole = " ".join([note["note"], *reversed(said)])
            return tuple(part.strip() for part in whole.split(";"))
        if line.strip() and not (line.startswith(" ") and line.strip()[:2] != ".."):
            break
        if line.strip():
            said.append(line.strip())
    return ()
