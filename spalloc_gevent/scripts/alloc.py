"""``spalloc``: allocate a SpiNNaker machine, use it, and give it back.

The job is created and waited for, its boards powered on. Then a command runs
on them, or they are shown until Enter is pressed. Whatever ends that (Enter,
the command, a signal, an error), the job is destroyed, unless ``--no-destroy``
says otherwise.

``spalloc --help`` lists the options, the tokens and environment of a command,
and the exit codes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, TextIO

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.errors import JobDestroyedError, SpallocError, UnknownStateError
from spalloc_gevent.scripts import alloc_options
from spalloc_gevent.scripts.alloc_console import Console
from spalloc_gevent.scripts.alloc_options import PROG, Order
from spalloc_gevent.scripts.boot import BootFailedError, RigBoot, RigUnusableError
from spalloc_gevent.scripts.child import LOOK_EVERY_S, Child, wait_for_child
from spalloc_gevent.scripts.common import CommandError, ExitCode, ended_by, run, usage_message
from spalloc_gevent.scripts.signals import Interrupted, Signals
from spalloc_gevent.scripts.substitution import Command, Facts, csv_file, environment_of
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.job import Job

_WAITING_FOR = {
    JobState.queued: "Waiting in queue...",
    JobState.power: "Waiting for power on...",
}


def main(
    argv: Sequence[str] | None = None,
    *,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run ``spalloc`` with these arguments, streams and environment; None: this process's.

    Returns the exit code; raises SystemExit, as argparse does, for a wrong
    command line, --help and --version.
    """
    console = Console(stdin, stdout, stderr, environ)
    return run(
        lambda: _allocate(alloc_options.parse(argv, environ, console.stderr), console),
        prog=PROG,
        stderr=console.stderr,
        server_code=ExitCode.NO_SERVER,
        version_code=ExitCode.NO_SERVER,
        output_code=ExitCode.NOT_TOLD,
    )


def _allocate(order: Order, console: Console) -> int:
    from spalloc_gevent.scripts import logs

    console.talk(quiet=order.quiet, in_place=not order.debug)
    boot = _boot_with(order)
    log = logs.everything_shown(console.stderr) if order.debug else logs.nothing_shown()
    show = logs.nobody if order.debug else console.interject
    with log, Signals() as signals:
        try:
            with logs.warnings_held(show):
                job = _open_job(order, signals)
        except Interrupted as interrupted:
            console.failure(interrupted.reason)
            return interrupted.exit_code
        session = _Session(job, order, boot, console, signals)
        with logs.warnings_shown(show):
            code = session.run()
    return code or (ExitCode.OK if console.telling.trouble is None else ExitCode.NOT_TOLD)


def _boot_with(order: Order) -> RigBoot | None:
    """Rig, made sure of before anything is allocated; None when nobody asked for it."""
    try:
        return RigBoot() if order.boot else None
    except RigUnusableError as error:
        raise CommandError(usage_message(PROG, error), ExitCode.USAGE) from error


def _open_job(order: Order, signals: Signals) -> Job:
    """The job, with signals noted only: none may come between a job and its session."""
    # Not needed for --help, and as slow to import as all the rest.
    from spalloc_gevent.job import Job

    try:
        job = Job(*order.what, **order.job_options)
        signals.note()
        return job
    except JobDestroyedError:
        raise _fate_of(order.job_options) from None
    except UnknownStateError as error:
        raise _told_of(order.job_options["resume_job_id"], _end_of(error.state, None)) from error


def _fate_of(options: Mapping[str, Any]) -> CommandError:
    """What became of a job that cannot be resumed."""
    from spalloc_gevent.client import ProtocolClient

    job_id = options["resume_job_id"]
    with closing(
        ProtocolClient(options["hostname"], options["port"], call_timeout=options["timeout"]).open()
    ) as client:
        info = client.get_job_state(job_id)
    return _told_of(job_id, _end_of(info["state"], info["reason"]))


def _told_of(job_id: int, end: _EndOfJobError) -> CommandError:
    return CommandError(f"Job {job_id}: {printable(end)}", end.code)


class _EndOfJobError(Exception):
    """The job came to a state from which it will not become ready."""

    def __init__(self, fate: str, code: ExitCode) -> None:
        super().__init__(fate)
        self.code = code


def _end_of(state: object, reason: str | None) -> _EndOfJobError:
    if state == JobState.destroyed:
        fate = f"Destroyed: {reason}" if reason else "Destroyed."
        return _EndOfJobError(fate, ExitCode.DESTROYED)
    if state == JobState.unknown:
        return _EndOfJobError("Job not recognised by server.", ExitCode.UNKNOWN_JOB)
    return _EndOfJobError(f"Entered an unrecognised state: {state}.", ExitCode.UNKNOWN_STATE)


class _Session:
    """One job, from its creation to its end."""

    def __init__(
        self, job: Job, order: Order, boot: RigBoot | None, console: Console, signals: Signals
    ) -> None:
        self._job = job
        self._order = order
        self._boot = boot
        self._console = console
        self._signals = signals
        self._end: _EndOfJobError | None = None
        self._is_end_told = False
        self._next_look = Deadline(LOOK_EVERY_S)

    def run(self) -> int:
        """Use the job and leave it; the exit code."""
        reason = None
        try:
            self._signals.interrupt()
            return self._use()
        except Interrupted as interrupted:
            reason = interrupted.reason
            self._say_failure(reason)
            return interrupted.exit_code
        except _EndOfJobError as end:
            self._end = end
            self._say_failure(end)
            return end.code
        finally:
            self._signals.tidy()
            self._console.end_line()
            self._leave(reason)

    def _use(self) -> int:
        self._wait_until_ready()
        self._signals.note()
        with ExitStack() as stack:
            facts = self._facts(stack)
            code = self._boot_machine(facts)
            if code:
                return code
            self._console.success(self._text("Ready!"))
            if self._order.command is None:
                return self._show(facts)
            return self._run_command(self._order.command, facts)

    def _text(self, text: object) -> str:
        return f"Job {self._job.id}: {text}"

    def _say_failure(self, text: object) -> None:
        self._console.failure(self._text(text))

    # ------------------------------------------------------------- waiting

    def _wait_until_ready(self) -> None:
        state = self._next_state(None)
        while state is not JobState.ready:
            if state not in _WAITING_FOR:
                raise _end_of(state, self._job.reason)
            self._console.status(self._text(_WAITING_FOR[state]))
            state = self._next_state(state)

    def _next_state(self, old: JobState | None) -> JobState:
        try:
            return self._job.state if old is None else self._job.wait_for_state_change(old)
        except UnknownStateError as error:
            raise _end_of(error.state, None) from error

    def _facts(self, stack: ExitStack) -> Facts:
        """What is known of the ready job; its list of hostnames exists until `stack` unwinds."""
        job, connections, boards = self._job, self._job.connections, self._job.boards
        width, height, machine, hostname = job.width, job.height, job.machine_name, job.hostname
        if not (job.id and connections and boards and width and height and machine and hostname):
            # It had boards a moment ago: somebody has taken them.
            raise _end_of(job.state, job.reason)
        try:
            filename = stack.enter_context(csv_file(connections))
        except OSError as error:
            raise self._not_prepared(f"The list of hostnames cannot be written: {error}") from error
        places = [(x, y, z) for x, y, z in boards]
        return Facts(job.id, hostname, width, height, machine, connections, places, filename)

    def _not_prepared(self, text: object) -> CommandError:
        return CommandError(self._text(text), ExitCode.NOT_PREPARED)

    # ------------------------------------------------------------- booting

    def _boot_machine(self, facts: Facts) -> int:
        """0 once the machine is booted, or nobody wants it to be; else the exit code."""
        if self._boot is not None:
            self._console.status(self._text("Booting..."))
            self._boot_with_rig(self._boot, facts)
        if self._order.boot_command is not None:
            self._console.status(self._text("Booting..."))
            return self._boot_with_command(self._order.boot_command, facts)
        return 0

    def _boot_with_rig(self, boot: RigBoot, facts: Facts) -> None:
        self._signals.interrupt()
        try:
            boot(facts.hostname, facts.width, facts.height)
        except BootFailedError as error:
            raise self._not_prepared(error) from error
        self._signals.note()

    def _boot_with_command(self, command: Command, facts: Facts) -> int:
        code = self._run_command(command, facts)
        if code:
            self._say_failure(f"The boot command failed with exit code {code}.")
        elif self._signals.latest is not None:
            # It was told to end, and did so gracefully: that is no reason to go on.
            code = ended_by(self._signals.latest)
        return code

    # --------------------------------------------------------------- using

    def _run_command(self, command: Command, facts: Facts) -> int:
        self._console.end_line()
        argv = command.argv(facts)
        try:
            child = Child(argv, environment_of(facts, self._console.environ))
        except FileNotFoundError as error:
            raise CommandError(
                f"{PROG}: {printable(argv[0])}: command not found", ExitCode.COMMAND_NOT_FOUND
            ) from error
        except OSError as error:
            raise CommandError(
                f"{PROG}: {printable(argv[0])}: cannot be executed: {error.strerror}",
                ExitCode.CANNOT_EXECUTE,
            ) from error
        return wait_for_child(child, self._signals, self._look_and_tell)

    def _show(self, facts: Facts) -> int:
        """Show the machine until Enter is pressed."""
        self._console.summary(facts)
        self._console.wait_for_enter(self._signals, LOOK_EVERY_S, self._look)
        if self._end is not None:
            self._say_failure(self._end)
            return self._end.code
        signums = self._signals.take()
        return ExitCode.OK if not signums or signums[-1] == signal.SIGINT else ended_by(signums[-1])

    def _look_and_tell(self) -> None:
        """Say once that the job is gone; the command may still have work to do."""
        if self._look() and not self._is_end_told:
            self._is_end_told = True
            self._say_failure(self._end)

    def _look(self) -> bool:
        """Whether somebody else has ended the job, as known after at most LOOK_EVERY_S."""
        if self._end is None and self._next_look.passed:
            self._look_at_job()
            self._next_look = Deadline(LOOK_EVERY_S)
        return self._end is not None

    def _look_at_job(self) -> None:
        try:
            state = self._signals.unless_signalled(lambda: self._job.state)
        except (SpallocError, ValueError):
            # No answer is no news; the library keeps the job alive as well as it can.
            return
        if state in (JobState.destroyed, JobState.unknown):
            self._end = _end_of(state, self._job.reason)

    # -------------------------------------------------------------- leaving

    def _leave(self, reason: str | None) -> None:
        if self._end is not None:
            self._job.close()
        elif self._order.no_destroy:
            self._job.close()
            job_id = self._job.id
            self._console.remark(
                self._text(f"Not destroyed; {PROG} --resume {job_id} takes it on.")
            )
        else:
            self._job.destroy(reason)


if __name__ == "__main__":
    sys.exit(main())
