"""Which server the tests use: the one that is configured, or a simulated one."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from spalloc_gevent.simulator import MachineSpec, SimulatedServer

_WHERE = "spalloc_simulated_server"
_GIVEN = ("hostname", "port", "owner")

MACHINE = MachineSpec("simulated", 12, 12)
"""432 boards: enough for many workers at once."""


class Serving:
    """The server of one test run; with pytest-xdist, the controller's is everybody's."""

    def __init__(self, config: pytest.Config) -> None:
        self._server: SimulatedServer | None = None
        given = {name: config.getoption(f"spalloc_{name}") for name in _GIVEN}
        self.options: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        """Options for ``Job``."""
        if not config.getoption("spalloc_simulate"):
            return
        if given["hostname"] is not None:
            raise pytest.UsageError("give --spalloc-hostname or --spalloc-simulate, not both")
        where = getattr(config, "workerinput", {}).get(_WHERE)
        if where is None:
            self._server = SimulatedServer([MACHINE])
            self._server.start()
            where = [self._server.host, self._server.port]
        # What this machine is configured for is another server's.
        self.options = {
            "owner": "pytest", **self.options, "hostname": where[0], "port": where[1],
            "machine": None, "tags": None, "config_filenames": [],
        }  # fmt: skip

    def tell(self, workerinput: MutableMapping[str, Any]) -> None:
        """Let a worker know where the simulated server is, if there is one."""
        if self._server is not None:
            workerinput[_WHERE] = [self._server.host, self._server.port]

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()
