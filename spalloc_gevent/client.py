"""``ProtocolClient``: the server's commands as typed methods (the manual's 8.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from spalloc_gevent.address import bracketed, server_address, with_port
from spalloc_gevent.deadline import Deadline, limit_in_seconds
from spalloc_gevent.errors import (
    BadTypeError,
    BadValueError,
    ConnectionLostError,
    JobDestroyedError,
    ProtocolTimeoutError,
    SpallocError,
    SpallocServerException,
    UnsupportedCommandError,
)
from spalloc_gevent.geometry import (
    Board,
    Torus,
    board_of_chip,
    board_with_chip,
    job_origin,
    wrapped_chip,
)
from spalloc_gevent.not_given import NOT_GIVEN, NotGiven
from spalloc_gevent.states import JobState
from spalloc_gevent.transport.background import BackgroundHub, default_background
from spalloc_gevent.transport.connection import connect
from spalloc_gevent.transport.notification_queue import Key, Kind, NotificationQueue
from spalloc_gevent.transport.server_kind import ServerKind
from spalloc_gevent.transport.session import ServerSession, SharedSession
from spalloc_gevent.wire.answers import (
    NO_MACHINE,
    JobDescription,
    JobStateInfo,
    Location,
    MachineDescription,
    MachineInfo,
    java_location,
    machine_info,
    means_nothing,
    state_in,
    with_links_renumbered,
)
from spalloc_gevent.wire.checks import (
    as_int,
    as_number,
    as_port,
    at_least,
    check_create_job,
    check_where_is,
)
from spalloc_gevent.wire.commands import Route
from spalloc_gevent.wire.requests import Request

if TYPE_CHECKING:
    # For the commands too, which know nothing of the transport.
    from spalloc_gevent.transport.poller import Poller as Poller
    from spalloc_gevent.transport.poller import Snapshot as Snapshot

DEFAULT_PORT = 22244
POLL_INTERVAL_S = 30.0

Timeout = float | NotGiven | None
"""Seconds; None waits for ever; not given: what the client was made with, by default for ever."""

T = TypeVar("T")


class ProtocolClient:
    """A blocking client of the spalloc-server protocol: every command is a method.

    One instance serves any number of threads and greenlets at once, over a few pooled
    connections with one command in flight on each. It has to be connected before it is used,
    by ``with`` or :meth:`connect`::

        with ProtocolClient("hostname") as c:
            print(c.call("version"))
            print(c.version())
            c.notify_job(3)
            print(c.wait_for_notification())  # {"jobs_changed": [3]}

    Every command takes a `timeout` in seconds (None, or left out: for ever), and
    raises ProtocolTimeoutError when the server does not answer within it; ConnectionLostError,
    which is a ProtocolError and an OSError, when the server cannot be reached or breaks off;
    ProtocolError when it says what the protocol does not allow; and SpallocServerException when
    it refuses. Commands that only read, keepalives and ``destroy_job`` are sent up to three
    times when their connection breaks, and up to twice after what the protocol does not allow;
    ``create_job`` and power commands are sent once.
    """

    def __init__(
        self,
        hostname: str,
        port: int | str | NotGiven = NOT_GIVEN,
        timeout: float | None = None,
        *,
        call_timeout: float | None = None,
        background: BackgroundHub = default_background,
        shared: bool = False,
        wait_for_server: bool = False,
    ) -> None:
        """Define a client of a server; it does not connect until :meth:`connect` is called.

        Args:
            hostname: the server's name or address, or one with its port, as ``host:1234``,
                ``[::1]:1234`` and ``spalloc://user@host:1234``.
            port: its TCP port; left out: that of `hostname`, or 22244.
            timeout: seconds that :meth:`connect` takes when it is not given its own; None for
                5 s, which is the most.
            call_timeout: seconds that hold for every command that is not given its own; None
                for ever.
            background: the hub for what goes on without the caller.
            shared: True to use the same connections as all shared clients of the server.
            wait_for_server: True to wait for a server that is away until the time-out, instead
                of failing when it cannot be reached.

        Raises:
            TypeError, ValueError: a host name or port that cannot be one.
        """
        if not isinstance(hostname, str):
            raise BadTypeError(f"hostname must be text, not {hostname!r}")
        if not hostname.strip():
            raise BadValueError("hostname must not be empty")
        said = None if port is NOT_GIVEN else as_port(port)
        address = with_port(server_address(hostname), said)
        where = (address.host, address.port or DEFAULT_PORT)
        self.shared_session = SharedSession(background, *where, shared=shared)
        self._timeout_s = limit_in_seconds(timeout)
        self._call_timeout_s = limit_in_seconds(call_timeout, "call_timeout")
        self._wait_for_server = wait_for_server
        self._queue: tuple[ServerSession, NotificationQueue] | None = None

    def __repr__(self) -> str:
        session = self.shared_session.held
        where = f"{bracketed(self.shared_session.host)}:{self.shared_session.port}"
        return f"<ProtocolClient {session or where + ' not connected'}>"

    def __enter__(self) -> ProtocolClient:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def session(self) -> ServerSession:
        """The connections behind this client, opened if need be."""
        return self.shared_session.get()

    @property
    def server_kind(self) -> ServerKind:
        """What the server is and can, as far as its replies have told."""
        return self.session.server

    @property
    def in_parent_process(self) -> bool:
        """True in the process that made this client, False in its forked children."""
        return self.shared_session.in_parent_process

    def open(self) -> ProtocolClient:
        """Let the first command connect, instead of :meth:`connect`.

        Returns:
            This client.
        """
        self.shared_session.open()
        return self

    def connect(self, timeout: Timeout = NOT_GIVEN) -> None:
        """(Re)connect to the server: always make a new connection.

        Connections of before are used no more; what is under way on them goes on. Does not wait
        for the server to answer a command: while jobs are held, the new connection carries
        commands as soon as it is known, in the background, to lead to the server that has them.

        Args:
            timeout: seconds to wait for the connection; 5 s is the most.

        Raises:
            ConnectionLostError: it cannot be reached, or not in time; an OSError.
        """
        shared = self.shared_session
        deadline = Deadline(self._timeout_s if timeout is NOT_GIVEN else timeout)
        connection = connect(shared.host, shared.port, deadline.at)
        self.open()
        self.session.pool.renew(connection)

    def close(self) -> None:
        """Disconnect from the server, politely; harmless when that is done already."""
        self._queue = None
        self.shared_session.close()

    # -- any command --------------------------------------------------------------------

    def call(self, name: str, *args: Any, timeout: Timeout = NOT_GIVEN, **kwargs: Any) -> Any:
        """Send the command `name` and return what the server returns, as it came.

        A command that this client does not know, or with arguments that the server cannot
        bind, travels on a connection of its own: a server may answer it by hanging up, which
        is a ProtocolError. ``create_job`` is checked as in :meth:`create_job`.

        Args:
            name: the command's.
            args: what it is given by position, as JSON can carry it. A float or None in front is
                the `timeout`, as ``call(name, timeout, *args)`` of ``spalloc`` 1!7.4 has it: no
                command begins with one. A whole number in front is the command's.
            timeout: seconds to wait for the reply.
            kwargs: what it is given by name.

        Returns:
            The value in the reply; None after a command about notifications.

        Raises:
            TypeError, ValueError: arguments that JSON cannot carry, or that the server would
                not survive.
            ConnectionLostError: the server cannot be reached, or broke off.
            ProtocolTimeoutError: no reply in time.
            ProtocolError: the server said what the protocol does not allow.
            SpallocServerException: the server refused.
        """
        if not isinstance(name, str) or not name:
            raise BadTypeError(f"a command's name is text, not {name!r}")
        timeout, args = _timeout_in_front(timeout, args)
        if name == "create_job":
            size = check_create_job(args, kwargs)
            self.session.check_fits(size, kwargs, self._deadline(timeout))
        request = self._request(name, args, kwargs)
        if request.route is Route.SUBSCRIPTION:
            return self._change_subscription(name, [*args, *kwargs.values()], timeout)
        return self.session.call(request, self._deadline(timeout))

    def _ask(self, name: str, *args: object, timeout: Timeout, **kwargs: object) -> Any:
        request = self._request(name, args, kwargs)
        return self.session.call(request, self._deadline(timeout))

    def _request(self, name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> Request:
        waits = self._wait_for_server
        return Request(name, args, kwargs, wait_for_server=waits, tries_at_once=True)

    def _deadline(self, timeout: Timeout) -> Deadline:
        return Deadline(self._call_timeout_s if timeout is NOT_GIVEN else timeout)

    # -- the commands --------------------------------------------------------------------

    def version(self, timeout: Timeout = NOT_GIVEN) -> str:
        """Ask for the server's version.

        Args:
            timeout: seconds to wait for the reply.

        Returns:
            The version as the server tells it, for example ``"1!7.0.0"`` or ``"5.0.0"``.
        """
        version = str(self._ask("version", timeout=timeout))
        self.server_kind.learn_version(version)
        return version

    def create_job(
        self, *args: int | float | None, timeout: Timeout = NOT_GIVEN, **kwargs: Any
    ) -> int:
        """Ask for boards: make a new job. The command is sent once.

        Args:
            args: nothing or 1: one board; n: at least n boards; width, height: triads; x, y, z:
                the board there. None in front, or a float in front of integers, is the
                `timeout`, as in :meth:`call`.
            timeout: seconds to wait for the reply.
            kwargs: ``owner`` (required), ``keepalive`` (seconds; None: the job is never
                destroyed for silence), ``machine``, ``tags``, ``min_ratio``,
                ``max_dead_boards``, ``max_dead_links`` and ``require_torus``.

        Returns:
            The new job's ID.

        Raises:
            ValueError, TypeError: a request that a server would not survive or would lose;
                nothing is sent.
            ConnectionLostError: the connection broke; with ``may_have_happened`` if that was
                after the command had been sent.
        """
        if len(args) != 1 or args[0] is None:  # One float alone is a wrong number of boards.
            timeout, args = _timeout_in_front(timeout, args)
        size = check_create_job(args, kwargs)
        self.session.check_fits(size, kwargs, self._deadline(timeout))
        return int(self._ask("create_job", *size, timeout=timeout, **_as_json(kwargs)))

    def job_keepalive(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> None:
        """Tell the server that the job is still in use.

        Args:
            job_id: the job's ID.
            timeout: seconds to wait for the reply.
        """
        self._command("job_keepalive", as_int(job_id, "job_id"), timeout)

    def get_job_state(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> JobStateInfo:
        """Ask for a job's state, power, keepalive, reason, start time and owner's host.

        Counts as the job's keepalive.

        Args:
            job_id: the job's ID.
            timeout: seconds to wait for the reply.

        Returns:
            The state; 0 (unknown) for an ID that the server does not know.

        Raises:
            UnknownStateError: a state that this client does not know.
        """
        number = as_int(job_id, "job_id")
        return state_in(lambda: self._ask("get_job_state", number, timeout=timeout))

    def get_job_machine_info(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> MachineInfo:
        """Ask which boards a job has. Counts as the job's keepalive.

        Args:
            job_id: the job's ID.
            timeout: seconds to wait for the reply.

        Returns:
            Width and height in chips (not triads), connections ``[[[x, y], hostname], ...]``,
            the machine's name and the boards ``[[x, y, z], ...]``, logical. Every value is
            None until boards are allocated.
        """
        try:
            answer = self._ask("get_job_machine_info", as_int(job_id, "job_id"), timeout=timeout)
        except SpallocServerException as error:
            if not means_nothing(error.reason):
                raise
            return NO_MACHINE.copy()
        return machine_info(answer)

    def power_on_job_boards(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> None:
        """Power the job's boards on; boards that are on are reset. The command is sent once.

        Args:
            job_id: the job's ID.
            timeout: seconds to wait for the reply, which does not wait for the boards.

        Raises:
            ConnectionLostError: the connection broke; with ``may_have_happened`` if that was
                after the command had been sent.
        """
        self._set_power("power_on_job_boards", job_id, timeout)

    def power_off_job_boards(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> None:
        """Power the job's boards off; as :meth:`power_on_job_boards`.

        Args:
            job_id: the job's ID.
            timeout: seconds to wait for the reply, which does not wait for the boards.
        """
        self._set_power("power_off_job_boards", job_id, timeout)

    def _set_power(self, name: str, job_id: int, timeout: Timeout) -> None:
        number = as_int(job_id, "job_id")
        if self.server_kind.revives_by_power:
            state = self.get_job_state(number, timeout)
            if state["state"] == JobState.destroyed:
                reason = state["reason"] or "no reason was given"
                raise JobDestroyedError(f"job {job_id} has been destroyed: {reason}")
        self._command(name, number, timeout)

    def destroy_job(
        self, job_id: int, reason: str | None = None, timeout: Timeout = NOT_GIVEN
    ) -> None:
        """End a job.

        On the Java server one that is not ready yet may live again a moment later: a :class:`Job`
        is looked at after its end, this is not.

        Args:
            job_id: the job's ID.
            reason: why, for everybody to read.
            timeout: seconds to wait for the reply.
        """
        # As a keyword: the Java server takes it in no other way.
        self._command("destroy_job", as_int(job_id, "job_id"), timeout, reason=reason)

    def list_jobs(self, timeout: Timeout = NOT_GIVEN) -> list[JobDescription]:
        """Ask for all jobs; keeps none of them alive.

        Args:
            timeout: seconds to wait for the reply.

        Returns:
            Every job that is not destroyed, the oldest first.

        Raises:
            ConnectionLostError: also when the Java server hangs up on the list, as it does while
                a job lives that was made with a number that is no integer.
        """
        try:
            return cast("list[JobDescription]", self._ask("list_jobs", timeout=timeout))
        except ConnectionLostError as error:
            if not error.may_have_happened or not self._may_hang_up_on_list(timeout):
                raise
            raise ConnectionLostError(
                f"{error}; this server hangs up on the list of jobs while a job lives that was "
                "made with a number that is no integer: all else works",
                may_have_happened=True,
            ) from None

    def list_machines(self, timeout: Timeout = NOT_GIVEN) -> list[MachineDescription]:
        """Ask for all machines.

        Args:
            timeout: seconds to wait for the reply.

        Returns:
            Every machine, the highest priority first; width and height are in triads. The Java
            server tells of dead links from both ends, and of none of the boards that were never
            there.
        """
        machines = cast("list[MachineDescription]", self._ask("list_machines", timeout=timeout))
        if self.server_kind.numbers_links_clockwise:
            return [with_links_renumbered(machine) for machine in machines]
        return machines

    def _may_hang_up_on_list(self, timeout: Timeout) -> bool:
        try:
            # Whatever it answers shows what it is, and that it lives.
            self.version(timeout)
        except SpallocError:
            return False
        return self.server_kind.may_hang_up_on_list

    def get_board_position(
        self, machine_name: str, x: int, y: int, z: int, timeout: Timeout = NOT_GIVEN
    ) -> list[int] | None:
        """Ask where a board is in the racks.

        Args:
            machine_name: the machine's name.
            x, y, z: the board's logical place.
            timeout: seconds to wait for the reply.

        Returns:
            Cabinet, frame and board; None if there is no such board.
        """
        place = _place(machine_name, x, y, z)
        return cast("list[int] | None", self._ask_or_none("get_board_position", place, timeout))

    def get_board_at_position(
        self, machine_name: str, x: int, y: int, z: int, timeout: Timeout = NOT_GIVEN
    ) -> list[int] | None:
        """Ask which board is at a place in the racks.

        Args:
            machine_name: the machine's name.
            x, y, z: the board's cabinet, frame and place in the frame.
            timeout: seconds to wait for the reply.

        Returns:
            The board's logical (x, y, z); None if there is no such board.
        """
        place = _place(machine_name, x, y, z)
        return cast("list[int] | None", self._ask_or_none("get_board_at_position", place, timeout))

    def where_is(self, *args: Any, timeout: Timeout = NOT_GIVEN, **kwargs: Any) -> Location | None:
        """Ask where a board or chip is.

        On the Java server only the board and its job are taken from the answer; the chips are
        computed, from the machine's size and the boards of the job, which are asked for. A job
        is kept alive by it only if it is named, or if the list of jobs cannot be had.

        Args:
            args: job_id, chip_x, chip_y and `timeout`, instead of giving them by name; or
                `timeout` alone.
            timeout: seconds to wait for each reply.
            kwargs: exactly (machine, x, y, z), (machine, cabinet, frame, board), (machine,
                chip_x, chip_y) or (job_id, chip_x, chip_y). Coordinates too large wrap around
                on the Python server; on the Java server nothing is there.

        Returns:
            All that is known of its place; None if there is no such board or chip.

        Raises:
            ValueError: other keywords; nothing is sent.
        """
        if len(args) == 1 and not {"machine", "job_id"}.isdisjoint(kwargs):
            (timeout,) = args
        elif args:
            return self._where_is_job_chip(*args, timeout=timeout, **kwargs)
        question = check_where_is(kwargs)
        told = cast("Location | None", self._ask_or_none("where_is", question, timeout))
        # Whatever it answers shows what it is.
        if not self.server_kind.misplaces_chips:
            return told
        return self._where_is_on_java(question, told, timeout)

    def _where_is_job_chip(
        self,
        job_id: int,
        chip_x: int,
        chip_y: int,
        within: Timeout = NOT_GIVEN,
        *,
        timeout: Timeout,
    ) -> Location | None:
        timeout = timeout if within is NOT_GIVEN else within
        return self.where_is(job_id=job_id, chip_x=chip_x, chip_y=chip_y, timeout=timeout)

    def _where_is_on_java(
        self, question: dict[str, Any], told: Location | None, timeout: Timeout
    ) -> Location | None:
        is_about_machine_chip = {"machine", "chip_x"} <= set(question)
        if told is None and not is_about_machine_chip:
            return None
        name = question["machine"] if told is None else told["machine"]
        torus = self._torus(name, timeout)
        if torus is None:
            return None
        if is_about_machine_chip:
            chip = question["chip_x"], question["chip_y"]
            if chip != wrapped_chip(chip, *torus):
                return None
            x, y, z = board_of_chip(chip, *torus)
            of_board = {"machine": name, "x": x, "y": y, "z": z}
            told = cast("Location | None", self._ask_or_none("where_is", of_board, timeout))
        if told is None:
            return None
        origin = self._origin(told["job_id"], "job_id" in question, timeout)
        return java_location(told, question, torus, origin)

    def _torus(self, name: str, timeout: Timeout) -> Torus | None:
        """The size of a machine in triads; None if there is none of that name."""
        machines = self.list_machines(timeout)
        return next(((m["width"], m["height"]) for m in machines if m["name"] == name), None)

    def _origin(self, job_id: int | None, is_named: bool, timeout: Timeout) -> Board | None:
        """The board that a job's chips are counted from; None while it has no boards.

        is_named: whoever asks has named the job, and so kept it alive already.
        """
        if job_id is None:
            return None
        boards = None if is_named else self._listed_boards(job_id, timeout)
        if boards is None:
            boards = self.get_job_machine_info(job_id, timeout)["boards"] or ()
        return job_origin([(x, y, z) for x, y, z in boards]) if boards else None

    def _listed_boards(self, job_id: int, timeout: Timeout) -> Sequence[Sequence[int]] | None:
        """A job's boards as the list of jobs tells them; None where the list cannot be had."""
        try:
            jobs = self.list_jobs(timeout)
        except ConnectionLostError as error:
            if not error.may_have_happened:
                raise
            return None
        return next((job["boards"] for job in jobs if job["job_id"] == job_id), None) or ()

    def report_problem(
        self,
        address: str,
        x: int | None = None,
        y: int | None = None,
        p: int | None = None,
        description: str | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> None:
        """Tell the server of a bad board, of a chip on it, or of a processor of that chip.

        Args:
            address: the board's IP address or hostname, as :meth:`get_job_machine_info` tells
                it.
            x, y: the chip, counted from the board's own chip (0, 0); None: the whole board.
            p: the chip's processor; None: the whole chip.
            description: what is wrong, for those who run the machine.
            timeout: seconds to wait for each reply.

        Raises:
            UnsupportedCommandError: the server takes no reports, as the Python server; no
                report was sent.
            ValueError: a chip with one coordinate, or a processor of no chip.
        """
        place = _reported_place(x, y, p)
        if not isinstance(address, str) or not address.strip():
            raise BadValueError(
                f"address must be a board's IP address or hostname, not {address!r}"
            )
        self._check_takes_reports(timeout)
        self._report(address, place, description, timeout)

    def report_chip(
        self,
        job_id: int,
        chip_x: int,
        chip_y: int,
        processor: int | None = None,
        description: str | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> None:
        """As :meth:`report_problem`, of a chip among those of a job.

        Args:
            job_id: the job's ID.
            chip_x, chip_y: the chip, counted from the job's chip (0, 0).
            processor: the chip's processor; None: the whole chip.
            description: what is wrong, for those who run the machine.
            timeout: seconds to wait for each reply.

        Raises:
            UnsupportedCommandError: the server takes no reports, as the Python server; no
                report was sent.
            ValueError: the job has no such chip.
        """
        self._check_takes_reports(timeout)
        chip = as_int(chip_x, "chip_x"), as_int(chip_y, "chip_y")
        info = self.get_job_machine_info(job_id, timeout)
        width, height, connections = info["width"], info["height"], info["connections"]
        if not width or not height or not connections:
            raise BadValueError(f"job {job_id} has no boards (any more)")
        hostnames = {(x, y): hostname for (x, y), hostname in connections}
        # Not asked for with where_is: the Java server tells another place.
        found = board_with_chip(chip, hostnames, (width, height))
        if found is None:
            raise BadValueError(f"job {job_id} has no chip {chip}")
        board, (x, y) = found
        address = hostnames[board]
        self._report(address, _reported_place(x, y, processor), description, timeout)

    def _report(
        self, address: str, place: dict[str, Any], description: str | None, timeout: Timeout
    ) -> None:
        if description is not None:
            place["description"] = str(description)
        self._ask("report_problem", address, timeout=timeout, **place)

    def _check_takes_reports(self, timeout: Timeout) -> None:
        """Raise UnsupportedCommandError on a server that would hang up on a report."""
        # Whatever it answers shows what it is.
        self.version(timeout)
        if self.server_kind.takes_reports:
            return
        raise UnsupportedCommandError(
            "this server takes no reports of bad boards (only the Java server does); "
            "nothing was reported: tell those who run it"
        )

    def _command(self, name: str, job_id: int, timeout: Timeout, **kwargs: Any) -> None:
        """Nothing happens where there is no such job, or it has no boards."""
        try:
            self._ask(name, job_id, timeout=timeout, **kwargs)
        except SpallocServerException as error:
            if not means_nothing(error.reason):
                raise

    def _ask_or_none(self, name: str, kwargs: dict[str, Any], timeout: Timeout) -> Any:
        try:
            return self._ask(name, timeout=timeout, **kwargs)
        except SpallocServerException as error:
            if not means_nothing(error.reason):
                raise
            return None

    # -- notifications ------------------------------------------------------------------

    def notify_job(self, job_id: int | None = None, timeout: Timeout = NOT_GIVEN) -> None:
        """Have ``{"jobs_changed": [ID, ...]}`` come whenever a job changes.

        For any job on the Java server, one that is made later may be told of late, or not at
        all.

        Args:
            job_id: which; None: any.
            timeout: seconds to wait for the reply.
        """
        self._change_subscription("notify_job", [job_id], timeout)

    def no_notify_job(self, job_id: int | None = None, timeout: Timeout = NOT_GIVEN) -> None:
        """Undo :meth:`notify_job`.

        Args:
            job_id: for which job; None: for all.
            timeout: seconds to wait for the reply.
        """
        self._change_subscription("no_notify_job", [job_id], timeout)

    def notify_machine(self, machine_name: str | None = None, timeout: Timeout = NOT_GIVEN) -> None:
        """Have ``{"machines_changed": [NAME, ...]}`` come whenever a machine changes.

        None comes from the Java server: nothing is asked of it, as it keeps a thread for each
        such request for good. Look at :meth:`list_machines` now and then there, or use
        :meth:`monitor`.

        Args:
            machine_name: which; None: any.
            timeout: seconds to wait for the reply.
        """
        self._change_subscription("notify_machine", [machine_name], timeout)

    def no_notify_machine(
        self, machine_name: str | None = None, timeout: Timeout = NOT_GIVEN
    ) -> None:
        """Undo :meth:`notify_machine`.

        Args:
            machine_name: for which machine; None: for all.
            timeout: seconds to wait for the reply.
        """
        self._change_subscription("no_notify_machine", [machine_name], timeout)

    def _change_subscription(self, command: str, args: list[Any], timeout: Timeout) -> None:
        kind = Kind.JOB if command.endswith("job") else Kind.MACHINE
        key: Key = args[0] if args else None
        if key is not None and kind is Kind.JOB:
            key = as_int(key, "job_id")
        session, queue = self._session_and_queue()
        change = session.unsubscribe if command.startswith("no_") else session.subscribe
        deadline = self._deadline(timeout)
        if not change(queue, kind, key, deadline):
            raise ProtocolTimeoutError(
                f"{bracketed(session.host)}:{session.port} did not confirm notifications "
                f"in {deadline.timeout_s:g} s"
            )

    def _session_and_queue(self) -> tuple[ServerSession, NotificationQueue]:
        session = self.session
        if self._queue is None or self._queue[0] is not session:
            self._queue = (session, session.open_queue())
        return self._queue

    def wait_for_notification(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The oldest notification that nobody has been given yet.

        At most 1,000 wait unread; after that they are merged into one.

        Args:
            timeout: seconds to wait for one; None waits for ever; a negative number gives what
                is here already.

        Returns:
            The notification; None if there is none and `timeout` is negative.

        Raises:
            ProtocolTimeoutError: none came in time.
            ConnectionLostError: the connection for notifications was lost, and some may have
                been missed; raised once. The subscriptions are made again in the background.
            ProtocolError: the client was not connected.
            ClosedError: it was closed.
        """
        session, queue = self._session_and_queue()
        deadline = Deadline(timeout)
        within_s = deadline.timeout_s
        body = queue.take(deadline.at)
        if body is None and within_s is not None and within_s >= 0:
            raise ProtocolTimeoutError(
                f"no notification from {bracketed(session.host)}:{session.port} in {within_s:g} s"
            )
        return body

    def monitor(
        self, collect: Callable[[], T], *, interval_s: float = POLL_INTERVAL_S
    ) -> Poller[T]:
        """Have ``collect()`` called whenever jobs or machines change; its results are for poll().

        A server that goes away and comes back ends nothing. The Java server, which suffers from
        those who look on, is looked at every 3 s instead. To be closed when done with::

            with closing(client.monitor(client.list_jobs)) as monitor:
                ready = select.poll()
                ready.register(monitor, select.POLLIN)
                ready.register(sys.stdin, select.POLLIN)
                while [file for file, _ in ready.poll()] == [monitor.fileno()]:
                    print(monitor.take())

        Args:
            collect: runs in the background: it may call this client and must not block or
                compute for long. It is called at once, then on notifications, in bursts at
                most ten times a second.
            interval_s: the longest time between two calls, in seconds.

        Returns:
            An object to give to ``select()``; its ``take()`` returns the latest result.

        Raises:
            ClosedError: the client is closed.
        """
        # One subscription for everything: one to a job would count as its keepalive.
        from spalloc_gevent.transport.poller import Poller

        session, seconds = self.session, as_number(interval_s, "interval_s")
        return Poller(session.background, session.subscriptions, collect, tuple(Kind), seconds)


def _timeout_in_front(timeout: Timeout, args: tuple[Any, ...]) -> tuple[Timeout, tuple[Any, ...]]:
    if args and (args[0] is None or isinstance(args[0], float)):
        return (args[0] if timeout is NOT_GIVEN else timeout), args[1:]
    return timeout, args


def _as_json(kwargs: dict[str, Any]) -> dict[str, Any]:
    tags = kwargs.get("tags")
    return kwargs if tags is None else {**kwargs, "tags": list(tags)}


def _place(machine_name: str, x: int, y: int, z: int) -> dict[str, Any]:
    # By name: the Java server takes them in no other way.
    return {
        "machine_name": machine_name,
        "x": as_int(x, "x"),
        "y": as_int(y, "y"),
        "z": as_int(z, "z"),
    }


def _reported_place(x: int | None, y: int | None, p: int | None) -> dict[str, Any]:
    if (x is None) != (y is None):
        raise BadValueError(f"a chip has two coordinates, not x={x!r} and y={y!r}")
    if p is not None and x is None:
        raise BadValueError(f"processor {p!r} is of no chip: give x and y too")
    given = {name: value for name, value in (("x", x), ("y", y), ("p", p)) if value is not None}
    return {name: at_least(value, 0, name) for name, value in given.items()}
