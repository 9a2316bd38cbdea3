"""Many allocations for one harness, on top of :class:`~spalloc_gevent.Job` and nothing below it."""

from spalloc_gevent.batch.allocated import Allocation
from spalloc_gevent.batch.allocation import allocate
from spalloc_gevent.batch.attempts import Attempt
from spalloc_gevent.batch.bad_boards import BadBoards, bad_boards
from spalloc_gevent.batch.executor import SpallocExecutor
from spalloc_gevent.batch.group import JobGroup
from spalloc_gevent.batch.phases import Phase

__all__ = [
    "Allocation",
    "Attempt",
    "BadBoards",
    "JobGroup",
    "Phase",
    "SpallocExecutor",
    "allocate",
    "bad_boards",
]
