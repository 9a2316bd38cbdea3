"""Which jobs are not on the server any more, noticed while commands run on their boards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spalloc_gevent.client import Poller

LOOK_EVERY_S = 10.0
"""Notifications can be lost: the server's jobs are looked at this often all the same."""

Seen = tuple[float, frozenset[int]]
"""When the server was asked, in monotonic seconds, and the IDs of its jobs."""


class JobWatch:
    """Looks at the server's jobs in the background, from when it is first needed."""

    def __init__(self, server: Mapping[str, Any]) -> None:
        """server: the ``hostname``, ``port`` and ``timeout`` of its jobs."""
        self._server = server
        self._opened = ExitStack()
        self._poller: Poller[Seen] | None = None

    def open(self) -> None:
        """Begin looking, unless that is done already."""
        if self._poller is not None:
            return
        from spalloc_gevent.client import ProtocolClient

        server = self._server
        where, limit_s = (server["hostname"], server["port"]), server["timeout"]
        client = ProtocolClient(*where, call_timeout=limit_s).open()
        self._opened.callback(client.close)

        def collect() -> Seen:
            asked_s = time.monotonic()
            return asked_s, frozenset(job["job_id"] for job in client.list_jobs())

        poller = client.monitor(collect, interval_s=LOOK_EVERY_S)
        self._poller = self._opened.enter_context(closing(poller))

    def close(self) -> None:
        self._opened.close()

    @property
    def files(self) -> list[int]:
        """What becomes readable when there is something to :meth:`take`."""
        return [] if self._poller is None else [self._poller.fileno()]

    def take(self) -> Seen | None:
        """What was seen last; None when the server did not answer."""
        snapshot = None if self._poller is None else self._poller.take()
        return None if snapshot is None else snapshot.data
