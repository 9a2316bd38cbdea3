"""Whether a server can be reached, and when it may be tried again; pure but for its clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from spalloc_gevent.engine.backoff import LONGEST_DELAY_S, retry_delays

IMPATIENT_PACE_S = 0.1
"""Callers that do not want to wait for a server may try it this often, not more."""


class Reachability:
    """What the attempts so far say about a server.

    A connection alone proves little (it may be a place in the accept queue of
    a server that is dead): the delays start from the beginning again only
    after an answer.
    """

    def __init__(
        self,
        longest_delay_s: float = LONGEST_DELAY_S,
        delays: Callable[[float], Iterator[float]] = lambda longest_s: retry_delays(
            longest_s=longest_s
        ),
    ) -> None:
        self.error: Exception | None = None
        """Why the last attempt failed; None while the server can be reached."""
        self.longest_delay_s = longest_delay_s
        self._make_delays = delays
        self._delays: Iterator[float] | None = None
        self._failed_at = 0.0
        self._try_at = 0.0

    @property
    def down(self) -> bool:
        return self.error is not None

    @property
    def doubtful(self) -> bool:
        """True if something has gone wrong since the last answer."""
        return self._delays is not None

    def doubt(self) -> Iterator[float]:
        """A connection broke that had not answered yet; the delays that go on from there."""
        if self._delays is None:
            self._delays = self._make_delays(self.longest_delay_s)
        return self._delays

    def failed(self, error: Exception, now: float, began_at: float | None = None) -> None:
        """An attempt failed, or another connection broke that had not answered yet.

        The delay to the next counts from when the attempt began: one that was
        waited for in vain has been the delay.
        """
        self.error = error
        self._failed_at = now
        self._try_at = max(now, (now if began_at is None else began_at) + next(self.doubt()))

    def connected(self) -> None:
        """A connection was made."""
        self.error = None

    def answered(self) -> None:
        """The server has answered a command."""
        self._delays = None

    def wait_s(self, now: float) -> float:
        """Seconds until those who wait for the server may try again."""
        return max(0.0, self._try_at - now)

    def open_to_impatient(self, now: float) -> bool:
        """May a caller who does not wait try at once?"""
        return not self.down or now >= min(self._try_at, self._failed_at + IMPATIENT_PACE_S)
