"""How long to wait between attempts to reach a server that is away, as a pure sequence."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0


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
