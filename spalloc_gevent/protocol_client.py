"""The server's commands as methods, for any thread or greenlet (the manual's 8.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from spalloc_gevent.engine.arming import Kind
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.hub import Hub, default_hub
from spalloc_gevent.engine.inbox import Inbox
from spalloc_gevent.engine.link import LinkHolder, ServerLink
from spalloc_gevent.engine.monitor import Look, Monitor
from spalloc_gevent.errors import (
    ProtocolError,
    ProtocolTimeoutError,
    SpallocServerException,
)
from spalloc_gevent.server_commands import (
    DEFAULT_PORT,
    NOT_GIVEN,
    NotGiven,
    ServerCommands,
    Timeout,
    as_port,
    state_told,
)
from spalloc_gevent.wire.answers import JobStateInfo
from spalloc_gevent.wire.checks import as_int, check_create_job
from spalloc_gevent.wire.commands import COMMANDS

__all__ = [
    "Look",
    "Monitor",
    "ProtocolClient",
    "ProtocolError",
    "ProtocolTimeoutError",
    "SpallocServerException",
]

MONITOR_INTERVAL_S = 30.0

T = TypeVar("T")


class ProtocolClient(ServerCommands):
    """A blocking client of the spalloc-server protocol: every command is a method.

    One instance serves any number of threads and greenlets at once, over a few
    pooled connections with one command in flight on each. Nothing connects
    before it is needed or :meth:`connect` is called::

        with ProtocolClient("hostname") as c:
            print(c.call("version"))
            print(c.version())
            c.notify_job(3)
            print(c.wait_for_notification())  # {"jobs_changed": [3]}

    Every command raises ProtocolTimeoutError when the server does not answer
    within `timeout` seconds, ProtocolError (ConnectionLostError, which is an
    OSError too) when it cannot be reached or breaks off, and
    SpallocServerException when it refuses. Commands that only read are sent
    once more when their connection breaks; ``create_job`` and power commands
    never are.
    """

    def __init__(
        self,
        hostname: str,
        port: int | str = DEFAULT_PORT,
        timeout: float | None = None,
        *,
        hub: Hub = default_hub,
        shared: bool = False,
        patient: bool = False,
    ) -> None:
        """Define a client of the server at `hostname`; connects to nothing yet.

        `timeout` (seconds; None: for ever) holds for every command that is not
        given its own. `shared` clients of one server use the same connections.
        A `patient` one waits for a server that is away until the time-out,
        instead of failing when it cannot be reached. Raises TypeError or
        ValueError for a host name or port that cannot be one.
        """
        if not isinstance(hostname, str):
            raise TypeError(f"hostname must be text, not {hostname!r}")
        if not hostname.strip():
            raise ValueError("hostname must not be empty")
        self._holder = LinkHolder(hub, hostname, as_port(port), shared=shared)
        self._timeout_s = timeout
        self._patient = patient
        self._inbox: tuple[ServerLink, Inbox] | None = None

    def __repr__(self) -> str:
        link = self._holder.held
        where = f"{self._holder.host}:{self._holder.port}"
        return f"<ProtocolClient {link or where + ' not connected'}>"

    def __enter__(self) -> ProtocolClient:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def link(self) -> ServerLink:
        """The connections behind this client, opened if need be."""
        return self._holder.get()

    @property
    def holder(self) -> LinkHolder:
        return self._holder

    def connect(self, timeout: Timeout = NOT_GIVEN) -> None:
        """(Re)connect to the server: see that it answers.

        Raises OSError (ConnectionLostError) if it cannot be reached,
        ProtocolTimeoutError if it does not answer.
        """
        self._holder.reopen()
        self.link.run(Call("version"), self._seconds(timeout))

    def close(self) -> None:
        """Disconnect from the server, politely; harmless when that is done already."""
        self._inbox = None
        self._holder.close()

    def close_later(self) -> None:
        """As :meth:`close`, waiting for nothing: for finalisers."""
        self._inbox = None
        self._holder.close(0.0)

    def call(self, name: str, *args: Any, timeout: Timeout = NOT_GIVEN, **kwargs: Any) -> Any:
        """Send the command `name` and return what the server returns, as it came.

        A command that this client does not know, or with arguments that the
        server cannot bind, travels on a connection of its own: a server may
        answer it by hanging up, which is a ProtocolError. ``create_job`` is
        checked as in :meth:`create_job`.
        """
        if not isinstance(name, str) or not name:
            raise TypeError(f"a command's name is text, not {name!r}")
        if name == "create_job":
            check_create_job(args, kwargs)
        call = Call(name, args, kwargs, patient=self._patient)
        if call.is_watch:
            return self._watch(name, [*args, *kwargs.values()], timeout)
        return self._run(call, timeout)

    def _run(self, call: Call, timeout: Timeout) -> Any:
        return self.link.run(call, self._seconds(timeout))

    def _ask(self, name: str, *args: object, timeout: Timeout, **kwargs: object) -> Any:
        outlives_caller = COMMANDS[name].outlives_caller
        call = Call(name, args, kwargs, patient=self._patient, outlives_caller=outlives_caller)
        return self._run(call, timeout)

    def read_job_state(self, call: Call, timeout_s: float | None) -> JobStateInfo:
        """As :meth:`get_job_state`, for a call that has rules of its own."""
        return state_told(lambda: self.link.run(call, timeout_s))

    def _seconds(self, timeout: Timeout) -> float | None:
        return self._timeout_s if isinstance(timeout, NotGiven) else timeout

    # -- notifications --------------------------------------------------------

    def notify_job(self, job_id: int | None = None, timeout: Timeout = NOT_GIVEN) -> None:
        """Have ``{"jobs_changed": [ID, ...]}`` come whenever the job (None: any) changes."""
        self._watch("notify_job", [job_id], timeout)

    def no_notify_job(self, job_id: int | None = None, timeout: Timeout = NOT_GIVEN) -> None:
        """Undo :meth:`notify_job` for a job, or for all with None."""
        self._watch("no_notify_job", [job_id], timeout)

    def notify_machine(self, machine_name: str | None = None, timeout: Timeout = NOT_GIVEN) -> None:
        """Have ``{"machines_changed": [NAME, ...]}`` come when the machine (None: any) changes."""
        self._watch("notify_machine", [machine_name], timeout)

    def no_notify_machine(
        self, machine_name: str | None = None, timeout: Timeout = NOT_GIVEN
    ) -> None:
        """Undo :meth:`notify_machine` for a machine, or for all with None."""
        self._watch("no_notify_machine", [machine_name], timeout)

    def _watch(self, command: str, args: list[Any], timeout: Timeout) -> None:
        kind = Kind.JOB if command.endswith("job") else Kind.MACHINE
        key = args[0] if args else None
        if key is not None and kind is Kind.JOB:
            key = as_int(key, "job_id")
        link, inbox = self._link_and_inbox()
        change = link.unwant if command.startswith("no_") else link.want
        change(inbox, kind, key, self._seconds(timeout))

    def _link_and_inbox(self) -> tuple[ServerLink, Inbox]:
        link = self.link
        if self._inbox is None or self._inbox[0] is not link:
            self._inbox = (link, link.open_inbox())
        return self._inbox

    def wait_for_notification(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The oldest notification that nobody has been given yet.

        None waits for ever; a positive `timeout` (seconds) raises
        ProtocolTimeoutError when none comes in time; a negative one gives what
        is here already, or None. Raises ProtocolError when the connection for
        notifications is lost meanwhile: some may have been missed, and the
        watches are armed again in the background. At most 1,000 wait unread; after
        that they are folded into one.
        """
        link, inbox = self._link_and_inbox()
        if timeout is not None and timeout < 0:
            return link.unread_notification(inbox)
        return link.next_notification(inbox, timeout)

    def monitor(
        self, collect: Callable[[], T], *, interval_s: float = MONITOR_INTERVAL_S
    ) -> Monitor[T]:
        """Have ``collect()`` called whenever jobs or machines change; the looks are for select().

        ``collect`` runs on the background hub: it may call this client and must not block or
        compute for long. It is called at once, then on notifications, in bursts at most ten
        times a second, and `interval_s` seconds after the last call at the latest. A server
        that goes away and comes back ends nothing. To be closed when done with::

            with closing(client.monitor(client.list_jobs)) as monitor:
                while select.select([monitor, sys.stdin], [], [])[0] == [monitor]:
                    print(monitor.take())
        """
        # One watch for everything: watching a job by its ID would count as its keepalive.
        return self.link.monitor(collect, tuple(Kind), interval_s)
