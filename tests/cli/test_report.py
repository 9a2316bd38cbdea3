"""``spalloc-job --report`` as a user sees it."""

from __future__ import annotations

import pytest

from spalloc_gevent.scripts import job
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.cli.either_server import Office
from tests.cli.either_server import make_office_fixture as make_office_fixture
from tests.cli.either_server import office_fixture as office_fixture


def test_a_bad_chip_is_reported_to_a_server_that_takes_reports(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with SimulatedServer([MachineSpec()], dialect="java") as server:
        office = Office(server, capsys)
        held = office.create_ready_job(1, 1)
        connections = office.client.get_job_machine_info(held)["connections"] or []
        hostnames = {tuple(chip): hostname for chip, hostname in connections}
        ended = office.run(job.main, held, "--report", 9, 4, "no answer", "--processor", 17)
        assert (ended.code, ended.out, ended.err) == (0, "", "")
        (report,) = [each for each in server.commands_seen if each.name == "report_problem"]
        assert report.args == [hostnames[8, 4]]
        assert report.kwargs == {"x": 1, "y": 0, "p": 17, "description": "no answer"}
        ended = office.run(job.main, held, "--report", 99, 4, "no answer")
        assert (ended.code, ended.err) == (9, f"Error: job {held} has no chip (99, 4)\n")
        office.client.close()


def test_a_server_that_takes_no_reports_is_told_of_in_one_line(office: Office) -> None:
    held = office.create_ready_job(1)
    ended = office.run(job.main, held, "--report", 0, 0, "no answer")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "Error: this server takes no reports of bad boards (only the Java server does); "
        "nothing was reported: tell those who run it\n"
    )
    assert [each["job_id"] for each in office.client.list_jobs()] == [held]
