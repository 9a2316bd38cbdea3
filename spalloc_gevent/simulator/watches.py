"""Who wants to be told of which changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from spalloc_gevent.deadline import Clock

Watcher = TypeVar("Watcher")

WAIT_S = 60.0


class Watches(Generic[Watcher]):
    """What each watcher watches, as on the Python server: some names, or everything."""

    def __init__(self) -> None:
        self._watched: dict[Watcher, set[Any] | None] = {}

    def start(self, watcher: Watcher, name: Any) -> None:
        """Watch `name`; None watches everything, and takes in what was watched before."""
        if name is None:
            self._watched[watcher] = None
            return
        names = self._watched.setdefault(watcher, set())
        if names is not None:
            names.add(name)

    def stop(self, watcher: Watcher, name: Any) -> None:
        """Watch `name` no more; None stops all. A watcher of everything stops only by None."""
        names = self._watched.get(watcher)
        if names is not None:
            names.discard(name)
        if name is None or names == set():
            self._watched.pop(watcher, None)

    def forget(self, watcher: Watcher) -> None:
        """The watcher is gone."""
        self._watched.pop(watcher, None)

    def concerned(self, changed: set[Any]) -> Iterator[tuple[Watcher, list[Any]]]:
        """Each watcher that is to be told something now, and of what."""
        if not changed:
            return
        everything = sorted(changed)
        for watcher, names in list(self._watched.items()):
            wanted = everything if names is None else sorted(changed & names)
            if wanted:
                yield watcher, wanted

    def next_due(self) -> float:
        """When, by the clock, somebody is to be told something again; infinite when not."""
        return math.inf


@dataclass
class WaitForAny:
    """One wait of a watch of all jobs."""

    covered: set[int]
    until: float


class JavaJobWatches(Watches[Watcher]):
    """Watches of jobs as the Java server has them, each told separately.

    One of a single job repeats itself when nothing has changed for a minute since the last
    change. One of all jobs covers those that live when its wait begins, and waits anew after it
    has told of something, or after a minute.
    """

    def __init__(self, clock: Clock, living: Callable[[], set[int]]) -> None:
        super().__init__()
        self._clock = clock
        self._living = living
        # When each watch of a single job repeats itself.
        self._single: dict[Watcher, dict[int, float]] = {}
        self._all: dict[Watcher, WaitForAny] = {}
        self._last_words: list[tuple[Watcher, list[int]]] = []

    def next_due(self) -> float:
        repeats = (at for jobs in self._single.values() for at in jobs.values())
        return min([*repeats, *(wait.until for wait in self._all.values())], default=math.inf)

    def start(self, watcher: Watcher, job_id: int | None) -> None:
        if job_id is None:
            self._all.setdefault(watcher, self._wait())
        else:
            self._single.setdefault(watcher, {}).setdefault(job_id, math.inf)

    def stop(self, watcher: Watcher, job_id: int | None) -> None:
        """Watch a job no more; None stops the watch of all, which tells of them once."""
        if job_id is not None:
            self._single.get(watcher, {}).pop(job_id, None)
        elif watcher in self._all:
            covered = self._all.pop(watcher).covered
            self._last_words += [(watcher, sorted(covered))] if covered else []

    def forget(self, watcher: Watcher) -> None:
        self._single.pop(watcher, None)
        self._all.pop(watcher, None)
        self._last_words = [told for told in self._last_words if told[0] != watcher]

    def concerned(self, changed: set[int]) -> Iterator[tuple[Watcher, list[int]]]:
        last_words, self._last_words = self._last_words, []
        yield from last_words
        now = self._clock()
        if changed or self.next_due() <= now:
            for watcher, jobs in list(self._single.items()):
                for job_id, repeat_at in list(jobs.items()):
                    if job_id in changed or repeat_at <= now:
                        jobs[job_id] = now + WAIT_S
                        yield watcher, [job_id]
        for watcher, wait in list(self._all.items()):
            # One that covers none looks again and again.
            wait.covered = wait.covered or self._living()
            told = sorted(wait.covered & changed)
            if told or wait.until <= now:
                self._all[watcher] = self._wait()
            if told:
                yield watcher, told

    def _wait(self) -> WaitForAny:
        return WaitForAny(self._living(), self._clock() + WAIT_S)


class JavaMachineWatches(Watches[Watcher]):
    """Watches of machines as the Java server has them: each is one more, and none ever ends."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[Watcher, list[str | None]] = {}

    def start(self, watcher: Watcher, name: str | None) -> None:
        self._names.setdefault(watcher, []).append(name)

    def stop(self, watcher: Watcher, name: str | None) -> None:
        """Nothing: a watch of machines is never let go of."""

    def forget(self, watcher: Watcher) -> None:
        self._names.pop(watcher, None)

    def concerned(self, changed: set[str]) -> Iterator[tuple[Watcher, list[str]]]:
        for watcher, names in list(self._names.items()):
            for name in names:
                told = sorted(changed if name is None else changed & {name})
                if told:
                    yield watcher, told
