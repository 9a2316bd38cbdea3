"""Taking turns: each way of doing something is measured as often, and none always comes after
the same other one, which may leave the machine warmer or busier than the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


def in_turns(works: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """What each work returned, turn by turn; a machine that slows down slows them all."""
    found: dict[str, list[T]] = {name: [] for name in works}
    for name in _order(list(works), repeats):
        found[name].append(works[name]())
    return found


def _order(names: list[str], repeats: int) -> Iterator[str]:
    for repeat in range(repeats):
        first = repeat // 2 % len(names)
        order = names[first:] + names[:first]
        yield from reversed(order) if repeat % 2 else order


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rate_of(work: Callable[[], int]) -> float:
    """How often a second it was done, where `work` returns how often it did it."""
    began = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - began)
