"""One request for boards, and a way to give it up."""

from __future__ import annotations

from spalloc_gevent.batch.phases import Phase, PhaseCounter
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.job import Job
from spalloc_gevent.transport import native
from spalloc_gevent.transport.waiting import ChangeCounter

GIVEN_BACK = "These boards failed a check, or were needed no more."


class NotWantedError(Exception):
    """Whoever wanted boards does not want them any more."""


class BoardRequest:
    """Boards that somebody wants; any thread may cancel it."""

    def __init__(self, counter: PhaseCounter, what: tuple[int, ...] = ()) -> None:
        """`what` is asked for, as by the numbers of ``Job``; `counter` counts it when it moves."""
        self.what = what
        self.phase: Phase | None = None
        self.counter = counter
        self._lock = native.new_rlock()
        self._cancels = ChangeCounter()
        self._job: Job | None = None

    @property
    def cancelled(self) -> bool:
        return self._cancels.count > 0

    def cancel(self) -> Job | None:
        """Want the boards no more.

        Returns:
            The job that is waited for, if any: destroying it ends the wait.
        """
        with self._lock:
            self._cancels.increment()
            return self._job

    def reach(self, phase: Phase, job: Job) -> None:
        """The search has come so far with a job; once ready, it cannot be taken away any more.

        Raises:
            NotWantedError: the request is cancelled.
        """
        with self._lock:
            self.check_wanted()
            self._job = None if phase is Phase.READY else job
        self.counter.move(self, phase)

    def pause(self, seconds: float) -> None:
        """Wait before the next attempt; raises NotWantedError once the request is cancelled."""
        self._cancels.wait_beyond(0, Deadline(seconds).at)
        self.check_wanted()

    def check_wanted(self) -> None:
        """Raises NotWantedError if the request is cancelled."""
        if self.cancelled:
            raise NotWantedError
