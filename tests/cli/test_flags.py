"""Every option of the administrative commands does something, and every misuse is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from spalloc_gevent.scripts import job, machine, ps, where_is
from spalloc_gevent.simulator import MachineSpec, Refuse, SimulatedServer
from tests.cli.conftest import Shell, Site
from tests.cli.either_server import MakeOffice, Office
from tests.cli.either_server import make_office_fixture as make_office_fixture
from tests.cli.either_server import office_fixture as office_fixture
from tests.cli.either_server import watched_office_fixture as watched_office_fixture

Main = Callable[[Sequence[str]], int]

MAINS: dict[str, Main] = {
    "ps": ps.main,
    "job": job.main,
    "machine": machine.main,
    "where-is": where_is.main,
}


# ------------------------------------------------------- nothing is forgotten


@pytest.mark.parametrize("command", MAINS)
def test_every_option_is_used_in_some_test(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        MAINS[command](["--help"])
    told = capsys.readouterr().out
    options = set(re.findall(r"(?<![\w=-])--?[a-zA-Z][\w-]*", options_part(told)))
    assert {"--hostname", "-H", "--json", "--help"} <= options
    tried = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.iterdir()
                      if path.suffix == ".py" and "alloc" not in path.name)  # fmt: skip
    assert {option for option in options if not re.search(rf'"{option}[="]', tried)} == set()


def options_part(told: str) -> str:
    """The lines of a --help that name options."""
    return "\n".join(line for line in told.splitlines() if re.match(r"  -", line))


# ------------------------------------------------------------- the server


def test_server_is_named_by_long_and_short_options(site: Site, shell: Shell) -> None:
    port = str(site.server.port)
    for hostname, port_option in (("--hostname", "--port"), ("-H", "-P")):
        run = shell.run("ps", hostname, "127.0.0.1", port_option, port,
                        SPALLOC_HOSTNAME="no.such.host.invalid", SPALLOC_PORT="1")  # fmt: skip
        assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("command", ["ps", "job 1", "machine", "where-is -c m 0 0"])
def test_every_command_tells_of_a_server_that_is_not_there(shell: Shell, command: str) -> None:
    with SimulatedServer() as server:
        port = str(server.port)
    run = shell.run(*command.split(), "-H", "127.0.0.1", "-P", port)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("Error communicating with server: ")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["ps", "job 1", "machine", "where-is -c m 0 0"])
def test_every_command_tells_of_a_server_that_refuses(site: Site, command: str) -> None:
    refusals = [Refuse("not\ntoday", on=name, times=None) for name in ("list_jobs", "where_is")]
    site.server.set_faults(refusals)
    run = site.shell.run(*command.split())
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("Error from server: ")
    assert "not today" in run.stderr
    assert run.stderr.count("\n") == 1


def test_server_that_does_not_answer_in_time_is_told(site: Site) -> None:
    from spalloc_gevent.simulator import Silence

    site.server.set_faults([Silence(on="list_jobs", times=None)])
    run = site.shell.run("ps", "--timeout", "0.1")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("Error communicating with server: ")


@pytest.mark.parametrize("command", ["ps", "job 1", "machine", "where-is -c m 0 0"])
def test_every_command_refuses_a_server_of_another_version_unless_told_otherwise(
    shell: Shell, command: str
) -> None:
    with SimulatedServer(version="8.0.0") as server:
        site = Site(server, shell)
        run = site.shell.run(*command.split())
        assert (run.returncode, run.stdout) == (2, "")
        assert "8.0.0" in run.stderr
        assert site.shell.run(*command.split(), "--ignore-version").returncode == 0
        assert site.shell.run(*command.split(), "--ignore_version", "True").returncode == 0
        assert site.shell.run(*command.split(), "--ignore_version", "False").returncode == 2
        assert "ignore_version" not in site.shell.run(command.split()[0], "--help").stdout


@pytest.mark.parametrize("command", MAINS)
def test_every_command_wants_to_know_where_the_server_is(shell: Shell, command: str) -> None:
    question = {"where-is": ("--chip", "m", "0", "0"), "job": ("1",)}.get(command, ())
    run = shell.run(command, *question)
    assert (run.returncode, run.stdout) == (2, "")
    assert "--hostname of the spalloc server must be specified" in run.stderr
    assert "SPALLOC_HOSTNAME" in run.stderr


@pytest.mark.parametrize("command", MAINS)
def test_every_command_refuses_what_cannot_be_a_hostname(shell: Shell, command: str) -> None:
    question = {"where-is": ("--chip", "m", "0", "0"), "job": ("1",)}.get(command, ())
    run = shell.run(command, *question, "--hostname", "a..b")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        f"spalloc-{command}: error: --hostname 'a..b' is not a host name or IP address\n"
    )


@pytest.mark.parametrize("command", MAINS)
@pytest.mark.parametrize("hostname", ["ho st", " a", "ho\tst", "'a'", "http://a/", "a:0"])
def test_what_no_resolver_would_take_is_refused_before_it(
    shell: Shell, command: str, hostname: str
) -> None:
    question = {"where-is": ("--chip", "m", "0", "0"), "job": ("1",)}.get(command, ())
    run = shell.run(command, *question, "--hostname", hostname)
    assert (run.returncode, run.stdout) == (2, "")
    assert f"--hostname {hostname!r} is not a host name or IP address" in run.stderr


@pytest.mark.parametrize("command", MAINS)
def test_help_tells_the_defaults_in_force_and_the_exit_codes(shell: Shell, command: str) -> None:
    environ = {"SPALLOC_HOSTNAME": "here.example", "SPALLOC_PORT": "4711", "SPALLOC_TIMEOUT": "12"}
    for flag in ("--help", "-h"):
        shown = shell.run(command, flag, **environ)
        assert (shown.returncode, shown.stderr) == (0, "")
        told = " ".join(shown.stdout.split())
        for default in ("here.example", "4711", "12"):
            assert f"(default: {default}" in told
        assert "exit codes: 0 done 1 the server cannot be reached" in told


@pytest.mark.parametrize("command", MAINS)
def test_version_is_told_without_a_server(shell: Shell, command: str) -> None:
    from spalloc_gevent._version import __version__

    for flag in ("--version", "-V"):
        shown = shell.run(command, flag)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout == f"spalloc-{command} {__version__}\n"


# --------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        # What is common to all.
        ("ps --port 0", "argument --port/-P: '0' is not a port: give a number from 1 to 65535"),
        ("ps -P 70000", "'70000' is not a port"),
        ("ps --port one", "argument --port/-P: 'one' is not a whole number"),
        ("ps --timeout soon", "argument --timeout: 'soon' is not a number"),
        ("ps --timeout 0", "'0' is not a time: give seconds above 0, or -1 for no limit"),
        ("ps --timeout nan", "'nan' is not a time"),
        ("ps --color", "argument --color/--colour: expected one argument"),
        ("ps --colour red", "invalid choice: 'red'"),
        ("ps --nosuch", "unrecognized arguments: --nosuch"),
        ("ps 12", "unrecognized arguments: 12"),
        # Watching.
        ("ps --interval 1", "--interval goes with --watch"),
        ("ps --no-clear", "--no-clear goes with --watch"),
        ("job 1 --interval 1", "--interval goes with --watch"),
        ("machine --no-clear", "--no-clear goes with --watch"),
        ("ps --watch --interval 0", "argument --interval: '0' is not a time: give seconds above 0"),
        ("ps -w --interval inf", "'inf' is not a time: give seconds above 0"),
        ("ps -w --interval often", "argument --interval: 'often' is not a number"),
        ("where-is -c m 0 0 --watch", "unrecognized arguments: --watch"),
        # Tables.
        ("ps --columns nosuch", "--columns: there is no column 'nosuch'; there are: id, state, "),
        ("ps --columns id,,state", "argument --columns: 'id,,state' names no columns"),
        ("ps --sort nosuch", "--sort: there is no column 'nosuch'; there are: id, state, "),
        ("ps --sort=-", "argument --sort: "),
        ("ps --json --columns id", "--columns is for tables: --json always tells everything"),
        ("machine --columns id", "--columns: there is no column 'id'; there are: name, "),
        ("machine m -d --sort name", "--sort: there is no column 'name'; there are: key, id, "),
        ("machine m --columns id", "--columns is for tables: add --detailed for one"),
        ("machine m --sort id", "--sort is for tables: add --detailed for one"),
        ("machine --detailed", "--detailed shows one machine: name it"),
        ("machine -d --json", "--detailed shows one machine: name it"),
        # Pictures.
        ("machine --svg m.svg", "--svg draws one machine: name it"),
        ("machine m --svg", "argument --svg: expected one argument"),
        ("machine m --svg=", "--svg: name a file, or - for standard output"),
        ("machine m --svg - --json", "--svg draws one picture: it does not go with --json"),
        ("machine m --svg - --watch", "--svg draws one picture: it does not go with --watch"),
        ("machine m --svg - -d", "--svg draws one picture: it does not go with --detailed"),
        ("machine m --svg - --sort id", "--sort is for tables: --svg draws a picture"),
        ("job 1 --svg - --json", "--svg draws one picture: it does not go with --json"),
        ("job 1 --svg - -w", "--svg draws one picture: it does not go with --watch"),
        ("job 1 --svg - -e", "--svg draws the job: it goes with no other action than --info"),
        ("job 1 --svg - -p", "--svg draws the job: it goes with no other action than --info"),
        ("job 1 --svg - -D", "--svg draws the job: it goes with no other action than --info"),
        ("job --fate f --svg -", "--fate is about a ledger, and goes with no job ID and no action"),
        # Jobs.
        ("job one", "argument ID: 'one' is not a whole number"),
        ("job -- -1", "argument ID: '-1' is less than 0: give 0 or more"),
        ("job --owner=", "job ID (or --owner) not specified"),
        ("job -D 12", "--destroy 12: the job's ID comes first: spalloc-job 12 --destroy"),
        ("job 1 --watch --power-on", "--watch shows the job: it goes with no other action"),
        ("job 1 --watch -p", "--watch shows the job: it goes with no other action"),
        ("job 1 -w --power-off", "--watch shows the job: it goes with no other action"),
        ("job 1 -w --destroy", "--watch shows the job: it goes with no other action"),
        ("job 1 -w --ethernet-ips", "--watch shows the job: it goes with no other action"),
        ("job 1 --json --destroy", "--json is for --info, --watch and --ethernet-ips"),
        ("job 1 --json --reset", "--json is for --info, --watch and --ethernet-ips"),
        ("job 1 --json --power-off", "--json is for --info, --watch and --ethernet-ips"),
        ("job 1 --info --destroy", "not allowed with argument"),
        ("job 1 --wait-timeout 5", "--wait-timeout goes with --wait"),
        ("job 1 --wait ready --wait-timeout -5", "'-5' is not a time: give 0 seconds or more"),
        ("job 1 --wait ready --wait-timeout x", "argument --wait-timeout: 'x' is not a number"),
        ("job 1 --wait unknown", "argument --wait: invalid choice: 'unknown'"),
        ("job 1 --wait", "argument --wait: expected one argument"),
        # Reports.
        ("job 1 --report 0 0", "argument --report: expected 3 arguments"),
        ("job 1 --report x 0 hot", "--report: 'x' is not a whole number"),
        ("job 1 --report 0 0 hot --processor=-1", "argument --processor: '-1' is less than 0"),
        ("job 1 --report 0 0 hot --processor x", "argument --processor: 'x' is not a whole number"),
        ("job 1 --processor 1", "--processor goes with --report"),
        ("job 1 --report 0 0 hot --json", "--json is for --info, --watch and --ethernet-ips"),
        ("job 1 --report 0 0 hot --watch", "--watch shows the job: it goes with no other action"),
        ("job 1 --report 0 0 hot --destroy", "not allowed with argument"),
        # Places.
        ("where-is", "one of the arguments --board/-b/--logical/-l"),
        ("where-is --logical m 0 0", "expected 4 arguments"),
        ("where-is --physical m 0 0 x", "--physical: 'x' is not a whole number"),
        ("where-is --chip m 0 ,", "--chip: '' is not a whole number"),
        ("where-is --job-chip 1 -1 0", "--job-chip: '-1' is less than 0"),
    ],
)
def test_misuse_is_a_usage_error_that_says_what_to_do(
    watched_office: Office, command: str, complaint: str
) -> None:
    name, *arguments = command.split()
    ended = watched_office.run(MAINS[name], *arguments)
    assert (ended.code, ended.out) == (2, "")
    *_, told = ended.err.splitlines()
    assert told.startswith(f"spalloc-{name}: error: ")
    assert complaint in told
    assert isinstance(watched_office.server, SimulatedServer)
    assert len(watched_office.server.commands_seen) == 0


def test_bad_configuration_is_a_usage_error(shell: Shell) -> None:
    run = shell.run("ps", SPALLOC_PORT="one")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("spalloc-ps: error: ")
    assert run.stderr.count("\n") == 1


# ------------------------------------------------------------- tables


def test_columns_are_shown_as_chosen_and_in_that_order(office: Office) -> None:
    held = office.create_ready_job(1)
    ended = office.run(ps.main, "--columns", "State,boards,ID")
    assert ended.lines == ["State  Boards  ID", f"ready       1   {held}"]


def test_rows_are_sorted_as_asked(office: Office) -> None:
    small = office.create_ready_job(1, owner="b")
    large = office.create_ready_job(2, 2, owner="a")
    queued = office.create_job(4, 2, owner="c")

    def order(*arguments: str) -> list[int]:
        lines = office.run(ps.main, "--columns", "id", *arguments).lines
        return [int(line) for line in lines[1:]]

    assert order() == [small, large, queued]
    assert order("--sort", "owner") == [large, small, queued]
    assert order("--sort=-id") == [queued, large, small]
    assert order("--sort=-boards") == [large, small, queued]
    assert order("--sort", "boards") == [small, large, queued]
    assert order("--sort=state,-id") == [queued, large, small]


def test_machines_have_columns_and_an_order(make_office: MakeOffice) -> None:
    office = make_office(MachineSpec("b", 1, 1), MachineSpec("a", 2, 1))
    ended = office.run(machine.main, "--columns", "name,num-boards", "--sort", "name")
    assert ended.lines == ["Name  Num boards", "a              6", "b              3"]
    assert office.run(machine.main, "--columns=name", "--sort=num_boards").lines[1:] == ["b", "a"]


def test_jobs_of_a_machine_have_columns_and_an_order(office: Office) -> None:
    first, second = office.create_ready_job(1), office.create_ready_job(1)
    ended = office.run(machine.main, "m", "-d", "--columns", "id,key", "--sort=-id")
    assert ended.lines[-3:] == [
        "Job ID  Key",
        f"     {second}  B",
        f"     {first}  A",
    ]


def test_order_holds_while_it_is_watched(site: Site) -> None:
    from spalloc_gevent.protocol_client import ProtocolClient

    with ProtocolClient(site.server.host, site.server.port, 20.0) as client:
        job_ids = [client.create_job(1, owner="me", keepalive=None) for _ in range(3)]
    terminal = site.shell.on_terminal("ps", "-w", "--no-clear", "--columns=id", "--sort=-id")
    terminal.read_until("Updated")
    terminal.type("q")
    assert terminal.wait() == 0
    numbers = [int(line) for line in terminal.screen.splitlines() if line.strip().isdigit()]
    assert numbers == job_ids[::-1]
