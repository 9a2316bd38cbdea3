"""Bad boards are reported to a server that takes reports, and to no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spalloc_gevent.errors import SpallocServerException, UnsupportedCommandError
from spalloc_gevent.simulator import MachineSpec, Refuse, SimulatedServer
from spalloc_gevent.simulator.record import SeenCommand
from tests.contract.conftest import MakeServer
from tests.contract.support import Server, Tap, asked, client_of, ready


@pytest.fixture
def java() -> Iterator[SimulatedServer]:
    """A Java server, with a machine of one triad that wraps around."""
    with SimulatedServer([MachineSpec(width=2, height=2)], dialect="java") as server:
        yield server


def reports_to(server: SimulatedServer) -> list[SeenCommand]:
    return [command for command in server.commands_seen if command.name == "report_problem"]


def only_report_to(server: SimulatedServer) -> tuple[list[object], dict[str, object]]:
    (report,) = reports_to(server)
    return report.args, report.kwargs


# -- the Python server ---------------------------------------------------------


@pytest.mark.own_server("has it say another version")
@pytest.mark.not_on_java("it takes reports")
@pytest.mark.parametrize("said", ["1!7.0.0", "5.0.0"])
def test_a_server_that_would_hang_up_is_sent_no_report_whatever_its_version(
    make_server: MakeServer, said: str
) -> None:
    server = make_server(version=said)
    with Tap(server) as tap, ready(tap, 1) as job, client_of(tap) as client:
        address = job.hostname
        assert address is not None
        with pytest.raises(UnsupportedCommandError, match="takes no reports"):
            job.report_problem(0, 0, None, "smoke")
        with pytest.raises(UnsupportedCommandError, match="takes no reports"):
            client.report_problem(address, description="smoke")
        assert not any(b"report" in line or b"smoke" in line for line in tap.commands)
        # It goes on with all the others.
        assert client.version() == said
        assert job.power


# -- the Java server -----------------------------------------------------------


def test_a_chip_of_a_job_is_reported_by_its_board_and_its_place_on_it(
    java: SimulatedServer,
) -> None:
    with ready(java, 1, 1, keepalive=600.0) as job:
        connections = job.connections or {}
        assert (4, 8) in connections
        job.report_problem(5, 10, 3, "does not answer")
    assert only_report_to(java) == (
        [connections[4, 8]],
        {"x": 1, "y": 2, "p": 3, "description": "does not answer"},
    )


def test_a_chip_at_the_other_edge_of_a_machine_is_its_board_s(java: SimulatedServer) -> None:
    with ready(java, 2, 2, keepalive=600.0, max_dead_boards=0) as job:
        connections = job.connections or {}
        for (x, y), hostname in connections.items():
            chip_x, chip_y = (x + 7) % (job.width or 1), (y + 7) % (job.height or 1)
            job.report_problem(chip_x, chip_y)
            assert reports_to(java)[-1].args == [hostname]
            assert reports_to(java)[-1].kwargs == {"x": 7, "y": 7}


def test_what_is_not_said_is_not_sent(java: SimulatedServer) -> None:
    with client_of(java) as client:
        client.report_problem("10.0.0.1")
        client.report_problem("10.0.0.1", 0, 0)
        client.report_problem("10.0.0.1", description="whole board")
    assert [report.kwargs for report in reports_to(java)] == [
        {},
        {"x": 0, "y": 0},
        {"description": "whole board"},
    ]


def test_a_report_travels_on_a_connection_of_its_own(java: SimulatedServer) -> None:
    with client_of(java) as client:
        client.report_problem("10.0.0.1", description="smoke")
        (report,) = reports_to(java)
        assert java.commands_seen.on(report.connection).names == ["report_problem"]
        assert client.version() == "5.0.0"


def test_a_report_that_the_server_refuses_is_told_and_not_repeated(java: SimulatedServer) -> None:
    java.set_faults([Refuse("no such address", on="report_problem", times=None)])
    with (
        client_of(java) as client,
        pytest.raises(SpallocServerException, match="no such address"),
    ):
        client.report_problem("10.0.0.1")
    assert len(reports_to(java)) == 1


@pytest.mark.parametrize("chip", [(100, 0), (0, 100), (-1, 0)])
def test_a_chip_that_the_job_does_not_have_is_not_reported(
    java: SimulatedServer, chip: tuple[int, int]
) -> None:
    with ready(java, 1, keepalive=600.0) as job:
        with pytest.raises(ValueError, match="has no chip"):
            job.report_problem(*chip)
        assert reports_to(java) == []


def test_a_job_without_boards_has_no_chip_to_report(java: SimulatedServer) -> None:
    with ready(java, 2, 2, keepalive=600.0), asked(java, 1, keepalive=600.0) as queued:
        with pytest.raises(ValueError, match="has no boards"):
            queued.report_problem(0, 0)
        assert reports_to(java) == []


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (("",), ValueError),
        ((7,), ValueError),
        (("10.0.0.1", 1), ValueError),
        (("10.0.0.1", None, 1), ValueError),
        (("10.0.0.1", None, None, 1), ValueError),
        (("10.0.0.1", -1, 0), ValueError),
        (("10.0.0.1", "1", 0), TypeError),
    ],
)
def test_a_report_that_cannot_be_meant_is_refused_before_anything_is_sent(
    server: Server, what: tuple[str, int], error: type[Exception]
) -> None:
    with Tap(server) as tap, client_of(tap) as client:
        before = len(tap.commands)
        with pytest.raises(error):
            client.report_problem(*what)
        assert len(tap.commands) == before
