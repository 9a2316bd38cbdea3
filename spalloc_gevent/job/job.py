"""``Job``: a request for boards, and its life (the manual's 8.1)."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from spalloc_gevent.config import load_config
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.engine.beat import Beat
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.engine.watches import Changes
from spalloc_gevent.errors import (
    ClosedError,
    ForkedError,
    JobDestroyedError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocError,
    SpallocServerException,
    StateChangeTimeoutError,
)
from spalloc_gevent.job.bookkeeping import Book
from spalloc_gevent.job.creation import Creation
from spalloc_gevent.job.keepalive import Holding, Schedule
from spalloc_gevent.job.request import Request, check_keywords, job_request, server_options
from spalloc_gevent.job.resumption import Resumption
from spalloc_gevent.ledger import Fate
from spalloc_gevent.protocol_client import ProtocolClient
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.answers import (
    LONGEST_BELIEVABLE_KEEPALIVE_S,
    NO_MACHINE,
    JobStateInfo,
    MachineInfo,
    job_state,
)
from spalloc_gevent.wire.checks import as_int
from spalloc_gevent.wire.version import check_version

_log = logging.getLogger(__name__)

SAFETY_REFRESH_S = 30.0
"""A wait looks at the job this often though no notification says so: one may be lost."""

PAUSE_AFTER_LOSS_S = 0.25
_GONE = (JobState.destroyed, JobState.unknown)


class Job:
    """SpiNNaker boards requested from a spalloc server, and kept alive until given back.

    Styles: ``Job()`` or ``Job(1)`` one board; ``Job(n)`` at least n boards;
    ``Job(w, h)`` triads; ``Job(x, y, z)`` the board there;
    ``Job(resume_job_id=i)`` a job that exists. As a context manager it waits
    until the boards are ready and destroys the job at the end::

        with Job(6) as j:
            my_boot(j.hostname, j.width, j.height)

    Keywords; what is not given is taken from the environment and the configuration
    files, and an explicit None is a value:

    hostname, port: where the server is; it has to be known.
    owner: whose job it is, by custom an e-mail address; it has to be known.
    keepalive: seconds of silence after which the server destroys the job; None: never.
    machine: the name of the one machine that will do.
    tags: names that a machine must have, all of them, instead; None: ``["default"]``.
    min_ratio: how square several boards must lie, from 0.0 (any shape) to 1.0.
    max_dead_boards, max_dead_links: the most that will do; None: any number.
    require_torus: True: only boards whose links wrap around, mostly a whole machine.
    timeout: seconds to wait for an answer of the server; None: for ever.
    reconnect_delay: the longest pause, in seconds, between attempts to reach a lost server.
    ignore_version: True: use a server whose version is not known to work.
    config_filenames: the files to read, lowest priority first, instead of the usual.
    resume_job_id: the job to take over; nothing is asked for.
    guardian: True: a small process keeps the job alive while the program is stopped.
    ledger: the name of a file in which the allocation is entered; None: no file.
    label: what the job is for, as the ledger is to say.

    Raises ValueError or TypeError for a request that cannot be, ConfigError for a
    configuration that cannot be understood, OSError (ConnectionLostError) or
    ProtocolTimeoutError when the server cannot be reached, SpallocServerException
    when it refuses, IncompatibleServerError (a ValueError) for its version,
    JobDestroyedError when the job to resume is gone. Nothing is left behind then.

    Any thread and any greenlet may use it, several at once. In a forked child
    it is the parent's: it does nothing there. Every property asks the server, except
    for what is known for good (boards, once there are some; the end), and raises
    ConnectionLostError or ProtocolTimeoutError when that cannot be reached.
    """

    id: int | None = None
    """The number the server gave the job."""

    def __init__(self, *args: int, **kwargs: Any) -> None:
        check_keywords(kwargs)
        config = load_config(kwargs.get("config_filenames"))
        resume_id = kwargs.get("resume_job_id")
        request = job_request(args, kwargs, config) if resume_id is None else None
        self._server = server_options(kwargs, config)
        self._client = ProtocolClient(
            self._server.hostname, self._server.port, self._server.timeout_s, shared=True
        )
        self._changes = Changes()
        self._watching = False
        self._machine_info: MachineInfo | None = None
        self._end: str | None = None
        self._reason: str | None = None
        self._may_end = [True]
        self._beat: Beat | None = None
        self._book = Book(kwargs, config)
        try:
            self._begin(request, resume_id)
        except BaseException:
            self._client.close()
            raise

    def _begin(self, request: Request | None, resume_id: int | None) -> None:
        link = self._client.link
        link.limit_retry_delay(self._server.reconnect_delay_s)
        self._check_version(link)
        if request is not None:
            self._create(link, request)
        else:
            self._resume(link, as_int(resume_id, "resume_job_id"))

    def _check_version(self, link: ServerLink) -> None:
        if not link.version_checked:
            version = self._client.version()
            if not self._server.ignore_version:
                check_version(version, f"the server at {link.host}:{link.port}")
                link.version_checked = True

    def _create(self, link: ServerLink, request: Request) -> None:
        creation = Creation(link, request)
        try:
            held = creation.run(self._server.timeout_s)
            self._hold(link, held, request.keepalive_s)
            self._book.asked(held, link, request)
        except BaseException:
            creation.give_up()
            raise

    def _resume(self, link: ServerLink, job_id: int) -> None:
        resumption = Resumption(link, job_id)
        try:
            info, held = resumption.run(self._server.timeout_s)
            if held is None:
                raise JobDestroyedError(_why_gone(job_id, info))
            self._hold(link, held, self._interval_of(job_id, info))
            self._book.asked(held, link, None)
        except BaseException:
            resumption.give_up()
            raise

    def _interval_of(self, job_id: int, info: JobStateInfo) -> float | None:
        """The keepalive of a job that somebody else made; the Java server tells a time stamp."""
        interval_s = info["keepalive"]
        if interval_s is None or interval_s < LONGEST_BELIEVABLE_KEEPALIVE_S:
            return interval_s
        jobs = {job["job_id"]: job["keepalive"] for job in self._client.list_jobs()}
        return jobs.get(job_id)

    def _hold(self, link: ServerLink, held: Held, interval_s: float | None) -> None:
        self.id = held.job_id
        schedule = None if interval_s is None else Schedule(float(interval_s))
        self._holding = Holding(link, held, schedule, guarded=self._server.guardian)
        try:
            self._keep_alive(link, schedule)
        except BaseException:
            self._holding.end()
            raise

    def _keep_alive(self, link: ServerLink, schedule: Schedule | None) -> None:
        if schedule is not None:
            link.limit_retry_delay(schedule.retry_within_s)
            link.expect_answers_within(schedule.answer_within_s)
            self._beat = link.beat(self._holding.due_in, self._holding.keep_alive)

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
        """Give the boards back and disconnect; `reason` is for others to read.

        Harmless when done before, from another thread, or with the server gone:
        the job then ends when its keepalive runs out.
        """
        self._note_boards()
        if not self._ends_as("destroyed", reason):
            return
        fate = Fate.NOT_TOLD
        try:
            fate = self._tell_destroyed(reason)
        finally:
            self._book.ended(fate, reason)
            self._disconnect()

    def _tell_destroyed(self, reason: str | None) -> Fate:
        if self._is_known_gone():
            return Fate.DESTROYED
        try:
            self._holding.destroy(reason, self._server.timeout_s)
        except JobDestroyedError:
            # It ended meanwhile, or the number is another job's now, and that one stays.
            self._is_known_gone()
            return Fate.LOST
        except (ProtocolError, ProtocolTimeoutError, SpallocServerException) as error:
            _log.warning("job %s: the server could not be told to destroy it: %s", self.id, error)
            return Fate.NOT_TOLD
        return Fate.GIVEN_BACK

    def _is_known_gone(self) -> bool:
        """Whether the server has told of the job's end, which is entered then."""
        final = self._holding.final
        if final is not None:
            self._book.gone(final)
        return final is not None

    def close(self) -> None:
        """Disconnect and stop keeping the job alive; does not free its boards.

        Most programs want :meth:`destroy`.
        """
        self._note_boards()
        if self._ends_as("closed", None):
            self._book.ended(Fate.CLOSED, None)
            self._disconnect()

    def _note_boards(self) -> None:
        """Have the ledger know what the job had, at the latest when it ends."""
        if self._book.lacks_boards and self._end is None:
            with suppress(SpallocError):
                self._machine()

    def _ends_as(self, end: str, reason: str | None) -> bool:
        """True for the first caller only: popping from a list is one step for all threads."""
        if not self._client.holder.in_parent_process:
            return False
        try:
            self._may_end.pop()
        except IndexError:
            return False
        self._reason = reason
        self._end = end
        if self._beat is not None:
            self._beat.stop()
        return True

    def _disconnect(self) -> None:
        self._holding.end()
        link = self._client.holder.held
        if link is not None and not link.closed:
            if self._watching:
                link.unwatch_job(self._holding.job_id, self._changes)
            link.announce(self._changes)
        self._client.close()

    def __del__(self) -> None:
        if getattr(self, "_beat", None) is None or self._end is not None or sys.is_finalizing():
            return
        if self._ends_as("closed", None):
            message = f"job {self.id} was neither destroyed nor closed: nobody keeps it alive now"
            warnings.warn(message, ResourceWarning, source=self, stacklevel=1)
            self._book.ended(Fate.CLOSED, None)
            self._holding.end()
            self._client.close_later()

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
        """Cabinet, frame and board of a chip of this job's network.

        Raises ValueError if the job has no such chip.
        """
        self._check_ours()
        found = self._client.where_is(job_id=self._holding.job_id, chip_x=chip_x, chip_y=chip_y)
        if found is None:
            raise ValueError(f"job {self.id} has no chip ({chip_x}, {chip_y})")
        cabinet, frame, board = found["physical"]
        return cabinet, frame, board

    def _info(self) -> JobStateInfo:
        known = self._known_end()
        if known is not None:
            return known
        self._check_usable()
        return self._ask_state(self._server.timeout_s)

    def _known_end(self) -> JobStateInfo | None:
        if self._end == "destroyed":
            return job_state({"state": JobState.destroyed, "reason": self._reason})
        return self._holding.final if self._is_known_gone() else None

    def _ask_state(self, timeout_s: float | None) -> JobStateInfo:
        call = Call("get_job_state", (self._holding.job_id,), patient=True)
        try:
            info = self._client.read_job_state(call, timeout_s)
        except JobDestroyedError:
            if self._holding.final is None:
                raise
            return self._holding.final
        self._holding.heard(info, call.sent_at)
        if self._known_end() is None and info["state"] != JobState.queued:
            self._note_boards()
        return info

    def _machine(self) -> MachineInfo:
        if self._machine_info is None:
            try:
                self._check_ours()
                info = self._client.get_job_machine_info(self._holding.job_id)
            except JobDestroyedError:
                return NO_MACHINE.copy()
            if info["width"] is None:
                return info
            self._machine_info = info
            self._book.granted(info)
        return self._machine_info

    def _check_usable(self) -> None:
        if not self._client.holder.in_parent_process:
            raise ForkedError(f"job {self.id} belongs to the parent process, not to this child")
        if self._end is not None:
            raise ClosedError(f"job {self.id} has been {self._end} by this program")

    def _check_ours(self) -> None:
        self._check_usable()
        if self._holding.is_lost:
            raise JobDestroyedError(_why_gone(self.id, self._info()))

    # -- steering -----------------------------------------------------------

    def set_power(self, power: bool) -> None:
        """Power the boards on (True; resets those that are on) or off (False).

        Does nothing without boards. :meth:`wait_until_ready` waits for the end of it.
        Raises JobDestroyedError if the job is lost, ClosedError after its end here.
        """
        self._check_ours()
        if power:
            self._client.power_on_job_boards(self._holding.job_id)
        else:
            self._client.power_off_job_boards(self._holding.job_id)

    def reset(self) -> None:
        """Power-cycle the boards; the same as ``set_power(True)``."""
        self.set_power(True)

    def report_problem(
        self,
        chip_x: int,
        chip_y: int,
        processor: int | None = None,
        description: str | None = None,
    ) -> None:
        """Tell those who run the server that a chip of this job, or its board, is bad.

        Raises UnsupportedCommandError where the server takes no reports, as the
        Python server: nothing is sent to it then. Raises ValueError if the job has
        no such chip.
        """
        self._check_ours()
        self._client.report_chip(self._holding.job_id, chip_x, chip_y, processor, description)

    # -- waiting ------------------------------------------------------------

    def wait_for_state_change(
        self, old_state: JobState | int, timeout: float | None = None
    ) -> JobState:
        """The first state other than `old_state`, or `old_state` after `timeout` seconds.

        Outlives lost connections and server restarts. Raises ClosedError if
        :meth:`close` is called meanwhile.
        """
        old = JobState(old_state)
        found = self._await_state(lambda info: info["state"] != old, timeout)
        return old if found is None else JobState(found["state"])

    def wait_until_ready(self, timeout: float | None = None) -> None:
        """Wait until the boards are allocated and powered.

        Raises StateChangeTimeoutError after `timeout` seconds (None: never) and
        JobDestroyedError, with the reason, if the job is destroyed before.
        """
        found = self._await_state(lambda info: info["state"] in (JobState.ready, *_GONE), timeout)
        if found is None:
            raise StateChangeTimeoutError(f"job {self.id} was not ready within {timeout:g} s")
        if found["state"] in _GONE:
            raise JobDestroyedError(_why_gone(self.id, found))

    def _await_state(
        self, wanted: Callable[[JobStateInfo], bool], timeout: float | None
    ) -> JobStateInfo | None:
        deadline = Deadline(timeout)
        # No time to wait still is time to look.
        first_look = (
            Deadline(self._server.timeout_s) if timeout is not None and timeout <= 0 else None
        )
        while True:
            seen = self._watch()
            info, pause_s = self._look(first_look or deadline)
            if info is not None and wanted(info):
                return info
            if deadline.passed:
                return None
            self._await_change(seen, deadline.left_or(pause_s))

    def _watch(self) -> int:
        """Begin to watch, once; the count of changes up to now."""
        if not self._watching and self._end is None and self._holding.final is None:
            self._check_usable()
            self._watching = True
            self._client.link.watch_job(self._holding.job_id, self._changes)
        return self._changes.count

    def _look(self, deadline: Deadline) -> tuple[JobStateInfo | None, float]:
        """The job's state, or None while the server cannot tell, and how long to rest then."""
        known = self._known_end()
        if known is not None:
            return known, SAFETY_REFRESH_S
        self._check_usable()
        try:
            return self._ask_state(deadline.left_or(self._server.timeout_s)), SAFETY_REFRESH_S
        except ClosedError:
            # Another thread has ended the job: what it made of it is known now.
            return self._info(), SAFETY_REFRESH_S
        except (ProtocolError, ProtocolTimeoutError) as error:
            _log.info("job %s: waiting goes on without an answer: %s", self.id, error)
            return None, PAUSE_AFTER_LOSS_S

    def _await_change(self, seen: int, timeout_s: float | None) -> None:
        link = self._client.holder.held
        if link is None or link.closed:
            return
        try:
            link.await_change(self._changes, seen, timeout_s)
        except ClosedError:
            return


def _why_gone(job_id: int | None, info: JobStateInfo) -> str:
    if info["state"] == JobState.unknown:
        why = f": {info['reason']}" if info["reason"] else ""
        return f"job {job_id} is not known to the server (any more){why}"
    return f"job {job_id} has been destroyed: {info['reason'] or 'no reason was given'}"


def _interruption(error: BaseException) -> str | None:
    return "Keyboard interrupt." if isinstance(error, KeyboardInterrupt) else None


def _chip_of(pair: tuple[tuple[int, int], str]) -> tuple[int, int]:
    x, y = pair[0]
    return x, y
