"""What a measurement comes to: a figure, its spread, and the goal that it is judged by."""

from __future__ import annotations

import dataclasses
import enum
import operator
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.units import told


@dataclass(frozen=True)
class Spread:
    """The median of some repeats, and the bounds of the middle half of them."""

    median: float
    low: float
    high: float
    count: int = 1

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        numbers = list(values)
        if not numbers:
            raise ValueError("nothing was measured")
        if len(numbers) == 1:
            return cls(numbers[0], numbers[0], numbers[0])
        low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
        return cls(median, low, high, len(numbers))

    def times(self, factor: float) -> Spread:
        """The same in another unit, or for so many."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.count)


def one(value: float) -> Spread:
    """What was measured once."""
    return Spread.of([value])


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Of what was measured turn by turn: a machine that slows down slows both of a turn."""
    return Spread.of([over / under for over, under in zip(above, below, strict=True)])


class Verdict(enum.Enum):
    """The values are what the table says."""

    REACHED = "ok"
    MISSED = "MISSED"
    NOT_JUDGED = "not judged"
    NO_GOAL = ""


_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Goal:
    """What a figure is to reach.

    of_ratio: it is about the ratio to the floor, not about the figure itself.
    is_outcome: it is about what came of it (jobs lost, processes), which no busy machine
        excuses; a quick run judges nothing else.
    """

    sign: str
    limit: float
    of_ratio: bool = False
    is_outcome: bool = False

    def __post_init__(self) -> None:
        if self.sign not in _SIGNS:
            raise ValueError(f"a goal's sign is one of {', '.join(_SIGNS)}, not {self.sign!r}")

    def told(self, unit: str) -> str:
        """As the table shows it, of a figure in this unit."""
        value = told(self.limit, "x" if self.of_ratio else unit)
        return value if self.sign == "==" else f"{self.sign} {value}"

    def is_reached_by(self, value: float) -> bool:
        return _SIGNS[self.sign](value, self.limit)


def at_most(limit: float) -> Goal:
    return Goal("<=", limit)


def ratio_at_most(limit: float) -> Goal:
    return Goal("<=", limit, of_ratio=True)


def ratio_at_least(limit: float) -> Goal:
    return Goal(">=", limit, of_ratio=True)


def outcome(sign: str, limit: float) -> Goal:
    return Goal(sign, limit, is_outcome=True)


@dataclass(frozen=True)
class Figure:
    """A line of the table.

    unit: "s", "KiB", "us/s" (CPU time), "/s", "%" or "" (a number of things).
    floor: the same work over raw sockets; existing: by the existing client; None where there is
        no such thing. The ratios are of ours, and the existing client's, to the floor.
    note: what is measured, where the name does not say it all.
    """

    name: str
    unit: str
    ours: Spread
    floor: Spread | None = None
    existing: Spread | None = None
    ratio: Spread | None = None
    existing_ratio: Spread | None = None
    goal: Goal | None = None
    is_judged: bool = True
    note: str = ""

    @property
    def judged_value(self) -> float:
        """What the goal, or who has none, is about."""
        if self.goal is not None and self.goal.of_ratio:
            assert self.ratio is not None, f"{self.name}: a goal for a ratio that is not there"
            return self.ratio.median
        return self.ours.median

    @property
    def verdict(self) -> Verdict:
        if self.goal is None:
            return Verdict.NO_GOAL
        if not self.is_judged:
            return Verdict.NOT_JUDGED
        reached = self.goal.is_reached_by(self.judged_value)
        return Verdict.REACHED if reached else Verdict.MISSED

    def of_a_quick_run(self) -> Figure:
        """The same, judged only if it is an outcome."""
        is_outcome = self.goal is not None and self.goal.is_outcome
        return dataclasses.replace(self, is_judged=is_outcome)

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "verdict": self.verdict.value}


Turns = Mapping[str, Sequence[float]]
"""What was measured turn by turn, by who did the work: "floor" and "existing" among others."""


def compared(
    name: str, unit: str, who: str, turns: Turns, goal: Goal | None = None, note: str = ""
) -> Figure:
    """What `who` took, beside the floor and, where that was measured too, the existing client."""
    existing = turns.get("existing")
    return Figure(
        name,
        unit,
        Spread.of(turns[who]),
        floor=Spread.of(turns["floor"]),
        existing=None if existing is None else Spread.of(existing),
        ratio=ratio(turns[who], turns["floor"]),
        existing_ratio=None if existing is None else ratio(existing, turns["floor"]),
        goal=goal,
        note=note,
    )


def over(name: str, who: str, alone: str, turns: Turns, goal: Goal | None = None) -> Figure:
    """The seconds that `who` took on top of what `alone` did, turn by turn."""
    pairs = zip(turns[who], turns[alone], strict=True)
    return Figure(name, "s", Spread.of(took - less for took, less in pairs), goal=goal)
