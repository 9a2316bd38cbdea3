"""How long lines take to put together, next to the limit.

8 MB in 1,024-byte pieces within a second is what the wire promises; the other rows show that no
size of line or piece makes a byte or piece much dearer. ``--quick`` leaves out the long ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figure, at_most, one
from spalloc_gevent.wire.messages import Notification
from spalloc_gevent.wire.protocol_state import ProtocolState

MEGABYTE = 1024 * 1024
LIMIT_S = 1.0


@dataclass(frozen=True)
class Case:
    """One line of JSON of `size` bytes, as it comes in pieces."""

    size: int
    piece_bytes: int
    limit_s: float | None = None

    def __str__(self) -> str:
        return f"{round(self.size / MEGABYTE)} MB in {self.piece_bytes:,}-byte pieces"


QUICK: tuple[Case, ...] = (Case(8 * MEGABYTE, 1024, LIMIT_S), Case(MEGABYTE, 1))
FULL: tuple[Case, ...] = (
    *QUICK,
    Case(64 * MEGABYTE - 1, 1024),
    Case(64 * MEGABYTE - 1, 65536),
    Case(4 * MEGABYTE, 1),
)


def line_of(size: int) -> bytes:
    """A notification of `size` bytes, its end not counted."""
    frame = b'{"jobs_changed": "%s"}\n'
    return frame % (b"x" * (size + 1 - len(frame % b"")))


def seconds_for(case: Case, clock: Callable[[], float] = time.perf_counter) -> float:
    """What it takes from bytes to the message, pieces made beforehand."""
    line = line_of(case.size)
    pieces = [line[at : at + case.piece_bytes] for at in range(0, len(line), case.piece_bytes)]
    state = ProtocolState()
    began = clock()
    events = [event for piece in pieces for event in state.receive(piece)]
    took = clock() - began
    if not (len(events) == 1 and isinstance(events[0], Notification)):
        raise AssertionError(f"{case}: {len(events)} messages instead of 1")
    return took


def figure_of(case: Case) -> Figure:
    pieces = case.size / case.piece_bytes
    took_s = seconds_for(case)
    goal = None if case.limit_s is None else at_most(case.limit_s)
    note = f"{took_s / pieces * 1e6:.2f} us a piece"
    return Figure(f"put together: {case}", "s", one(took_s), goal=goal, note=note)


def measure(cases: Sequence[Case]) -> Iterator[Figure]:
    return map(figure_of, cases)
