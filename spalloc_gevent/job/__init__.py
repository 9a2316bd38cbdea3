"""A job: what is asked for, its life, its keepalive.

Also the names that users of the existing client import from its ``job`` module.
"""

from spalloc_gevent.errors import JobDestroyedError, StateChangeTimeoutError
from spalloc_gevent.job.job import Job
from spalloc_gevent.wire.version import VERSION_RANGE_START, VERSION_RANGE_STOP

__all__ = [
    "VERSION_RANGE_START",
    "VERSION_RANGE_STOP",
    "Job",
    "JobDestroyedError",
    "StateChangeTimeoutError",
]
