"""Waits until a job is in some state, without touching it, through restarts of the server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.terminal import Colour, printable
from spalloc_gevent.scripts.administration import state_name
from spalloc_gevent.scripts.common import (
    CommandError,
    ExitCode,
    describe_server_trouble,
    warn,
)
from spalloc_gevent.scripts.job_sight import Seen, Subject
from spalloc_gevent.scripts.signals import Signals
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.client import Poller, ProtocolClient

LOOK_AGAIN_S = 5.0
"""Notifications can be lost; what is waited for is looked at this often."""


def await_sight(
    prog: str,
    client: ProtocolClient,
    subject: Subject,
    is_enough: Callable[[Seen], bool],
    timeout_s: float | None = None,
    colour: Colour = Colour.AUTO,
) -> Seen | None:
    """The first sight of the job that is enough; None when there is none in `timeout_s` seconds.

    Trouble with the server is warned of, once in a row, and waited out. Raises Interrupted
    for a signal.
    """
    deadline = Deadline(timeout_s)
    in_trouble = False
    with closing(_monitor(client, subject)) as monitor, Signals() as signals:
        while not deadline.passed:
            if monitor.fileno() not in signals.wait(deadline.left(), [monitor.fileno()]):
                continue
            look = monitor.take()
            if look is None:
                continue
            if look.trouble is not None and not in_trouble:
                trouble = describe_server_trouble(look.trouble)
                warn(f"{prog}: trying again: {trouble}", colour=colour)
            in_trouble = look.trouble is not None
            if look.data is not None and is_enough(look.data):
                return look.data
    return None


def _monitor(client: ProtocolClient, subject: Subject) -> Poller[Seen]:
    return client.monitor(lambda: subject.look(client), interval_s=LOOK_AGAIN_S)


def await_state(
    prog: str,
    client: ProtocolClient,
    subject: Subject,
    wanted: JobState,
    timeout_s: float | None,
    colour: Colour = Colour.AUTO,
) -> None:
    """Return once the job is in the `wanted` state.

    Raises CommandError if it is not in `timeout_s` seconds (None: ever), or never will be.
    """
    latest = subject.look(client)

    def is_decided(seen: Seen) -> bool:
        nonlocal latest
        latest = seen
        return seen.state == wanted or _is_hopeless(seen, wanted)

    if not is_decided(latest):
        await_sight(prog, client, subject, is_decided, timeout_s, colour)
    if latest.state == wanted:
        return
    if _is_hopeless(latest, wanted):
        raise CommandError(_why_never(latest, wanted), ExitCode.NEVER_TO_BE)
    raise CommandError(
        f"Job {latest.job_id} was not {wanted.name} within {timeout_s:g} s: "
        f"it is {state_name(latest.state)}",
        ExitCode.WAIT_TIMED_OUT,
    )


def _is_hopeless(seen: Seen, wanted: JobState) -> bool:
    if seen.state in (JobState.unknown, JobState.destroyed):
        return True
    return wanted is JobState.queued and seen.state != JobState.queued


def _why_never(seen: Seen, wanted: JobState) -> str:
    why = f" ({printable(seen.reason)})" if seen.reason else ""
    return (
        f"Job {seen.job_id} is {state_name(seen.state)}{why}: it will not be {wanted.name} any more"
    )
