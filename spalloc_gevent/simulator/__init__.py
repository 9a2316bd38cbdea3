"""A spalloc server without hardware, for tests and for trying things out.

    with SimulatedServer([MachineSpec(width=4, height=2)]) as server:
        Job(3, hostname=server.host, port=server.port, owner="me")

``spalloc-simulator`` is the same as a command. The machines' boards are made
up; everything that the protocol can tell of them follows ``spalloc_server`` or,
with ``dialect="java"``, the Java server.
"""

from __future__ import annotations

from spalloc_gevent.simulator.faults import (
    Delay,
    Drop,
    Duplicate,
    Fault,
    Garbage,
    NotificationFlood,
    Refuse,
    Silence,
    Split,
    Unsolicited,
)
from spalloc_gevent.simulator.java_options import JavaOptions
from spalloc_gevent.simulator.machine import MachineSpec
from spalloc_gevent.simulator.record import CommandsSeen, SeenCommand
from spalloc_gevent.simulator.server import SimulatedServer

__all__ = [
    "CommandsSeen",
    "Delay",
    "Drop",
    "Duplicate",
    "Fault",
    "Garbage",
    "JavaOptions",
    "MachineSpec",
    "NotificationFlood",
    "Refuse",
    "SeenCommand",
    "Silence",
    "SimulatedServer",
    "Split",
    "Unsolicited",
]
