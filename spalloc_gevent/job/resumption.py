"""Coming back to a job that exists."""

from __future__ import annotations

from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.server_commands import state_told
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.answers import JobStateInfo, job_state
from spalloc_gevent.wire.identity import Identity, as_start_time
from spalloc_gevent.wire.messages import Refused, Returned

_GONE = (JobState.destroyed, JobState.unknown)


class Resumption:
    """One ``get_job_state`` about a job that is to be held from the moment of its answer."""

    def __init__(self, link: ServerLink, job_id: int) -> None:
        self._link = link
        self._job_id = job_id
        self._held: Held | None = None
        self._call = Call("get_job_state", (job_id,), taken=self._taken, introduces=True)

    def run(self, timeout_s: float | None) -> tuple[JobStateInfo, Held | None]:
        """The job's state, and the job; None when it has ended."""
        return state_told(lambda: self._link.run(self._call, timeout_s)), self._held

    def give_up(self) -> None:
        """Hold it no longer; harmless when nothing is held."""
        if self._held is not None:
            self._link.unguard(self._held)
            self._link.let_go(self._held)

    def _taken(self, reply: Returned | Refused) -> None:
        if not isinstance(reply, Returned) or self._call.abandoned:
            return
        try:
            info = job_state(reply.value)
        except ProtocolError:
            return  # Whoever waits for the answer is told so.
        if info["state"] not in _GONE:
            identity = Identity(start_time=as_start_time(info["start_time"]))
            self._held = Held(self._job_id, identity)
            self._link.hold_on_hub(self._held)
