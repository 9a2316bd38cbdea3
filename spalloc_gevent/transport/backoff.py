"""When a server that cannot be reached may be tried again; pure but for the clock it is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
CALLERS_PACE_S = 0.1
"""Callers that do not want to wait for a server may try it this often, not more."""


def retry_delays(
    first_s: float = FIRST_DELAY_S,
    longest_s: float = LONGEST_DELAY_S,
    jitter: Callable[[], float] = random.random,
) -> Iterator[float]:
    """Seconds to wait before each further attempt, for ever.

    They double from `first_s` to `longest_s`, each scaled by 0.5 to 1.0 so that
    the clients of a server that returns do not all come at once.
    """
    delay_s = min(first_s, longest_s)
    while True:
        yield delay_s * (0.5 + jitter() / 2)
        delay_s = min(longest_s, delay_s * 2)


class ConnectBackoff:
    """What the attempts so far say about a server.

    A connection alone proves little (it may be a place in the accept queue of
    a server that is dead): the delays start from the beginning again only
    after a reply.
    """

    def __init__(self, delays: Callable[..., Iterator[float]] = retry_delays) -> None:
        self.error: Exception | None = None
        """Why the last attempt failed; None while the server can be reached."""
        self._make_delays = delays
        self._delays: Iterator[float] | None = None
        self._longest_s = LONGEST_DELAY_S
        self._failed_at = 0.0
        self._try_at = 0.0

    @property
    def is_down(self) -> bool:
        return self.error is not None

    @property
    def is_pending(self) -> bool:
        """True if an attempt has failed since the last reply."""
        return self._delays is not None

    def failed(
        self, error: Exception, now: float, began_at: float, longest_s: float = LONGEST_DELAY_S
    ) -> None:
        """An attempt failed, or a connection broke that had never answered.

        Args:
            error: why.
            now, began_at: when it failed, and when it began: the delay counts from there, as an
                attempt that was waited for in vain has been the delay.
            longest_s: the longest delay that anybody wants at present.
        """
        if self._delays is None or longest_s != self._longest_s:
            self._longest_s = longest_s
            self._delays = self._make_delays(longest_s=longest_s)
        self.error = error
        self._failed_at = now
        self._try_at = max(now, began_at + next(self._delays))

    def connected(self) -> None:
        """A connection was made."""
        self.error = None

    def answered(self) -> None:
        """The server has replied to a command."""
        self.error = None
        self._delays = None

    def next_attempt_at(self, *, by_caller: bool) -> float:
        """When the next attempt may be made.

        Args:
            by_caller: for somebody who does not want to wait for a server that is away.
        """
        if not by_caller:
            return self._try_at
        return min(self._try_at, self._failed_at + CALLERS_PACE_S)
