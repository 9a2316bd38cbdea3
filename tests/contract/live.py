"""The contract on a live server that somebody else runs: ``--server HOST:PORT``.

Only what the server lets everybody do is done there: jobs of owners of the run's own, a few boards
at a time, and all of them destroyed at the end.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from spalloc_gevent import ProtocolClient, ProtocolError
from tests.contract import support

ANSWER_WITHIN_S = 10.0
REVIVES_WITHIN_S = 5.0
"""A run of the Java server's allocator is over then: it may bring destroyed jobs back."""
PATIENCE_S = 90.0
"""The Java server looks for silent jobs every 30 s, and lets freed boards rest as long."""


@dataclass(frozen=True)
class LiveServer:
    """A server that was there before, with the machines that it has."""

    host: str
    port: int
    version: str
    is_java: bool
    machines: int

    @classmethod
    def at(cls, address: str) -> LiveServer:
        """The one at HOST:PORT. Raises pytest.UsageError if none answers there."""
        host, _, port = address.rpartition(":")
        try:
            with ProtocolClient(host, port, call_timeout=ANSWER_WITHIN_S) as client:
                version, machines = client.version(), client.list_machines()
                return cls(host, int(port), version, client.session.server.is_java, len(machines))
        except (OSError, ValueError, ProtocolError) as error:
            raise pytest.UsageError(f"--server {address}: {error}") from error

    def __str__(self) -> str:
        kind = "Java" if self.is_java else "Python"
        return f"{self.host}:{self.port}, a {kind} server, version {self.version}"


def prepare() -> None:
    """Have all jobs of this run belong to owners that nobody else is, and take time for them.

    Before the tests are imported, and what they are given with them.
    """
    support.OWNER_PREFIX = f"contract-{secrets.token_hex(4)}-"
    support.PATIENCE_S = PATIENCE_S


def why_left_out(item: pytest.Item, server: LiveServer) -> str | None:
    """Why a test cannot run on a live server; None if it can."""
    if "make_server" not in getattr(item, "fixturenames", ()):
        return "asks no server, or servers of its own"
    own = item.get_closest_marker("own_server")
    if own is not None:
        return f"needs a server of its own: {own.args[0]}"
    other = item.get_closest_marker("not_on_java")
    if other is not None and server.is_java:
        return f"the Java server promises something else: {other.args[0]}"
    return None


def destroy_ours(server: LiveServer) -> None:
    """Leave no job of this run."""
    with support.client_of(server) as client:
        while ours := support.ours(client.list_jobs()):
            for job in ours:
                client.destroy_job(job["job_id"], "the contract has been run")


def leave_nothing(server: LiveServer) -> None:
    """At the end of the run: those that the Java server brings back are destroyed as well."""
    ends_at = time.monotonic() + (REVIVES_WITHIN_S if server.is_java else 0.0)
    destroy_ours(server)
    while time.monotonic() < ends_at:
        time.sleep(0.25)
        destroy_ours(server)


def promise_of(nodeid: str) -> str:
    """A test's name is the promise, as a sentence."""
    name, _, parameters = nodeid.rpartition("::")[2].removeprefix("test_").partition("[")
    shown = parameters.removesuffix("]").removesuffix("live").removesuffix("-")
    return name.replace("_", " ") + (f" ({shown})" if shown else "")


def why_failed(report: pytest.TestReport) -> str:
    """The first line of what went wrong."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else str(crash.message)
    return next(iter(text.strip().splitlines()), "")


def summary(
    server: LiveServer, failed: Iterable[pytest.TestReport], left_out: Iterable[tuple[str, str]]
) -> list[str]:
    """The closing table: what does not hold and why, and what was not asked and why."""
    broken = [f"  {promise_of(report.nodeid)}\n      {why_failed(report)}" for report in failed]
    reasons: dict[str, list[str]] = defaultdict(list)
    for nodeid, reason in left_out:
        reasons[reason].append(promise_of(nodeid))
    lines = [f"the contract on {server}", f"promises that do not hold: {len(broken)}", *broken]
    lines.append(f"promises that were not asked for: {sum(map(len, reasons.values()))}")
    for reason, promises in sorted(reasons.items()):
        lines.append(f"  {len(promises)}: {reason}")
    return lines


LIVE = pytest.StashKey[LiveServer]()
LEFT_OUT = pytest.StashKey[list[tuple[str, str]]]()


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what cannot run on the live server, and note why."""
    server, kept = config.stash[LIVE], []
    left_out = config.stash.setdefault(LEFT_OUT, [])
    gone: list[pytest.Item] = []
    for item in items:
        reason = why_left_out(item, server)
        if reason is None:
            kept.append(item)
        else:
            gone.append(item)
            left_out.append((item.nodeid, reason))
    config.hook.pytest_deselected(items=gone)
    items[:] = kept


def tell(config: pytest.Config, reporter: Any) -> None:
    """Write the closing table."""
    failed = [*reporter.stats.get("failed", ()), *reporter.stats.get("error", ())]
    reporter.section("contract")
    left_out: list[tuple[str, str]] = config.stash.get(LEFT_OUT, [])
    for line in summary(config.stash[LIVE], failed, left_out):
        reporter.write_line(line)
