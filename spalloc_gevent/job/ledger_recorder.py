"""What one job enters in the ledger, if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spalloc_gevent.config import Config
from spalloc_gevent.errors import BadTypeError
from spalloc_gevent.job.request import JobRequest
from spalloc_gevent.ledger import JobOutcome, Ledger, LedgerEntry
from spalloc_gevent.states import JobState
from spalloc_gevent.transport import native
from spalloc_gevent.transport.tracked_jobs import TrackedJob
from spalloc_gevent.wire.answers import JobStateInfo, MachineInfo


class LedgerRecorder:
    """Does nothing where no ledger is kept, so that a job need not ask; for any thread."""

    def __init__(self, given: Mapping[str, Any], config: Config) -> None:
        """Raises ConfigError for a ledger that cannot be written to."""
        path = given.get("ledger", config.ledger)
        label = given.get("label")
        if label is not None and not isinstance(label, str):
            raise BadTypeError(f"label must be a text or None, not {label!r}")
        self._label = label
        self._ledger = None if path is None else Ledger(str(path))
        self._lock = native.new_rlock()
        self._entry: LedgerEntry | None = None
        self._job: TrackedJob | None = None

    def asked(self, job: TrackedJob, server: str, request: JobRequest | None) -> None:
        """There is a job; without a request, it was there before and is resumed."""
        if self._ledger is None:
            return
        told = {
            "owner": job.identity.owner,
            "label": self._label,
            "resumed": request is None,
            "what": None if request is None else list(request.size),
            "options": None if request is None else _options(request),
        }
        self._job = job
        self._entry = LedgerEntry(self._ledger, job.job_id, server, told)

    @property
    def lacks_boards(self) -> bool:
        """True if the ledger does not know yet which boards the job has."""
        return self._entry is not None and not self._entry.is_granted

    def granted(self, info: MachineInfo) -> None:
        if self._entry is not None and self._job is not None:
            with self._lock:
                self._entry.granted(info, self._job.identity.start_time)

    def gone(self, info: JobStateInfo) -> None:
        """What the server, or what is known of it, says of the job's end."""
        outcome = JobOutcome.LOST if info["state"] == JobState.unknown else JobOutcome.DESTROYED
        self.ended(outcome, info["reason"])

    def ended(self, outcome: JobOutcome, reason: str | None) -> None:
        """It is this program's no more."""
        if self._entry is not None:
            with self._lock:
                self._entry.ended(outcome, reason)


def _options(request: JobRequest) -> dict[str, Any]:
    """What was asked for besides the size; who asks is told apart from it."""
    return {name: value for name, value in request.options.items() if name != "owner"}
