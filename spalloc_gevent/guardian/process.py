"""The guardian's work: it hears the program on standard input, and ends soon after it."""

from __future__ import annotations

import math
import os
import select
import time

from spalloc_gevent.deadline import LONGEST_WAIT_S
from spalloc_gevent.guardian.guarded_jobs import GuardedJob, GuardedJobs
from spalloc_gevent.guardian.program import Program
from spalloc_gevent.guardian.servers import GuardedServer, Result
from spalloc_gevent.transport.destroy_checks import ServerChecks
from spalloc_gevent.wire.lines import LineSplitter

_INPUT = 0
"""Standard input: the connection to the program."""
_LOOK_EVERY_S = 0.25
"""How often to look whether the program still is, on systems that cannot tell us."""

Address = tuple[str, int]


class GuardianProcess:
    """Keeps the program's jobs alive while it is silent."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._lines = LineSplitter()
        self._jobs = GuardedJobs()
        self._servers: dict[Address, GuardedServer] = {}
        self._longest_rest_s = _LOOK_EVERY_S if program.descriptor is None else LONGEST_WAIT_S
        self._poll = select.poll()
        self._poll.register(_INPUT, select.POLLIN)
        if program.descriptor is not None:
            self._poll.register(program.descriptor, select.POLLIN)

    def run(self) -> None:
        """Returns when the program has ended, or half a minute later."""
        while self._listen():
            for job in self._jobs.due():
                self._keep_alive(job)
                # The program is heard, or has ended.
                if self._poll.poll(0):
                    break
            if not self._jobs.is_silent:
                self._disconnect()
        self._disconnect()
        self._look_after_destroyed()

    def _listen(self) -> bool:
        """Sleep until there is something to do; False once the program has ended."""
        rest_s = min(max(0.0, self._jobs.next_at() - time.monotonic()), self._longest_rest_s)
        self._poll.poll(math.ceil(rest_s * 1000))
        # Looked at first: what it has said last is read after that.
        has_ended = not self._program.is_alive()
        return self._read() and not has_ended

    def _read(self) -> bool:
        """Take in what the program has said; False at the end of that."""
        while _INPUT in dict(self._poll.poll(0)):
            data = os.read(_INPUT, 65_536)
            for line in self._lines.lines(data):
                self._jobs.handle_line(line)
            if not data:
                return False
        return True

    def _keep_alive(self, job: GuardedJob) -> None:
        address = (job.host, job.port)
        if address not in self._servers:
            self._servers[address] = GuardedServer(*address)
        server = self._servers[address]
        result = server.keep_alive(job)
        if result is Result.SENT:
            self._jobs.mark_sent(job)
        elif result is Result.FAILED:
            self._jobs.mark_failed(job, server.next_attempt_at(job))
        else:
            self._jobs.drop(job.number)

    def _disconnect(self) -> None:
        while self._servers:
            self._servers.popitem()[1].close()

    def _look_after_destroyed(self) -> None:
        """See that what the program has destroyed last stays so; a process for each server."""
        servers: dict[Address, ServerChecks] = {}
        for job in self._jobs.destroyed:
            address = (job.host, job.port)
            if address not in servers:
                servers[address] = ServerChecks(*address)
            servers[address].add(job.job_id, job.reason, job.destroyed_at)
        for checks in servers.values():
            if not os.fork():
                checks.run()
                return
