"""What every command has, --version and scripts by which shells complete words; and a report."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

from spalloc_gevent.__main__ import COMMANDS
from spalloc_gevent._version import __version__
from spalloc_gevent.simulator import Garbage, Refuse, Silence, SimulatedServer
from tests.cli.conftest import Shell, Site

PROGS = {name: command.installed for name, command in COMMANDS.items() if command.installed}


# ------------------------------------------------------------------- versions


@pytest.mark.parametrize("command", PROGS)
def test_version_is_one_line_at_once_and_no_server_is_asked(site: Site, command: str) -> None:
    for flag in ("--version", "-V"):
        shown = site.shell.run(command, flag)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout == f"{PROGS[command]} {__version__}\n"
    assert list(site.server.commands_seen) == []


def test_a_report_has_the_versions_of_all_that_the_package_runs_on(shell: Shell) -> None:
    shown = shell.run("versions")
    assert (shown.returncode, shown.stderr) == (0, "")
    first, python, *rest = shown.stdout.splitlines()
    assert first == f"spalloc_gevent {__version__}"
    assert python.startswith(f"Python: {platform.python_version()} (CPython) on ")
    packages = ("gevent", "greenlet", "platformdirs", "tabulate", "wcwidth")
    assert rest == [
        *(f"{name}: {metadata.version(name)}" for name in packages), "server: not configured"
    ]  # fmt: skip


def test_a_report_tells_the_server_s_version_and_asks_it_nothing_else(site: Site) -> None:
    shown = site.shell.run("versions").stdout.splitlines()
    where = f"{site.server.host}:{site.server.port}"
    assert shown[-1] == f"server: {site.server.version} ({where})"
    assert [seen.name for seen in site.server.commands_seen] == ["version"]


def test_a_report_asks_the_server_that_is_named(site: Site) -> None:
    there = ("--hostname", site.server.host, "--port", str(site.server.port))
    elsewhere = {"SPALLOC_HOSTNAME": "nosuch.invalid", "SPALLOC_PORT": "1"}
    shown = site.shell.run("versions", *there, **elsewhere)
    assert shown.stdout.splitlines()[-1].startswith(f"server: {site.server.version} (")


@pytest.mark.parametrize(
    "fault",
    [
        Silence(on="version", times=None),
        Refuse("not today", on="version", times=None),
        Garbage(on="version", times=None),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_server_that_does_not_tell_its_version_is_no_error(
    site: Site, fault: Silence | Refuse | Garbage
) -> None:
    site.server.set_faults([fault])
    shown = site.shell.run("versions")
    assert (shown.returncode, shown.stderr) == (0, "")
    where = f"{site.server.host}:{site.server.port}"
    assert shown.stdout.splitlines()[-1] == f"server: not reached ({where})"


@pytest.mark.parametrize("hostname", ["127.0.0.1", "nosuch.invalid", "-h"])
def test_a_server_that_is_not_there_is_no_error(shell: Shell, hostname: str) -> None:
    with SimulatedServer() as server:
        port = server.port
    shown = shell.run("versions", f"--hostname={hostname}", "--port", str(port))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[-1] == f"server: not reached ({hostname}:{port})"


def test_what_a_server_calls_itself_cannot_steer_a_terminal(shell: Shell) -> None:
    with SimulatedServer(version="8\x1b[31m\n9") as server:
        shown = Site(server, shell).shell.run("versions")
    assert "\x1b" not in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith("server: 8")


# ------------------------------------------------------------------ completion


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts of all commands, NAME.bash and NAME.zsh."""
    folder = tmp_path_factory.mktemp("scripts")
    shell = Shell(folder)
    for command, prog in PROGS.items():
        for kind in ("bash", "zsh"):
            made = shell.run(command, "--print-completion", kind)
            assert (made.returncode, made.stderr) == (0, "")
            (folder / f"{prog}.{kind}").write_text(made.stdout, "utf-8")
    return folder


_COMPLETE = """
source "$1"
shift
read -r _ _ _ _ function prog < <(complete -p "$1")
COMP_WORDS=("$@")
COMP_CWORD=$(( $# - 1 ))
"$function"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(scripts: Path, folder: Path, words: Sequence[str]) -> set[str]:
    """What bash offers for the last of these words."""
    script = scripts / f"{words[0]}.bash"
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--norc", "-c", _COMPLETE, "bash", str(script), *words],
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some files, a folder, and a command that is found on the PATH."""
    (tmp_path / "cases.txt").touch()
    (tmp_path / "campaign").mkdir()
    (tmp_path / "bin").mkdir()
    trial = tmp_path / "bin" / "xtrial"
    trial.write_text("#!/bin/sh\n")
    trial.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        # Options.
        ("spalloc --max-dead", {"--max-dead-boards", "--max-dead-links"}),
        ("spalloc 3 --res", {"--resume"}),
        ("spalloc-ps --col", {"--color", "--colour", "--columns"}),
        ("spalloc-where-is --phy", {"--physical"}),
        ("spalloc-machine m --det", {"--detailed"}),
        ("spalloc-simulator --power", {"--power-seconds"}),
        ("spalloc-ps --print", {"--print-completion"}),
        # Choices.
        ("spalloc-ps --color a", {"auto", "always"}),
        ("spalloc-job 1 --wait re", {"ready"}),
        ("spalloc-simulator --dialect ja", {"java"}),
        ("spalloc-ps --print-completion ", {"bash", "zsh"}),
        # Files and folders.
        ("spalloc-batch ca", {"cases.txt", "campaign"}),
        ("spalloc-batch cases.txt --joblog ca", {"cases.txt", "campaign"}),
        ("spalloc-batch cases.txt --junit-xml case", {"cases.txt"}),
        ("spalloc-batch cases.txt --output ca", {"campaign"}),
        ("spalloc-batch -o ca", {"campaign"}),
        ("spalloc-job --fate case", {"cases.txt"}),
        # Commands, and what is theirs.
        ("spalloc 3 -c xtr", {"xtrial"}),
        ("spalloc 3 --command xtr", {"xtrial"}),
        ("spalloc 3 -c xtrial -q case", {"cases.txt"}),
        ("spalloc 3 -c xtrial --color a", set()),
        ("spalloc --boot-command xtr", {"xtrial"}),
        ("spalloc-batch --check xtr", {"xtrial"}),
        ("spalloc-simulator --run xtr", {"xtrial"}),
        ("spalloc-simulator --run xtrial --dialect ca", {"cases.txt", "campaign"}),
    ],
)
def test_bash_completes(scripts: Path, folder: Path, line: str, offered: set[str]) -> None:
    assert completed(scripts, folder, line.split(" ")) == offered


def test_bash_leaves_a_wrapped_command_to_bash_completion_where_that_is_there(
    scripts: Path, folder: Path
) -> None:
    theirs = folder / "spalloc.bash"
    own = (scripts / "spalloc.bash").read_text("utf-8")
    theirs.write_text(own + '\n_command_offset() { COMPREPLY=("offset $1"); }\n', "utf-8")
    assert completed(folder, folder, ["spalloc", "3", "-c", "git", "che"]) == {"offset 3"}


@pytest.mark.parametrize("prog", PROGS.values())
def test_zsh_is_told_of_every_option(scripts: Path, prog: str) -> None:
    told = (scripts / f"{prog}.zsh").read_text("utf-8")
    assert told.startswith(f"#compdef {prog}\n")
    bash = (scripts / f"{prog}.bash").read_text("utf-8")
    (words,) = re.findall(r"_option_strings=\((.*)\)", bash)
    for option in words.split():
        assert re.search(rf'[{{,"*)]{re.escape(option)}[}},\["]', told), option


@pytest.mark.parametrize(
    ("prog", "spec"),
    [
        ("spalloc-batch", r"{--output,-o}\"\[[^\n]*\]:DIR:_files -/\""),
        ("spalloc-batch", r"--joblog\[[^\n]*\]:FILE:_files\""),
        ("spalloc-job", r"--wait\[[^\n]*\]:STATE:\([a-z ]*ready[a-z ]*\)\""),
        ("spalloc", r"-c}\"\[[^\n]*\]:command:_command_names -e:\*:argument:_files\""),
        ("spalloc-simulator", r"--run\[[^\n]*\]:run:_command_names -e:\*:argument:_files\""),
    ],
)
def test_zsh_is_told_what_an_option_takes(scripts: Path, prog: str, spec: str) -> None:
    assert re.search(spec, (scripts / f"{prog}.zsh").read_text("utf-8"))


def test_the_scripts_are_shell(scripts: Path) -> None:
    # Whoever has no zsh does not lack it: what a script says to it is looked at above.
    for kind in filter(shutil.which, ("bash", "zsh")):
        for script in scripts.glob(f"*.{kind}"):
            done = subprocess.run([kind, "-n", str(script)], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), script


_WITHOUT_SHTAB = """
import sys
sys.modules["shtab"] = None
from spalloc_gevent.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", PROGS)
def test_without_shtab_one_is_told_how_to_get_it(shell: Shell, command: str) -> None:
    _, *start = shell.argv(command, "--print-completion", "zsh")
    argv = [shell.argv(command)[0], "-c", _WITHOUT_SHTAB, *start[2:]]
    done = subprocess.run(argv, env=shell.environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{PROGS[command]}: error: --print-completion needs shtab: "
        'pip install "spalloc_gevent[completion]"\n'
    )


def test_a_command_that_is_not_asked_for_it_does_not_import_shtab(site: Site) -> None:
    python, *_ = site.shell.argv("ps")
    argv = [python, "-X", "importtime", "-m", "spalloc_gevent", "ps"]
    done = subprocess.run(argv, env=site.shell.environ, capture_output=True, text=True)
    assert done.returncode == 0
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "spalloc_gevent.scripts.views" in imported
    unused = {"shtab", "platform", "spalloc_gevent.scripts.versions", "subprocess"}
    assert imported & unused == set()
