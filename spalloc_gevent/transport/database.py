"""A command that the server's database was too busy for is asked again.

On the Java server a few commands in a thousand are refused so, and nothing has happened then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from time import monotonic

from spalloc_gevent.transport.backoff import retry_delays
from spalloc_gevent.transport.connection import Connection
from spalloc_gevent.transport.waiting import sleep
from spalloc_gevent.wire.answers import is_database_busy
from spalloc_gevent.wire.messages import AnyReply, ErrorReply
from spalloc_gevent.wire.requests import Request

_log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 1.0


def pauses() -> Iterator[float]:
    """Seconds to wait before each time that a refused command is asked again."""
    return retry_delays(FIRST_PAUSE_S, LONGEST_PAUSE_S)


def may_ask_again(
    request: Request, reply: AnyReply | None, pause_s: float, deadline: float
) -> bool:
    """Whether a command was refused by the database, with time left; it is logged then.

    Args:
        request: the command.
        reply: to it; None if none came.
        pause_s: seconds to wait first.
        deadline: when to give up, on the monotonic clock.
    """
    if not is_database_busy(reply) or monotonic() + pause_s >= deadline:
        return False
    assert isinstance(reply, ErrorReply), "it was refused"
    _log.debug("the database was too busy for %r, asking again: %s", request.name, reply.reason)
    return True


def exchange(connection: Connection, request: Request, deadline: float) -> AnyReply | None:
    """As :meth:`Connection.exchange`, asked again when the database was busy."""
    reply = connection.exchange(request, deadline)
    for pause_s in pauses() if is_database_busy(reply) else ():
        if not may_ask_again(request, reply, pause_s, deadline):
            break
        sleep(pause_s)
        reply = connection.exchange(request, deadline)
    return reply
