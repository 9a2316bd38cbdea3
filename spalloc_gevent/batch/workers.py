"""Workers that see to one piece of work after the other, each in its thread or greenlet."""

from __future__ import annotations

import functools
import os
from collections import deque

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.transport import native
from spalloc_gevent.transport.threads import GreenletThread, Threads, Work, start_thread
from spalloc_gevent.transport.waiting import ChangeCounter

KEEP = object()
"""What work returns that keeps its place."""


class Workers:
    """At most so many workers; each ends when there is nothing more to do."""

    def __init__(self, most: int, threads: Threads | GreenletThread) -> None:
        self.process = os.getpid()
        """Whose they are: a forked child has none of them."""
        self.lock = native.new_rlock()
        """While it is held, no work begins."""
        self._most = most
        self._threads = threads
        self._waiting: deque[Work] = deque()
        self._open: set[Work] = set()
        """What is being done, one for each worker."""
        self._kept = 0
        """The places of workers that have ended, until somebody leaves them."""
        self._aside: set[Work] = set()
        """What is being done besides, by nobody's worker."""
        self._here: set[object] = set()
        """The threads or greenlets of the workers."""
        self._ends = ChangeCounter()
        self.is_closed = False

    @property
    def are_done(self) -> bool:
        """True if no work is waiting, nor will any more come."""
        return self.is_closed and not self._waiting

    def submit(self, work: Work) -> bool:
        """Have ``work()``, which must not raise, done by the next free worker.

        Args:
            work: returns KEEP for its place to stay taken until :meth:`leave`.

        Returns:
            False if they are closed.

        Raises:
            SpallocError: the system gives no thread; the work is not done then.
        """
        with self.lock:
            if self.is_closed:
                return False
            if self._is_full:
                self._waiting.append(work)
            else:
                self._begin(work)
            return True

    @property
    def _is_full(self) -> bool:
        return len(self._open) + self._kept >= self._most

    def _begin(self, work: Work) -> None:
        try:
            self._open.add(work)
            self._threads.start(functools.partial(self._run, work))
        except BaseException:
            # Interrupted, its thread may run even so: it will see that nobody counts on it.
            self._open.discard(work)
            raise

    def leave(self) -> None:
        """Free a place that was kept, for the work that waits.

        Raises:
            SpallocError: the system gives no thread; the work waits for the next free place.
        """
        with self.lock:
            self._kept -= 1
            while self._waiting and not self._is_full:
                work = self._waiting.popleft()
                try:
                    self._begin(work)
                except BaseException:
                    self._waiting.appendleft(work)
                    raise
        self._ends.increment()

    def do_aside(self, work: Work) -> None:
        """Have ``work()`` done at once in a thread of its own; :meth:`join` waits for it, too.

        Raises:
            SpallocError: the system gives no thread; the work is not done then.
        """

        def run() -> None:
            try:
                work()
            finally:
                self._aside.discard(work)
                self._ends.increment()

        try:
            self._aside.add(work)
            start_thread(run)
        except BaseException:
            self._aside.discard(work)
            raise

    def close(self, *, drop: bool = False) -> None:
        """Take no more work.

        Args:
            drop: forget what has not begun.
        """
        with self.lock:
            self.is_closed = True
            if drop:
                self._waiting.clear()
        self._threads.close()

    def join(self, deadline: Deadline) -> bool:
        """Wait until all work has been done, after :meth:`close`.

        Returns:
            False if the deadline has passed before.

        Raises:
            RuntimeError: a worker would wait for itself.
        """
        if self._threads.current() in self._here:
            raise RuntimeError("a task cannot wait for the end of the executor that runs it")
        while True:
            seen = self._ends.count
            if not self._open and not self._aside and not self._kept:
                return True
            if not self._ends.wait_beyond(seen, deadline.at):
                return False

    def _run(self, first: Work) -> None:
        with self.lock:
            work = first if first in self._open else None
            self._here.add(self._threads.current())
        try:
            while work is not None:
                is_kept = work() is KEEP
                with self.lock:
                    self._open.discard(work)
                    self._kept += is_kept
                    is_next = bool(self._waiting) and not self._is_full
                    work = self._waiting.popleft() if is_next else None
                    if work is not None:
                        self._open.add(work)
        finally:
            with self.lock:
                if work is not None:
                    self._open.discard(work)
                self._here.discard(self._threads.current())
            self._ends.increment()
