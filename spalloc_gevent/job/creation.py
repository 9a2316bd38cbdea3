"""Asking for a job so that none is left behind, whenever the caller gives up."""

from __future__ import annotations

from typing import Any

from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.job.request import Request
from spalloc_gevent.wire.messages import encode_command

GIVEN_UP = "The client gave up waiting for the job to be created."


class Creation:
    """One ``create_job`` on its way.

    A late answer to a command that nobody waits for any more is a live job: it
    is destroyed as soon as its number is known.
    """

    def __init__(self, link: ServerLink, request: Request) -> None:
        self._link = link
        self._call = Call("create_job", request.size, request.options, late=self._destroy)
        # Made here, without its job's number: a call belongs to the thread that makes it,
        # and on the hub there is no time to make one before the connection is closed.
        self._destruction = Call("destroy_job", (None,), outlives_caller=True)

    def run(self, timeout_s: float | None) -> int:
        """The new job's ID."""
        return int(self._link.run(self._call, timeout_s))

    def give_up(self) -> None:
        """Have the job destroyed if there is, or ever comes, one."""
        self._link.give_up(self._call)

    def _destroy(self, job_id: Any) -> None:
        self._destruction.line = encode_command("destroy_job", (job_id,), {"reason": GIVEN_UP})
        self._link.begin_on_hub(self._destruction)
