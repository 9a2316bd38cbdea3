"""Letters that stand for things in a picture, and stay with them while the picture changes."""

from __future__ import annotations

import itertools
import string
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

Thing = TypeVar("Thing", bound=Hashable)


def letters() -> Iterator[str]:
    """A, B, ... Z, AA, AB, ... as the columns of a spreadsheet are named."""
    for length in itertools.count(1):
        for chosen in itertools.product(string.ascii_uppercase, repeat=length):
            yield "".join(chosen)


def lettered(
    things: Iterable[Thing], before: Mapping[Thing, str] | None = None
) -> dict[Thing, str]:
    """Each thing's letters: those that it had `before`, else the first that nothing has.

    The letters of what is gone are free again. In the order of the letters.
    """
    known = before or {}
    listed = list(dict.fromkeys(things))
    kept = {thing: known[thing] for thing in listed if thing in known}
    free = itertools.filterfalse(frozenset(kept.values()).__contains__, letters())
    given = kept | {thing: next(free) for thing in listed if thing not in kept}
    return dict(sorted(given.items(), key=lambda item: letter_order(item[1])))


def letter_order(chosen: str) -> tuple[int, str]:
    """What letters sort by: Z comes before AA."""
    return len(chosen), chosen
