"""One process holds hundreds of SpiNNaker allocations on a spalloc server.

``from spalloc_gevent import Job`` and ``ProtocolClient`` are the published
blocking interface; everything behind them runs on one background hub.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from spalloc_gevent._version import __version__

if TYPE_CHECKING:
    from spalloc_gevent.compat import install_as_spalloc
    from spalloc_gevent.errors import (
        JobDestroyedError,
        ProtocolError,
        ProtocolTimeoutError,
        SpallocError,
        SpallocServerException,
        StateChangeTimeoutError,
    )
    from spalloc_gevent.job import Job
    from spalloc_gevent.protocol_client import ProtocolClient
    from spalloc_gevent.states import JobState

__all__ = [
    "Job",
    "JobDestroyedError",
    "JobState",
    "ProtocolClient",
    "ProtocolError",
    "ProtocolTimeoutError",
    "SpallocError",
    "SpallocServerException",
    "StateChangeTimeoutError",
    "__version__",
    "install_as_spalloc",
]

_HOMES = {
    "Job": "job",
    "JobState": "states",
    "ProtocolClient": "protocol_client",
    "install_as_spalloc": "compat",
}


def __getattr__(name: str) -> Any:
    # Found when asked for: a command that needs one of them pays for one.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
