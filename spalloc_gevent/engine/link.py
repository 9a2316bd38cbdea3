"""Everything that one client has to do with one server, as seen from any thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.engine import native
from spalloc_gevent.engine.alone import Alone
from spalloc_gevent.engine.arming import Key, Kind
from spalloc_gevent.engine.beat import Beat, GiveUp
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.connection import LINGER_S
from spalloc_gevent.engine.dialling import Dialler
from spalloc_gevent.engine.guardian import Guardian
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.hub import Hub, Timer
from spalloc_gevent.engine.inbox import Inbox
from spalloc_gevent.engine.lending import LONGEST_WAIT_S
from spalloc_gevent.engine.monitor import Monitor
from spalloc_gevent.engine.outcome import Followed, NotSettledError, Outcome
from spalloc_gevent.engine.pool import DEFAULT_LIMIT, Pool
from spalloc_gevent.engine.roll import Roll
from spalloc_gevent.engine.vouching import Vouching
from spalloc_gevent.engine.watches import Changes, Watches
from spalloc_gevent.errors import ClosedError, ProtocolTimeoutError
from spalloc_gevent.guardian.charges import Charge
from spalloc_gevent.guardian.charges import Key as GuardedKey
from spalloc_gevent.wire.commands import Route

T = TypeVar("T")

SHORTEST_PATIENCE_S = 0.25
"""However short a job's keepalive is: distant servers, and busy machines, need some time."""


LONGEST_TELLING_S = 1.0
"""For so long a new job waits for a guardian that does not listen; usually it is only starting."""


class ServerLink:
    """A pool of connections and the watches on one server, on the background hub.

    Made and used from any thread or greenlet. Every method that waits can be
    interrupted; what it waited for is then given up in good order.
    """

    def __init__(self, hub: Hub, host: str, port: int, *, limit: int = DEFAULT_LIMIT) -> None:
        self.host = host
        self.port = port
        self._hub = hub
        self._thread = hub.acquire()
        self._dial = Dialler(self._thread, host, port)
        self._roll = Roll()
        vouching = Vouching(self._roll)
        self._pool = Pool(self._thread, self._dial, limit=limit, vouching=vouching)
        self._watches = Watches(self._thread, self._dial, self._pool, vouching)
        self._pool.when_back = self._watches.try_now
        self._alone = Alone(self._thread, self._dial)
        self._closed = False
        self._retry_delay_s: float | None = None
        self.version_checked = False
        """Set by the user of this link once the server's version has been found good."""
        self._thread.post(self._thread.at_end, self._close)

    def __repr__(self) -> str:
        return (
            f"{self.host}:{self.port} {'closed' if self.closed else 'open'}, "
            f"{self.connections} connections, {self._pool.in_flight} in-flight, "
            f"{self._pool.waiting} waiting" + (f", {self.lent} lent" if self.lends else "")
        )

    @property
    def closed(self) -> bool:
        return self._closed or self._thread.ended

    @property
    def connections(self) -> int:
        """How many connections to the server are open."""
        return self._pool.connections + self._watches.connections + self._alone.connections

    @property
    def lent(self) -> int:
        """How many connections plain threads may use themselves at present."""
        return len(self._pool.lender.loans)

    @property
    def lends(self) -> bool:
        """True while plain threads may use a connection themselves."""
        return self.lent > 0

    def spawn(self, fn: Callable[..., object], *args: Any) -> None:
        """Run ``fn(*args)`` in a greenlet of the hub."""
        self._thread.post(self._thread.spawn, fn, *args)

    def limit_retry_delay(self, longest_s: float) -> None:
        """Try a server that is away at least about this often (seconds).

        Of those who share this link the least patient one decides.
        """
        longest_s = max(longest_s, 0.05)
        if self._retry_delay_s is None or longest_s < self._retry_delay_s:
            self._retry_delay_s = longest_s
            self._pool.longest_delay_s = self._watches.longest_delay_s = longest_s

    def expect_answers_within(self, seconds: float) -> None:
        """Take a connection for frozen, and an attempt to make one for vain, after this time.

        So what a keepalive needs is not used up by waiting. The shortest time
        that anybody asks for counts; nobody can ask for more than there was.
        """
        seconds = max(seconds, SHORTEST_PATIENCE_S)
        self._dial.timeout_s = min(self._dial.timeout_s, seconds)
        self._pool.stalled_after_s = min(self._pool.stalled_after_s, seconds)

    # -- calls --------------------------------------------------------------

    def run(self, call: Call, timeout_s: float | None = None) -> Any:
        """What the server returns for `call`; waits at most `timeout_s` seconds.

        Raises ProtocolTimeoutError, ConnectionLostError, SpallocServerException
        or ClosedError.
        """
        try:
            return self._carry(call, timeout_s)
        except NotSettledError:
            self.give_up(call)
            raise ProtocolTimeoutError(self._why_late(call, timeout_s)) from None
        except BaseException:
            self.give_up(call)
            raise

    def _carry(self, call: Call, timeout_s: float | None) -> Any:
        lender = self._pool.lender
        loan = lender.borrow(call) if lender.loans and self._may_borrow(call, timeout_s) else None
        if loan is None:
            self.begin(call)
            return call.outcome.wait(timeout_s)
        deadline = Deadline(timeout_s)
        if not loan.carry(call):
            self.begin(call)
        return call.outcome.wait(deadline.left())

    def _may_borrow(self, call: Call, timeout_s: float | None) -> bool:
        hasty = timeout_s is not None and timeout_s <= LONGEST_WAIT_S
        return call.lendable and not hasty and not self.closed

    def begin(self, call: Call) -> None:
        """Send `call` without waiting for it."""
        if self._thread.is_current:
            self.begin_on_hub(call)
        else:
            self._thread.post(self._carrier(call).submit, call)

    def begin_on_hub(self, call: Call) -> None:
        """As :meth:`begin`, from a callback on the hub, before anything else happens there."""
        self._carrier(call).submit(call)

    def give_up(self, call: Call) -> None:
        """Stop waiting for `call`; its late answer is swallowed."""
        if not self._thread.ended:
            self._thread.post(self._carrier(call).abandon, call)

    def _carrier(self, call: Call) -> Pool | Alone:
        return self._alone if call.route is Route.ALONE else self._pool

    def _why_late(self, call: Call, timeout_s: float | None) -> str:
        trouble = self._pool.trouble
        return f"{self.host}:{self.port} did not answer {call.name!r} in {timeout_s:g} s" + (
            f" ({trouble})" if trouble else ""
        )

    # -- watches ------------------------------------------------------------

    def watch_job(self, job_id: int, changes: Changes) -> None:
        """Have `changes` count what may have happened to a job; returns at once."""
        self._thread.post(self._watches.watch_job, job_id, changes)

    def unwatch_job(self, job_id: int, changes: Changes) -> None:
        if not self._thread.ended:
            self._thread.post(self._watches.unwatch_job, job_id, changes)
            self._thread.post(changes.happened)

    def await_change(self, changes: Changes, seen: int, timeout_s: float | None) -> None:
        """Wait until `changes` counts more than `seen`, or the time is over."""
        outcome: Outcome[int] = Outcome()
        self._thread.post(changes.await_beyond, seen, outcome)
        try:
            outcome.wait(timeout_s)
        except NotSettledError:
            pass
        finally:
            if not outcome.settled and not self._thread.ended:
                self._thread.post(changes.forget, outcome)

    def announce(self, changes: Changes) -> None:
        """Wake everyone who waits for `changes`."""
        if not self._thread.ended:
            self._thread.post(changes.happened)

    def open_inbox(self) -> Inbox:
        inbox = Inbox()
        self._thread.post(self._watches.listen, inbox)
        return inbox

    def want(self, inbox: Inbox, kind: Kind, key: Key, timeout_s: float | None) -> None:
        """Have notifications about `key` come to `inbox`; returns when the server agreed."""
        armed: Outcome[None] = Outcome()
        self._thread.post(self._want, inbox, kind, key, armed)
        self._await_armed(armed, timeout_s)

    def _want(self, inbox: Inbox, kind: Kind, key: Key, armed: Outcome[None]) -> None:
        if (kind, key) not in inbox.wanted:
            inbox.wanted.add((kind, key))
            self._watches.want(kind, key)
        self._watches.when_armed(armed)

    def unwant(self, inbox: Inbox, kind: Kind, key: Key, timeout_s: float | None) -> None:
        """Undo :meth:`want`; key None undoes all of that kind."""
        armed: Outcome[None] = Outcome()
        self._thread.post(self._unwant, inbox, kind, key, armed)
        self._await_armed(armed, timeout_s)

    def _unwant(self, inbox: Inbox, kind: Kind, key: Key, armed: Outcome[None]) -> None:
        for held_kind, held in list(inbox.wanted):
            if held_kind is kind and key in (None, held):
                inbox.wanted.discard((kind, held))
                self._watches.unwant(kind, held)
        self._watches.when_armed(armed)

    def _await_armed(self, armed: Outcome[None], timeout_s: float | None) -> None:
        try:
            armed.wait(timeout_s)
        except NotSettledError:
            raise ProtocolTimeoutError(
                f"{self.host}:{self.port} did not confirm notifications in {timeout_s:g} s"
            ) from None

    def next_notification(self, inbox: Inbox, timeout_s: float | None) -> dict[str, Any]:
        """The oldest unread notification, or the next to come."""
        outcome: Outcome[dict[str, Any]] = Outcome()
        self._thread.post(inbox.take, outcome)
        try:
            return outcome.wait(timeout_s)
        except NotSettledError:
            self._thread.post(inbox.give_back, outcome)
            raise ProtocolTimeoutError(
                f"no notification from {self.host}:{self.port} in {timeout_s:g} s"
            ) from None
        except BaseException:
            if not self._thread.ended:
                self._thread.post(inbox.give_back, outcome)
            raise

    def unread_notification(self, inbox: Inbox) -> dict[str, Any] | None:
        """The oldest unread notification, or None when there is none."""
        return self._thread.call(inbox.take_unread)

    def monitor(
        self, collect: Callable[[], T], kinds: Collection[Kind], interval_s: float
    ) -> Monitor[T]:
        """Start a :class:`Monitor`, which lives until it is closed, or this link is."""
        return Monitor(self._thread, self._watches, collect, kinds, interval_s)

    # -- held jobs ----------------------------------------------------------

    def hold_on_hub(self, held: Held) -> None:
        """Have commands that name this job go only to the server that knows it as ours.

        From a callback on the hub, where the server's answer has just told its number.
        """
        self._roll.enter(held)

    def guard(self, held: Held, interval_s: float, *, wait: bool = False) -> None:
        """Have the guardian keep the job alive when the hub cannot; again when more is known.

        `wait`: until it has been told, since the program may be held up as soon as it has
        its job; but not for long.
        """
        if wait:
            told: Outcome[None] = Outcome()
            self._thread.post(self._guard, held, interval_s, told)
            with contextlib.suppress(NotSettledError):
                told.wait(LONGEST_TELLING_S)
        elif not self._thread.ended:
            self._thread.post(self._guard, held, interval_s)

    def _guard(self, held: Held, interval_s: float, told: Outcome[None] | None = None) -> None:
        guardian = self._thread.only(Guardian)
        if held in self._roll.known_as(held.job_id):
            key = GuardedKey(self.host, self.port, held.job_id)
            guardian.hold(held, Charge(key, interval_s, held.identity))
        if told is not None:
            guardian.when_said(told)

    def unguard(self, held: Held) -> None:
        """Nobody has to keep the job alive any more."""
        if not self._thread.ended:
            self._thread.post(self._unguard, held)

    def _unguard(self, held: Held) -> None:
        key = GuardedKey(self.host, self.port, held.job_id)
        self._thread.only(Guardian).drop(held, key)

    def tell_waiters(self, job_id: int) -> None:
        """Wake everyone who waits for a change of the job."""
        if not self._thread.ended:
            self._thread.post(self._watches.job_changed, job_id)

    def let_go(self, held: Held, last_word: Call | None = None) -> None:
        """The job is not ours any more, once `last_word` is answered; harmless when done before."""
        if not self._thread.ended:
            self._thread.post(self._roll.strike, held, last_word)

    def disown_on_hub(self, held: Held, last_word: Call) -> None:
        """Send `last_word`, about a job that nobody wants; from a callback on the hub."""
        self._pool.submit(last_word)
        self._roll.strike(held, last_word)

    # -- keepalives ---------------------------------------------------------

    def beat(
        self,
        due_in: Callable[[], float | None],
        begin: Callable[[Callable[[], object]], GiveUp],
    ) -> Beat:
        """Start a :class:`Beat` on the hub."""
        started = Beat(self._thread, due_in, begin)
        self._thread.post(started.start)
        return started

    def followed(self, go_on: Callable[[], object]) -> Followed[Any]:
        """The outcome for a call that ``go_on()`` goes on with, on the hub."""
        return Followed(self._thread.loop, go_on)

    def timer(self, delay_s: float, fn: Callable[[], object]) -> Timer:
        """Have ``fn()`` run on the hub after `delay_s` seconds; on the hub only."""
        return self._thread.timer(delay_s, fn)

    # -- the end ------------------------------------------------------------

    def close(self, wait_s: float = LINGER_S) -> None:
        """Close every connection politely; the last user of the hub waits for that.

        At most `wait_s` seconds; harmless when it is closed already.
        """
        if self.closed:
            return
        self._closed = True
        self._thread.post(self._close)
        self._thread.post(self._thread.not_at_end, self._close)
        self._hub.release(self._thread, wait_s)

    def _close(self) -> None:
        for part in (self._pool, self._watches, self._alone):
            part.close()


class LinkHolder:
    """A client's hold on a link: opened when first needed, and anew in a forked child.

    `shared` ones for the same server are one link, closed with its last holder.
    """

    def __init__(self, hub: Hub, host: str, port: int, *, shared: bool = False) -> None:
        self.host = host
        self.port = port
        self._hub = hub
        self._key = (host, port) if shared else None
        self._mutex = native.new_mutex()
        self._forks = hub.forks
        self._link: ServerLink | None = None
        self._closed = False

    @property
    def in_parent_process(self) -> bool:
        """True in the process that made this holder, False in its forked children."""
        return self._hub.forks == self._forks

    @property
    def held(self) -> ServerLink | None:
        """The link if there is one at present; opens none."""
        return self._link

    def get(self) -> ServerLink:
        """The link, opened if need be; raises ClosedError after :meth:`close`."""
        link = self._link
        if link is not None and not link.closed:
            return link
        self._notice_fork()
        with self._mutex:
            if self._closed:
                raise ClosedError(f"this client of {self.host}:{self.port} is closed: connect() it")
            if self._link is None or self._link.closed:
                self._link = self._open()
            return self._link

    def _notice_fork(self) -> None:
        if not self.in_parent_process:
            self._forks = self._hub.forks
            self._mutex = native.new_mutex()
            self._link = None

    def _open(self) -> ServerLink:
        if self._key is None:
            return ServerLink(self._hub, self.host, self.port)
        return self._hub.share(self._key, lambda: ServerLink(self._hub, self.host, self.port))

    def reopen(self) -> None:
        """Undo :meth:`close`: the next :meth:`get` opens a new link."""
        self._closed = False

    def close(self, wait_s: float = LINGER_S) -> None:
        """Let go of the link; the last holder closes it politely."""
        if not self.in_parent_process:
            return
        with self._mutex:
            link, self._link = self._link, None
            self._closed = True
        if link is not None and (self._key is None or self._hub.unshare(self._key, link)):
            link.close(wait_s)
