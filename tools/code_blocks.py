"""The code blocks of a page in reStructuredText, and where on it they are."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"(?P<indent> *)\.\. (?:code-block|code|sourcecode)::\s*(?P<language>\S*)")
_OPTION = re.compile(r" *:[\w-]+:")
_CAPTION = re.compile(r" *:caption: *(?P<caption>.+)")


@dataclass(frozen=True)
class CodeBlock:
    """One of them; lines are counted from 1."""

    directive: int
    """The line of its directive."""
    line: int
    """Its first line of code."""
    language: str
    caption: str
    """Empty without one."""
    text: str
    """Ends with the end of its last line that is not blank."""


def code_blocks(page: str) -> Iterator[CodeBlock]:
    """The code blocks of a page's text, from top to bottom."""
    lines = page.split("\n")
    for place, line in enumerate(lines):
        if directive := _DIRECTIVE.fullmatch(line.rstrip()):
            start, end = _extent(lines, place, len(directive["indent"]))
            yield CodeBlock(
                directive=place + 1,
                line=start + 1,
                language=directive["language"],
                caption=_caption_in(lines[place + 1 : start]),
                text=textwrap.dedent("\n".join(lines[start:end])).rstrip() + "\n",
            )


def _extent(lines: Sequence[str], directive: int, indent: int) -> tuple[int, int]:
    """From which line to which the code of a directive goes."""
    start = directive + 1
    while start < len(lines) and (_OPTION.match(lines[start]) or not lines[start].strip()):
        start += 1
    end = start
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
        end += 1
    return start, end


def _caption_in(options: Sequence[str]) -> str:
    found = (_CAPTION.fullmatch(line.rstrip()) for line in options)
    return next((option["caption"] for option in found if option), "")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
