"""One job, looked at again and again without being touched.

The server takes every command that names a job for its keepalive: whoever asked
for the state of a job that nobody keeps alive any more would keep it from
ending. So a job is looked up in the list of all jobs, and named only when it is
not in there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spalloc_gevent.scripts.listed_jobs import live_job, live_job_if_listed
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.wire.answers import JobDescription

FORGOTTEN = "The server no longer knows this job; its ID belongs to another job now."


@dataclass(frozen=True)
class Seen:
    """What one look told.

    state: a :class:`~spalloc_gevent.JobState` as a number. job: None when it is not in the list.
    """

    job_id: int
    state: int
    reason: str | None = None
    job: JobDescription | None = None
    is_over: bool = False
    """Whether the job has ended, and nothing of it can change any more."""


class Subject:
    """A job that is looked at; what has taken its ID after a server's cold start is another.

    is_named_anyway: the command names the job, so it may be looked at without the list, too.
    """

    def __init__(self, job_id: int, *, is_named_anyway: bool = False) -> None:
        self.job_id = job_id
        self._find = live_job_if_listed if is_named_anyway else live_job
        self._start_time: float | None = None
        self._end: Seen | None = None

    def look(self, client: ProtocolClient) -> Seen:
        """What the server tells now; nothing is asked once it has told of the job's end."""
        if self._end is None:
            seen = self._seen(client)
            if not seen.is_over:
                return seen
            self._end = seen
        return self._end

    def _seen(self, client: ProtocolClient) -> Seen:
        forgotten = Seen(self.job_id, JobState.unknown, FORGOTTEN, is_over=True)
        known_start = self._start_time
        job = self._find(client, self.job_id)
        if job is not None:
            if known_start not in (None, job["start_time"]):
                return forgotten
            self._start_time = job["start_time"]
            return Seen(self.job_id, job["state"], job=job)
        told = client.get_job_state(self.job_id)
        # The Python server has forgotten when a job began once it has ended.
        if None not in (known_start, told["start_time"]) and told["start_time"] != known_start:
            return forgotten
        is_over = told["state"] == JobState.destroyed or (
            told["state"] == JobState.unknown and known_start is not None
        )
        return Seen(self.job_id, told["state"], told["reason"], is_over=is_over)
