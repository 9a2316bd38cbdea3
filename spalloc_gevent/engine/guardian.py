"""Starts the guardian, a process beside this program, and tells it what to guard.

It steps in when the hub falls silent: held up by a call into C that keeps the
interpreter to itself, or stopped with the whole program. See
:mod:`spalloc_gevent.guardian`.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import gevent.event

from spalloc_gevent.engine import native
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.hub import HubThread
from spalloc_gevent.engine.outcome import Outcome
from spalloc_gevent.guardian.charges import (
    ALIVE_LINE,
    SILENT_SHARE,
    Charge,
    Key,
    drop_line,
    hold_line,
)

_log = logging.getLogger(__name__)

WORDS_PER_SILENCE = 5
"""How often the hub is heard of in the time after which it counts as silent."""
REST_AFTER_FAILURE_S = 10.0
LONGEST_REST_S = 600.0
"""A guardian that ends by itself is followed by another one, but not at once."""
SHORT_LIFE_S = 10.0
SHORT_LIVES = 2
"""So many lives as short as that, one after the other, are told of: it seems that none can run."""

_WRITABLE = 2
_LEGACY = "guardian"

_PYTHON = re.compile(r"(python|pypy)[0-9.]*(\.exe)?$")
_PROGRAM = Path(__file__).resolve().parent.parent / "guardian" / "__main__.py"


class Guardian:
    """One guardian's end in this program; every method runs on the hub.

    The process is started with the first job, and left to the next background thread when
    this one ends.
    """

    def __init__(self, thread: HubThread) -> None:
        self._thread = thread
        self._charges: dict[Key, dict[Held, Charge]] = {}
        self._shortest_s: float | None = None
        """The shortest interval of the charges; None when that has to be looked for."""
        self._news = gevent.event.Event()
        self._socket: Any = None
        self._unsaid = bytearray()
        self._listened_to: list[Outcome[None]] = []
        """Who waits until all that was to be said is with the guardian."""
        self._writer: Any = None
        self._greenlet: gevent.Greenlet[..., Any] | None = None
        self._may_start_at = 0.0
        self._started_at = 0.0
        self._short_lives = 0
        self._warned = False
        thread.at_end(self.close)

    def hold(self, held: Held, charge: Charge) -> None:
        """Have this job guarded; again when more is known of it."""
        self._charges.setdefault(charge.key, {})[held] = charge
        self._shortest_s = None
        self._news.set()
        if self._socket is not None:
            self._say(hold_line(charge))
        if self._greenlet is None:
            # At once: the program may be held up as soon as it has its job.
            if self._socket is None:
                self._start()
            self._greenlet = self._thread.spawn(self._stay_in_touch)

    def when_said(self, said: Outcome[None]) -> None:
        """Settle `said` once the guardian has, or will find, all that it was told so far."""
        if self._unsaid:
            self._listened_to.append(said)
        else:
            said.settle(None)

    def drop(self, held: Held, key: Key) -> None:
        """The job is not ours any more; but another one in the program may have its number."""
        holders = self._charges.get(key, {})
        if holders.pop(held, None) is None:
            return
        self._shortest_s = None
        others = list(holders.values())
        if not others:
            del self._charges[key]
        if self._socket is not None:
            self._say(hold_line(others[-1]) if others else drop_line(key))

    def close(self) -> None:
        """Leave the guardian, with nothing to guard, to whoever comes next."""
        for key, holders in list(self._charges.items()):
            for held in list(holders):
                self.drop(held, key)
        sock = self._socket
        if sock is not None and not self._unsaid:
            self._thread.legacy[_LEGACY] = sock
            self._thread.closed(sock)
            self._socket = None
        self._hang_up()

    # -- staying in touch -------------------------------------------------------

    def _stay_in_touch(self) -> None:
        while True:
            if self._socket is None and self._charges and time.monotonic() >= self._may_start_at:
                self._start()
            self._rest(self._pause_s())
            # One that does not listen any more is not told the same again and again.
            if self._socket is not None and not self._unsaid:
                self._say(ALIVE_LINE)

    def _pause_s(self) -> float:
        # Of thousands of jobs, that is a good part of what they cost.
        if self._shortest_s is None:
            self._shortest_s = min((charge.interval_s for charge in self._latest()), default=60.0)
        return self._shortest_s * SILENT_SHARE / WORDS_PER_SILENCE

    def _latest(self) -> Iterator[Charge]:
        """What the guardian was told last of each job."""
        for holders in list(self._charges.values()):
            yield list(holders.values())[-1]

    def _rest(self, pause_s: float) -> None:
        """Until it is time for the next word; a job that comes meanwhile may need it earlier."""
        self._news.clear()
        rests_since = time.monotonic()
        if not self._news.wait(pause_s):
            self._notice_silence(time.monotonic() - rests_since, WORDS_PER_SILENCE * pause_s)

    def _notice_silence(self, took_s: float, longest_s: float) -> None:
        if took_s > longest_s and self._charges:
            _log.warning(
                "the program kept the background thread from running for %.1f s%s",
                took_s,
                "; the guardian stood in for it" if self._socket is not None else "",
            )

    def _say(self, line: bytes) -> None:
        self._unsaid += line
        if self._writer is None:
            self._speak()

    def _speak(self) -> None:
        try:
            said = self._socket.send(self._unsaid)
        except BlockingIOError:
            said = 0
        except OSError as error:
            self._lost(error)
            return
        del self._unsaid[:said]
        self._speak_on(bool(self._unsaid))

    def _speak_on(self, there_is_more: bool) -> None:
        """Go on when it has listened; it starts more slowly than hundreds of jobs are made."""
        if not there_is_more:
            listened_to, self._listened_to = self._listened_to, []
            for said in listened_to:
                said.settle(None)
        if there_is_more and self._writer is None:
            self._writer = self._thread.loop.io(self._socket.fileno(), _WRITABLE)
            self._writer.start(self._speak)
        elif not there_is_more and self._writer is not None:
            self._writer.stop()
            self._writer.close()
            self._writer = None

    def _lost(self, error: OSError) -> None:
        """It has ended: killed, perhaps; or it never could run, and will not the next time."""
        _log.info("the guardian has ended: %s", error)
        self._hang_up()
        lived_s = time.monotonic() - self._started_at
        self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        if self._short_lives:
            rest_s = REST_AFTER_FAILURE_S * 2**self._short_lives
            self._may_start_at = time.monotonic() + min(rest_s, LONGEST_REST_S)
        if self._short_lives == SHORT_LIVES:
            self._warn(error)

    def _hang_up(self) -> None:
        self._unsaid.clear()
        self._speak_on(False)
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()
            self._thread.closed(sock)

    # -- starting ---------------------------------------------------------------

    def _start(self) -> None:
        self._may_start_at = time.monotonic() + REST_AFTER_FAILURE_S
        self._socket = self._thread.legacy.pop(_LEGACY, None)
        self._started_at = time.monotonic()
        try:
            if self._socket is None:
                self._socket, starter = _started()
                # In a moment; by a thread of its own, which nothing else has to wait for.
                native.start_thread(_reap, (starter,))
        except (OSError, NotImplementedError) as error:
            self._warn(error)
            return
        self._thread.opened(self._socket)
        for charge in self._latest():
            if self._socket is not None:
                self._say(hold_line(charge))

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "no guardian could be started (%s): jobs are lost if the program holds the "
                "interpreter, or is stopped, for longer than their keepalive",
                error,
            )


def _started() -> tuple[Any, int]:
    """A connection to a new guardian, and the process that will have gone when it runs."""
    if getattr(sys, "frozen", False) or not _PYTHON.match(Path(sys.executable or "").name):
        # What runs the program may be the program itself, which would start again and again.
        raise NotImplementedError("this program has no Python interpreter of its own")
    if not _PROGRAM.is_file():
        raise NotImplementedError("this package is no folder of files")
    ours, theirs = _pair()
    try:
        pid = native.spawn_process(
            sys.executable,
            # Isolated, without site: nothing but the standard library and this package is found.
            [sys.executable, "-I", "-S", str(_PROGRAM), str(os.getpid())],
            _environ(),
            file_actions=list(_standard_streams(theirs)),
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours, pid


def _pair() -> tuple[Any, Any]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours, theirs = (native.Socket(fileno=end.detach()) for end in (one, other))
    ours.setblocking(False)
    return ours, theirs


def _standard_streams(theirs: Any) -> Iterator[tuple[Any, ...]]:
    yield os.POSIX_SPAWN_DUP2, theirs.fileno(), 0
    for stream in (1, 2):
        yield os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0


def _environ() -> dict[str, str]:
    """What the interpreter itself may need to be loaded, and nothing that modules are found by."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


def _reap(pid: int) -> None:
    """Wait for the process that only starts the guardian, so that it does not stay as a zombie."""
    # Somebody else in the program may have done it.
    with suppress(ChildProcessError):
        native.wait_for_process(pid, 0)
