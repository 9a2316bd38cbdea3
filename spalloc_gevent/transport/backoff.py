"""When a server that cannot be reached may be tried again; pure but for the clock it is told."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

RECONNECT_DELAY_S = 5.0
"""The time between attempts where nobody has said another."""
SHORTEST_DELAY_S = 0.05
HARMLESS_SHARE = 0.25
"""A keepalive is due at half of its interval: a delay between attempts of this share of it
leaves time for two of them, and loses no job."""
RESCUE_SHARE = 0.125
SHORTEST_RESCUE_S = 0.5
"""Where the delay is longer, attempts come after this share of the shortest keepalive, but not
more than two a second."""
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
        """True if an attempt has failed since the last reply."""
        self.tried_at = -math.inf
        """When the last attempt began."""
        self._spread = spread
        self._failed_at = -math.inf
        self._said_delay_s: float | None = None
        """The shortest delay between attempts that anybody has said."""

    def set_delay(self, delay_s: float) -> None:
        """Try a server that is away once in this time; the least patient user decides.

        Args:
            delay_s: seconds from the beginning of one attempt to that of the next.
        """
        said_s = math.inf if self._said_delay_s is None else self._said_delay_s
        self._said_delay_s = min(said_s, max(delay_s, SHORTEST_DELAY_S))

    @property
    def delay_s(self) -> float:
        """Seconds between attempts to reach a server that is away, as was said."""
        return RECONNECT_DELAY_S if self._said_delay_s is None else self._said_delay_s

    def delay_for(self, keepalive_s: float) -> float:
        """Seconds between attempts: as was said, unless that would lose a job.

        Args:
            keepalive_s: the shortest of the jobs that are held.
        """
        if self.delay_s <= keepalive_s * HARMLESS_SHARE:
            return self.delay_s
        return min(self.delay_s, max(SHORTEST_RESCUE_S, keepalive_s * RESCUE_SHARE))

    def began(self, now: float) -> None:
        """An attempt begins: the delay counts from here for everybody."""
        self.tried_at = now

    def failed(self, error: Exception, now: float) -> None:
        """An attempt failed, or a connection broke that had never answered."""
        self.error = error
        self.is_pending = True
        self._failed_at = now

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
        # From the attempt, too: it may have failed without anybody's notice yet.
        callers_moment = max(self.tried_at, self._failed_at) + CALLERS_PACE_S
        return min(moment, callers_moment) if by_caller else moment
