"""The command line of ``spalloc``, and what it makes of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from spalloc_gevent._version import __version__
from spalloc_gevent.errors import ConfigError
from spalloc_gevent.scripts.alloc_options import AllocationOrder, parse
from spalloc_gevent.scripts.common import CommandError
from spalloc_gevent.scripts.substitution import TOKENS

ENVIRON = {"SPALLOC_HOSTNAME": "server", "SPALLOC_OWNER": "me"}

pytestmark = pytest.mark.usefixtures("empty_folder")


def order(*arguments: str, **environ: str) -> AllocationOrder:
    return parse(arguments, {**ENVIRON, **environ})


def options(*arguments: str, **environ: str) -> dict[str, Any]:
    return dict(order(*arguments, **environ).job_options)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, **environ: str) -> str:
    """The last line of the message with which a command line is refused."""
    with pytest.raises(SystemExit) as caught:
        order(*arguments, **environ)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [([], ()), (["5"], (5,)), (["4", "2"], (4, 2)), (["3", "4", "0"], (3, 4, 0))],
)
def test_what_is_none_one_two_or_three_numbers(arguments: list[str], what: tuple[int, ...]) -> None:
    assert order(*arguments).what == what


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["1", "2", "3", "4"], "4 numbers given"),
        (["three"], "'three' is not a whole number"),
        (["2.5"], "'2.5' is not a whole number"),
        (["0"], "boards must be 1 or more, not 0"),
        (["-3"], "boards must be 1 or more, not -3"),
        (["4", "0"], "height in triads must be 1 or more"),
        (["0", "0", "3"], "board z must be 0, 1 or 2"),
        (["1", "-w"], "require_torus=True asks for a whole machine"),
        (["--nosuch"], "unrecognized arguments: --nosuch"),
        (["--port", "0"], "'0' is not a port"),
        (["--port", "x"], "'x' is not a whole number"),
        (["--timeout", "0"], "'0' is not a time"),
        (["--timeout", "nan"], "'nan' is not a time"),
        (["--keepalive", "0"], "'0' is not a time"),
        (["--keepalive", "soon"], "'soon' is not a number"),
        (["--reconnect-delay", "nan"], "'nan' is not a time"),
        (["--min-ratio", "1.5"], "'1.5' is not a ratio"),
        (["--max-dead-boards", "-2.5"], "'-2.5' is not a whole number"),
        (["--max-dead-links", "x"], "'x' is not a whole number"),
        (["--resume", "x"], "'x' is not a whole number"),
        (["--resume", "-1"], "'-1' is less than 0"),
        (["--boot", "--boot-command", "x"], "--boot and --boot-command: give only one"),
        (["--boot-command", ""], "--boot-command needs a command"),
        (["-c"], "--command needs a command"),
        (["-c", " "], "--command needs a command"),
        (["-c", "echo {nosuch}"], "{nosuch} in 'echo {nosuch}' stands for nothing"),
        (["--boot-command", "boot {"], "a single { in 'boot {'"),
        (["--owner", ""], "--owner (typically your e-mail address) must be specified"),
        (["--ignore_version", "perhaps"], "'perhaps' is neither True nor False"),
        (["--hostname", ""], "--hostname of the spalloc server must be specified"),
    ],
)
def test_a_wrong_command_line_is_refused_with_what_is_wrong(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint in refusal(capsys, *arguments)


def test_a_missing_hostname_says_the_three_places_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = refusal(capsys, SPALLOC_HOSTNAME="")
    assert "--hostname" in message
    assert "SPALLOC_HOSTNAME" in message
    assert "'hostname = ...' in a configuration file" in message


def test_a_missing_owner_does_not_matter_to_a_job_that_is_resumed() -> None:
    assert options("--resume", "7", SPALLOC_OWNER="")["resume_job_id"] == 7


def test_job_0_can_be_resumed() -> None:
    assert options("-r", "0")["resume_job_id"] == 0


def test_all_requirements_are_ignored_for_a_job_that_is_resumed() -> None:
    resumed = order("5", "--resume", "7", "--keepalive", "9", "-w")
    assert resumed.what == ()
    assert "keepalive" not in resumed.job_options
    assert "require_torus" not in resumed.job_options


def test_what_is_not_said_comes_from_the_configuration() -> None:
    environ = {
        "SPALLOC_PORT": "1",
        "SPALLOC_KEEPALIVE": "None",
        "SPALLOC_RECONNECT_DELAY": "2",
        "SPALLOC_TIMEOUT": "3",
        "SPALLOC_MACHINE": "m",
        "SPALLOC_MIN_RATIO": "0.5",
        "SPALLOC_MAX_DEAD_BOARDS": "None",
        "SPALLOC_MAX_DEAD_LINKS": "4",
        "SPALLOC_REQUIRE_TORUS": "True",
        "SPALLOC_IGNORE_VERSION": "yes",
    }
    assert options("4", "2", **environ) == {
        "config_filenames": [],
        "hostname": "server",
        "owner": "me",
        "port": 1,
        "keepalive": None,
        "reconnect_delay": 2.0,
        "timeout": 3.0,
        "machine": "m",
        "tags": None,
        "min_ratio": 0.5,
        "max_dead_boards": None,
        "max_dead_links": 4,
        "require_torus": True,
        "ignore_version": True,
        "guardian": True,
        "ledger": None,
    }


def test_a_configuration_file_in_the_current_folder_counts(empty_folder: Path) -> None:
    (empty_folder / ".spalloc").write_text("[spalloc]\nport = 7\n", encoding="utf-8")
    assert options()["port"] == 7


def test_an_argument_outranks_the_environment() -> None:
    line = (
        "-H other -P 2 --owner you --keepalive 1.5 --reconnect-delay 0 --timeout 9 "
        "--min-ratio 1 --max-dead-boards 3 --max-dead-links 0 -W --ignore-version"
    )
    said = options(*line.split(), SPALLOC_REQUIRE_TORUS="True", SPALLOC_PORT="1")
    assert said == {
        "config_filenames": [],
        "hostname": "other",
        "owner": "you",
        "port": 2,
        "keepalive": 1.5,
        "reconnect_delay": 0.0,
        "timeout": 9.0,
        "machine": None,
        "tags": None,
        "min_ratio": 1.0,
        "max_dead_boards": 3,
        "max_dead_links": 0,
        "require_torus": False,
        "ignore_version": True,
        "guardian": True,
        "ledger": None,
    }


@pytest.mark.parametrize("number", ["-1", "-3", "-5"])
def test_a_number_below_0_means_any_number_none_or_for_ever_and_at_once(number: str) -> None:
    switches = ("keepalive", "timeout", "max-dead-boards", "max-dead-links", "reconnect-delay")
    line = " ".join(f"--{switch} {number}" for switch in switches)
    said = options(*line.split(), SPALLOC_MAX_DEAD_LINKS="3")
    values = [said[switch.replace("-", "_")] for switch in switches]
    assert values == [None, None, None, None, 0.0]
    assert options("--timeout", "-2.5", "--keepalive", "-0.5")["keepalive"] is None


@pytest.mark.parametrize("order_said", [["-m", "n", "-t", "big"], ["-t", "big", "-m", "n"]])
def test_a_machine_that_is_named_outranks_tags_with_a_remark(
    order_said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = options(*order_said)
    assert (said["machine"], said["tags"]) == ("n", None)
    assert capsys.readouterr().err == (
        "spalloc: warning: --tags ignored because --machine is given\n"
    )


@pytest.mark.parametrize(
    "hostname",
    ["ho st", "ho\nst", "http://127.0.0.1/", "127.0.0.1:99999", "[localhost]", "@host", "a..b"],
)
def test_what_cannot_be_a_hostname_is_refused(hostname: str) -> None:
    with pytest.raises(CommandError) as caught:
        order("--hostname", hostname)
    told = f"spalloc: error: --hostname {hostname!r} is not a host name or IP address"
    assert (str(caught.value), caught.value.code) == (told, 2)


@pytest.mark.parametrize(
    "hostname", ["localhost", "::1", "fe80::1%eth0", "my_server", "b\u00fccher.example", "a.b."]
)
def test_what_may_be_a_hostname_is_taken(hostname: str) -> None:
    assert options("--hostname", hostname)["hostname"] == hostname


@pytest.mark.parametrize(
    ("value", "ignored"), [("True", True), ("yes", True), ("1", True), ("False", False)]
)
def test_ignore_version_may_be_written_as_the_existing_client_has_it(
    value: str, ignored: bool
) -> None:
    assert options("--ignore_version", value)["ignore_version"] is ignored
    assert options()["ignore_version"] is False


@pytest.mark.parametrize(
    ("arguments", "configured", "machine", "tags"),
    [
        ([], {}, None, None),
        ([], {"SPALLOC_TAGS": "a,b"}, None, ["a", "b"]),
        ([], {"SPALLOC_MACHINE": "m"}, "m", None),
        (["-m", "n"], {"SPALLOC_TAGS": "a"}, "n", None),
        (["-m", "n"], {"SPALLOC_MACHINE": "m"}, "n", None),
        (["-m"], {"SPALLOC_MACHINE": "m"}, None, None),
        (["-m"], {"SPALLOC_TAGS": "a"}, None, ["a"]),
        (["-t", "x", "y"], {"SPALLOC_MACHINE": "m"}, None, ["x", "y"]),
        (["-t", "x"], {"SPALLOC_TAGS": "a"}, None, ["x"]),
        (["-t"], {"SPALLOC_TAGS": "a"}, None, []),
        (["-t"], {"SPALLOC_MACHINE": "m"}, None, []),
        (["-m", "-t", "x"], {"SPALLOC_MACHINE": "m"}, None, ["x"]),
        (["-m", "n", "-t"], {"SPALLOC_TAGS": "a"}, "n", None),
    ],
)
def test_machine_and_tags_said_here_outrank_either_from_the_configuration(
    arguments: list[str], configured: dict[str, str], machine: str | None, tags: list[str] | None
) -> None:
    said = options(*arguments, **configured)
    assert (said["machine"], said["tags"]) == (machine, tags)


@pytest.mark.parametrize("torus", [["-w"], ["--require-torus"], ["-W", "-w"]])
def test_a_torus_can_be_required(torus: list[str]) -> None:
    assert options("4", "2", *torus)["require_torus"] is True


@pytest.mark.parametrize("torus", [["-W"], ["--no-require-torus"], ["-w", "-W"]])
def test_a_torus_that_the_configuration_requires_can_be_waived(torus: list[str]) -> None:
    assert options("4", "2", *torus, SPALLOC_REQUIRE_TORUS="yes")["require_torus"] is False


def test_a_command_in_one_piece_is_a_line_for_the_shell() -> None:
    command = order("24", "-c", "rig-boot {} {w} {h} && python my_app.py {}").command
    assert command is not None
    assert command.is_shell_line


def test_all_that_follows_command_is_part_of_it() -> None:
    command = order("3", "-c", "prog", "arg", "--option", "-V", "-c", "--m", "--", "{}").command
    assert command is not None
    assert command.words == ("prog", "arg", "--option", "-V", "-c", "--m", "--", "{}")


@pytest.mark.parametrize(
    "arguments", [["--command=cmd {}"], ["-ccmd {}"], ["--comm", "cmd {}"], ["-qc", "cmd {}"]]
)
def test_a_command_may_be_given_as_argparse_allows(arguments: list[str]) -> None:
    command = order("3", *arguments).command
    assert command is not None
    assert command.words == ("cmd {}",)


def test_flags_joined_to_the_command_switch_count() -> None:
    joined = order("3", "-qDc", "cmd")
    assert (joined.quiet, joined.no_destroy) == (True, True)


@pytest.mark.parametrize("switch", ["--version", "-V"])
def test_version_is_shown_and_ends_with_0(switch: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        order("--hostname", "", switch)
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"spalloc {__version__}\n"


def help_text(capsys: pytest.CaptureFixture[str], **environ: str) -> str:
    with pytest.raises(SystemExit) as caught:
        order("--help", **environ)
    assert caught.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_run_spalloc_help_for_a_complete_listing(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_text(capsys)
    all_options = (
        "WHAT --version -V --print-completion --quiet -q --debug --no-destroy -D --resume -r "
        "--machine -m --tags -t "
        "--min-ratio --max-dead-boards --max-dead-links --require-torus -w --no-require-torus -W "
        "--command -c --owner --hostname -H --port -P --keepalive --reconnect-delay --timeout "
        "--ignore-version --boot -B --boot-command"
    )
    for option in all_options.split():
        assert f" {option}" in text, option
    for token, _ in TOKENS:
        assert f" {token} " in text, token


def test_help_shows_the_defaults_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_text(
        capsys,
        SPALLOC_HOSTNAME="the.server",
        SPALLOC_OWNER="100%s@home",
        SPALLOC_PORT="4711",
        SPALLOC_KEEPALIVE="17",
        SPALLOC_TAGS="50%d",
        SPALLOC_MAX_DEAD_BOARDS="None",
        SPALLOC_REQUIRE_TORUS="True",
    )
    for shown in ("the.server", "100%s@home", "4711", "17.0", "50%d"):
        assert f"(default: {shown})" in text, shown
    assert "most dead boards to accept in the allocation, -1 for any number (default: -1)" in text
    assert "insist on wrap-around (torus) links (default) --no" in text


def test_help_documents_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_text(capsys)
    assert "exit codes: 0 the command succeeded" in text
    assert "6 the server cannot be reached" in text


def test_a_value_that_the_environment_gets_wrong_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="SPALLOC_PORT"):
        order(SPALLOC_PORT="many")


def test_what_the_configuration_passes_over_is_one_line_on_stderr(empty_folder: Path) -> None:
    (empty_folder / ".spalloc").write_text("[spalloc]\nhorstname = x\n", encoding="utf-8")
    stderr = io.StringIO()
    parse([], ENVIRON, stderr)
    (line,) = stderr.getvalue().splitlines()
    assert line.startswith("spalloc: warning: ")
    assert "'horstname'" in line


def test_what_only_files_and_the_environment_say_is_heeded() -> None:
    said = options("-H", "x", "--owner", "me", SPALLOC_GUARDIAN="no", SPALLOC_LEDGER="f")
    assert (said["guardian"], said["ledger"]) == (False, "f")
