"""Numbers of every kind are taken by every public function, and what is none is refused there.

A number of another library, as numpy's, knows ``__float__`` and ``__index__`` and goes with
neither clocks, JSON nor ``poll()``: it is made a plain one where it is handed over.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from spalloc_gevent import Job, JobState, ProtocolClient
from spalloc_gevent.batch import JobGroup, SpallocExecutor, allocate
from spalloc_gevent.errors import (
    BadRequestError,
    ProtocolTimeoutError,
    SpallocServerException,
    StateChangeTimeoutError,
)
from spalloc_gevent.simulator import (
    Delay,
    Drop,
    JavaOptions,
    MachineSpec,
    NotificationFlood,
    SimulatedServer,
    Split,
)
from tests.contract.support import SLOW_POWER_S, Server


@dataclass(frozen=True)
class Seconds:
    """As numpy's float32: a float only when asked, in no arithmetic with others."""

    value: float

    def __float__(self) -> float:
        return float(self.value)


@dataclass(frozen=True)
class Count:
    """As numpy's int64, and in no arithmetic with others."""

    value: int

    def __index__(self) -> int:
        return self.value


@pytest.fixture
def simulated_server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as server:
        yield server


def where(server: Server) -> dict[str, Any]:
    return {"hostname": server.host, "port": Count(server.port), "owner": "me"}


def connected(server: Server, **limits: Any) -> contextlib.closing[ProtocolClient]:
    client = ProtocolClient(server.host, Count(server.port), **limits)  # type: ignore[arg-type]
    client.connect()
    return contextlib.closing(client)


# -- what is called with a number of seconds --------------------------------------------------


def constructor(server: Server, s: Any) -> None:
    with connected(server, timeout=s, call_timeout=s) as client:
        client.version()


def connect(server: Server, s: Any) -> None:
    with connected(server) as client:
        client.connect(s)


def commands(server: Server, s: Any) -> None:
    with connected(server) as client:
        client.call("version", timeout=s)
        client.version(s)
        number = client.create_job(owner="me", keepalive=s, min_ratio=Seconds(1), timeout=s)
        client.job_keepalive(number, s)
        client.get_job_state(number, s)
        client.get_job_machine_info(number, s)
        client.power_off_job_boards(number, s)
        client.power_on_job_boards(number, s)
        client.list_jobs(s)
        client.list_machines(s)
        client.get_board_position("m", 0, 0, 0, s)
        client.get_board_at_position("m", 0, 0, 0, s)
        client.where_is(s, machine="m", x=0, y=0, z=0)
        client.notify_job(timeout=s)
        client.notify_machine(timeout=s)
        client.no_notify_machine(timeout=s)
        client.no_notify_job(timeout=s)
        client.destroy_job(number, timeout=s)


def wait_for_notification(server: Server, s: Any) -> None:
    with connected(server) as client:
        client.notify_job()
        client.create_job(owner="me", keepalive=5)
        client.wait_for_notification(s)


def monitor(server: Server, s: Any) -> None:
    with (
        connected(server) as client,
        contextlib.closing(client.monitor(client.version, interval_s=s)) as looks,
    ):
        ready = select.poll()
        ready.register(looks, select.POLLIN)
        ready.poll()
        snapshot = looks.take()
        assert snapshot is not None
        assert snapshot.trouble is None


def job(server: Server, s: Any) -> None:
    options = {"keepalive": s, "timeout": s, "reconnect_delay": s, "min_ratio": Seconds(0)}
    with Job(**where(server), **options) as held:
        held.wait_until_ready(s)
        assert held.wait_for_state_change(JobState.power, s) is JobState.ready


def allocation(server: Server, s: Any) -> None:
    limits = {"queue_timeout": s, "power_timeout": s, "settle": Seconds(0)}
    with allocate(**where(server), attempts=Count(1), **limits) as held:  # type: ignore[arg-type]
        assert held.state is JobState.ready


def group(server: Server, s: Any) -> None:
    options = {**where(server), "keepalive": s, "queue_timeout": s}
    counts: Any = Count(2)
    with JobGroup(counts, max_open=counts, all_or_nothing=True, timeout=s, **options) as jobs:
        assert len(jobs.jobs) == 2
    with JobGroup([counts], **options) as jobs:
        assert len(list(jobs.as_ready(s))) == 1


def executor(server: Server, s: Any) -> None:
    counts: dict[str, Any] = {"max_jobs": Count(1), "retries": Count(0), "attempts": Count(1)}
    options = {"keepalive": s, "power_timeout": s, **counts}
    with SpallocExecutor(**where(server), **options) as tasks:
        chunk: Any = Count(2)
        told = tasks.map(lambda _, number: number, range(3), timeout=s, chunksize=chunk)
        assert list(told) == [0, 1, 2]


SECONDS: list[Callable[[Server, Any], None]] = [
    constructor,
    connect,
    commands,
    wait_for_notification,
    monitor,
    job,
    allocation,
    group,
    executor,
]


@pytest.mark.parametrize("kind", [Decimal, Fraction, Seconds])
@pytest.mark.parametrize("use", SECONDS)
def test_any_kind_of_number_of_seconds_is_taken_by(
    simulated_server: SimulatedServer, use: Callable[[Server, Any], None], kind: Any
) -> None:
    use(simulated_server, kind(60))


@pytest.mark.parametrize("kind", [Decimal, Fraction, Seconds])
def test_the_options_of_a_simulated_server_take_any_kind_of_number(kind: Any) -> None:
    two: Any = Count(2)
    options = JavaOptions(kind(0), database_refusals=Count(0), expiry_check_seconds=kind(1))  # type: ignore[arg-type]
    faults = [
        Delay(kind(0), on="version", times=two),
        Split(pause_s=kind(0), on="version"),
        NotificationFlood(two, on="version"),
        Drop(on="list_jobs", times=two),
    ]
    with SimulatedServer(
        [MachineSpec(width=two, height=two)],
        power_seconds=kind(0),
        seconds_before_free=kind(0),
        faults=faults,
        java=options,
    ) as server:
        job(server, 60)


# -- what is no number ------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["soon", b"5", True, object(), float("nan")])
@pytest.mark.parametrize("use", SECONDS)
def test_what_is_no_number_of_seconds_is_refused_by(
    simulated_server: SimulatedServer, use: Callable[[Server, Any], None], bad: Any
) -> None:
    with pytest.raises((ValueError, TypeError), match=r"must be") as caught:
        use(simulated_server, bad)
    assert isinstance(caught.value, SpallocServerException)


# -- what a message makes of them ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [Decimal, Fraction, Seconds])
def test_a_message_tells_a_time_out_of_any_kind(kind: Any) -> None:
    with SimulatedServer(power_seconds=SLOW_POWER_S) as server:
        with (
            connected(server) as client,
            pytest.raises(ProtocolTimeoutError, match=r"in 0 s$"),
        ):
            client.wait_for_notification(kind(0))
        held = Job(**where(server))
        with contextlib.closing(held), pytest.raises(StateChangeTimeoutError, match="within 0 s"):
            held.wait_until_ready(kind(0))


# -- requests that cannot be --------------------------------------------------------------------

BAD_REQUESTS: dict[str, tuple[Callable[[ProtocolClient], object], type[Exception]]] = {
    "create_job": (lambda c: c.create_job(0, owner="me"), ValueError),
    "create_job as call": (lambda c: c.call("create_job", owner=3), TypeError),
    "arguments of call": (lambda c: c.call("version", object()), TypeError),
    "name of call": (lambda c: c.call(""), TypeError),
    "job_keepalive": (lambda c: c.job_keepalive("1"), TypeError),  # type: ignore[arg-type]
    "get_job_state": (lambda c: c.get_job_state(1.0), TypeError),  # type: ignore[arg-type]
    "get_job_machine_info": (lambda c: c.get_job_machine_info(True), TypeError),
    "power_on": (lambda c: c.power_on_job_boards("1"), TypeError),  # type: ignore[arg-type]
    "power_off": (lambda c: c.power_off_job_boards("1"), TypeError),  # type: ignore[arg-type]
    "destroy_job": (lambda c: c.destroy_job(None), TypeError),  # type: ignore[arg-type]
    "position": (lambda c: c.get_board_position("m", 0, 0, "0"), TypeError),  # type: ignore[arg-type]
    "at position": (lambda c: c.get_board_at_position("m", 0.5, 0, 0), TypeError),  # type: ignore[arg-type]
    "where_is": (lambda c: c.where_is(machine="m"), ValueError),
    "where_is of text": (lambda c: c.where_is(machine="m", x=0, y=0, z="0"), TypeError),
    "report_problem": (lambda c: c.report_problem("a", 1), ValueError),
    "notify_job": (lambda c: c.notify_job("1"), TypeError),  # type: ignore[arg-type]
    "port": (lambda _: ProtocolClient("a", 0), ValueError),
    "hostname": (lambda _: ProtocolClient(3), TypeError),  # type: ignore[arg-type]
    "Job": (lambda _: Job(0, hostname="a", owner="me"), ValueError),
    "Job's owner": (lambda _: Job(hostname="a", owner=" "), ValueError),
    "Job's label": (lambda _: Job(hostname="a", owner="me", label=3), TypeError),  # type: ignore[arg-type]
    "Job's timeout": (lambda _: Job(hostname="a", owner="me", timeout=0), ValueError),
    "allocate": (lambda _: allocate(1.5, hostname="a", owner="me"), TypeError),  # type: ignore[arg-type]
    "allocate's attempts": (lambda _: allocate(attempts=0), ValueError),
    "JobGroup": (lambda _: JobGroup(-1), ValueError),
    "SpallocExecutor": (lambda _: SpallocExecutor(max_jobs=0), ValueError),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_request_that_is_refused_before_it_is_sent_is_caught_as_a_refusal_too(
    simulated_server: SimulatedServer, name: str
) -> None:
    ask, kind = BAD_REQUESTS[name]
    with connected(simulated_server) as client, pytest.raises(kind) as caught:
        ask(client)
    assert isinstance(caught.value, BadRequestError)
    assert isinstance(caught.value, SpallocServerException)
    assert caught.value.reason == str(caught.value)
