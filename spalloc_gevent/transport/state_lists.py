"""One list of jobs instead of a look at each, while many wait for their boards on the Java server.

A command that names a job which the allocator works on waits for the allocator; the list never
does. It keeps no job alive.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Protocol

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import SpallocError
from spalloc_gevent.transport.background import BackgroundUse
from spalloc_gevent.transport.waiting import Waiter, sleep
from spalloc_gevent.wire.identity import by_number
from spalloc_gevent.wire.requests import Request

_log = logging.getLogger(__name__)

MAX_SINGLE_LOOKS = 4
"""So few jobs are looked at one by one."""
SHORTEST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 1.0
"""Between two lists that tell nothing new, unless something is notified."""
LIST_WITHIN_S = 10.0


class WaitingJob(Protocol):
    """A job whose boards are not ready."""

    @property
    def job_id(self) -> int: ...

    @property
    def is_in_transition(self) -> bool:
        """True until its boards are ready, or it has ended."""

    @property
    def is_waited_for(self) -> bool:
        """True while somebody waits for a change."""

    def learn_listed(self, listed: Mapping[str, Any] | None, sent_at: float) -> bool:
        """Take in what the list tells of the job, None if nothing; True if that is new."""

    def look_itself(self) -> None:
        """Ask for the state soon."""


class StateLists:
    """The jobs of one session that are in transition; every method runs in the background."""

    def __init__(self, background: BackgroundUse, call: Callable[[Request, Deadline], Any]) -> None:
        self._background = background
        self._call = call
        self._jobs: set[WaitingJob] = set()
        self._is_running = False
        self._is_listing = False
        self._pause = Waiter()

    def add(self, job: WaitingJob) -> None:
        """Look at this job, too, until it is in transition no more."""
        self._jobs.add(job)
        if not self._is_running:
            self._is_running = True
            self._background.hub.spawn_here(self._run)

    def discard(self, job: WaitingJob) -> None:
        """Undo :meth:`add`; harmless when that is done."""
        self._jobs.discard(job)

    def look_soon(self, job: WaitingJob) -> bool:
        """The job may have changed; False if no list will tell, as it is to look itself."""
        if not self._is_listing or job not in self._jobs:
            return False
        if not self._pause.woken:
            self._pause.wake()
        return True

    def _run(self) -> None:
        pause_s = SHORTEST_PAUSE_S
        try:
            while self._jobs:
                self._jobs = {job for job in self._jobs if job.is_in_transition}
                has_news = self._look([job for job in self._jobs if job.is_waited_for])
                pause_s = SHORTEST_PAUSE_S if has_news else min(LONGEST_PAUSE_S, 2 * pause_s)
                self._pause = Waiter()
                sleep(SHORTEST_PAUSE_S)
                self._pause.wait(monotonic() + pause_s - SHORTEST_PAUSE_S)
        finally:
            self._is_running = self._is_listing = False

    def _look(self, waited_for: list[WaitingJob]) -> bool:
        """Have jobs learn what has become of them; True if a list tells something new."""
        self._is_listing = len(waited_for) > MAX_SINGLE_LOOKS
        if self._is_listing:
            try:
                return self._list()
            except (OSError, SpallocError) as error:
                _log.debug("no list of the jobs that are waited for: %s", error)
                self._is_listing = False
        for job in random.sample(waited_for, min(MAX_SINGLE_LOOKS, len(waited_for))):
            job.look_itself()
        return False

    def _list(self) -> bool:
        jobs = list(self._jobs)
        sent_at = monotonic()
        listed = by_number(self._call(Request("list_jobs"), Deadline(LIST_WITHIN_S)))
        news = [job.learn_listed(listed.get(job.job_id), sent_at) for job in jobs]
        return True in news
