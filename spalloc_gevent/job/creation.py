"""Asking for a job so that none is left behind, whenever the caller gives up."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.engine.outcome import Unawaited
from spalloc_gevent.errors import ProtocolError, UnknownStateError
from spalloc_gevent.job.keepalive import answer_within_s
from spalloc_gevent.job.request import Request
from spalloc_gevent.wire.answers import job_state
from spalloc_gevent.wire.identity import Identity
from spalloc_gevent.wire.messages import Refused, Returned

GIVEN_UP = "The client gave up waiting for the job to be created."


class Creation:
    """One ``create_job`` on its way.

    A late answer to a command that nobody waits for any more is a live job: it
    is destroyed as soon as its number is known.
    """

    def __init__(self, link: ServerLink, request: Request) -> None:
        self._link = link
        self._owner = request.owner
        self._answer_within_s = answer_within_s(request.keepalive_s)
        self._held: Held | None = None
        self._call = Call(
            "create_job", request.size, request.options, late=self._destroy, taken=self._taken
        )

    def run(self, timeout_s: float | None) -> Held:
        """The new job."""
        answer = self._link.run(self._call, timeout_s)
        if self._held is None:
            raise ProtocolError(f"the server was asked for a job and gave {answer!r} as its number")
        return self._held

    def give_up(self) -> None:
        """Have the job destroyed if there is, or ever comes, one."""
        self._link.give_up(self._call)

    # -- on the hub -----------------------------------------------------------

    def _taken(self, reply: Returned | Refused) -> None:
        if isinstance(reply, Returned) and type(reply.value) is int:
            self._held = Held(reply.value, Identity(self._owner))
            self._link.hold_on_hub(self._held)
            if not self._call.abandoned:
                self._ask_when_it_began()

    def _ask_when_it_began(self) -> None:
        """Without that, another job of the same owner could not be told from it."""
        assert self._held is not None
        call = Call(
            "get_job_state",
            (self._held.job_id,),
            answer_within_s=self._answer_within_s,
            taken=self._began,
            outcome=Unawaited(),
        )
        self._link.begin_on_hub(call)

    def _began(self, reply: Returned | Refused) -> None:
        if self._held is not None and isinstance(reply, Returned):
            # A state that nobody knows is no reason to leave the connection.
            with suppress(UnknownStateError):
                self._held.learn(job_state(reply.value)["start_time"])

    def _destroy(self, job_id: Any) -> None:
        if self._held is not None:
            reason = {"reason": GIVEN_UP}
            call = Call("destroy_job", (job_id,), reason, outlives_caller=True, outcome=Unawaited())
            self._link.disown_on_hub(self._held, call)
