"""``python3 benchmarks/bench_wire.py``: how long lines take to put together, next to the limit.

8 MB in 1,024-byte pieces within a second is what the wire promises; the other rows show that no
size of line or piece makes a byte or piece much dearer. ``--quick`` leaves out the long ones. The
exit code is 0 only when the promise is kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from spalloc_gevent.wire.conversation import Conversation
from spalloc_gevent.wire.messages import Notification

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


QUICK = (Case(8 * MEGABYTE, 1024, LIMIT_S), Case(MEGABYTE, 1))
FULL = (
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
    talk: Conversation[str] = Conversation()
    began = clock()
    events = [event for piece in pieces for event in talk.receive(piece)]
    took = clock() - began
    if not (len(events) == 1 and isinstance(events[0], Notification)):
        raise AssertionError(f"{case}: {len(events)} messages instead of 1")
    return took


def is_kept(case: Case) -> bool:
    """Measure and print one case; False when it took longer than it may."""
    took = seconds_for(case)
    pieces = case.size / case.piece_bytes
    limit = "" if case.limit_s is None else f"  (limit {case.limit_s:.1f} s)"
    print(f"{case!s:<30} {took:8.3f} s {took / pieces * 1e6:8.2f} us a piece{limit}", flush=True)
    return case.limit_s is None or took <= case.limit_s


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How long the wire takes to put lines together.")
    parser.add_argument("--quick", action="store_true", help="leave out the long lines")
    cases = QUICK if parser.parse_args(argv).quick else FULL
    kept = [is_kept(case) for case in cases]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
