"""What a case came to, from what the executor says of it."""

from __future__ import annotations

from typing import Protocol

from spalloc_gevent.errors import (
    IncompatibleServerError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocError,
)
from spalloc_gevent.scripts.batch_records import Verdict
from spalloc_gevent.scripts.batch_trial import LostError, Outcome

NOT_STARTED = Outcome(Verdict.CANCELLED, None, "it was not started")


class Future(Protocol):
    """What is needed of an executor's."""

    def cancelled(self) -> bool: ...

    def exception(self) -> BaseException | None: ...

    def result(self) -> Outcome: ...


class TryAgain(Exception):  # noqa: N818 - no error of the case's
    """The server could not be asked for boards: that is no case's fault."""


def outcome_of(future: Future, *, is_stopping: bool, may_run_again: bool) -> Outcome:
    """What a future that is done comes to; raises TryAgain where it says nothing of the case.

    is_stopping: whether nothing is begun any more; may_run_again: whether a case that has lost
    its boards would be, if it were not for that.
    """
    if future.cancelled():
        return NOT_STARTED
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, LostError):
        verdict = Verdict.CANCELLED if is_stopping and may_run_again else Verdict.LOST
        return Outcome(verdict, None, str(error))
    if _is_server_out_of_reach(error):
        if is_stopping:
            return NOT_STARTED
        raise TryAgain(str(error))
    told = str(error) if isinstance(error, SpallocError) else f"{type(error).__name__}: {error}"
    return Outcome(Verdict.NO_BOARDS, None, told)


def _is_server_out_of_reach(error: BaseException) -> bool:
    out_of_reach = isinstance(error, (ProtocolError, ProtocolTimeoutError))
    return out_of_reach and not isinstance(error, IncompatibleServerError)
