"""A TCP proxy between clients and a server that does to their connections what networks do.

    with ChaosProxy(server) as proxy:
        client = ProtocolClient(proxy.host, proxy.port).open()
        proxy.cut(End.RST)

One native thread carries everything; the steering methods may be called from any other and return
when what they ask for is done. It reads no more than it can pass on, so that one end that does not
read is felt by the other, and it remembers how every connection was made, used and ended.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import math
import os
import select
import selectors
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tools.real_server import free_port

T = TypeVar("T")

LONG_S = 30.0
"""What never takes this long has gone wrong."""

LONGEST_CONNECT_S = 2.0
MOST_HELD_BYTES = 256 * 1024
MOST_REMEMBERED = 20_000
READ_BYTES = 65_536

_BACKLOG = 128
_PORT_TRIES = 20
_ANSWERS = (b'{"return"', b'{"exception"')
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: the close is a reset."""


class Where(Protocol):
    """A server and where it listens."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class End(enum.Enum):
    """How one end of a connection ends it."""

    FIN = "fin"
    RST = "rst"


@dataclass(frozen=True)
class Seen:
    """One command as it passed by."""

    connection: int
    line: bytes

    def asks(self, command: str) -> bool:
        return f'"command": "{command}"'.encode() in self.line


@dataclass
class Passage:
    """What is remembered of one connection; times are monotonic."""

    number: int
    made_at: float
    ended_at: float | None = None
    client_end: End | None = None
    """How the client ended it; None while it has not, and when somebody else did first."""
    in_flight: int = 0
    most_in_flight: int = 0
    commands: int = 0


@dataclass(eq=False)
class _Way:
    """One direction of a connection: from one socket to the other."""

    source: socket.socket
    target: socket.socket
    to_client: bool
    held: deque[tuple[float, bytes]] = field(default_factory=deque)
    """What has still to be passed on, and when."""
    held_bytes: int = 0
    partial: bytes = b""
    frozen: bool = False
    finished: bool = False
    """The source has said all; after what is held the target is told."""
    told: bool = False
    sends_left: int | None = None
    """After so many bytes more the connection is cut; None: for ever."""

    def put(self, data: bytes, due: float) -> None:
        self.held.append((due, data))
        self.held_bytes += len(data)

    def next_piece(self, now: float, most: int | None) -> bytes:
        if not self.held or self.held[0][0] > now:
            return b""
        data = self.held[0][1]
        return data[: min(filter(None, (most, self.sends_left, len(data))))]

    def passed_on(self, count: int) -> bytes:
        """Note that so many bytes have gone; returns them."""
        due, data = self.held.popleft()
        if count < len(data):
            self.held.appendleft((due, data[count:]))
        self.held_bytes -= count
        if self.sends_left is not None:
            self.sends_left -= count
        return data[:count]

    def lines(self, data: bytes) -> list[bytes]:
        *whole, self.partial = (self.partial + data).split(b"\n")
        return whole


@dataclass(eq=False)
class _Pair:
    """One connection through the proxy."""

    client: socket.socket
    passage: Passage
    up: _Way
    down: _Way
    ending: bool = False
    """Both ends have been told; what they still send is read and thrown away."""

    @property
    def ways(self) -> tuple[_Way, _Way]:
        return self.up, self.down


class ChaosProxy:
    """Stands between clients and `server`; all it does wrong is done on demand.

    Leaving the ``with`` block asserts that no connection ever had two commands in flight.
    """

    host = "127.0.0.1"

    def __init__(self, server: Where) -> None:
        self.server = server
        self.port = free_port()
        self.passages: deque[Passage] = deque(maxlen=MOST_REMEMBERED)
        """The latest connections, in the order in which they were made."""
        self.seen: deque[Seen] = deque(maxlen=MOST_REMEMBERED)
        """The latest commands, in the order in which they passed."""
        self.counts: Counter[str] = Counter()
        """``made``: connections; ``passed``: commands; ``pipelined``: what must never be."""
        self._pairs: dict[int, _Pair] = {}
        self._mute: list[socket.socket] = []
        self._ending: set[socket.socket] = set()
        self._fillers: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._new_frozen: Collection[bool] = ()
        self._swallowing = False
        self._delay_s = 0.0
        self._most_at_once: int | None = None
        self._pace_s = 0.0
        self._asked: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._interest: dict[socket.socket, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ChaosProxy:
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._listen_somewhere()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stopping = True
        self._wake()
        self._thread.join(LONG_S)
        assert not self._thread.is_alive(), "the proxy's thread does not end"
        # Not by the thread, which may see that it has to end before it is woken for that.
        os.close(self._wake_read)
        os.close(self._wake_write)
        assert kind is not None or not self.counts["pipelined"], "two commands were in flight"

    def __repr__(self) -> str:
        return f"<ChaosProxy {self.host}:{self.port} {self.open_connections} open, {self.counts}>"

    # -- what was seen ------------------------------------------------------------------

    @property
    def open_connections(self) -> int:
        return len(self._pairs)

    @property
    def commands(self) -> list[Seen]:
        with self._changed:
            return list(self.seen)

    def count(self, command: str) -> int:
        """How often this command is among the latest."""
        return sum(seen.asks(command) for seen in self.commands)

    def ends(self) -> Counter[End | None]:
        """How the clients ended their connections, those that are open left out."""
        with self._changed:
            return Counter(p.client_end for p in self.passages if p.ended_at is not None)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Return once `condition` holds; it is looked at whenever the proxy sees something."""
        with self._changed:
            assert self._changed.wait_for(condition, LONG_S), f"it has not come so far: {self!r}"

    # -- what is done wrong ---------------------------------------------------------------

    def cut(self, end: End, connections: Collection[int] | None = None) -> int:
        """End connections (None: all) towards both sides; returns how many there were.

        A server that still owes an answer is spared the reset: the real one dies of a reset
        between its reading of a command and its answer, whatever the client is.
        """
        return self._ask(lambda: sum(self._cut(pair, end) for pair in self._chosen(connections)))

    def freeze(
        self,
        *,
        to_server: bool = True,
        to_client: bool = True,
        connections: Collection[int] | None = None,
        new: bool = False,
    ) -> None:
        """Pass nothing on in these directions until :meth:`thaw`; with `new` on new ones too."""
        ways = [way for way, wanted in ((False, to_server), (True, to_client)) if wanted]
        self._ask(lambda: self._freeze(ways, connections, new))

    def thaw(self) -> None:
        self._ask(self._thaw)

    def delay(self, seconds: float) -> None:
        """Pass on whatever comes from now on this much later."""
        self._ask(lambda: setattr(self, "_delay_s", seconds))

    def pieces(self, most_bytes: int | None, pace_s: float = 0.0) -> None:
        """Send what servers say in segments of so many bytes (None: as it comes)."""

        def apply() -> None:
            self._most_at_once, self._pace_s = most_bytes, pace_s

        self._ask(apply)

    def truncate(self, most_bytes: int) -> None:
        """Cut each open connection after so many bytes more to its client."""

        def apply() -> None:
            for pair in self._chosen(None):
                pair.down.sends_left = most_bytes

        self._ask(apply)

    def inject(self, data: bytes, connections: Collection[int] | None = None) -> int:
        """Send these bytes to the clients of connections (None: all) as if servers had."""

        def apply() -> int:
            chosen = self._chosen(connections)
            for pair in chosen:
                pair.down.put(data, time.monotonic())
            return len(chosen)

        return self._ask(apply)

    def refuse(self) -> None:
        """Listen no more, until :meth:`accept`; open connections go on."""
        self._ask(self._close_listener)

    def accept(self) -> None:
        """Take new connections again, after whatever kept them off."""
        self._ask(self._accept_again)

    def swallow(self) -> None:
        """Accept new connections and say nothing on them, ever; until :meth:`accept`."""
        self._ask(lambda: setattr(self, "_swallowing", True))

    def fill_accept_queue(self) -> None:
        """Have the listener's queue full, so that connects hang; until :meth:`accept`."""
        self._ask(self._fill)

    # -- on the proxy's thread: steering ----------------------------------------------------

    def _ask(self, fn: Callable[[], T]) -> T:
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(fn())
            except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
                done.set_exception(error)

        self._asked.append(run)
        self._wake()
        result = done.result(LONG_S)
        # Held for the whole round: what was asked for has been carried out when it ends.
        with self._changed:
            return result

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    def _chosen(self, connections: Collection[int] | None) -> list[_Pair]:
        pairs = list(self._pairs.values())
        return [p for p in pairs if connections is None or p.passage.number in connections]

    def _freeze(
        self, ways: Collection[bool], connections: Collection[int] | None, new: bool
    ) -> None:
        for pair in self._chosen(connections):
            for way in pair.ways:
                way.frozen = way.frozen or way.to_client in ways
        self._new_frozen = ways if new else ()

    def _thaw(self) -> None:
        self._new_frozen = ()
        for pair in self._pairs.values():
            for way in pair.ways:
                way.frozen = False

    def _cut(self, pair: _Pair, end: End) -> bool:
        if end is End.FIN:
            self._end(pair)
        elif pair.passage.in_flight:
            self._drop(pair, reset=True, but_wait_for=pair.down.source)
        else:
            self._drop(pair, reset=True)
        return True

    def _end(self, pair: _Pair) -> None:
        pair.ending = True
        for way in pair.ways:
            way.held.clear()
            way.frozen = False
            way.held_bytes = 0
            self._tell_finished(pair, way)

    # -- on the proxy's thread: the listener --------------------------------------------------

    def _listen(self) -> None:
        self._listener = socket.create_server((self.host, self.port), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _listen_somewhere(self) -> None:
        for tries_left in reversed(range(_PORT_TRIES)):
            try:
                self._listen()
                return
            except OSError as error:
                # Another process has taken it meanwhile.
                if error.errno != errno.EADDRINUSE or not tries_left:
                    raise
                self.port = free_port()

    def _close_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(listener)
            listener.close()

    def _accept_again(self) -> None:
        self._swallowing = False
        for sock in [*self._fillers, *self._mute]:
            sock.close()
        self._fillers.clear()
        self._mute.clear()
        self._close_listener()
        self._listen()

    def _fill(self) -> None:
        listener = self._listener
        assert listener is not None, "there is no queue to fill: connects are refused"
        self._selector.unregister(listener)
        listener.listen(0)
        while self._one_more_fits():
            assert len(self._fillers) < 2 * _BACKLOG, "the accept queue does not fill"

    def _one_more_fits(self) -> bool:
        filler = socket.socket()
        self._fillers.append(filler)
        filler.setblocking(False)
        filler.connect_ex((self.host, self.port))
        # On loopback a connect that is not done at once waits for room in the queue.
        return bool(select.select([], [filler], [], 0.2)[1])

    def _accept(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError):
            client, _ = self._listener.accept()
            self.counts["made"] += 1
            if self._swallowing:
                self._mute.append(client)
            else:
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        upstream = socket.socket()
        upstream.settimeout(LONGEST_CONNECT_S)
        try:
            upstream.connect((self.server.host, self.server.port))
            if upstream.getsockname() == upstream.getpeername():
                raise ConnectionRefusedError
        except OSError:
            upstream.close()
            _close(client, reset=True)
            return
        for sock in (client, upstream):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        passage = Passage(self.counts["made"], time.monotonic())
        up = _Way(client, upstream, to_client=False, frozen=False in self._new_frozen)
        down = _Way(upstream, client, to_client=True, frozen=True in self._new_frozen)
        self._pairs[passage.number] = _Pair(client, passage, up, down)
        self.passages.append(passage)

    # -- on the proxy's thread: the loop ------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._round(self._selector.select(self._wait_s()))
        finally:
            self._finish()

    def _wait_s(self) -> float | None:
        now = time.monotonic()
        dues = [
            way.held[0][0] for p in self._pairs.values() for way in p.ways if way.held
            and not way.frozen
        ]  # fmt: skip
        nearest = min((due for due in dues if due > now), default=math.inf)
        return None if nearest == math.inf else nearest - now

    def _round(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        with self._changed:
            for key, _ in ready:
                if key.fileobj == self._wake_read:
                    os.read(self._wake_read, READ_BYTES)
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._ending:
                    self._read_to_the_end(key.fileobj)
                elif key.data is not None and key.data.passage.number in self._pairs:
                    self._read(key.data, key.fileobj)
            while self._asked:
                self._asked.popleft()()
            for pair in list(self._pairs.values()):
                self._advance(pair)
            self._changed.notify_all()

    def _read(self, pair: _Pair, sock: Any) -> None:
        way = pair.up if sock is pair.client else pair.down
        if way.frozen or way.finished or self._is_full(way):
            return
        try:
            data = sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._note_client_end(pair, way, End.RST)
            self._drop(pair, reset=True)
            return
        if not data:
            self._note_client_end(pair, way, End.FIN)
            way.finished = True
        elif not pair.ending:
            way.put(data, time.monotonic() + self._delay_s)
            self._note_commands(pair, way, data)

    def _is_full(self, way: _Way) -> bool:
        return way.held_bytes >= MOST_HELD_BYTES

    def _note_client_end(self, pair: _Pair, way: _Way, end: End) -> None:
        if not way.to_client and not pair.ending and pair.passage.client_end is None:
            pair.passage.client_end = end

    def _note_commands(self, pair: _Pair, way: _Way, data: bytes) -> None:
        if way.to_client:
            return
        for line in way.lines(data):
            pair.passage.commands += 1
            pair.passage.in_flight += 1
            self.seen.append(Seen(pair.passage.number, line))
            self.counts["passed"] += 1
            self.counts["pipelined"] += pair.passage.in_flight > 1
        pair.passage.most_in_flight = max(pair.passage.most_in_flight, pair.passage.in_flight)

    def _note_answers(self, pair: _Pair, way: _Way, data: bytes) -> None:
        if way.to_client:
            answers = sum(line.startswith(_ANSWERS) for line in way.lines(data))
            pair.passage.in_flight = max(0, pair.passage.in_flight - answers)

    def _advance(self, pair: _Pair) -> None:
        for way in pair.ways:
            if pair.passage.number in self._pairs and not way.frozen:
                self._pass_on(pair, way)
        if pair.passage.number not in self._pairs:
            return
        if all(way.told and way.finished for way in pair.ways):
            self._drop(pair, reset=False)
        else:
            self._settle(pair)

    def _pass_on(self, pair: _Pair, way: _Way) -> None:
        most = self._most_at_once if way.to_client else None
        while piece := way.next_piece(time.monotonic(), most):
            try:
                sent = way.target.send(piece)
            except BlockingIOError:
                return
            except OSError:
                if way.to_client:
                    self._note_client_end(pair, pair.up, End.RST)
                self._drop(pair, reset=True)
                return
            self._note_answers(pair, way, way.passed_on(sent))
            if way.sends_left == 0:
                self._end(pair)
                return
            self._keep_pace(way)
        if way.finished and not way.held:
            self._tell_finished(pair, way)

    def _keep_pace(self, way: _Way) -> None:
        if self._pace_s and way.to_client and way.held:
            _, rest = way.held.popleft()
            way.held.appendleft((time.monotonic() + self._pace_s, rest))

    def _tell_finished(self, pair: _Pair, way: _Way) -> None:
        if not way.told:
            way.told = True
            with contextlib.suppress(OSError):
                way.target.shutdown(socket.SHUT_WR)

    def _settle(self, pair: _Pair) -> None:
        """Ask the system for what the connection waits for now."""
        now = time.monotonic()
        interest = {way.source: 0 for way in pair.ways}
        for way in pair.ways:
            if not (way.frozen or way.finished or self._is_full(way)):
                interest[way.source] |= selectors.EVENT_READ
            if way.held and not way.frozen and way.held[0][0] <= now:
                interest[way.target] |= selectors.EVENT_WRITE
        for sock, wanted in interest.items():
            self._watch(sock, wanted, pair)

    def _watch(self, sock: socket.socket, wanted: int, pair: _Pair) -> None:
        before = self._interest.get(sock, 0)
        if wanted == before:
            return
        if before == 0:
            self._selector.register(sock, wanted, pair)
        elif wanted == 0:
            self._selector.unregister(sock)
        else:
            self._selector.modify(sock, wanted, pair)
        self._interest[sock] = wanted

    def _drop(self, pair: _Pair, *, reset: bool, but_wait_for: socket.socket | None = None) -> None:
        self._pairs.pop(pair.passage.number, None)
        pair.passage.ended_at = time.monotonic()
        for way in pair.ways:
            if self._interest.pop(way.source, 0):
                self._selector.unregister(way.source)
            if way.source is but_wait_for:
                self._wait_for_end(way.source)
            else:
                _close(way.source, reset=reset)

    def _wait_for_end(self, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            upstream.shutdown(socket.SHUT_WR)
        self._ending.add(upstream)
        self._selector.register(upstream, selectors.EVENT_READ)

    def _read_to_the_end(self, upstream: socket.socket) -> None:
        try:
            ended = not upstream.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._ending.discard(upstream)
            self._selector.unregister(upstream)
            upstream.close()

    def _finish(self) -> None:
        for pair in list(self._pairs.values()):
            self._drop(pair, reset=False)
        for sock in [*self._fillers, *self._mute, *self._ending]:
            sock.close()
        self._close_listener()
        self._selector.close()


def _close(sock: socket.socket, *, reset: bool) -> None:
    if reset:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
