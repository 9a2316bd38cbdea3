"""Asking for a job so that none is left behind, whenever the caller gives up."""

from __future__ import annotations

from typing import Any

from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.engine.outcome import Unawaited
from spalloc_gevent.job.request import Request
from spalloc_gevent.wire.identity import Identity

GIVEN_UP = "The client gave up waiting for the job to be created."


class Creation:
    """One ``create_job`` on its way.

    A late answer to a command that nobody waits for any more is a live job: it
    is destroyed as soon as its number is known.
    """

    def __init__(self, link: ServerLink, request: Request) -> None:
        self._link = link
        self._owner = request.owner
        self._call = Call("create_job", request.size, request.options, late=self._destroy)

    def run(self, timeout_s: float | None) -> int:
        """The new job's ID."""
        return int(self._link.run(self._call, timeout_s))

    def give_up(self) -> None:
        """Have the job destroyed if there is, or ever comes, one."""
        self._link.give_up(self._call)

    def _destroy(self, job_id: Any) -> None:
        reason = {"reason": GIVEN_UP}
        call = Call("destroy_job", (job_id,), reason, outlives_caller=True, outcome=Unawaited())
        # When it goes out, the number may be another's.
        unwanted = Held(job_id, Identity(self._owner), lambda _: None)
        self._link.disown_on_hub(unwanted, call)
