"""Waits until a job is in some state, without touching it, through restarts of the server."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.scripts.common import CommandError, ExitCode, describe_server_trouble, warn
from spalloc_gevent.scripts.jobs.subject import Seen, Subject
from spalloc_gevent.scripts.listed_jobs import state_name
from spalloc_gevent.scripts.signals import Signals
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient

LOOK_AGAIN_S = 5.0
"""Notifications can be lost; what is waited for is looked at this often."""


def await_sight(
    client: ProtocolClient,
    subject: Subject,
    is_enough: Callable[[Seen], bool],
    options: argparse.Namespace,
    timeout_s: float | None = None,
) -> Seen | None:
    """The first sight of the job that is enough; None when there is none in `timeout_s` seconds.

    Trouble with the server is warned of, once in a row, and waited out. Raises Interrupted
    for a signal.
    """
    deadline = Deadline(timeout_s)
    in_trouble = False
    poller = client.monitor(lambda: subject.look(client), interval_s=LOOK_AGAIN_S)
    with closing(poller), Signals() as signals:
        while not deadline.passed:
            if not signals.wait(deadline.left(), [poller.fileno()]):
                continue
            look = poller.take()
            if look is None:
                continue
            if look.trouble is not None and not in_trouble:
                trouble = describe_server_trouble(look.trouble)
                warn(f"{options.prog}: trying again: {trouble}", colour=options.colour)
            in_trouble = look.trouble is not None
            if look.data is not None and is_enough(look.data):
                return look.data
    return None


def await_state(
    client: ProtocolClient, subject: Subject, wanted: JobState, options: argparse.Namespace
) -> None:
    """Return once the job is in the `wanted` state.

    Raises CommandError if it is not in ``options.wait_timeout`` seconds (None: ever), or never
    will be; Interrupted for a signal.
    """
    latest = subject.look(client)

    def is_hopeless(seen: Seen) -> bool:
        if wanted is JobState.queued:
            return seen.state != wanted
        return seen.state in (JobState.unknown, JobState.destroyed)

    def is_decided(seen: Seen) -> bool:
        nonlocal latest
        latest = seen
        return seen.state == wanted or is_hopeless(seen)

    if not is_decided(latest):
        await_sight(client, subject, is_decided, options, options.wait_timeout)
    if latest.state == wanted:
        return
    state = state_name(latest.state)
    if is_hopeless(latest):
        why = f" ({printable(latest.reason)})" if latest.reason else ""
        raise CommandError(
            f"Job {latest.job_id} is {state}{why}: it can no longer become {wanted.name}",
            ExitCode.NEVER_TO_BE,
        )
    raise CommandError(
        f"Job {latest.job_id} was not {wanted.name} within {options.wait_timeout:g} s: "
        f"it is {state}",
        ExitCode.WAIT_TIMED_OUT,
    )
