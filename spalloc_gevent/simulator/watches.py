"""Who wants to be told of which changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Watcher = TypeVar("Watcher")


class Watches(Generic[Watcher]):
    """What each watcher watches: some names, or everything."""

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
        self._watched.pop(watcher, None)

    def concerned(self, changed: set[Any]) -> Iterator[tuple[Watcher, list[Any]]]:
        """Each watcher that `changed` concerns, and what of it concerns it."""
        if not changed:
            return
        everything = sorted(changed)
        for watcher, names in list(self._watched.items()):
            wanted = everything if names is None else sorted(changed & names)
            if wanted:
                yield watcher, wanted


class SeparateWatches(Watches[Watcher]):
    """As the Java server has them: a watch of everything is one more, that ends by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._everything: Watches[Watcher] = Watches()

    def start(self, watcher: Watcher, name: Any) -> None:
        if name is None:
            self._everything.start(watcher, None)
        else:
            super().start(watcher, name)

    def stop(self, watcher: Watcher, name: Any) -> None:
        if name is None:
            self._everything.stop(watcher, None)
        else:
            super().stop(watcher, name)

    def forget(self, watcher: Watcher) -> None:
        super().forget(watcher)
        self._everything.forget(watcher)

    def concerned(self, changed: set[Any]) -> Iterator[tuple[Watcher, list[Any]]]:
        yield from super().concerned(changed)
        yield from self._everything.concerned(changed)
