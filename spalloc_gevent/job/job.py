"""``Job``: a request for boards, and its life (the manual's 8.1)."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NoReturn

from spalloc_gevent.address import bracketed
from spalloc_gevent.client import ProtocolClient
from spalloc_gevent.config import load_config
from spalloc_gevent.deadline import Deadline, limit_in_seconds
from spalloc_gevent.errors import (
    BadTypeError,
    BadValueError,
    ClosedError,
    ForkedError,
    JobDestroyedError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocError,
    StateChangeTimeoutError,
)
from spalloc_gevent.job.ledger_recorder import LedgerRecorder
from spalloc_gevent.job.life import GONE, JobLife, why_gone
from spalloc_gevent.job.request import ALL_KEYWORDS, job_request, server_options, with_address_apart
from spalloc_gevent.ledger import JobOutcome
from spalloc_gevent.not_given import NOT_GIVEN, NotGiven, given
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.answers import NO_MACHINE, JobStateInfo, MachineInfo, job_state
from spalloc_gevent.wire.checks import as_int
from spalloc_gevent.wire.version import check_version

_log = logging.getLogger(__name__)

PAUSE_AFTER_LOSS_S = 0.25


class Job:
    """SpiNNaker boards requested from a spalloc server, and kept alive until given back.

    Styles: ``Job()`` or ``Job(1)`` one board; ``Job(n)`` at least n boards;
    ``Job(w, h)`` triads; ``Job(x, y, z)`` the board there;
    ``Job(resume_job_id=i)`` a job that exists. As a context manager it waits
    until the boards are ready and destroys the job at the end::

        with Job(6) as j:
            my_boot(j.hostname, j.width, j.height)

    Any thread and any greenlet may use it, several at once. In a forked child
    it is the parent's: it does nothing there. Every property asks the server, except
    for what is known for good (boards, once there are some; the end), and raises
    ConnectionLostError or ProtocolTimeoutError when that cannot be reached.
    """

    id: int | None = None
    """The number the server gave the job."""

    def __init__(
        self,
        *what: int,
        hostname: str | NotGiven | None = NOT_GIVEN,
        port: int | NotGiven = NOT_GIVEN,
        owner: str | NotGiven | None = NOT_GIVEN,
        keepalive: float | NotGiven | None = NOT_GIVEN,
        machine: str | NotGiven | None = NOT_GIVEN,
        tags: Iterable[str] | NotGiven | None = NOT_GIVEN,
        min_ratio: float | NotGiven = NOT_GIVEN,
        max_dead_boards: int | NotGiven | None = NOT_GIVEN,
        max_dead_links: int | NotGiven | None = NOT_GIVEN,
        require_torus: bool | NotGiven = NOT_GIVEN,
        timeout: float | NotGiven | None = NOT_GIVEN,
        reconnect_delay: float | NotGiven = NOT_GIVEN,
        ignore_version: bool | NotGiven = NOT_GIVEN,
        guardian: bool | NotGiven = NOT_GIVEN,
        ledger: str | NotGiven | None = NOT_GIVEN,
        label: str | NotGiven | None = NOT_GIVEN,
        config_filenames: Sequence[str] | NotGiven | None = NOT_GIVEN,
        resume_job_id: int | NotGiven | None = NOT_GIVEN,
    ) -> None:
        """Ask for boards, or take over a job; returns when the server has told its number.

        What is not given is taken from the environment and the configuration files; an
        explicit None is a value.

        Args:
            what: the size: see above.
            hostname: the server's name or address, or one with its port, as ``host:1234``,
                ``[::1]:1234`` and ``spalloc://owner@host:1234``; it has to be known.
            port: its TCP port.
            owner: whose job it is, by custom an e-mail address; it has to be known.
            keepalive: seconds of silence after which the server destroys the job; None: never.
            machine: the name of the one machine that will do.
            tags: names that a machine must have, all of them, instead; None: ``["default"]``.
            min_ratio: how square several boards must lie, from 0.0 (any shape) to 1.0.
            max_dead_boards: the most dead boards that will do; None: any number.
            max_dead_links: the most dead links that will do; None: any number.
            require_torus: True: only boards whose links wrap around, mostly a whole machine.
            timeout: seconds to wait for each answer of the server; None: for ever.
            reconnect_delay: seconds from one attempt to reach a lost server to the next. Those
                that a call asks for come at once, and more often than that only where the job
                would be lost else.
            ignore_version: True: use a server whose version is not known to work.
            guardian: True: a small process keeps the job alive while the program is stopped.
            ledger: the name of a file in which the allocation is entered; None: no file.
            label: what the job is for, as the ledger is to say.
            config_filenames: the files to read, lowest priority first, instead of the usual.
            resume_job_id: the job to take over; nothing is asked for.

        Raises:
            ValueError, TypeError: the request cannot be.
            ConfigError: the configuration cannot be understood.
            ConnectionLostError, ProtocolTimeoutError: the server cannot be reached. The first
                is an OSError.
            SpallocServerException: the server refused.
            IncompatibleServerError: its version is not one that this client speaks.
            JobDestroyedError: the job to take over is gone.

            Nothing is left behind then.
        """
        arguments = with_address_apart(given(locals(), ALL_KEYWORDS))
        config = load_config(arguments.get("config_filenames"))
        resume_id = arguments.get("resume_job_id")
        if resume_id is not None:
            resume_id = as_int(resume_id, "resume_job_id")
        request = job_request(what, arguments, config) if resume_id is None else None
        self._server = server_options(arguments, config)
        self._client = ProtocolClient(
            self._server.hostname,
            self._server.port,
            call_timeout=self._server.timeout_s,
            shared=True,
        ).open()
        self._machine_info: MachineInfo | None = None
        self._ledger = LedgerRecorder(arguments, config)
        life: JobLife | None = None
        try:
            self._check_version()
            life = self._life = JobLife(
                self._client.shared_session,
                self._ledger,
                self._server.timeout_s,
                guardian=self._server.guardian,
            )
            self.id = life.begin(request, resume_id).job_id
        except BaseException:
            if life is None:
                self._client.close()
            else:
                life.give_up(JobOutcome.CLOSED if request is None else JobOutcome.GIVEN_BACK)
            raise

    def _check_version(self) -> None:
        session = self._client.session
        session.pool.backoff.set_delay(self._server.reconnect_delay_s)
        if not session.version_checked:
            version = self._client.version()
            if not self._server.ignore_version:
                check_version(version, f"the server at {bracketed(session.host)}:{session.port}")
                session.version_checked = True

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Job cannot be pickled, since this program keeps it alive: give others its "
            "Allocation (spalloc_gevent.batch.Allocation.of(job), or SpallocExecutor(workers=...), "
            "which does so), or its id, and Job(resume_job_id=id) there"
        )

    def __repr__(self) -> str:
        return f"<Job {self.id} on {self._server.hostname}, {self._end or 'held'}>"

    # -- the end ------------------------------------------------------------

    def __enter__(self) -> Job:
        """Wait until the boards are ready; an interrupt meanwhile destroys the job."""
        try:
            self.wait_until_ready()
        except BaseException as error:
            self.destroy(_interruption(error))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.destroy()

    def destroy(self, reason: str | None = None) -> None:
        """Give the boards back and disconnect.

        Harmless when done before, from another thread, or with the server gone: the job then
        ends when its keepalive runs out.

        Args:
            reason: for others to read.
        """
        self._end_life(JobOutcome.GIVEN_BACK, reason)

    def close(self) -> None:
        """Disconnect and stop keeping the job alive; does not free its boards.

        Most programs want :meth:`destroy`.
        """
        self._end_life(JobOutcome.CLOSED, None)

    def _end_life(self, ending: JobOutcome, reason: str | None) -> None:
        self._note_boards()
        if self._client.in_parent_process:
            self._life.end(ending, reason)

    def _note_boards(self) -> None:
        """Have the ledger know what the job has, at the latest when it ends."""
        if self._ledger.lacks_boards and self._end is None:
            with suppress(SpallocError):
                info = self._machine()
                if info["boards"] is not None:
                    self._ledger.granted(info)

    def __del__(self) -> None:
        if self.id is None or self._end is not None or sys.is_finalizing():
            return
        if self._client.in_parent_process and self._life.end_told is None:
            message = f"job {self.id} was neither destroyed nor closed: nobody keeps it alive now"
            warnings.warn(message, ResourceWarning, source=self, stacklevel=1)
            # Now: the end of the life is not waited for.
            self._ledger.ended(JobOutcome.CLOSED, None)
        self._life.end(JobOutcome.CLOSED, None, wait=False)

    @property
    def _end(self) -> str | None:
        """How this program has ended the job, if it has."""
        ending = self._life.ending
        return None if ending is None else "closed" if ending is JobOutcome.CLOSED else "destroyed"

    # -- asking -------------------------------------------------------------

    @property
    def state(self) -> JobState:
        """The current state of the job."""
        return JobState(self._info()["state"])

    @property
    def power(self) -> bool | None:
        """Whether the boards are powered (or being powered) on; None without boards."""
        return self._info()["power"]

    @property
    def reason(self) -> str | None:
        """Why the job was destroyed, if it was and somebody said why."""
        return self._info()["reason"]

    @property
    def connections(self) -> dict[tuple[int, int], str] | None:
        """``{(x, y): hostname, ...}`` of the Ethernet-connected chips, or None without boards."""
        pairs = self._machine()["connections"]
        if pairs is None:
            return None
        return {(x, y): hostname for (x, y), hostname in sorted(pairs, key=_chip_of)}

    @property
    def hostname(self) -> str | None:
        """The hostname of chip (0, 0), or None without boards."""
        return (self.connections or {}).get((0, 0))

    @property
    def width(self) -> int | None:
        """The width in chips of the network of boards, or None without boards."""
        return self._machine()["width"]

    @property
    def height(self) -> int | None:
        """The height in chips of the network of boards, or None without boards."""
        return self._machine()["height"]

    @property
    def machine_name(self) -> str | None:
        """The name of the machine that the boards are part of, or None without boards."""
        return self._machine()["machine_name"]

    @property
    def boards(self) -> list[list[int]] | None:
        """The logical ``[[x, y, z], ...]`` of the boards, in order, or None without boards."""
        boards = self._machine()["boards"]
        return None if boards is None else sorted([list(board) for board in boards])

    def where_is_machine(self, chip_x: int, chip_y: int) -> tuple[int, int, int]:
        """Ask where the board of a chip is in the racks.

        Args:
            chip_x, chip_y: the chip, counted from the job's chip (0, 0).

        Returns:
            Cabinet, frame and board.

        Raises:
            ValueError: the job has no such chip.
            JobDestroyedError: the job is lost.
            ClosedError: this program has ended the job.
        """
        self._check_ours()
        found = self._client.where_is(job_id=self._life.job_id, chip_x=chip_x, chip_y=chip_y)
        if found is None:
            raise BadValueError(f"job {self.id} has no chip ({chip_x}, {chip_y})")
        cabinet, frame, board = found["physical"]
        return cabinet, frame, board

    def _info(self) -> JobStateInfo:
        known = self._known_end()
        if known is not None:
            return known
        self._check_usable()
        return self._ask_state(Deadline(self._server.timeout_s))

    def _known_end(self) -> JobStateInfo | None:
        if self._life.ending is JobOutcome.GIVEN_BACK and self._life.end_told is None:
            return job_state({"state": JobState.destroyed, "reason": self._life.reason})
        end = self._life.end_told
        if end is not None and self._life.ending is None:
            # The background may be about to do so: no later than whoever asks is told.
            self._ledger.gone(end)
        return end

    def _ask_state(self, deadline: Deadline, *, tries_at_once: bool = True) -> JobStateInfo:
        try:
            info = self._life.ask(deadline, tries_at_once=tries_at_once)
        except JobDestroyedError:
            if self._life.end_told is None:
                raise
            return self._life.end_told
        self._note_final_boards(info)
        return self._life.end_told or info

    def _note_final_boards(self, info: JobStateInfo) -> None:
        has_boards = info["state"] in (JobState.power, JobState.ready)
        if has_boards and self._life.has_final_boards and self._known_end() is None:
            self._note_boards()

    def _machine(self) -> MachineInfo:
        if self._machine_info is not None:
            return self._machine_info
        # Asked before: a job that is moved meanwhile was not ready.
        is_final = self._life.has_final_boards
        try:
            self._check_ours()
            info = self._client.get_job_machine_info(self._life.job_id)
        except JobDestroyedError:
            return NO_MACHINE.copy()
        if is_final and info["width"] is not None:
            self._machine_info = info
            self._ledger.granted(info)
        return info

    def _check_usable(self) -> None:
        if not self._client.in_parent_process:
            raise ForkedError(f"job {self.id} belongs to the parent process, not to this child")
        if self._end is not None:
            raise ClosedError(f"job {self.id} has been {self._end} by this program")

    def _check_ours(self) -> None:
        self._check_usable()
        if self._life.end_told is not None:
            raise JobDestroyedError(why_gone(self.id, self._info()))

    # -- steering -----------------------------------------------------------

    def set_power(self, power: bool) -> None:
        """Power the boards on or off; does nothing without boards.

        :meth:`wait_until_ready` waits for the end of it. The command is sent once.

        Args:
            power: True switches the boards on, and resets those that are on; False switches
                them off.

        Raises:
            TypeError: `power` is no bool.
            ConnectionLostError: the connection broke; with ``may_have_happened`` if that was
                after the command had been sent.
            JobDestroyedError: the job is lost.
            ClosedError: this program has ended the job.
        """
        if not isinstance(power, bool):
            raise BadTypeError(f"power must be True or False, not {power!r}")
        self._check_ours()
        if power:
            self._client.power_on_job_boards(self._life.job_id)
        else:
            self._client.power_off_job_boards(self._life.job_id)

    def reset(self) -> None:
        """Power-cycle the boards; the same as :meth:`set_power` with True."""
        self.set_power(True)

    def report_problem(
        self,
        chip_x: int,
        chip_y: int,
        processor: int | None = None,
        description: str | None = None,
    ) -> None:
        """Tell those who run the server that a chip of this job, or its board, is bad.

        Args:
            chip_x, chip_y: the chip, counted from the job's chip (0, 0).
            processor: the chip's processor; None: the whole chip.
            description: what is wrong.

        Raises:
            UnsupportedCommandError: the server takes no reports, as the Python server; no
                report was sent.
            ValueError: the job has no such chip.
            JobDestroyedError: the job is lost.
            ClosedError: this program has ended the job.
        """
        self._check_ours()
        self._client.report_chip(self._life.job_id, chip_x, chip_y, processor, description)

    # -- waiting ------------------------------------------------------------

    def wait_for_state_change(
        self, old_state: JobState | int, timeout: float | None = None
    ) -> JobState:
        """Wait until the job has another state; through lost connections and server restarts.

        Args:
            old_state: the state that is not waited for.
            timeout: seconds to wait; None: for ever.

        Returns:
            The first state other than `old_state`, or `old_state` at the time-out.

        Raises:
            ClosedError: :meth:`close` was called before, or meanwhile.
        """
        old = JobState(old_state)
        found = self._await_state(lambda info: info["state"] != old, timeout)
        return old if found is None else JobState(found["state"])

    def wait_until_ready(self, timeout: float | None = None) -> None:
        """Wait until the boards are allocated and powered.

        Args:
            timeout: seconds to wait; None: for ever.

        Raises:
            StateChangeTimeoutError: they were not in that time.
            JobDestroyedError: the job is destroyed or lost; with the reason.
            ClosedError: :meth:`close` was called before, or meanwhile.
        """
        limit_s = limit_in_seconds(timeout)
        found = self._await_state(lambda info: info["state"] in (JobState.ready, *GONE), limit_s)
        if found is None:
            raise StateChangeTimeoutError(f"job {self.id} was not ready within {limit_s:g} s")
        if found["state"] in GONE:
            raise JobDestroyedError(why_gone(self.id, found))

    def _await_state(
        self, wanted: Callable[[JobStateInfo], bool], timeout: float | None
    ) -> JobStateInfo | None:
        """The first state that is wanted, or None at the time-out: asked for, then told of."""
        deadline = Deadline(timeout)
        if self._known_end() is None:
            self._check_usable()
            self._life.watch()
        seen = self._life.changes.count
        info = self._look(deadline, tries_at_once=True)
        while info is None or not wanted(info):
            if deadline.passed:
                return None
            if info is None or not self._life.is_alive:
                # The server is away, or slow: the keepalives may hear of it first. Or the
                # program ends, and there are none.
                pause = min(deadline.at, Deadline(PAUSE_AFTER_LOSS_S).at)
                self._life.changes.wait_beyond(seen, pause)
                seen = self._life.changes.count
                info = self._look(deadline, tries_at_once=False)
            else:
                self._life.changes.wait_beyond(seen, deadline.at)
                seen = self._life.changes.count
                info = self._known_end() or self._checked(self._life.known)
        self._note_final_boards(info)
        return info

    def _checked(self, info: JobStateInfo | None) -> JobStateInfo | None:
        self._check_usable()
        return info

    def _look(self, deadline: Deadline, *, tries_at_once: bool) -> JobStateInfo | None:
        """The job's state; None while the server cannot tell."""
        known = self._known_end()
        if known is not None:
            return known
        self._check_usable()
        # No time to wait still is time to look.
        within_s = self._server.timeout_s if deadline.passed else deadline.left()
        try:
            within = Deadline(Deadline(within_s).left_or(self._server.timeout_s))
            return self._ask_state(within, tries_at_once=tries_at_once)
        except ClosedError:
            # Another thread has ended the job: what it made of it is known now.
            return self._info()
        except (ProtocolError, ProtocolTimeoutError) as error:
            _log.info("job %s: waiting goes on without an answer: %s", self.id, error)
            return None


def _interruption(error: BaseException) -> str | None:
    return "Keyboard interrupt." if isinstance(error, KeyboardInterrupt) else None


def _chip_of(pair: tuple[tuple[int, int], str]) -> tuple[int, int]:
    x, y = pair[0]
    return x, y
