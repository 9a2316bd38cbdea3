"""The guardian's work: hears the program on standard input, and ends when the program does."""

from __future__ import annotations

import os
import select
import time

from spalloc_gevent.guardian.charges import Charge, Charges
from spalloc_gevent.guardian.parent import Parent
from spalloc_gevent.guardian.servers import Fate, GuardedServer
from spalloc_gevent.wire.lines import LineSplitter

_PROGRAM = 0
"""Standard input: the connection to the program."""
_LOOK_EVERY_S = 0.25
"""How often to look whether the program still is, on systems that cannot tell us."""


class Guardian:
    """Keeps the program's jobs alive while it is silent."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._lines = LineSplitter()
        self._charges = Charges()
        self._servers: dict[tuple[str, int], GuardedServer] = {}

    def run(self) -> None:
        """Returns when the program has ended."""
        while self._listen():
            for charge in self._charges.due():
                self._keep(charge)
                if self._is_called():
                    break
            if not self._charges.is_silent:
                self._hang_up()
        self._hang_up()

    def _keep(self, charge: Charge) -> None:
        key = (charge.key.host, charge.key.port)
        if key not in self._servers:
            self._servers[key] = GuardedServer(*key, time.monotonic)
        fate = self._servers[key].keep(charge)
        if fate is Fate.KEPT:
            self._charges.kept(charge)
        elif fate is Fate.OUT_OF_REACH:
            self._charges.tried(charge)
        else:
            self._charges.drop(charge.key)

    def _hang_up(self) -> None:
        while self._servers:
            self._servers.popitem()[1].close()

    # -- the program ------------------------------------------------------------

    def _listen(self) -> bool:
        """Sleep until there is something to do; False once the program has ended."""
        files = [_PROGRAM, *self._parent.files]
        ready, _, _ = select.select(files, [], [], self._rest_s())
        if set(ready) & set(self._parent.files) or self._parent.has_ended:
            return False
        return _PROGRAM not in ready or self._hear()

    def _rest_s(self) -> float | None:
        due_s = self._charges.next_in()
        if self._parent.files:
            return due_s
        return _LOOK_EVERY_S if due_s is None else min(due_s, _LOOK_EVERY_S)

    def _hear(self) -> bool:
        data = os.read(_PROGRAM, 65_536)
        for line in self._lines.lines(data):
            self._charges.hear(line)
        return bool(data)

    def _is_called(self) -> bool:
        """Whether the program has something to say, or has ended, while we work."""
        return bool(select.select([_PROGRAM, *self._parent.files], [], [], 0)[0])
