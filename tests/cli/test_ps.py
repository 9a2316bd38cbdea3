"""``spalloc-ps`` as a user sees it."""

from __future__ import annotations

import re
import shlex
import subprocess
import time

import pytest

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.terminal import Paint
from spalloc_gevent.scripts import ps
from spalloc_gevent.scripts.listed_jobs import local_time
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from spalloc_gevent.wire.answers import JobDescription
from tests.cli.conftest import Shell, Site
from tests.cli.either_server import MakeOffice, Office
from tests.cli.either_server import make_office_fixture as make_office_fixture
from tests.cli.either_server import office_fixture as office_fixture
from tests.cli.either_server import watched_office_fixture as watched_office_fixture

HEADINGS = "ID  State  Power  Boards  Machine  Created at           Keepalive  Owner (Host)"


def test_no_jobs_are_a_table_of_headings(office: Office) -> None:
    ended = office.run(ps.main)
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines == ["ID  State  Power  Boards  Machine  Created at  Keepalive  Owner (Host)"]


def test_ready_job_is_a_row_with_everything_known(office: Office) -> None:
    job_id = office.create_ready_job(3, owner="me@x")
    created = local_time(office.client.list_jobs()[0]["start_time"])
    ended = office.run(ps.main)
    assert ended.code == 0
    assert ended.lines == [
        HEADINGS,
        f" {job_id}  ready  on          3  m        {created}  60.0       me@x (127.0.0.1)",
    ]


def test_queued_job_has_blank_power_boards_and_machine(office: Office) -> None:
    office.create_ready_job(4, 2)
    queued = office.create_job(1, keepalive=None)
    row = office.run(ps.main).lines[2]
    assert re.fullmatch(
        rf" {queued}  queue {' ' * 24} [0-9/]{{10}} [0-9:]{{8}}  None       me \(127\.0\.0\.1\)",
        row,
    )


def test_job_whose_boards_are_powered_is_told_by_the_word_power(make_office: MakeOffice) -> None:
    office = make_office(power_seconds=60.0)
    office.create_job(1)
    assert office.run(ps.main).lines[1].split()[1:4] == ["power", "on", "1"]


def test_boards_that_are_off_are_told_so(office: Office) -> None:
    job_id = office.create_ready_job(1)
    office.client.power_off_job_boards(job_id)
    assert office.run(ps.main).lines[1].split()[2] == "off"


def test_list_is_filtered_by_owner(office: Office) -> None:
    office.create_job(1, owner="you")
    mine = office.create_job(1, owner="me")
    for flag in ("--owner", "-o"):
        lines = office.run(ps.main, flag, "me").lines
        assert [line.split()[0] for line in lines] == ["ID", str(mine)]


def test_list_is_filtered_by_machine(make_office: MakeOffice) -> None:
    office = make_office(MachineSpec("a"), MachineSpec("b"))
    office.create_ready_job(1, machine="a")
    there = office.create_ready_job(1, machine="b")
    for flag in ("--machine", "-m"):
        lines = office.run(ps.main, flag, "b").lines
        assert [line.split()[0] for line in lines] == ["ID", str(there)]


def test_owner_that_looks_like_a_number_stays_as_it_is(office: Office) -> None:
    office.create_job(1, owner="1e5")
    assert office.run(ps.main).lines[1].endswith("  1e5 (127.0.0.1)")


def test_owner_may_not_steer_the_terminal(office: Office) -> None:
    office.create_job(1, owner="evil\x1b[2Jme\n")
    ended = office.run(ps.main)
    assert len(ended.lines) == 2
    assert ended.lines[1].endswith("evil\\x1b[2Jme\\n (127.0.0.1)")


def test_looking_keeps_no_job_alive(watched_office: Office) -> None:
    watched_office.create_job(1)
    watched_office.run(ps.main)
    assert isinstance(watched_office.server, SimulatedServer)
    seen = watched_office.server.commands_seen
    assert [command.name for command in seen] == ["create_job", "version", "list_jobs"]


def test_states_are_told_apart_by_colour() -> None:
    rows = [
        row_of(job(state=state, power=power), Paint(True))
        for state, power in ((1, None), (2, True), (3, True), (3, False), (9, None))
    ]
    assert "\x1b[34mqueue\x1b[0m" in rows[0]
    assert "\x1b[33mpower\x1b[0m  \x1b[33mon\x1b[0m" in rows[1]
    assert "\x1b[32mready\x1b[0m  \x1b[32mon\x1b[0m" in rows[2]
    assert "\x1b[31moff\x1b[0m" in rows[3]
    assert rows[4].split()[1] == "9"


def job(state: int, power: bool | None, owner: str = "me") -> JobDescription:
    return {
        "job_id": 1,
        "owner": owner,
        "start_time": time.time(),
        "keepalive": None,
        "state": state,
        "power": power,
        "args": None,
        "kwargs": None,
        "allocated_machine_name": None,
        "boards": [],
        "keepalivehost": None,
    }


def row_of(listed: JobDescription, paint: Paint) -> str:
    return text_of(ps.JobsView().page([listed], paint, None)).splitlines()[1]


def test_server_that_hides_owners_and_boards_is_listed_all_the_same() -> None:
    row = row_of(job(state=1, power=False, owner="<Hidden>"), Paint(False))
    assert row.split()[1:3] == ["queue", time.strftime("%d/%m/%Y")]
    assert row.endswith("  None       <Hidden>")


def test_terminal_gets_colours_and_a_pipe_none(site: Site) -> None:
    terminal = site.shell.on_terminal("ps")
    assert terminal.wait() == 0
    assert "\x1b[1;4mState\x1b[0m" in terminal.screen
    assert "\x1b" not in site.shell.run("ps").stdout


def test_no_color_is_respected_on_a_terminal(site: Site) -> None:
    terminal = site.shell.on_terminal("ps", NO_COLOR="1")
    assert terminal.wait() == 0
    assert "State" in terminal.screen
    assert "\x1b" not in terminal.screen


def test_server_that_is_not_there_is_one_line_and_exit_code_1(shell: Shell) -> None:
    with SimulatedServer() as server:
        port = str(server.port)
    run = shell.run("ps", "-H", "127.0.0.1", "-P", port)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("Error communicating with server: ")
    assert run.stderr.count("\n") == 1


def test_hostname_that_nobody_said_is_a_usage_error(shell: Shell) -> None:
    run = shell.run("ps")
    assert run.returncode == 2
    assert "--hostname of the spalloc server must be specified" in run.stderr


@pytest.mark.parametrize("hostname", [" ", "a..b", "x" * 300, "no.such.host.invalid"])
def test_hostname_that_cannot_be_one_is_one_line(shell: Shell, hostname: str) -> None:
    run = shell.run("ps", "--hostname", hostname)
    assert run.returncode in (1, 2)
    assert run.stderr.count("\n") == 1
    assert "Traceback" not in run.stderr


def test_server_of_another_version_exits_with_2_unless_told_to_ignore_it(
    make_office: MakeOffice,
) -> None:
    office = make_office(version="8.0.0")
    ended = office.run(ps.main)
    assert (ended.code, ended.out) == (2, "")
    assert "8.0.0" in ended.err
    assert office.run(ps.main, "--ignore-version").code == 0


def test_version_and_help_need_no_server(shell: Shell) -> None:
    assert shell.run("ps", "-V").stdout == shell.run("ps", "--version").stdout
    shown = shell.run("ps", "--help")
    assert shown.returncode == 0
    for flag in ("--owner", "-o", "--machine", "-m", "--hostname", "-H", "--port", "-P"):
        assert flag in shown.stdout


def test_a_full_disk_is_not_laid_at_the_server_s_door(site: Site) -> None:
    with open("/dev/full", "w") as full:
        argv = site.shell.argv("ps")
        done = subprocess.run(
            argv, stdout=full, stderr=subprocess.PIPE, env=site.shell.environ, text=True
        )
    assert (done.returncode, done.stderr) == (1, "Error: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_standard_output_that_the_shell_closed_is_no_error(
    site: Site, arguments: tuple[str, ...]
) -> None:
    command = shlex.join(site.shell.argv("ps", *arguments))
    done = subprocess.run(
        ["sh", "-c", f"{command} >&-"], capture_output=True, env=site.shell.environ, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


RUNNING: JobDescription = {
    "job_id": 12,
    "owner": "me@example.org",
    "start_time": 0.0,
    "keepalive": 60.0,
    "state": 3,
    "power": True,
    "args": [1],
    "kwargs": {},
    "allocated_machine_name": "m",
    "boards": [[0, 0, 0]],
    "keepalivehost": "192.168.101.102",
}


@pytest.mark.parametrize(
    ("columns", "has_host", "created"),
    [
        (None, True, "%d/%m/%Y %H:%M:%S"),
        (120, True, "%d/%m/%Y %H:%M:%S"),
        (92, False, "%d/%m/%Y %H:%M:%S"),
        (80, False, "%d/%m %H:%M:%S"),
        (10, False, "%d/%m %H:%M:%S"),
    ],
)
def test_a_narrow_terminal_is_shown_less_of_what_matters_least(
    columns: int | None, has_host: bool, created: str
) -> None:
    started = time.time()
    table = ps.JobsView().page([{**RUNNING, "start_time": started}], Paint(False), columns)
    head, row = table.lines(0, 2)
    assert f"  {time.strftime(created, time.localtime(started))}  " in row
    assert ("(Host)" in head, "(192.168.101.102)" in row) == (has_host, has_host)
    assert table.width == max(len(head), len(row))


def test_a_date_of_another_year_has_its_year_however_narrow_the_terminal_is() -> None:
    _, row = ps.JobsView().page([RUNNING], Paint(False), 10).lines(0, 2)
    assert local_time(0.0) in row


def test_columns_that_are_chosen_are_shown_whole() -> None:
    view = ps.JobsView([column for column in ps.COLUMNS if column.name == "owner"])
    assert view.page([RUNNING], Paint(False), 10).lines(0, 1) == ["Owner (Host)"]
