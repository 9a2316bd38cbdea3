"""Starts the guardian, a process beside this program, and tells it which jobs to guard.

It steps in when the background hub falls silent: held up by a call into C that keeps the
interpreter to itself, or stopped with the whole program. It also outlives the program, as long
as jobs have to be looked at that were destroyed. See :mod:`spalloc_gevent.guardian`.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import re
import sys
from contextlib import suppress
from time import monotonic

from spalloc_gevent.guardian.guarded_jobs import (
    SILENT_SHARE,
    DestroyedJob,
    GuardedJob,
    GuardedJobs,
    alive_line,
    destroyed_line,
    drop_line,
    hold_line,
)
from spalloc_gevent.transport import native
from spalloc_gevent.transport.background import BackgroundHub
from spalloc_gevent.transport.backoff import RECONNECT_DELAY_S
from spalloc_gevent.transport.tracked_jobs import TrackedJob
from spalloc_gevent.transport.waiting import ChangeCounter, wait_writable

_log = logging.getLogger(__name__)

LINES_PER_SILENCE = 5
"""How often the guardian hears of the hub in the time after which it counts as silent."""
LONGEST_TELLING_S = 1.0
"""For so long a new job, or the end of the thread, waits for a guardian that does not read;
usually it is only starting."""
REST_AFTER_FAILURE_S = 10.0
LONGEST_REST_S = 600.0
"""A guardian that ends by itself is followed by another one, but not at once."""
SHORT_LIFE_S = 10.0
SHORT_LIVES = 2
"""So many lives as short as that, one after the other, are told of: it seems that none can run."""

PROGRAM = os.path.join(
    os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "guardian", "__main__.py"
)
_PYTHON = re.compile(r"(python|pypy)[0-9.]*(\.exe)?$")


class Guardian:
    """The guardian of this process: ``background.singleton(Guardian)``.

    Its methods run on the background thread, but for :meth:`look_after`. The process is started
    with the first job, and outlives the thread: the next one goes on with it.
    """

    def __init__(self, background: BackgroundHub) -> None:
        self._background = background
        self._reset()
        background.sessions.add(self)

    def _reset(self) -> None:
        # A thread may start while the one before it still ends.
        self._lock = native.new_rlock()
        self._thread: int | None = None
        """The thread that holds the jobs; None between two of them."""
        self._numbers: dict[TrackedJob, int] = {}
        self._new_numbers = itertools.count()
        self._jobs = GuardedJobs()
        self._descriptor = -1
        """The connection to the process; no socket object, which would have to be closed at the
        end of the program. -1 without a process."""
        self._unsent = bytearray()
        self._news = ChangeCounter()
        self._told = ChangeCounter()
        self._may_start_at = 0.0
        self._started_at = 0.0
        self._short_lives = 0
        self._warned = False

    def hold(
        self, job: TrackedJob, host: str, port: int, reconnect_delay_s: float = RECONNECT_DELAY_S
    ) -> None:
        """Have a job guarded; again when more is known of it.

        Args:
            job: one without a keepalive needs no guardian, and is passed over.
            host, port: its server.
            reconnect_delay_s: the pause between attempts to reach that, in seconds.
        """
        if job.keepalive_s is None or not self._background.is_current:
            return
        with self._lock:
            if self._thread != native.thread_ident():
                self._begin_thread()
            if job not in self._numbers:
                self._numbers[job] = next(self._new_numbers)
            facts = job.job_id, job.keepalive_s, job.identity, reconnect_delay_s
            guarded = GuardedJob(self._numbers[job], host, port, *facts)
            self._jobs.hold(guarded)
            self._unsent += hold_line(guarded, monotonic())
        self._news.increment()

    def drop(self, job: TrackedJob) -> None:
        """The job is not ours any more; harmless when it is not guarded."""
        with self._lock:
            number = self._numbers.pop(job, None)
            if number is None:
                return
            self._jobs.drop(number)
            self._unsent += drop_line(number, monotonic())
        self._news.increment()

    def look_after(self, job: DestroyedJob) -> None:
        """Have a destroyed job looked at when the program has ended.

        In any thread, also when nothing runs in the background (any more).
        """
        with self._lock:
            self._jobs.note_destroyed(job)
            if self._may_start:
                self._start()
            else:
                self._unsent += destroyed_line(job, monotonic())
            self._send()
        self._news.increment()
        if self._thread is None:
            self._send_all()

    def wait_until_told(self, deadline: float = math.inf) -> bool:
        """Wait until the guardian has, or will find, all that it was to be told; 1 s at most.

        The program may be held up as soon as it has its job.

        Args:
            deadline: when to give up, on the monotonic clock.

        Returns:
            False if it has not read all by then.
        """
        deadline = min(deadline, monotonic() + LONGEST_TELLING_S)
        while self._unsent and self._told.wait_beyond(self._told.count, deadline):
            pass
        return not self._unsent

    # -- staying in touch ---------------------------------------------------------------

    def _begin_thread(self) -> None:
        self._drop_all()
        self._thread = native.thread_ident()
        self._background.add_cleanup(self._end_thread)
        self._background.spawn_here(self._stay_in_touch)

    def _stay_in_touch(self) -> None:
        """Tell what is new, and that the hub runs; a greenlet, as long as the thread."""
        while True:
            seen = self._news.count
            if self._may_start and self._jobs:
                self._start()
            self._send()
            pause_s = self._jobs.shortest_s * SILENT_SHARE / LINES_PER_SILENCE
            began = monotonic()
            if self._unsent:
                # One that does not read is not told that the hub runs, again and again.
                wait_writable(self._descriptor, began + pause_s)
            elif not self._news.wait_beyond(seen, self._next_line_at(began + pause_s)):
                with self._lock:
                    self._unsent += alive_line(monotonic())
            self._notice_silence(monotonic() - began, LINES_PER_SILENCE * pause_s)

    def _next_line_at(self, pause_ends: float) -> float:
        if self._descriptor < 0 and self._jobs:
            # However long the keepalives are, another one is started soon.
            return min(pause_ends, max(self._may_start_at, monotonic()))
        return pause_ends

    def _notice_silence(self, took_s: float, longest_s: float) -> None:
        if took_s > longest_s:
            _log.warning(
                "the program kept the background thread from running for %.1f s%s",
                took_s,
                "; the guardian stood in for it" if self._descriptor >= 0 else "",
            )

    def _send(self) -> None:
        """Send what the guardian takes at once; without one, there is nobody to tell."""
        with self._lock:
            try:
                if self._descriptor < 0:
                    self._unsent.clear()
                elif self._unsent:
                    del self._unsent[: os.write(self._descriptor, self._unsent)]
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(error)
        if not self._unsent:
            self._told.increment()

    def _send_all(self) -> None:
        deadline = monotonic() + LONGEST_TELLING_S
        while self._unsent and wait_writable(self._descriptor, deadline):
            self._send()

    def _lose(self, error: OSError) -> None:
        """It has ended: killed, perhaps; or it never could run, and will not the next time."""
        _log.info("the guardian has ended: %s", error)
        self._disconnect()
        lived_s = monotonic() - self._started_at
        self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        if self._short_lives:
            rest_s = REST_AFTER_FAILURE_S * 2.0 ** min(self._short_lives, SHORT_LIVES * 4)
            self._may_start_at = monotonic() + min(rest_s, LONGEST_REST_S)
        if self._short_lives == SHORT_LIVES:
            self._warn(error)

    def _disconnect(self) -> None:
        self._unsent.clear()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _drop_all(self) -> None:
        for job in list(self._numbers):
            self.drop(job)

    def _end_thread(self) -> None:
        """Leave the guardian, with nothing to guard, to the next thread."""
        with self._lock:
            if self._thread != native.thread_ident():
                return
            self._thread = None
            self._drop_all()
        self._send_all()
        with self._lock:
            if self._unsent and self._thread is None:
                self._disconnect()

    def end(self) -> None:
        """The program ends, and the guardian when it has looked at what was destroyed.

        For jobs that are destroyed later still there is another one.
        """
        with self._lock:
            self._disconnect()
            self._may_start_at = 0.0

    def forked(self) -> None:
        """In a forked child: guardian and jobs are the parent's."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._reset()

    # -- starting -----------------------------------------------------------------------

    @property
    def _may_start(self) -> bool:
        return self._descriptor < 0 and monotonic() >= self._may_start_at

    def _start(self) -> None:
        """Start the process; what it is to guard is told from the beginning."""
        with self._lock:
            self._started_at = monotonic()
            self._may_start_at = self._started_at + REST_AFTER_FAILURE_S
            self._unsent.clear()
            try:
                self._descriptor = _start_process()
            except (OSError, RuntimeError) as error:
                self._warn(error)
                return
            for job in self._jobs:
                self._unsent += hold_line(job, self._started_at)
            for destroyed in self._jobs.destroyed:
                self._unsent += destroyed_line(destroyed, self._started_at)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "no guardian could be started (%s): jobs are lost if the program holds the "
                "interpreter, or is stopped, for longer than their keepalive",
                error,
            )


def _start_process() -> int:
    """A socket to a new guardian."""
    if getattr(sys, "frozen", False) or not _PYTHON.match(os.path.basename(sys.executable or "")):
        # What runs the program may be the program itself, which would start again and again.
        raise NotImplementedError("this program has no Python interpreter of its own")
    if not os.path.isfile(PROGRAM):
        raise NotImplementedError("this package is no folder of files")
    ours, theirs = native.new_socket_pair()
    try:
        ours.setblocking(False)
        pid = native.spawn_process(
            sys.executable,
            # Isolated, without site: nothing but the standard library and this package is found.
            [sys.executable, "-I", "-S", PROGRAM, str(os.getpid())],
            # What the interpreter itself may need to be loaded, and nothing to find modules by.
            {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            # Out of reach of a Ctrl+C that ends the program before this has begun.
            setpgroup=0,
        )
        # In a moment; by a thread of its own, which nothing else has to wait for.
        try:
            native.start_thread(_reap, (pid,))
        except RuntimeError:
            # There are no more threads, at the latest when the program ends.
            _reap(pid)
        return int(ours.detach())
    finally:
        ours.close()
        theirs.close()


def _reap(pid: int) -> None:
    """Wait for the process that only starts the guardian, so that it does not stay as a zombie."""
    # Somebody else in the program may have done it.
    with suppress(ChildProcessError):
        native.wait_for_process(pid, 0)
