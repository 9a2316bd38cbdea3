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
from typing import TYPE_CHECKING, TextIO

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.errors import JobDestroyedError, SpallocError, UnknownStateError
from spalloc_gevent.scripts import alloc_options
from spalloc_gevent.scripts.alloc_options import EXIT_CODES as EXIT_CODES
from spalloc_gevent.scripts.alloc_options import PROG, AllocationOrder
from spalloc_gevent.scripts.alloc_options import make_parser as make_parser
from spalloc_gevent.scripts.boot import BootFailedError, RigBoot, RigUnusableError
from spalloc_gevent.scripts.child import LOOK_EVERY_S, Child, TimeLimitError, wait_for_child
from spalloc_gevent.scripts.common import CommandError, ExitCode, ended_by, run, usage_message
from spalloc_gevent.scripts.signals import Interrupted, Signals
from spalloc_gevent.scripts.streams import Streams
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
    streams = Streams(stdin, stdout, stderr, environ)
    return run(
        lambda: allocate(alloc_options.parse(argv, environ, streams.stderr), streams),
        prog=PROG,
        stderr=streams.stderr,
        server_code=ExitCode.NO_SERVER,
        version_code=ExitCode.NO_SERVER,
        output_code=ExitCode.NOT_TOLD,
    )


def allocate(order: AllocationOrder, streams: Streams) -> int:
    """Create or take on the job, use it and leave it; the exit code."""
    # Slow to import, and not needed for --help.
    from spalloc_gevent.scripts import logs

    streams.talk(quiet=order.quiet, in_place=not order.debug)
    try:
        # Made sure of before anything is allocated.
        boot = RigBoot() if order.boot else None
    except RigUnusableError as error:
        raise CommandError(usage_message(PROG, error), ExitCode.USAGE) from error
    log = logs.everything_shown(streams.stderr) if order.debug else logs.nothing_shown()
    show = logs.nobody if order.debug else streams.interject
    with log, Signals() as signals:
        try:
            with logs.warnings_held(show):
                job = open_job(order, signals)
        except Interrupted as interrupted:
            streams.failure(interrupted.reason)
            return interrupted.exit_code
        allocated = AllocatedJob(job, order, boot, streams, signals)
        with logs.warnings_shown(show):
            code = allocated.run()
    return code or (ExitCode.OK if streams.telling.trouble is None else ExitCode.NOT_TOLD)


def open_job(order: AllocationOrder, signals: Signals) -> Job:
    """The job, with signals noted only: none may come between a job and its use."""
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.job import Job

    options = order.job_options
    try:
        job = Job(*order.what, **options)
        signals.note()
        return job
    except JobDestroyedError:
        # It cannot be resumed; the server may know why.
        client = ProtocolClient(
            options["hostname"], options["port"], call_timeout=options["timeout"]
        )
        with closing(client.open()):
            info = client.get_job_state(options["resume_job_id"])
        raise end_of(options["resume_job_id"], info["state"], info["reason"]) from None
    except UnknownStateError as error:
        raise end_of(options["resume_job_id"], error.state) from error


class EndOfJobError(CommandError):
    """The job came to a state from which it will not become ready."""

    def __init__(self, fate: str, code: ExitCode, job_id: object) -> None:
        super().__init__(f"Job {job_id}: {printable(fate)}", code)


def end_of(job_id: object, state: object, reason: str | None = None) -> EndOfJobError:
    """What is told of a job in this state, and the exit code."""
    if state == JobState.destroyed:
        fate = f"Destroyed: {reason}" if reason else "Destroyed."
        return EndOfJobError(fate, ExitCode.DESTROYED, job_id)
    if state == JobState.unknown:
        return EndOfJobError("Job not recognised by server.", ExitCode.UNKNOWN_JOB, job_id)
    return EndOfJobError(f"Entered an unrecognised state: {state}.", ExitCode.UNKNOWN_STATE, job_id)


class AllocatedJob:
    """One job, from its creation to its end."""

    def __init__(
        self,
        job: Job,
        order: AllocationOrder,
        boot: RigBoot | None,
        streams: Streams,
        signals: Signals,
    ) -> None:
        self._job = job
        self._order = order
        self._boot = boot
        self._streams = streams
        self._signals = signals
        self._end: EndOfJobError | None = None
        self._is_end_told = False
        self._next_look = Deadline(LOOK_EVERY_S)
        self._limit = Deadline(None)
        """When the boards are to be given back, whoever uses them; known once they are ready."""

    def run(self) -> int:
        """Use the job and leave it; the exit code."""
        reason = None
        try:
            self._signals.interrupt()
            self.wait_until_ready()
            self._signals.note()
            self._limit = Deadline(self._order.time_limit_s)
            with ExitStack() as stack:
                facts = self.facts(stack)
                return self.boot_machine(facts) or self.use(facts)
        except Interrupted as interrupted:
            reason = interrupted.reason
            self.failure(reason)
            return interrupted.exit_code
        except TimeLimitError:
            reason = f"The time limit of {self._order.time_limit_s:g} s was reached."
            self.failure(reason)
            return ExitCode.TIMED_OUT
        except EndOfJobError as end:
            self._end = end
            self._streams.failure(str(end))
            return end.code
        finally:
            self._signals.tidy()
            self._streams.end_line()
            self.leave(reason)

    def text(self, text: object) -> str:
        """What is told of the job."""
        return f"Job {self._job.id}: {text}"

    def failure(self, text: object) -> None:
        """Tell what went wrong with the job."""
        self._streams.failure(self.text(text))

    def not_prepared(self, text: object) -> CommandError:
        """What is told when the boards are there, but cannot be used."""
        return CommandError(self.text(text), ExitCode.NOT_PREPARED)

    def wait_until_ready(self) -> None:
        """Wait, and tell what for; EndOfJobError if that will never be."""
        try:
            state = self._job.state
            while state is not JobState.ready:
                if state not in _WAITING_FOR:
                    raise end_of(self._job.id, state, self._job.reason)
                self._streams.status(self.text(_WAITING_FOR[state]))
                state = self._job.wait_for_state_change(state)
        except UnknownStateError as error:
            raise end_of(self._job.id, error.state) from error

    def facts(self, stack: ExitStack) -> Facts:
        """What is known of the ready job; its list of hostnames exists until `stack` unwinds."""
        job, connections, boards = self._job, self._job.connections, self._job.boards
        width, height, machine, hostname = job.width, job.height, job.machine_name, job.hostname
        if not (job.id and connections and boards and width and height and machine and hostname):
            # It had boards a moment ago: somebody has taken them.
            raise end_of(job.id, job.state, job.reason)
        try:
            filename = stack.enter_context(csv_file(connections))
        except OSError as error:
            raise self.not_prepared(f"The list of hostnames cannot be written: {error}") from error
        places = [(x, y, z) for x, y, z in boards]
        return Facts(job.id, hostname, width, height, machine, connections, places, filename)

    def boot_machine(self, facts: Facts) -> int:
        """0 once the machine is booted, or nobody wants it to be; else the exit code."""
        if self._boot is not None:
            self._streams.status(self.text("Booting..."))
            self._signals.interrupt()
            try:
                self._boot(facts.hostname, facts.width, facts.height)
            except BootFailedError as error:
                raise self.not_prepared(error) from error
            self._signals.note()
        if self._order.boot_command is None:
            return 0
        self._streams.status(self.text("Booting..."))
        code = self.run_command(self._order.boot_command, facts)
        if code:
            self.failure(f"The boot command failed with exit code {code}.")
        elif self._signals.latest is not None:
            # It was told to end, and did so gracefully: that is no reason to go on.
            code = ended_by(self._signals.latest)
        return code

    def use(self, facts: Facts) -> int:
        """Run the command, or show the machine until Enter is pressed; the exit code."""
        self._streams.success(self.text("Ready!"))
        if self._order.command is not None:
            return self.run_command(self._order.command, facts)
        self._streams.summary(facts)
        self._streams.wait_for_enter(self._signals, LOOK_EVERY_S, self.look_at_prompt)
        if self._end is not None:
            self._streams.failure(str(self._end))
            return self._end.code
        signums = self._signals.take()
        return ExitCode.OK if not signums or signums[-1] == signal.SIGINT else ended_by(signums[-1])

    def run_command(self, command: Command, facts: Facts) -> int:
        """The exit code of a command that has ended, or was ended."""
        self._streams.end_line()
        argv = command.argv(facts)
        try:
            child = Child(argv, environment_of(facts, self._streams.environ))
        except FileNotFoundError as error:
            raise CommandError(
                f"{PROG}: {printable(argv[0])}: command not found", ExitCode.COMMAND_NOT_FOUND
            ) from error
        except OSError as error:
            raise CommandError(
                f"{PROG}: {printable(argv[0])}: cannot be executed: {error.strerror}",
                ExitCode.CANNOT_EXECUTE,
            ) from error
        return wait_for_child(child, self._signals, self.look_and_tell, self._limit)

    def look_at_prompt(self) -> bool:
        """Whether somebody else has ended the job; TimeLimitError when the time is up."""
        if self._limit.passed:
            raise TimeLimitError
        return self.look()

    def look_and_tell(self) -> None:
        """Say once that the job is gone; the command may still have work to do."""
        if self.look() and not self._is_end_told:
            self._is_end_told = True
            self._streams.failure(str(self._end))

    def look(self) -> bool:
        """Whether somebody else has ended the job, as known after at most LOOK_EVERY_S."""
        if self._end is None and self._next_look.passed:
            try:
                state = self._signals.unless_signalled(lambda: self._job.state)
            except (SpallocError, ValueError):
                # No answer is no news; the library keeps the job alive as well as it can.
                state = None
            if state in (JobState.destroyed, JobState.unknown):
                self._end = end_of(self._job.id, state, self._job.reason)
            self._next_look = Deadline(LOOK_EVERY_S)
        return self._end is not None

    def leave(self, reason: str | None) -> None:
        """Destroy the job, for `reason` if there is one, or leave it as it is to be left."""
        if self._end is not None:
            self._job.close()
        elif self._order.no_destroy:
            self._job.close()
            job_id = self._job.id
            self._streams.remark(self.text(f"Not destroyed; {PROG} --resume {job_id} resumes it."))
        else:
            self._job.destroy(reason)


if __name__ == "__main__":
    sys.exit(main())
