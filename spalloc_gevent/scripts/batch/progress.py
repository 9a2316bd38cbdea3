"""How far a campaign has come, how fast it goes on, and what of that is shown. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from spalloc_gevent.display.terminal import Paint, Style, printable
from spalloc_gevent.display.widths import width_of
from spalloc_gevent.scripts.batch.records import Verdict

STYLES: Mapping[Verdict, tuple[Style, ...]] = {
    Verdict.PASSED: (Style.GREEN,),
    Verdict.FAILED: (Style.RED,),
    Verdict.TIMED_OUT: (Style.RED,),
    Verdict.NO_BOARDS: (Style.MAGENTA,),
    Verdict.LOST: (Style.MAGENTA,),
    Verdict.CANCELLED: (Style.YELLOW,),
}

_WIDEST_BAR = 30
_GAP = "  "
_PHASES = (
    ("queued", "queued"),
    ("power", "powering on"),
    ("bad", "asking again"),
    ("waiting", "to come"),
)


class CaseProgress:
    """Counts of cases by verdict, and the rate at which they end."""

    def __init__(self, total: int, now_s: float, *, window: int = 100) -> None:
        """total: how many cases are run. window: over how many of the last the rate is taken."""
        self.total = total
        self.counts = dict.fromkeys(Verdict, 0)
        self._began_s = now_s
        self._ends_s: deque[float] = deque([now_s], maxlen=max(2, window))

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    def ended(self, verdict: Verdict, now_s: float) -> None:
        self.counts[verdict] += 1
        if verdict is not Verdict.CANCELLED:
            self._ends_s.append(now_s)

    def rate(self, now_s: float) -> float | None:
        """Cases a second, of late; None while there is nothing to go by."""
        span_s = now_s - self._ends_s[0]
        ends = len(self._ends_s) - 1
        return ends / span_s if ends and span_s > 0 else None

    def left_s(self, now_s: float) -> float | None:
        """Seconds until all are done, at this rate; None while nobody knows."""
        rate = self.rate(now_s)
        return None if rate is None else (self.total - self.done) / rate

    def lines(
        self,
        now_s: float,
        columns: int,
        paint: Paint,
        phases: Mapping[str, int],
        oldest: Sequence[tuple[str, float]],
    ) -> list[str]:
        """What a screen of so many columns shows below the news.

        phases: as the executor counts them; oldest: the names of the cases that have run
        longest, with their seconds.
        """
        told = [f"{self.done:,}/{self.total:,}"]
        for verdict, count in self.counts.items():
            if count:
                told.append(paint(f"{count:,} {verdict.text}", *STYLES[verdict]))
        rate, left_s = self.rate(now_s), self.left_s(now_s)
        if rate is None or left_s is None:
            told.append(span_told(now_s - self._began_s))
        else:
            told += [rate_told(rate), f"{span_told(left_s)} left"]
        room = columns - width_of(_GAP.join(told)) - len(_GAP) - 2
        if (width := min(room, _WIDEST_BAR)) >= 5:
            filled = width * self.done // max(1, self.total)
            told.insert(0, f"[{paint('#' * filled, Style.GREEN)}{'.' * (width - filled)}]")
        return [_GAP.join(told), paint(doing(phases, oldest), Style.DIM)]


def doing(phases: Mapping[str, int], oldest: Sequence[tuple[str, float]]) -> str:
    """How many cases run, wait for boards, and are to come."""
    parts = [f"{phases.get('in use', 0)} running"]
    parts += [f"{phases[name]} {told}" for name, told in _PHASES if phases.get(name)]
    told = ", ".join(f"{printable(name)} {span_told(seconds)}" for name, seconds in oldest)
    return ", ".join(parts) + (f"; longest: {told}" if told else "")


def rate_told(rate: float) -> str:
    """Cases a second, or a minute or an hour where they are few."""
    for per, name in ((1.0, "s"), (60.0, "min"), (3600.0, "h")):
        if rate * per >= 1.0 or name == "h":
            break
    value = rate * per
    return f"{value:,.0f}/{name}" if value >= 10 else f"{value:.1f}/{name}"


def span_told(seconds: float) -> str:
    """Seconds as people say them: 3 ms, 0.4 s, 12 s, 3:07 min, 2:05 h."""
    whole = round(seconds)
    if 0 < seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02} h"
