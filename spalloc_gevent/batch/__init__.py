"""Many allocations for one harness, on top of :class:`~spalloc_gevent.Job` and nothing below it."""

from spalloc_gevent.batch.allocation import allocate
from spalloc_gevent.batch.boards import Allocation, Attempt, BadBoards, bad_boards
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
