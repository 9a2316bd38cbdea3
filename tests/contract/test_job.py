"""Chapter 1 and the manual's 8.1, sentence by sentence, on every kind of server."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import pytest

import spalloc_gevent
from spalloc_gevent import (
    Job,
    JobDestroyedError,
    JobState,
    ProtocolError,
    ProtocolTimeoutError,
    StateChangeTimeoutError,
)
from spalloc_gevent.errors import ClosedError, IncompatibleServerError
from spalloc_gevent.simulator import MachineSpec
from tests.contract.support import (
    ONE_TRIAD,
    PATIENCE_S,
    SLOW_POWER_S,
    Server,
    StoppableServer,
    Tap,
    asked,
    await_end_of,
    await_true,
    client_of,
    destroy_from_elsewhere,
    destroying,
    in_thread,
    job_of,
    listed,
    nothing_left_behind,
    ours,
    owner,
    ready,
    results,
    told_of,
)
from tools.real_server import free_port

if TYPE_CHECKING:
    from tests.contract.conftest import MakeServer

NOTHING_ALLOCATED = dict.fromkeys(
    ["power", "reason", "hostname", "connections", "width", "height", "machine_name", "boards"]
)


@pytest.fixture
def tap(server: Server) -> Iterator[Tap]:
    """Listens in on everything between the test and its server."""
    with Tap(server) as tap:
        yield tap


@pytest.fixture
def full_server(make_server: MakeServer) -> Iterator[Server]:
    """Three boards, all of them somebody's."""
    server = make_server(ONE_TRIAD)
    with ready(server, 3, keepalive=None):
        yield server


@pytest.fixture
def config_file(tmp_path: Path, server: Server) -> Callable[..., list[str]]:
    """Writes a configuration file that names the server and an owner; gives config_filenames."""

    def write(**options: object) -> list[str]:
        said = {"hostname": server.host, "port": server.port, "owner": owner("file"), **options}
        path = tmp_path / "spalloc.ini"
        path.write_text("[spalloc]\n" + "".join(f"{k} = {v}\n" for k, v in said.items()))
        return [str(path)]

    return write


# ------------------------------------------------------------ chapter 1, quick start


def test_a_configuration_file_with_hostname_and_owner_is_all_a_job_needs(
    server: Server, config_file: Callable[..., list[str]]
) -> None:
    with Job(3, config_filenames=config_file()) as job:
        assert job.hostname is not None
        assert (job.width, job.height) == (16, 16)
        assert listed(server)[0]["owner"] == owner("file")


def test_an_allocated_machine_is_powered_on(server: Server) -> None:
    with job_of(server, 3) as job:
        assert (job.state, job.power) == (JobState.ready, True)


def test_dimensions_are_those_of_the_allocation_not_of_the_request(server: Server) -> None:
    with job_of(server, 4) as job:
        assert (job.width, job.height) in {(28, 16), (16, 28), (28, 12), (28, 24), (16, 24)}
        assert job.boards is not None
        assert len(job.boards) >= 4


@pytest.mark.own_server("has machines of its own")
def test_leaving_the_block_lets_others_use_the_boards(make_server: MakeServer) -> None:
    server = make_server(ONE_TRIAD)
    for _ in range(2):
        with job_of(server, 3) as job:
            assert job.state is JobState.ready
    assert listed(server) == []


# ---------------------------------------------------------------- the constructor's styles


@pytest.mark.parametrize(
    ("what", "boards"), [((), 1), ((1,), 1), ((4,), 6), ((2, 1), 6), ((4, 2), 24)]
)
@pytest.mark.own_server("takes all its boards")
def test_a_style_of_constructor_gets_its_boards(
    server: Server, what: tuple[int, ...], boards: int
) -> None:
    with ready(server, *what) as job:
        assert job.boards is not None
        assert len(job.boards) == boards
        assert listed(server)[0]["args"] == list(what)


def test_any_machine_with_at_least_4_boards(server: Server) -> None:
    with ready(server, 4) as job:
        assert job.boards is not None
        assert len(job.boards) >= 4


@pytest.mark.not_on_java("min_ratio is not looked at there")
def test_seven_or_more_boards_as_square_as_1_to_2(server: Server) -> None:
    with ready(server, 7, min_ratio=0.5) as job:
        boards = job.boards or []
        width, height = (len({board[axis] for board in boards}) for axis in (0, 1))
        assert len(boards) >= 7
        assert min(width, height) / max(width, height) >= 0.5


@pytest.mark.own_server("takes all its boards")
def test_a_torus_is_the_whole_machine_and_wraps_around(server: Server) -> None:
    with ready(server, 4, 2, require_torus=True) as job:
        assert (job.width, job.height) == (48, 24)


@pytest.mark.own_server("has machines of its own")
def test_board_x_y_z_of_a_named_machine(make_server: MakeServer) -> None:
    server = make_server([MachineSpec("other"), MachineSpec("m")])
    with ready(server, 3, 1, 2, machine="m") as job:
        assert (job.machine_name, job.boards) == ("m", [[3, 1, 2]])
        assert (job.width, job.height) == (8, 8)


@pytest.mark.own_server("has machines of its own")
def test_a_machine_is_chosen_by_its_tags(make_server: MakeServer) -> None:
    server = make_server([MachineSpec("plain"), MachineSpec("special", tags=("default", "big"))])
    with ready(server, tags=["big"]) as job:
        assert job.machine_name == "special"


@pytest.mark.own_server("has machines of its own")
def test_without_tags_only_machines_tagged_default_are_used(make_server: MakeServer) -> None:
    server = make_server([MachineSpec("first", tags=("other",)), MachineSpec("second")])
    with ready(server, tags=None) as job:
        assert job.machine_name == "second"


@pytest.mark.own_server("has machines of its own")
@pytest.mark.not_on_java("max_dead_boards of None is 0 there")
def test_dead_boards_are_not_allocated_unless_allowed(make_server: MakeServer) -> None:
    server = make_server([MachineSpec(width=1, height=1, dead_boards=[(0, 0, 1)])])
    with asked(server, 3) as strict, pytest.raises(JobDestroyedError, match="No suitable"):
        strict.wait_until_ready(PATIENCE_S)
    with ready(server, 1, 1, max_dead_boards=None) as tolerant:
        assert tolerant.boards == [[0, 0, 0], [0, 0, 2]]


@pytest.mark.own_server("names a machine of its own")
def test_every_requirement_reaches_the_server_as_given(server: Server, on_java: bool) -> None:
    given: dict[str, Any] = {
        "min_ratio": 0.25,
        "max_dead_boards": None,
        "max_dead_links": 5,
        "require_torus": True,
        "machine": "m",
        "tags": None,
    }
    with asked(server, 4, 2, owner=owner("somebody"), keepalive=12.5, **given):
        (job,) = listed(server)
        # Point 17: fractions are cut off.
        assert job["keepalive"] == (12.0 if on_java else 12.5)
        assert job["owner"] == owner("somebody")
        # The Java server tells owner and keepalive there as well.
        assert {name: job["kwargs"][name] for name in given} == given


def test_requirements_not_given_have_the_documented_defaults(server: Server) -> None:
    with asked(server):
        (job,) = listed(server)
    assert job["keepalive"] == 60.0
    assert job["kwargs"]["min_ratio"] == 0.333
    assert job["kwargs"]["max_dead_boards"] == 0
    assert job["kwargs"]["max_dead_links"] is None
    assert job["kwargs"]["require_torus"] is False


@pytest.mark.not_on_java("refused before it is sent (point 11)")
def test_a_request_that_no_machine_can_meet_is_a_destroyed_job_with_the_reason(
    server: Server,
) -> None:
    with asked(server, 1000) as job:
        with pytest.raises(JobDestroyedError, match="No suitable machines available"):
            job.wait_until_ready(PATIENCE_S)
        assert job.state is JobState.destroyed
        assert job.reason == "Cancelled: No suitable machines available."


# ------------------------------------------------------------------ where values come from


def test_parameters_are_read_from_the_configuration_file_if_not_specified(
    server: Server, config_file: Callable[..., list[str]]
) -> None:
    files = config_file(keepalive=47.0, min_ratio=0.5, max_dead_boards=2, max_dead_links=3)
    with destroying(Job(config_filenames=files)):
        (job,) = listed(server)
    assert (job["owner"], job["keepalive"]) == (owner("file"), 47.0)
    assert job["kwargs"]["min_ratio"] == 0.5
    assert (job["kwargs"]["max_dead_boards"], job["kwargs"]["max_dead_links"]) == (2, 3)


def test_an_argument_counts_before_the_configuration_file(
    server: Server, config_file: Callable[..., list[str]]
) -> None:
    files = config_file(keepalive=47.0)
    with destroying(Job(owner=owner(), keepalive=49.0, config_filenames=files)):
        (job,) = listed(server)
    assert (job["owner"], job["keepalive"]) == (owner(), 49.0)


def test_the_environment_counts_before_the_configuration_file(
    server: Server, config_file: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = config_file(hostname="nowhere.invalid", port=1, keepalive=47.0)
    monkeypatch.setenv("SPALLOC_HOSTNAME", server.host)
    monkeypatch.setenv("SPALLOC_PORT", str(server.port))
    monkeypatch.setenv("SPALLOC_OWNER", owner("environment"))
    with destroying(Job(config_filenames=files)):
        (job,) = listed(server)
    assert (job["owner"], job["keepalive"]) == (owner("environment"), 47.0)


def test_an_empty_list_of_configuration_files_reads_none(
    server: Server, empty_folder: Path
) -> None:
    (empty_folder / ".spalloc").write_text("[spalloc]\nkeepalive = 47\n")
    with asked(server, config_filenames=[]):
        assert listed(server)[0]["keepalive"] == 60.0


def test_without_config_filenames_the_default_locations_are_searched(
    server: Server, empty_folder: Path
) -> None:
    (empty_folder / ".spalloc").write_text("[spalloc]\nkeepalive = 47\n")
    with asked(server):
        assert listed(server)[0]["keepalive"] == 47.0


@pytest.mark.parametrize(
    ("name", "configured"),
    [("keepalive", 7.5), ("machine", "m"), ("max_dead_boards", 2), ("max_dead_links", 3)],
)
@pytest.mark.own_server("names a machine of its own")
@pytest.mark.not_on_java("a keepalive of None is 60 s (point 17)")
def test_an_explicit_none_is_a_value_and_not_given_is_another(
    server: Server, config_file: Callable[..., list[str]], name: str, configured: object
) -> None:
    files = config_file(**{name: configured})
    with destroying(Job(config_filenames=files)):
        (job,) = listed(server)
    assert {**job, **job["kwargs"]}[name] == configured
    none: dict[str, Any] = {name: None}
    with destroying(Job(config_filenames=files, **none)):
        (job,) = listed(server)
    assert {**job, **job["kwargs"]}[name] is None


def test_an_explicit_none_for_resume_job_id_asks_for_a_new_job(server: Server) -> None:
    with asked(server, resume_job_id=None) as job:
        assert [told["job_id"] for told in listed(server)] == [job.id]


def test_a_timeout_of_none_waits_for_ever(server: Server) -> None:
    with ready(server, timeout=None) as job:
        assert job.state is JobState.ready


@pytest.mark.own_server("names a machine of its own")
def test_a_machine_given_counts_before_tags_of_the_configuration(
    server: Server, config_file: Callable[..., list[str]]
) -> None:
    with destroying(Job(machine="m", config_filenames=config_file(tags="a, b"))):
        (job,) = listed(server)
    assert (job["kwargs"]["machine"], job["kwargs"]["tags"]) == ("m", None)


# ------------------------------------------------------------------- bad requests


BAD_REQUESTS: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((0,), {}, ValueError, "boards"),
    ((-1,), {}, ValueError, "boards"),
    ((1.5,), {}, TypeError, "whole number"),
    (("3",), {}, TypeError, "whole number"),
    ((True,), {}, TypeError, "whole number"),
    ((0, 2), {}, ValueError, "width"),
    ((2, -1), {}, ValueError, "height"),
    ((1, 2, 3, 4), {}, ValueError, "4 numbers"),
    ((-1, 0, 0), {}, ValueError, "board x"),
    ((0, 0, 3), {}, ValueError, "board z"),
    ((), {"machine": "m", "tags": ["default"]}, ValueError, "machine"),
    ((), {"machine": 3}, TypeError, "machine"),
    ((), {"tags": "default"}, TypeError, "tags"),
    ((), {"tags": [3]}, TypeError, "tags"),
    ((), {"require_torus": True}, ValueError, "require_torus"),
    ((1,), {"require_torus": True}, ValueError, "require_torus"),
    ((0, 0, 0), {"require_torus": True}, ValueError, "require_torus"),
    ((4, 2), {"require_torus": "yes"}, TypeError, "require_torus"),
    ((), {"keepalive": 0}, ValueError, "keepalive"),
    ((), {"keepalive": -1.0}, ValueError, "keepalive"),
    ((), {"keepalive": float("nan")}, ValueError, "keepalive"),
    ((), {"min_ratio": 2.0}, ValueError, "min_ratio"),
    ((), {"min_ratio": None}, TypeError, "min_ratio"),
    ((), {"max_dead_boards": -1}, ValueError, "max_dead_boards"),
    ((), {"max_dead_links": 0.5}, TypeError, "max_dead_links"),
    ((), {"owner": None}, ValueError, "owner"),
    ((), {"owner": " "}, ValueError, "owner"),
    ((), {"owner": 3}, TypeError, "owner"),
    ((), {"hostname": None}, ValueError, "hostname"),
    ((), {"hostname": 3}, TypeError, "hostname"),
    ((), {"port": 0}, ValueError, "port"),
    ((), {"port": 70000}, ValueError, "port"),
    ((), {"timeout": 0}, ValueError, "timeout"),
    ((), {"timeout": "soon"}, TypeError, "timeout"),
    ((), {"reconnect_delay": -1}, ValueError, "reconnect_delay"),
    ((), {"boards": 3}, TypeError, "boards"),
]


def test_a_bad_request_is_refused_before_anything_is_sent(tap: Tap) -> None:
    for what, keywords, kind, named in BAD_REQUESTS:
        given = {"owner": "me", "hostname": tap.host, "port": tap.port, **keywords}
        with nothing_left_behind(), pytest.raises(kind, match=named):
            Job(*what, **given)
    assert tap.connections_made == 0


def test_hostname_is_required(server: Server) -> None:
    with pytest.raises(ValueError, match="hostname"):
        Job(owner="me")


def test_owner_is_required(tap: Tap) -> None:
    with pytest.raises(ValueError, match="owner"):
        Job(hostname=tap.host, port=tap.port)
    assert tap.connections_made == 0


# ------------------------------------------------------------------- attributes


def test_a_ready_job_tells_everything_about_itself(server: Server) -> None:
    with ready(server, 3) as job:
        assert job.id == listed(server)[0]["job_id"]
        assert job.state is JobState.ready
        assert job.power is True
        assert job.reason is None
        with client_of(server) as client:
            assert job.machine_name in [one["name"] for one in client.list_machines()]
        assert [board[2] for board in job.boards or []] == [0, 1, 2]
        assert len({tuple(board[:2]) for board in job.boards or []}) == 1
        assert (job.width, job.height) == (16, 16)
        assert list(job.connections or ()) == [(0, 0), (4, 8), (8, 4)]
        assert job.hostname == (job.connections or {})[0, 0]


def test_a_ready_job_has_one_hostname_per_board(server: Server) -> None:
    with ready(server, 4) as job:
        connections = job.connections or {}
        assert len(connections) == len(set(connections.values())) == len(job.boards or [])


@pytest.mark.own_server("has machines of its own")
def test_a_queued_job_has_an_id_and_a_state_and_all_else_is_none(full_server: Server) -> None:
    with asked(full_server) as job:
        assert isinstance(job.id, int)
        assert job.state is JobState.queued
        assert {name: getattr(job, name) for name in NOTHING_ALLOCATED} == NOTHING_ALLOCATED


@pytest.mark.own_server("has machines of its own")
def test_a_queued_job_tells_its_boards_once_it_has_them(make_server: MakeServer) -> None:
    server = make_server(ONE_TRIAD)
    with ready(server, 3) as first, asked(server, 3) as second:
        boards_of = [second.boards]
        first.destroy()
        second.wait_until_ready(PATIENCE_S)
        boards_of.append(second.boards)
        assert boards_of == [None, [[0, 0, 0], [0, 0, 1], [0, 0, 2]]]
        assert second.hostname is not None


def test_what_properties_return_is_the_callers_to_change(server: Server) -> None:
    with ready(server, 3) as job:
        boards, connections = job.boards, job.connections
        assert boards is not None
        assert connections is not None
        boards[0][0] = 99
        boards.clear()
        connections.clear()
        assert [board[2] for board in job.boards or []] == [0, 1, 2]
        assert 99 not in [board[0] for board in job.boards or []]
        assert len(job.connections or {}) == 3


def test_reason_is_none_when_the_destroyer_gave_none(server: Server) -> None:
    with ready(server) as job:
        with client_of(server) as client:
            client.destroy_job(job.id or 0)
        assert (job.state, job.reason) == (JobState.destroyed, None)


def test_reason_is_why_the_job_was_destroyed(server: Server) -> None:
    with ready(server) as job:
        destroy_from_elsewhere(server, job.id, "Your job is taking too long...")
        assert (job.state, job.reason) == (JobState.destroyed, "Your job is taking too long...")


def test_power_is_none_after_the_end(server: Server) -> None:
    with ready(server) as job:
        destroy_from_elsewhere(server, job.id, "over")
        assert job.power is None


def test_states_are_numbered_as_documented() -> None:
    assert {state.name: int(state) for state in JobState} == {
        "unknown": 0, "queued": 1, "power": 2, "ready": 3, "destroyed": 4
    }  # fmt: skip


def test_the_names_of_the_manual_are_those_of_the_package() -> None:
    for name in ("Job", "JobState", "JobDestroyedError", "StateChangeTimeoutError",
                 "ProtocolClient", "ProtocolError", "ProtocolTimeoutError"):  # fmt: skip
        assert hasattr(spalloc_gevent, name)


def test_a_jobs_repr_names_its_number_and_server(server: Server) -> None:
    with asked(server) as job:
        assert f"{job.id} on {server.host}" in repr(job)


# ------------------------------------------------------------------- where_is_machine


def test_where_is_machine_gives_cabinet_frame_and_board(server: Server) -> None:
    with ready(server, 3) as job:
        for chip in job.connections or {}:
            with client_of(server) as client:
                found = client.where_is(job_id=job.id, chip_x=chip[0], chip_y=chip[1])
            assert found is not None
            assert job.where_is_machine(*chip) == tuple(found["physical"])


@pytest.mark.own_server("has machines of its own")
def test_where_is_machine_refuses_a_job_without_boards(full_server: Server) -> None:
    with asked(full_server) as job, pytest.raises(ValueError, match=r"no chip \(0, 0\)"):
        job.where_is_machine(0, 0)


def test_where_is_machine_takes_only_whole_numbers(server: Server) -> None:
    with ready(server) as job, pytest.raises(TypeError, match="chip_x"):
        job.where_is_machine(0.5, 0)  # type: ignore[arg-type]


# ------------------------------------------------------------------- waiting


@pytest.mark.own_server("has machines of its own")
def test_wait_for_state_change_returns_the_new_state(make_server: MakeServer) -> None:
    server = make_server(ONE_TRIAD)
    with ready(server, 3) as first, asked(server) as second:
        waiting = in_thread(lambda: second.wait_for_state_change(JobState.queued, PATIENCE_S))
        first.destroy()
        assert waiting.result(PATIENCE_S) in (JobState.power, JobState.ready)


def test_wait_for_state_change_returns_at_once_when_the_state_is_another(server: Server) -> None:
    with ready(server) as job:
        assert job.wait_for_state_change(JobState.queued) is JobState.ready


@pytest.mark.own_server("has machines of its own")
def test_wait_for_state_change_returns_the_old_state_if_timed_out(full_server: Server) -> None:
    with asked(full_server) as job:
        assert job.wait_for_state_change(JobState.queued, timeout=0.05) is JobState.queued
        assert job.wait_for_state_change(JobState.queued, 0) is JobState.queued


@pytest.mark.own_server("has machines of its own")
def test_wait_for_state_change_takes_a_plain_number_as_state(full_server: Server) -> None:
    with asked(full_server) as job:
        assert job.wait_for_state_change(1, 0) is JobState.queued


def test_wait_for_state_change_sees_the_end(server: Server) -> None:
    with ready(server) as job:
        waiting = in_thread(lambda: job.wait_for_state_change(JobState.ready, PATIENCE_S))
        destroy_from_elsewhere(server, job.id, "over")
        assert waiting.result(PATIENCE_S) is JobState.destroyed


def test_wait_until_ready_returns_once_boards_are_allocated_and_on(server: Server) -> None:
    with asked(server, 3) as job:
        job.wait_until_ready(PATIENCE_S)
        assert (job.state, job.power) == (JobState.ready, True)


@pytest.mark.own_server("has machines of its own")
def test_wait_until_ready_raises_when_the_timeout_expires_first(full_server: Server) -> None:
    with asked(full_server) as job:
        for timeout in (0.05, 0):
            with pytest.raises(StateChangeTimeoutError, match="not ready"):
                job.wait_until_ready(timeout=timeout)
        assert job.state is JobState.queued


@pytest.mark.own_server("has machines of its own")
def test_wait_until_ready_does_not_mistake_powering_for_ready(
    make_server: MakeServer, on_java: bool
) -> None:
    server = make_server(power_seconds=SLOW_POWER_S)
    with asked(server) as job:
        assert job.wait_for_state_change(JobState.queued, PATIENCE_S) is JobState.power
        with pytest.raises(StateChangeTimeoutError):
            job.wait_until_ready(0.05)
        # Point 15: False until they are on.
        assert (job.state, job.power) == (JobState.power, not on_java)


@pytest.mark.own_server("has machines of its own")
def test_wait_until_ready_raises_when_the_job_is_destroyed_before(full_server: Server) -> None:
    with asked(full_server) as job:
        waiting = in_thread(lambda: job.wait_until_ready(PATIENCE_S))
        destroy_from_elsewhere(full_server, job.id, "make room")
        with pytest.raises(JobDestroyedError, match="make room"):
            waiting.result(PATIENCE_S)


@pytest.mark.own_server("has machines of its own")
def test_closing_the_job_wakes_those_who_wait_for_it(full_server: Server) -> None:
    with Tap(full_server) as tap:
        job = job_of(tap)
        waiting = in_thread(lambda: job.wait_until_ready(PATIENCE_S))
        tap.await_command("notify_job")
        job.close()
        with pytest.raises(ClosedError):
            waiting.result(PATIENCE_S)
    destroy_from_elsewhere(full_server, job.id, "over")


@pytest.mark.own_server("has machines of its own")
def test_destroying_the_job_wakes_those_who_wait_for_it(full_server: Server) -> None:
    with Tap(full_server) as tap:
        job = job_of(tap)
        waiting = in_thread(lambda: job.wait_until_ready(PATIENCE_S))
        tap.await_command("notify_job")
        job.destroy("changed my mind")
        with pytest.raises(JobDestroyedError, match="changed my mind"):
            waiting.result(PATIENCE_S)


def test_a_job_destroyed_by_somebody_wakes_threads_and_greenlets_at_once(server: Server) -> None:
    with Tap(server) as tap, ready(tap, 3) as job:
        plain = [in_thread(lambda: _end_of(job)) for _ in range(3)]
        greenlets = in_thread(lambda: _ends_in_greenlets(job, 5))
        tap.await_command("notify_job")
        destroy_from_elsewhere(server, job.id, "enough")
        assert results(plain) == [JobState.destroyed] * 3
        assert greenlets.result(PATIENCE_S) == [JobState.destroyed] * 5
        with pytest.raises(JobDestroyedError, match="enough"):
            job.wait_until_ready()


def _end_of(job: Job) -> JobState:
    state = job.state
    while state is not JobState.destroyed:
        state = job.wait_for_state_change(state, PATIENCE_S)
    return state


def _ends_in_greenlets(job: Job, number: int) -> list[JobState]:
    greenlets = [gevent.spawn(_end_of, job) for _ in range(number)]
    gevent.joinall(greenlets, timeout=PATIENCE_S, raise_error=True)
    return [greenlet.get(block=False) for greenlet in greenlets]


def test_a_job_destroyed_by_somebody_is_kept_alive_no_longer(server: Server) -> None:
    with Tap(server) as tap, ready(tap, keepalive=0.2) as job:
        destroy_from_elsewhere(server, job.id, "enough")
        _end_of(job)
        sent = tap.count("get_job_state")
        time.sleep(0.6)  # three intervals: a keepalive that goes on is seen six times
        # One may have been on its way.
        assert tap.count("get_job_state") <= sent + 1


@pytest.mark.own_server("stops it and starts it again")
def test_waiting_outlives_a_restart_of_the_server(server: StoppableServer) -> None:
    with ready(server, reconnect_delay=0.05) as job:
        waiting = in_thread(lambda: job.wait_for_state_change(JobState.ready, PATIENCE_S))
        server.restart()
        destroy_from_elsewhere(server, job.id, "after the restart")
        assert waiting.result(PATIENCE_S) is JobState.destroyed
        assert job.reason == "after the restart"


# ------------------------------------------------------------------- power


def test_set_power_false_turns_the_boards_off_and_true_on(server: Server) -> None:
    with ready(server) as job:
        for power in (False, True):
            job.set_power(power)
            job.wait_until_ready(PATIENCE_S)
            assert (job.state, job.power) == (JobState.ready, power)


@pytest.mark.parametrize("power", ["off", "", 0, 1, None])
def test_set_power_refuses_what_is_no_bool(server: Server, power: Any) -> None:
    with ready(server) as job:
        with pytest.raises(TypeError, match="power must be True or False"):
            job.set_power(power)
        assert (job.state, job.power) == (JobState.ready, True)


@pytest.mark.parametrize("number", [Decimal, Fraction])
def test_any_kind_of_number_will_do(server: Server, number: Callable[[int], Any]) -> None:
    options = {"keepalive": number(30), "timeout": number(30), "reconnect_delay": number(3)}
    with asked(server, **options, min_ratio=number(1)) as job:
        job.wait_until_ready(number(60))
        assert job.wait_for_state_change(JobState.ready, number(0)) == JobState.ready
        assert [told["keepalive"] for told in listed(server)] == [30]


def test_keepalives_that_are_far_off_harm_no_other_job(server: Server, on_java: bool) -> None:
    # Point 17: what is longer still is refused.
    longest_s = 2**31 - 1 if on_java else sys.maxsize
    with (
        asked(server, keepalive=30 * 86400, guardian=True) as patient,
        asked(server, keepalive=longest_s, guardian=True) as most_patient,
        asked(server, keepalive=1.0, guardian=True) as short,
    ):
        jobs = [patient, most_patient, short]
        for job in jobs:
            job.wait_until_ready(sys.maxsize)
        # Three of the short one's intervals.
        assert short.wait_for_state_change(JobState.ready, 3.0) == JobState.ready
        assert {job.state for job in jobs} == {JobState.ready}
        with client_of(server) as client:
            assert len(ours(client.list_jobs(timeout=sys.maxsize))) == 3


def test_set_power_true_resets_boards_that_are_on(server: Server) -> None:
    with Tap(server) as tap, ready(tap) as job:
        job.set_power(True)
        assert tap.count("power_on_job_boards") == 1
        job.wait_until_ready(PATIENCE_S)
        assert job.power is True


@pytest.mark.own_server("has machines of its own")
def test_reset_power_cycles_the_boards(make_server: MakeServer, on_java: bool) -> None:
    server = make_server(power_seconds=1.0)
    with ready(server) as job:
        job.reset()
        # Point 15: False until they are on.
        assert (job.state, job.power) == (JobState.power, not on_java)
        job.wait_until_ready(PATIENCE_S)
        assert job.power is True


@pytest.mark.own_server("has machines of its own")
def test_set_power_and_reset_do_nothing_without_boards(full_server: Server) -> None:
    with asked(full_server) as job:
        job.set_power(True)
        job.set_power(False)
        job.reset()
        assert (job.state, job.power) == (JobState.queued, None)


# ------------------------------------------------------------------- the end


def test_destroy_gives_a_reason_for_others_to_read(server: Server) -> None:
    with ready(server) as job:
        job.destroy(reason="done early")
        assert (job.state, job.reason) == (JobState.destroyed, "done early")
    told = told_of(server, job.id)
    assert (told["state"], told["reason"]) == (JobState.destroyed, "done early")


@pytest.mark.own_server("stops it and starts it again")
def test_destroy_waits_a_moment_for_a_server_that_is_started_again(
    server: StoppableServer,
) -> None:
    job = job_of(server, keepalive=None, timeout=PATIENCE_S, reconnect_delay=0.05)
    server.stop()
    ended = in_thread(job.destroy)
    await_true(lambda: job._client.session.pool.waiting == 1)
    server.restart()
    ended.result(PATIENCE_S)
    assert listed(server) == []


def test_destroy_disconnects_from_the_server_and_ends_the_keepalive(server: Server) -> None:
    with nothing_left_behind(server):
        job = job_of(server)
        job.wait_until_ready(PATIENCE_S)
        job.destroy()


def test_close_disconnects_and_leaves_the_job_with_its_boards(server: Server) -> None:
    with nothing_left_behind():
        job = job_of(server, keepalive=None)
        job.wait_until_ready(PATIENCE_S)
        job.close()
    assert told_of(server, job.id)["state"] == JobState.ready


def test_a_closed_job_expires_when_its_keepalive_runs_out(server: Server) -> None:
    job = job_of(server, keepalive=0.3)
    job.close()
    end = await_end_of(server, job.id)
    assert end["state"] == JobState.destroyed
    assert end["reason"]


@pytest.mark.parametrize("ends", ["dd", "cc", "dc", "cd"])
def test_destroy_and_close_are_harmless_in_any_order(server: Server, ends: str) -> None:
    job = job_of(server, keepalive=None)
    job.wait_until_ready(PATIENCE_S)
    for end in ends:
        job.destroy() if end == "d" else job.close()
    expected = JobState.destroyed if ends[0] == "d" else JobState.ready
    assert told_of(server, job.id)["state"] == expected


def test_destroy_from_many_threads_at_once_is_one_destroy(server: Server) -> None:
    with Tap(server) as tap:
        job = job_of(tap)
        results([in_thread(job.destroy) for _ in range(8)])
        assert tap.count("destroy_job") == 1
    assert listed(server) == []


def test_a_closed_job_refuses_to_be_used(server: Server) -> None:
    job = job_of(server, keepalive=None)
    job.close()
    uses: list[Callable[[], object]] = [
        lambda: job.state, lambda: job.boards, job.reset, lambda: job.where_is_machine(0, 0),
        job.wait_until_ready, lambda: job.wait_for_state_change(JobState.queued),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(ClosedError, match="closed"):
            use()


def test_destroy_of_a_job_that_somebody_destroyed_is_harmless(server: Server) -> None:
    with ready(server) as job:
        destroy_from_elsewhere(server, job.id, "theirs")
        job.destroy("mine")
    assert told_of(server, job.id)["reason"] == "theirs"


@pytest.mark.own_server("stops it")
def test_destroy_and_close_are_harmless_when_the_server_is_gone(server: StoppableServer) -> None:
    with nothing_left_behind():
        jobs = [job_of(server, timeout=0.5, reconnect_delay=0.05) for _ in range(2)]
        server.stop()
        jobs[0].destroy("anybody there?")
        jobs[1].close()


# ------------------------------------------------------------------- the context manager


def test_the_block_is_entered_when_boards_are_allocated_and_powered(server: Server) -> None:
    with job_of(server, 3) as job:
        assert isinstance(job, Job)
        assert (job.state, job.power) == (JobState.ready, True)


def test_leaving_the_block_destroys_the_job(server: Server) -> None:
    with nothing_left_behind(server), job_of(server) as job:
        pass
    assert told_of(server, job.id)["state"] == JobState.destroyed


def test_an_exception_in_the_block_comes_out_as_itself_and_the_job_is_destroyed(
    server: Server,
) -> None:
    boom = RuntimeError("boom")
    with nothing_left_behind(server), pytest.raises(RuntimeError) as caught, job_of(server):
        raise boom
    assert caught.value is boom


def test_a_keyboard_interrupt_in_the_block_destroys_the_job(server: Server) -> None:
    with nothing_left_behind(server), pytest.raises(KeyboardInterrupt), job_of(server):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.own_server("has machines of its own")
def test_a_keyboard_interrupt_while_waiting_destroys_the_job(make_server: MakeServer) -> None:
    server = make_server(power_seconds=SLOW_POWER_S)
    with Tap(server) as tap:
        job = job_of(tap)
        interrupted = in_thread(lambda: _interrupt_main_thread_after(tap, "notify_job"))
        with pytest.raises(KeyboardInterrupt), job:
            raise AssertionError("the boards cannot be ready")
        interrupted.result(PATIENCE_S)
    told = told_of(server, job.id)
    assert (told["state"], told["reason"]) == (JobState.destroyed, "Keyboard interrupt.")


def _interrupt_main_thread_after(tap: Tap, command: str) -> None:
    tap.await_command(command)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.own_server("has machines of its own")
def test_a_job_destroyed_while_entering_is_an_error(full_server: Server) -> None:
    with Tap(full_server) as tap:
        job = job_of(tap)
        entering = in_thread(job.__enter__)
        tap.await_command("notify_job")
        destroy_from_elsewhere(full_server, job.id, "no")
        with pytest.raises(JobDestroyedError, match="no"):
            entering.result(PATIENCE_S)


# ------------------------------------------------------------------- keeping alive, resuming


def test_a_job_is_kept_alive_while_the_main_thread_sleeps_natively(server: Server) -> None:
    with ready(server, keepalive=1.0) as job:
        time.sleep(2.5)
        assert [told["job_id"] for told in listed(server)] == [job.id]
        assert job.state is JobState.ready


@pytest.mark.own_server("has machines of its own")
def test_a_queued_job_is_kept_alive_too(full_server: Server) -> None:
    with asked(full_server, keepalive=0.5) as job:
        time.sleep(1.5)
        assert job.id in [told["job_id"] for told in listed(full_server)]


def test_resume_job_id_keeps_using_an_existing_allocation(server: Server) -> None:
    first = job_of(server, 3, keepalive=None)
    first.close()
    with ready(server, resume_job_id=first.id) as job:
        assert job.id == first.id
        assert len(job.boards or []) == 3
    assert told_of(server, first.id)["state"] == JobState.destroyed


def test_a_resumed_job_is_kept_alive_as_the_original_required(server: Server) -> None:
    first = job_of(server, keepalive=1.0)
    first.close()
    with asked(server, resume_job_id=first.id, keepalive=500.0) as job:
        time.sleep(2.5)
        assert [told["job_id"] for told in listed(server)] == [job.id]


def test_all_other_requirements_are_ignored_when_resuming(server: Server) -> None:
    first = job_of(server, 3, keepalive=None)
    first.close()
    keywords: dict[str, Any] = {"owner": None, "machine": "no", "tags": ["no"], "min_ratio": 9}
    with ready(server, 1000, resume_job_id=first.id, **keywords) as job:
        assert len(job.boards or []) == 3


def test_resuming_an_unknown_job_is_an_error(server: Server) -> None:
    with nothing_left_behind(server), pytest.raises(JobDestroyedError, match="job 2000000000"):
        job_of(server, resume_job_id=2_000_000_000)


def test_resuming_a_destroyed_job_is_an_error_with_the_reason(server: Server) -> None:
    with ready(server) as job:
        job.destroy("too late")
    with nothing_left_behind(server), pytest.raises(JobDestroyedError, match="too late"):
        job_of(server, resume_job_id=job.id)


@pytest.mark.parametrize("job_id", ["1", 1.0, True])
def test_resume_job_id_is_a_whole_number(server: Server, job_id: object) -> None:
    with nothing_left_behind(server), pytest.raises(TypeError, match="resume_job_id"):
        job_of(server, resume_job_id=job_id)


# ------------------------------------------------------------------- threads


def test_one_thread_waits_for_a_jobs_whole_life_while_another_steers_it(server: Server) -> None:
    job = job_of(server, 3)
    watching = in_thread(lambda: _states_of(job))
    job.wait_until_ready(PATIENCE_S)
    for power in (False, True):
        job.set_power(power)
        job.wait_until_ready(PATIENCE_S)
        assert job.power is power
    job.destroy("done")
    states = watching.result(PATIENCE_S)
    assert states[-1] is JobState.destroyed
    assert JobState.destroyed not in states[:-1]


def _states_of(job: Job) -> list[JobState]:
    states = [job.state]
    while states[-1] is not JobState.destroyed:
        states.append(job.wait_for_state_change(states[-1]))
    return states


@pytest.mark.own_server("takes all its boards")
def test_many_jobs_of_one_server_share_at_most_nine_connections(server: Server) -> None:
    with Tap(server) as tap:
        jobs: list[Job] = results([in_thread(lambda: job_of(tap)) for _ in range(24)])
        results([in_thread(_waiter(job)) for job in jobs])
        assert sorted(job.id or 0 for job in jobs) == list(range(1, 25))
        results([in_thread(job.destroy) for job in jobs])
        assert tap.most_connections <= 9
        assert tap.most_in_flight == 1
    assert listed(server) == []


def _waiter(job: Job) -> Callable[[], None]:
    return lambda: job.wait_until_ready(PATIENCE_S)


# ------------------------------------------------------------------- which servers


@pytest.mark.own_server("has machines of its own")
@pytest.mark.parametrize("version", ["1!7.0.0", "0.5.2", "5.0.0", "0.1.0", "7.99.99"])
def test_a_server_of_a_known_version_is_good(make_server: MakeServer, version: str) -> None:
    with asked(make_server(version=version)) as job:
        assert job.id == 1


@pytest.mark.own_server("has machines of its own")
@pytest.mark.parametrize("version", ["8.0.0", "0.0.1", "1!8.0.0"])
def test_a_server_of_another_version_is_refused(make_server: MakeServer, version: str) -> None:
    server = make_server(version=version)
    with nothing_left_behind(server), pytest.raises(IncompatibleServerError) as caught:
        job_of(server)
    assert isinstance(caught.value, ValueError)
    for told in (version, "0.1.0", "8.0.0"):
        assert told in str(caught.value)


@pytest.mark.own_server("has machines of its own")
def test_ignore_version_tries_all_the_same(make_server: MakeServer) -> None:
    with asked(make_server(version="8.0.0"), ignore_version=True) as job:
        assert job.id == 1


@pytest.mark.own_server("has machines of its own")
def test_ignoring_the_version_once_does_not_ignore_it_for_others(make_server: MakeServer) -> None:
    server = make_server(version="8.0.0")
    with asked(server, ignore_version=True), pytest.raises(IncompatibleServerError):
        job_of(server)


def test_a_server_that_cannot_be_reached_is_an_os_error() -> None:
    port = free_port()
    with nothing_left_behind(), pytest.raises(OSError, match=str(port)) as caught:
        Job(hostname="127.0.0.1", port=port, owner="me")
    assert isinstance(caught.value, ProtocolError)


@pytest.mark.own_server("stops it")
def test_a_server_that_is_gone_is_an_os_error(server: StoppableServer) -> None:
    server.stop()
    with nothing_left_behind(), pytest.raises(OSError, match=str(server.port)):
        job_of(server)


def test_a_server_that_does_not_answer_is_a_protocol_timeout(tap: Tap) -> None:
    with (
        nothing_left_behind(),
        tap.held(),
        pytest.raises(ProtocolTimeoutError, match="version"),
    ):
        job_of(tap, timeout=0.1)


@pytest.mark.own_server("knows the number of a job that nobody was told of")
def test_a_job_created_after_its_caller_gave_up_is_destroyed(server: Server) -> None:
    with Tap(server) as tap:
        with (
            tap.held_after("create_job"),
            pytest.raises(ProtocolTimeoutError, match="create_job"),
        ):
            job_of(tap, timeout=0.1, keepalive=None)
        tap.await_command("destroy_job")
        told = await_end_of(server, 1)
    assert "gave up" in told["reason"]
    assert listed(server) == []


@pytest.mark.own_server("knows the number of a job that nobody was told of")
def test_it_is_destroyed_as_well_when_other_jobs_use_the_same_server(server: Server) -> None:
    with Tap(server) as tap, asked(tap, keepalive=None) as first:
        # All that the making of the first one asks has been answered: the connection is idle.
        tap.await_command("get_job_state")
        assert first.state is not JobState.unknown
        with tap.held(), pytest.raises(ProtocolTimeoutError, match="create_job"):
            job_of(tap, timeout=0.1, keepalive=None)
        tap.await_command("destroy_job")
        assert "gave up" in await_end_of(server, 2)["reason"]
        assert [told["job_id"] for told in listed(server)] == [first.id]


@pytest.mark.own_server("stops it and starts it again")
def test_a_job_that_the_server_has_forgotten_is_unknown(server: StoppableServer) -> None:
    with asked(server, reconnect_delay=0.05, keepalive=None) as job:
        server.restart(cold=True)
        assert job.state is JobState.unknown
        with pytest.raises(JobDestroyedError, match="not known"):
            job.wait_until_ready(PATIENCE_S)
