"""When a server that cannot be reached may be tried again; pure but for the clock it is told."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

RECONNECT_DELAY_S = 5.0
"""The time between attempts where nobody has said another."""
SPREAD_SHARE = 0.1
"""An attempt may come later by this share of the delay: the clients of a server that returns
do not all come at once, and the users of one delay take turns."""
CALLERS_PACE_S = 0.1
"""Attempts that a caller asks for wait for no delay, but do not come quicker than this."""


def retry_delays(
    first_s: float, longest_s: float, jitter: Callable[[], float] = random.random
) -> Iterator[float]:
    """Seconds to wait before each further attempt, for ever.

    They double from `first_s` to `longest_s`, each scaled by 0.5 to 1.0 so that
    the clients of a server do not all come at once.
    """
    delay_s = min(first_s, longest_s)
    while True:
        yield delay_s * (0.5 + jitter() / 2)
        delay_s = min(longest_s, delay_s * 2)


class ConnectBackoff:
    """What the attempts so far say about a server; one for all that connect to it.

    A connection alone proves little (it may be a place in the accept queue of
    a server that is dead): attempts keep their delay until there is a reply.
    """

    def __init__(self, spread: Callable[[], float] = random.random) -> None:
        self.error: Exception | None = None
        """Why the last attempt failed; None while the server can be reached."""
        self.is_pending = False
        """True if an attempt has failed, or a connection broke, since the last reply."""
        self.tried_at = -math.inf
        """When the last attempt began."""
        self._spread = spread
        self._failed_at = -math.inf

    @property
    def is_down(self) -> bool:
        return self.error is not None

    def began(self, now: float) -> None:
        """An attempt begins: the delay counts from here for everybody."""
        self.tried_at = now

    def failed(self, error: Exception, now: float) -> None:
        """An attempt failed, or a connection broke that had never answered."""
        self.error = error
        self.is_pending = True
        self._failed_at = now

    def broke(self) -> None:
        """A connection broke that had answered: the next one is tried alone, but at once."""
        if not self.is_pending:
            self.is_pending = True
            self.tried_at = -math.inf

    def connected(self) -> None:
        """A connection was made."""
        self.error = None

    def answered(self) -> None:
        """The server has replied to a command: that connection was no vain attempt."""
        self.error = None
        self.is_pending = False
        self.tried_at = -math.inf

    def next_attempt_at(self, delay_s: float, *, by_caller: bool) -> float:
        """When the next attempt may be made.

        Args:
            delay_s: the delay between attempts that holds at present.
            by_caller: for somebody who has asked for one by a call, and not had it yet.
        """
        if not self.is_pending:
            return -math.inf
        moment = self.tried_at + delay_s * (1 + SPREAD_SHARE * self._spread())
        return min(moment, self._failed_at + CALLERS_PACE_S) if by_caller else moment
