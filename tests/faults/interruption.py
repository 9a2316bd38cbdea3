"""Interrupts a call at a given step: each place where Python lets signals, and so Ctrl-C, in."""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from greenlet import getcurrent

import spalloc_gevent

PACKAGE = str(Path(spalloc_gevent.__file__).parent)
JUMPS_BACK = ("JUMP_BACKWARD", "JUMP_ABSOLUTE")


class Interrupted(KeyboardInterrupt):
    """Raised by an Interruption."""


class Interruption:
    """Raises Interrupted at the `step`-th step (from 1) of what runs inside, within the package.

    A step is the entry to a function, the return from a call of anything, or a jump back: where
    the interpreter looks for signals. Only this thread or greenlet is concerned. Finalisers are
    spared: Python swallows what is raised in them.
    """

    def __init__(self, step: int) -> None:
        self.left = step
        """How many steps are still to come; 0 once Interrupted was raised."""
        self._victim = getcurrent()
        self._last_offsets: dict[FrameType, int] = {}

    def __enter__(self) -> Interruption:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        self._last_offsets.clear()

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if event == "call":
            if not self._concerns(frame):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self._step()
        elif event == "opcode" and self._may_be_interrupted(frame):
            self._step()
        return self._trace

    def _concerns(self, frame: FrameType) -> bool:
        if not frame.f_code.co_filename.startswith(PACKAGE) or getcurrent() is not self._victim:
            return False
        outer: FrameType | None = frame
        while outer is not None and outer.f_code.co_name != "__del__":
            outer = outer.f_back
        return outer is None

    def _may_be_interrupted(self, frame: FrameType) -> bool:
        last = self._last_offsets.get(frame)
        self._last_offsets[frame] = frame.f_lasti
        if last is None or not _lets_signals_in(frame.f_code.co_code[last]):
            return False
        # It would be raised by the last instruction, where another handler may be in force:
        # in a `return f()` inside a `with`, what follows the call is outside already.
        return _handler_of(frame.f_code, last) == _handler_of(frame.f_code, frame.f_lasti)

    def _step(self) -> None:
        if self.left:
            self.left -= 1
            if not self.left:
                raise Interrupted


def _lets_signals_in(opcode: int) -> bool:
    name = dis.opname[opcode]
    return name in JUMPS_BACK or (name.startswith("CALL") and "INTRINSIC" not in name)


@functools.cache
def _handler_of(code: CodeType, offset: int) -> int | None:
    """Where an exception goes that is raised at an offset; None where Python 3.10 keeps a stack."""
    parse: Callable[[CodeType], Any] = getattr(dis, "_parse_exception_table", lambda _: ())
    inside = [entry for entry in parse(code) if entry.start <= offset < entry.end]
    return inside[0].target if inside else None


def interrupt_at_each_step(call: Callable[[], object], then: Callable[[], object]) -> int:
    """Make `call` again and again, interrupted one step later each time, until it ends before.

    `then` is called after each. Returns how often it was interrupted.
    """
    step = finished = 0
    while finished < 3:
        step += 1
        interruption = Interruption(step)
        try:
            with interruption:
                call()
        except Interrupted:
            pass
        else:
            assert interruption.left, f"the interruption of step {step} was swallowed"
            finished += 1
        then()
    return step - finished
