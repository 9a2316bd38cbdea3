"""``spalloc-job`` as a user sees it."""

from __future__ import annotations

import json
import signal
import socket

import pytest

from spalloc_gevent.client import ProtocolClient
from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.scripts import job
from spalloc_gevent.scripts.listed_jobs import local_time
from spalloc_gevent.simulator import SimulatedServer
from spalloc_gevent.states import JobState
from tests.cli.conftest import Site
from tests.cli.either_server import MakeOffice, Office
from tests.cli.either_server import make_office_fixture as make_office_fixture
from tests.cli.either_server import office_fixture as office_fixture
from tests.cli.either_server import watched_office_fixture as watched_office_fixture
from tests.cli.terminal import eventually


def test_everything_known_of_a_job_is_shown_by_default(office: Office) -> None:
    job_id = office.create_ready_job(1, 1, max_dead_boards=0, tags=["default"], machine=None)
    created = local_time(office.client.list_jobs()[0]["start_time"])
    connections = office.client.get_job_machine_info(job_id)["connections"] or []
    shown = office.run(job.main, job_id)
    assert (shown.code, shown.err) == (0, "")
    request = [line for line in shown.lines if "=" in line or "Request:" in line]
    assert request[0] == "    Request: Job(1, 1,"
    assert "                 max_dead_boards=0," in request
    assert request[-1] == "                 tags=['default'])"
    assert [line for line in shown.lines if line not in request] == [
        f"     Job ID: {job_id}",
        "      Owner: me",
        "      State: ready",
        f" Start time: {created}",
        "  Keepalive: 60.0",
        " Owner host: 127.0.0.1",
        "Allocation:  ___".rjust(17),
        "             / . \\___",
        "             \\___/ . \\",
        "             / . \\___/",
        "             \\___/",
        f"   Hostname: {min((*chip, host) for chip, host in connections)[2]}",
        "      Width: 16",
        "     Height: 16",
        " Num boards: 3",
        "Board power: on",
        " Running on: m",
    ]
    for flag in ("--info", "-i"):
        assert office.run(job.main, job_id, flag).out == shown.out


def test_queued_job_shows_neither_boards_nor_machine(office: Office) -> None:
    office.create_ready_job(4, 2)
    queued = office.create_job(1)
    ended = office.run(job.main, queued)
    assert ended.code == 0
    assert ended.value("State") == "queued"
    assert not {"Hostname", "Num boards", "Running on", "Board power"} & {
        line.partition(":")[0].strip() for line in ended.lines
    }


def test_destroyed_job_shows_its_id_state_and_reason(office: Office) -> None:
    job_id = office.create_ready_job(1)
    office.client.destroy_job(job_id, "Too long.")
    assert office.run(job.main, job_id).lines == [
        f"Job ID: {job_id}",
        " State: destroyed",
        "Reason: Too long.",
    ]


def test_unknown_job_shows_its_id_and_state(office: Office) -> None:
    ended = office.run(job.main, 99)
    assert (ended.code, ended.lines) == (0, ["Job ID: 99", " State: unknown"])


def test_only_job_of_the_owner_is_meant_without_an_id(office: Office) -> None:
    office.create_job(1, owner="you")
    mine = office.create_job(1, owner="me")
    for flag in ("--owner", "-o"):
        assert office.run(job.main, flag, "me").value("Job ID") == str(mine)


def test_owner_of_the_configuration_is_meant_when_none_is_given(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPALLOC_OWNER", "me")
    mine = office.create_job(1, owner="me")
    assert office.run(job.main).value("Job ID") == str(mine)


def test_owner_with_several_jobs_is_exit_code_3_and_lists_them(office: Office) -> None:
    job_ids = [office.create_job(1) for _ in range(3)]
    ended = office.run(job.main, "-o", "me")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == f"Ambiguous: me has 3 live jobs: {', '.join(map(str, job_ids))}\n"


def test_owner_without_jobs_is_exit_code_3(office: Office) -> None:
    ended = office.run(job.main, "-o", "nobody")
    assert (ended.code, ended.out, ended.err) == (3, "", "Owner nobody has no live jobs\n")


def test_neither_id_nor_owner_is_a_usage_error(office: Office) -> None:
    ended = office.run(job.main)
    assert ended.code == 2
    assert "job ID (or --owner) not specified" in ended.err


def test_power_off_and_on_wait_for_completion(make_office: MakeOffice) -> None:
    office = make_office(power_seconds=0.3)
    job_id = office.create_ready_job(1)
    assert office.run(job.main, job_id, "--power-off").code == 0
    assert [(told["state"], told["power"]) for told in office.client.list_jobs()] == [(3, False)]
    for flag in ("--power-on", "--reset", "-p", "-r"):
        assert office.run(job.main, job_id, flag).code == 0
        told = office.client.list_jobs()
        assert [(each["state"], each["power"]) for each in told] == [(3, True)]


@pytest.mark.parametrize(("flag", "word"), [("--power-on", "on"), ("--power-off", "off")])
def test_power_of_a_queued_job_is_exit_code_8(office: Office, flag: str, word: str) -> None:
    office.create_ready_job(4, 2)
    queued = office.create_job(1)
    ended = office.run(job.main, queued, flag)
    assert (ended.code, ended.out) == (8, "")
    assert ended.err == f"Error: Cannot power {word} job {queued} in state queued\n"


def test_power_of_an_unknown_or_destroyed_job_is_exit_code_8(office: Office) -> None:
    job_id = office.create_ready_job(1)
    office.client.destroy_job(job_id)
    assert office.run(job.main, job_id, "-p").err.endswith("in state destroyed\n")
    unknown = office.run(job.main, 99, "-p")
    assert (unknown.code, unknown.err) == (
        8,
        "Error: Cannot power on job 99 in state unknown\n",
    )


def test_interrupt_during_a_power_action_is_exit_code_7(slow_site: Site) -> None:
    from spalloc_gevent.protocol_client import ProtocolClient

    with ProtocolClient(slow_site.server.host, slow_site.server.port, 20.0) as client:
        job_id = client.create_job(1, owner="me", keepalive=None)
        process = slow_site.shell.start("job", str(job_id), "--power-on")
        eventually(
            lambda: "power_on_job_boards" in [c.name for c in slow_site.server.commands_seen],
            "the power command",
        )
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (7, "", "")


def test_hostnames_are_listed_as_sorted_csv(office: Office) -> None:
    job_id = office.create_ready_job(1, 2)
    connections = office.client.get_job_machine_info(job_id)["connections"] or []
    expected = sorted((x, y, host) for (x, y), host in connections)
    for flag in ("--ethernet-ips", "-e"):
        ended = office.run(job.main, job_id, flag)
        assert ended.code == 0
        assert ended.lines == ["x,y,hostname", *(f"{x},{y},{host}" for x, y, host in expected)]
    assert [chip[:2] for chip in expected][:3] == [(0, 0), (0, 12), (4, 8)]


def test_hostnames_of_a_queued_or_unknown_job_are_exit_code_9(office: Office) -> None:
    office.create_ready_job(4, 2)
    for job_id in (office.create_job(1), 99):
        ended = office.run(job.main, job_id, "-e")
        assert (ended.code, ended.out) == (9, "")
        assert ended.err == f"Job {job_id} is queued or does not exist\n"


def test_job_is_destroyed_for_the_reason_given(office: Office) -> None:
    for flag in ("--destroy", "-D"):
        job_id = office.create_ready_job(1)
        ended = office.run(job.main, job_id, flag, "Your job is taking too long...")
        assert (ended.code, ended.out, ended.err) == (0, "", "")
        reason = office.client.get_job_state(job_id)["reason"]
        assert reason == "Your job is taking too long..."


def test_job_destroyed_without_a_reason_was_destroyed_by_the_owner(office: Office) -> None:
    job_id = office.create_ready_job(1)
    assert office.run(job.main, "-o", "me", "-D").code == 0
    assert office.client.get_job_state(job_id)["reason"] == "Destroyed by me"


def test_destroying_a_job_that_is_not_there_is_warned_of(office: Office) -> None:
    ended = office.run(job.main, 99, "-D")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "spalloc-job: warning: there was no live job 99\n"


def test_id_in_place_of_the_reason_destroys_nothing(office: Office) -> None:
    job_id = office.create_ready_job(1)
    ended = office.run(job.main, "-o", "me", "-D", "99")
    assert ended.code == 2
    assert "spalloc-job 99 --destroy" in ended.err
    assert [told["job_id"] for told in office.client.list_jobs()] == [job_id]


def test_two_actions_at_once_are_a_usage_error(site: Site) -> None:
    run = site.shell.run("job", "1", "--power-on", "--power-off")
    assert run.returncode == 2
    assert "not allowed with" in run.stderr


def test_looking_asks_for_no_state_of_a_live_job(watched_office: Office) -> None:
    job_id = watched_office.create_ready_job(1)
    before = len(names(watched_office))
    watched_office.run(job.main, job_id)
    assert names(watched_office)[before:] == [
        "version",
        "list_jobs",
        "get_job_machine_info",
        "list_machines",
    ]


def test_looking_at_a_queued_job_does_not_touch_it(watched_office: Office) -> None:
    watched_office.create_ready_job(4, 2)
    queued = watched_office.create_job(1)
    for flag in ("--info", "--ethernet-ips", "--power-on"):
        watched_office.run(job.main, queued, flag)
    assert isinstance(watched_office.server, SimulatedServer)
    naming = [c.name for c in watched_office.server.commands_seen if queued in c.args]
    assert naming == ["create_job"]


def names(office: Office) -> list[str]:
    assert isinstance(office.server, SimulatedServer)
    return [command.name for command in office.server.commands_seen]


@pytest.mark.parametrize("flag", ["--ethernet-ips", "--power-on", "--power-off", "--destroy"])
def test_job_that_is_named_is_acted_on_while_the_server_hangs_up_on_the_list(
    capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    line_that_breaks_the_list = (
        b'{"command": "create_job", "args": ["1"], "kwargs": {"owner": "x", "keepalive": 60}}\n'
    )
    with SimulatedServer(dialect="java") as server, ProtocolClient("127.0.0.1", server.port) as it:
        with (
            socket.create_connection(("127.0.0.1", server.port)) as raw,
            raw.makefile("rb") as told,
        ):
            raw.sendall(line_that_breaks_the_list)
            job_id = json.loads(told.readline())["return"]
        eventually(lambda: it.get_job_state(job_id)["state"] == JobState.ready, "boards on")
        with pytest.raises(ConnectionLostError):
            it.list_jobs()
        place = ["-H", "127.0.0.1", "-P", str(server.port)]
        assert job.main([str(job_id), flag, *place]) == 0
    out, err = capsys.readouterr()
    assert (out.startswith("x,y,hostname\n0,0,"), err) == (flag == "--ethernet-ips", "")
