"""The project's docstrings, which are prose, as Sphinx is to have them.

Sections as ``Args:`` are made into fields, by Sphinx's own napoleon. Two habits are made into
marks: a line ``name: what it is`` about an argument begins an item of a list, and the name of one
of our errors is a link. ``docs/conf.py`` connects :func:`mark_docstring`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sphinx.ext.napoleon.docstring import GoogleDocstring

from spalloc_gevent import errors

_ITEM = re.compile(r"(?P<names>[a-z_]+(?:, [a-z_]+)*): (?P<text>.*)")
_ERRORS = [
    name
    for name, thing in vars(errors).items()
    if isinstance(thing, type) and issubclass(thing, errors.SpallocError)
]
_ERROR = re.compile(rf"(?<![\w`~.])(?:{'|'.join(_ERRORS)})\b(?!`)")


IsArgument = Callable[[str], bool]


def marked(lines: Sequence[str], is_argument: IsArgument) -> list[str]:
    """A docstring's lines with the marks; `is_argument` tells what may begin an item."""
    return [_linked(line) for line in _itemised(lines, is_argument)]


def _itemised(lines: Sequence[str], is_argument: IsArgument) -> Iterator[str]:
    in_item = False
    for line in lines:
        item = _ITEM.fullmatch(line)
        if item and all(map(is_argument, item["names"].split(", "))):
            if not in_item:
                yield ""
            in_item = True
            names = ", ".join(f"``{name}``" for name in item["names"].split(", "))
            yield f"- {names}: {item['text']}"
        elif in_item and line.strip():
            yield f"  {line.strip()}"
        else:
            in_item = False
            yield line


def _linked(line: str) -> str:
    return _ERROR.sub(lambda found: f":exc:`~spalloc_gevent.errors.{found[0]}`", line)


def arguments_of(thing: object) -> IsArgument:
    """Which names are those of a function's arguments, or of what a class is made with."""
    try:
        found = inspect.signature(thing).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return lambda _: False
    # Behind **options may be any name.
    takes_any = any(one.kind is one.VAR_KEYWORD for one in found)
    names = {one.name for one in found}
    return lambda name: takes_any or name in names


def mark_docstring(
    _app: object, what: Any, name: str, thing: object, _options: object, lines: list[str]
) -> None:
    """For Sphinx's event ``autodoc-process-docstring``, which has `lines` changed in place."""
    # What Python says of a named tuple's field, when nobody else says anything.
    is_said = not (lines and lines[0].startswith("Alias for field number"))
    lines[:] = marked(lines, arguments_of(thing)) if is_said else []
    # Of an attribute, napoleon takes what stands before a colon in the first line for its type.
    if what not in ("attribute", "data", "property"):
        lines[:] = GoogleDocstring(lines, what=what, name=name, obj=thing).lines()
