"""``spalloc-batch`` as a script uses it, on the simulated and on the real server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import pytest

from spalloc_gevent.scripts.batch.records import CaseRecord, Verdict
from spalloc_gevent.simulator import Silence
from tests.cli.conftest import Site
from tests.cli.desk import Desk
from tests.cli.desk import desk_fixture as desk_fixture
from tests.cli.desk import make_desk_fixture as make_desk_fixture
from tests.cli.desk import make_simulated_desk_fixture as make_simulated_desk_fixture
from tests.cli.desk import simulated_desk_fixture as simulated_desk_fixture
from tests.cli.emulator import windows_fixture as windows_fixture
from tests.cli.piped import Piped
from tests.cli.terminal import eventually, is_alive
from tests.cli.test_json import FOLDER, complaints

FOREVER = "echo $$ >> pids; exec sleep 1000"


def write_cases(desk: Desk | Site, *lines: str) -> None:
    (desk.shell.folder / "cases").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def batch(
    desk: Desk | Site, *arguments: object, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return desk.shell.run("batch", *map(str, arguments), stdin=stdin)


def document_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The document that --json printed, which is as its schema says."""
    (line,) = done.stdout.splitlines()
    document: dict[str, Any] = json.loads(line)
    assert complaints("batch", document) == []
    assert document["exit_code"] == done.returncode
    return document


def cases_of(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {case["case"]: case for case in document["cases"]}


def joblog(desk: Desk | Site) -> list[dict[str, Any]]:
    """The lines of the joblog, which are as their schema says."""
    text = (desk.shell.folder / "log").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert complaints("joblog", line) == []
    return lines


def verdicts(document: Mapping[str, Any]) -> dict[str, str]:
    return {case["case"]: case["verdict"] for case in document["cases"]}


def pids(desk: Desk | Site) -> list[int]:
    """The processes that have run FOREVER."""
    file = desk.shell.folder / "pids"
    return [int(word) for word in file.read_text().split()] if file.exists() else []


def await_pids(desk: Desk | Site, number: int) -> list[int]:
    eventually(lambda: len(pids(desk)) == number, f"{number} cases that run")
    return pids(desk)


# ------------------------------------------------------------------ cases and results


def test_every_case_is_run_on_boards_of_its_own_and_its_exit_code_is_its_verdict(
    desk: Desk,
) -> None:
    write_cases(desk, "a echo {case} {id}", "b exit 3", "c kill -9 $$", "d no-such-program")
    done = batch(desk, "cases", "-j", 2, "--json", "--joblog", "log")
    document = document_of(done)
    cases = cases_of(document)
    assert list(cases) == ["a", "b", "c", "d"]
    assert [cases[name]["exit_code"] for name in cases] == [0, 3, 137, 127]
    assert verdicts(document) == {"a": "passed", **dict.fromkeys("bcd", "failed")}
    assert (document["counts"]["passed"], document["counts"]["failed"]) == (1, 3)
    assert len({case["job_id"] for case in document["cases"]}) == 4
    for case in document["cases"]:
        assert (len(case["boards"]), len(case["hostnames"])) == (1, 1)
        assert case["started"] <= case["ended"]
    assert f"a {cases['a']['job_id']}\n" in done.stderr  # the document alone is on standard output
    assert done.returncode == 1
    assert {line["case"]: line["job_id"] for line in joblog(desk)} == {
        name: case["job_id"] for name, case in cases.items()
    }
    assert desk.client.list_jobs() == []


def test_a_command_knows_its_boards_by_tokens_and_from_its_environment(desk: Desk) -> None:
    write_cases(
        desk,
        '"a case" echo {case}/{}/{w}x{h}; echo "$SPALLOC_CASE/$SPALLOC_JOB_HOSTNAME"; '
        "wc -l < {ethernet_ips}; wc -l < $SPALLOC_JOB_ETHERNET_IPS",
    )
    done = batch(desk, "cases", "--boards", 3)
    assert done.returncode == 0
    first, second, *csv_lines = done.stdout.splitlines()
    hostname = second.removeprefix("a case/")
    assert first == f"a case/{hostname}/16x16"
    assert csv_lines == ["4", "4"]


def test_the_first_ctrl_c_finishes_what_runs_and_starts_no_more(desk: Desk) -> None:
    write_cases(desk, "a touch started; while [ ! -e go ]; do sleep 0.05; done", "b touch b-ran")
    process = Piped(desk.shell.start("batch", "cases", "-j", "1", "--json", "--joblog", "log"))
    eventually((desk.shell.folder / "started").exists, "a case that runs")
    process.process.send_signal(signal.SIGINT)
    process.read_until(lambda piped: "no more cases are started" in piped.err, "word of it")
    (desk.shell.folder / "go").touch()
    assert process.wait() == 130
    (document,) = process.documents
    assert verdicts(document) == {"a": "passed", "b": "cancelled"}
    assert document["signal"] == signal.SIGINT
    assert {line["case"] for line in joblog(desk)} == {"a", "b"}
    assert not (desk.shell.folder / "b-ran").exists()
    assert desk.client.list_jobs() == []


@pytest.mark.parametrize(
    ("signals", "code"),
    [([signal.SIGINT, signal.SIGINT], 130), ([signal.SIGTERM], 143), ([signal.SIGHUP], 129)],
    ids=["Ctrl+C twice", "SIGTERM", "SIGHUP"],
)
def test_a_second_ctrl_c_or_another_signal_ends_all_and_gives_all_back(
    desk: Desk, signals: list[signal.Signals], code: int
) -> None:
    write_cases(desk, *(f"{name} {FOREVER}" for name in "abcd"))
    process = Piped(desk.shell.start("batch", "cases", "-j", "3", "--json", "--joblog", "log"))
    running = await_pids(desk, 3)
    for signum in signals:
        process.process.send_signal(signum)
        process.read_until(lambda piped: "cases" in piped.err, "word of it")
    assert process.wait() == code
    (document,) = process.documents
    assert set(verdicts(document).values()) == {"cancelled"}
    assert sorted(case["attempts"] for case in document["cases"]) == [0, 1, 1, 1]
    assert sorted(line["case"] for line in joblog(desk)) == list("abcd")
    assert not any(map(is_alive, running))
    assert desk.client.list_jobs() == []


# ------------------------------------------------------------------ time, loss, bad boards


@pytest.mark.parametrize("option", ["--time-limit", "--timeout"])
def test_a_case_that_takes_too_long_is_ended_with_all_that_it_has_started(
    desk: Desk, option: str
) -> None:
    write_cases(desk, f"slow ({FOREVER}) & {FOREVER}", "quick true")
    done = batch(desk, "cases", option, 1, "--json")
    assert verdicts(document_of(done)) == {"slow": "timed_out", "quick": "passed"}
    assert not any(map(is_alive, pids(desk)))
    assert len(pids(desk)) == 2


def test_what_a_case_leaves_running_ends_with_it(desk: Desk) -> None:
    write_cases(desk, f"a ({FOREVER}) & while [ ! -s pids ]; do sleep 0.01; done")
    assert batch(desk, "cases").returncode == 0
    assert [is_alive(pid) for pid in pids(desk)] == [False]


LOSING = f'a echo {{id}} >> ids; [ "$(wc -l < ids)" = 2 ] || {{{{ {FOREVER}; }}}}'


@pytest.mark.parametrize(
    ("retries", "verdict", "code"), [(0, "lost", 1), (1, "passed", 0)], ids=["lost", "run again"]
)
def test_a_case_whose_job_is_destroyed_under_it_is_ended_and_may_be_run_again(
    desk: Desk, retries: int, verdict: str, code: int
) -> None:
    write_cases(desk, LOSING)
    arguments = ["cases", "--retries", str(retries), "--json", "--joblog", "log"]
    process = Piped(desk.shell.start("batch", *arguments))
    (pid,) = await_pids(desk, 1)
    (job,) = desk.client.list_jobs()
    desk.client.destroy_job(job["job_id"], "somebody else's whim")
    assert process.wait() == code
    (document,) = process.documents
    (case,) = document["cases"]
    assert (case["verdict"], case["attempts"]) == (verdict, retries + 1)
    if verdict == "lost":
        assert "somebody else's whim" in case["reason"]
    assert not is_alive(pid)
    assert [line["verdict"] for line in joblog(desk)] == [verdict]
    assert desk.client.list_jobs() == []


def test_boards_that_fail_the_check_are_held_while_others_are_asked_for(desk: Desk) -> None:
    write_cases(desk, "a true")
    check = 'echo "no answer" >&2; test "$SPALLOC_JOB_BOARDS" != 0,0,0'
    done = batch(desk, "cases", "--check", check, "--json")
    (case,) = document_of(done)["cases"]
    assert case["verdict"] == "passed"
    assert case["boards"] != [[0, 0, 0]]
    assert desk.client.list_jobs() == []


def test_a_case_that_is_given_no_good_boards_is_told_why(desk: Desk) -> None:
    write_cases(desk, "a touch ran")
    check = 'echo "no answer" >&2; exit 4'
    done = batch(desk, "cases", "--check", check, "--attempts", 1, "--json")
    (case,) = document_of(done)["cases"]
    assert (case["verdict"], case["attempts"], case["exit_code"]) == ("no_boards", 0, None)
    assert "exit code 4 (no answer)" in case["reason"]
    assert not (desk.shell.folder / "ran").exists()
    assert desk.client.list_jobs() == []


def test_a_request_that_no_machine_can_ever_meet_is_no_boards_for_every_case(desk: Desk) -> None:
    write_cases(desk, "a true", "b true")
    done = batch(desk, "cases", 1000, "--json")
    assert set(verdicts(document_of(done)).values()) == {"no_boards"}
    assert done.returncode == 1


def test_a_case_waits_no_longer_for_boards_than_it_may(desk: Desk) -> None:
    held = desk.create_ready_job(4, 2)
    write_cases(desk, "a true")
    done = batch(desk, "cases", "--queue-timeout", 0.3, "--json")
    (case,) = document_of(done)["cases"]
    assert case["verdict"] == "no_boards"
    assert "queued after 0.3 s" in case["reason"]
    assert [job["job_id"] for job in desk.client.list_jobs()] == [held]


def test_cases_wait_for_a_server_that_is_away(site: Site) -> None:
    write_cases(site, "a touch started; while [ ! -e go ]; do sleep 0.05; done", "b true", "c true")
    arguments = ["cases", "-j", "1", "--server-timeout", "1", "--json"]
    process = Piped(site.shell.start("batch", *arguments))
    eventually((site.shell.folder / "started").exists, "a case that runs")
    site.server.stop()
    (site.shell.folder / "go").touch()
    process.read_until(
        lambda piped: "[1/3] passed     a" in piped.err and "cannot connect" in piped.err,
        "the end of a, and word of the server",
    )
    site.server.start()
    assert process.wait() == 0
    (document,) = process.documents
    assert set(verdicts(document).values()) == {"passed"}


def test_cases_are_tried_again_when_the_first_boards_cannot_be_asked_for(site: Site) -> None:
    write_cases(site, "a true")
    site.server.faults = [Silence(on="create_job", times=1)]
    done = batch(site, "cases", "--server-timeout", 0.5)
    assert done.returncode == 0
    assert "no boards can be asked for, trying again: " in done.stderr
    assert "[1/1] passed     a: " in done.stderr


def test_a_case_is_run_again_whose_server_has_lost_its_memory(site: Site) -> None:
    write_cases(site, LOSING)
    process = Piped(site.shell.start("batch", "cases", "--retries", "1", "--json"))
    await_pids(site, 1)
    site.server.restart(cold=True)
    assert process.wait() == 0
    (document,) = process.documents
    (case,) = document["cases"]
    assert (case["verdict"], case["attempts"]) == ("passed", 2)


def test_a_case_is_over_when_its_command_is_whatever_becomes_of_its_boards(site: Site) -> None:
    write_cases(site, "a touch started; while [ ! -e go ]; do sleep 0.05; done", "b true")
    arguments = ["cases", "-j", "1", "--server-timeout", "1", "--json"]
    process = Piped(site.shell.start("batch", *arguments))
    eventually((site.shell.folder / "started").exists, "a case that runs")
    site.server.faults = [Silence(on="destroy_job")]
    (site.shell.folder / "go").touch()
    assert process.wait() == 0
    (document,) = process.documents
    first, second = document["cases"]
    assert second["started"] - first["ended"] > 0.9


def test_reused_boards_go_from_case_to_case(desk: Desk) -> None:
    write_cases(desk, *(f"c{number} echo {{id}}" for number in range(6)))
    done = batch(desk, "cases", "-j", 2, "--reuse")
    assert done.returncode == 0
    assert len(done.stdout.split()) == 6
    assert len(set(done.stdout.split())) <= 2
    assert desk.client.list_jobs() == []


# ------------------------------------------------------------------ resuming


def test_resume_runs_what_has_no_result_in_the_joblog(desk: Desk) -> None:
    write_cases(desk, "a echo a >> ran", "b echo b >> ran; exit 3", "c echo c >> ran")
    first = batch(desk, "cases", "-j", 1, "--joblog", "log")
    assert first.returncode == 1
    lines = joblog(desk)
    text = "".join(f"{json.dumps(line)}\n" for line in lines[:2]) + json.dumps(lines[2])[:50]
    (desk.shell.folder / "log").write_text(text)
    done = batch(desk, "cases", "--joblog", "log", "--resume", "--json")
    document = document_of(done)
    assert (desk.shell.folder / "ran").read_text().split() == ["a", "b", "c", "c"]
    assert verdicts(document) == {"a": "passed", "b": "failed", "c": "passed"}
    assert [case["resumed"] for case in document["cases"]] == [True, True, False]
    assert [line["case"] for line in joblog(desk)] == ["a", "b", "c"]
    assert done.returncode == 1


def test_resume_failed_runs_those_again_that_have_not_passed(desk: Desk) -> None:
    write_cases(desk, "a echo a >> ran", "b echo b >> ran; test -e good")
    assert batch(desk, "cases", "-j", 1, "--joblog", "log").returncode == 1
    (desk.shell.folder / "good").touch()
    done = batch(desk, "cases", "--joblog", "log", "--resume-failed")
    assert done.returncode == 0
    assert (desk.shell.folder / "ran").read_text().split() == ["a", "b", "b"]
    assert done.stderr.splitlines()[-1].endswith("; 1 case taken from the joblog")


# ------------------------------------------------------------------ files of results


def test_the_output_of_a_case_is_in_files_of_its_name(desk: Desk) -> None:
    write_cases(desk, "a/1 echo out; echo err >&2", "b true")
    done = batch(desk, "cases", "--output", "results/here", "--joblog", "log", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    folder = desk.shell.folder / "results" / "here"
    assert (folder / "a%2F1.out").read_text() == "out\n"
    assert (folder / "a%2F1.err").read_text() == "err\n"
    assert sorted(path.name for path in folder.iterdir()) == [
        "a%2F1.err", "a%2F1.out", "b.err", "b.out",
    ]  # fmt: skip
    named = {line["case"]: line["stdout"] for line in joblog(desk)}
    assert named == {"a/1": "results/here/a%2F1.out", "b": "results/here/b.out"}


def test_junit_xml_tells_failures_from_errors_and_has_what_was_written(desk: Desk) -> None:
    write_cases(desk, "a true", "b echo 'out <&\x01'; echo err >&2; exit 3", "c sleep 1000")
    done = batch(desk, "cases", "--junit-xml", "x.xml", "--timeout", 1)
    assert done.returncode == 1
    suite = ElementTree.parse(desk.shell.folder / "x.xml").getroot()[0]
    assert suite.tag == "testsuite"
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "2", "errors": "0", "skipped": "0",
    }  # fmt: skip
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert [child.tag for child in cases["a"]] == ["properties"]
    failure = cases["b"].find("failure")
    assert failure is not None
    assert failure.attrib == {"message": "exit code 3", "type": "failed"}
    assert cases["b"].findtext("system-out") == "out <&�\n"
    assert cases["b"].findtext("system-err") == "err\n"
    assert cases["c"].find("failure") is not None


def test_a_joblog_that_cannot_be_written_ends_it_with_a_code_of_its_own(site: Site) -> None:
    write_cases(site, *(f"c{number} echo {{case}} >> ran" for number in range(20)))
    # No file may grow beyond a block or two.
    argv = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh"]
    argv += site.shell.argv("batch", "cases", "-j", "1", "--joblog", "log")
    done = subprocess.run(
        argv, env=site.shell.environ, cwd=site.shell.folder, capture_output=True, text=True
    )
    assert done.returncode == 5
    assert "the joblog cannot be written, no more cases are started: " in done.stderr
    ran = (site.shell.folder / "ran").read_text().split()
    assert 1 <= len(ran) < 20
    assert len(site.destroyed()) == len(site.requests())
    done = batch(site, "cases", "--joblog", "log", "--resume", "--json")
    resumed = [case["case"] for case in document_of(done)["cases"] if case["resumed"]]
    assert resumed == ran[: len(resumed)]
    assert sorted(line["case"] for line in joblog(site)) == sorted(f"c{n}" for n in range(20))


def test_a_joblog_is_an_ordinary_file(site: Site) -> None:
    write_cases(site, "a true")
    done = batch(site, "cases", "--joblog", "/dev/zero")
    assert done.returncode == 5
    assert done.stderr == "the joblog /dev/zero is no ordinary file: give another one\n"


@pytest.mark.parametrize("option", ["--joblog", "--junit-xml", "--output"])
def test_files_of_results_that_cannot_be_are_found_before_boards_are_asked_for(
    site: Site, option: str
) -> None:
    write_cases(site, "a true")
    done = batch(site, "cases", option, "/proc/nothing/here")
    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 1
    assert "/proc/nothing/here" in done.stderr
    assert site.requests() == []


def test_a_joblog_has_one_writer(site: Site) -> None:
    write_cases(site, f"a {FOREVER}")
    first = site.shell.start("batch", "cases", "--joblog", "log")
    await_pids(site, 1)
    done = batch(site, "cases", "--joblog", "log")
    assert done.returncode == 5
    assert "log is being written to by another spalloc-batch" in done.stderr
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 143
    assert len(site.requests()) == 1


# ------------------------------------------------------------------ what is said


def test_without_a_terminal_there_is_a_line_a_case_and_a_summary(site: Site) -> None:
    write_cases(site, "a echo 1", "b echo 2 >&2; exit 3")
    done = batch(site, "cases", "-j", 1)
    assert done.stdout == "1\n"
    lines = done.stderr.splitlines()
    assert lines[0].startswith("[1/2] passed     a: ")
    assert lines[0].endswith(", job 1 on big (0, 0, 0)")
    assert lines[1] == "2"
    assert lines[2].startswith("[2/2] failed     b: exit code 3, ")
    assert [line.split()[:2] for line in lines[3:9]] == [
        [], ["Case", "Verdict"], ["b", "failed"], [], ["Verdict", "Cases"], ["passed", "1"],
    ]  # fmt: skip
    assert lines[-1].startswith("2 cases in ")
    assert "\x1b" not in done.stderr


def test_quiet_tells_only_what_has_not_passed(site: Site) -> None:
    write_cases(site, "a true", "b exit 3")
    done = batch(site, "cases", "-j", 1, "--quiet")
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("[2/2] failed     b: exit code 3, ")


def test_cases_come_from_standard_input_named_or_not(site: Site) -> None:
    done = batch(site, "-j", 1, stdin="# two cases\n\nx echo {case}\r\n  y echo {case}\n")
    assert (done.stdout, done.returncode) == ("x\ny\n", 0)
    done = batch(site, "-", "--unnamed", "-j", 1, stdin="echo {case}\n\necho {case}\n")
    assert (done.stdout, done.returncode) == ("1\n3\n", 0)


def test_what_stands_among_the_options_and_means_what_it_means_to_spalloc(site: Site) -> None:
    write_cases(site, "a true")
    done = batch(site, "-j", 2, "4", "cases", "--machine", "big", "2", "--owner", "you")
    assert done.returncode == 0
    ((what, options),) = site.requests()
    assert what == [4, 2]
    assert (options["owner"], options["machine"]) == ("you", "big")


def test_a_reader_that_leaves_ends_it_all(site: Site) -> None:
    write_cases(site, "a echo 1", f"b {FOREVER}")
    process = site.shell.start("batch", "cases", "-j", "2", "--quiet", "--joblog", "log")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 128 + signal.SIGPIPE
    assert [line["verdict"] for line in joblog(site)] == ["passed", "cancelled"]
    assert not any(map(is_alive, pids(site)))
    assert [job_id for job_id, _ in site.destroyed()] in ([1, 2], [2, 1])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_output_that_finds_no_room_ends_it_all(site: Site) -> None:
    write_cases(site, "a echo 1", f"b {FOREVER}")
    argv = site.shell.argv("batch", "cases", "-j", "2", "--joblog", "log")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            argv,
            env=site.shell.environ,
            cwd=site.shell.folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 5
    assert "what cases write cannot be passed on: [Errno 28]" in done.stderr
    assert [line["verdict"] for line in joblog(site)] == ["passed", "cancelled"]
    assert not any(map(is_alive, pids(site)))


# ------------------------------------------------------------------ what is wrong


def test_cases_that_will_not_do_are_told_by_line_before_boards_are_asked_for(site: Site) -> None:
    write_cases(site, "a true", "b")
    done = batch(site, "cases")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("spalloc-batch: error: cases, line 2: 'b' has no command: a line is")
    assert site.requests() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere cannot be read: No such file or directory"),
        (["a", "b"], "'a' and 'b': give one file of cases"),
        (["1", "2", "3", "4"], "4 numbers given: expected none, NUM (boards), WIDTH HEIGHT"),
        (["--boards", "3", "2"], "--boards and WHAT: give only one of the two"),
        (["--boards", "0"], "argument --boards: '0' is not a count: give 1 or more"),
        (["-j", "0"], "argument --jobs/-j: '0' is not a count: give 1 or more"),
        (["--retries", "-1"], "argument --retries: '-1' is not a count: give 0 or more"),
        (
            ["--timeout", "0"],
            "argument --time-limit/--timeout: '0' is not a time: give seconds above 0",
        ),
        (["--resume"], "--resume and --resume-failed go with --joblog FILE"),
        (["--reset"], "--reset goes with --reuse"),
        (["--quiet", "--debug"], "--quiet and --debug: give only one of the two"),
        (["--check", " "], "--check needs a command to run"),
        (["--check", "test {case}"], "--check: {case} in 'test {case}' stands for nothing"),
    ],
)
def test_a_wrong_command_line_is_told_what_would_be_right(
    site: Site, arguments: list[str], message: str
) -> None:
    done = batch(site, *arguments)
    assert done.returncode == 2
    assert f"spalloc-batch: error: {message}" in done.stderr
    assert site.requests() == []


def test_a_file_that_is_no_joblog_is_left_alone(site: Site) -> None:
    write_cases(site, "a true")
    (site.shell.folder / "log").write_text("dear diary\nnothing\n")
    done = batch(site, "cases", "--joblog", "log")
    assert done.returncode == 2
    assert "log, line 1: this is no line of a joblog" in done.stderr
    assert (site.shell.folder / "log").read_text() == "dear diary\nnothing\n"
    assert site.requests() == []


def test_a_server_that_cannot_be_reached_is_told_once(site: Site) -> None:
    site.server.stop()
    write_cases(site, "a true", "b true")
    done = batch(site, "cases")
    assert done.returncode == 6
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error communicating with server: ")


# ------------------------------------------------------------------ what is documented


def test_the_manual_tells_of_every_verdict_and_takes_the_rest_from_the_command() -> None:
    told = (FOLDER.parent / "commands" / "spalloc-batch.rst").read_text("utf-8")
    for verdict in Verdict:
        assert f"``{verdict.value}``" in told
    assert ".. command-options:: spalloc-batch\n" in told
    assert ".. names:: spalloc_gevent.scripts.batch.EXIT_CODES\n" in told


def test_the_joblog_in_the_manual_is_as_its_schema_says() -> None:
    told = (FOLDER.parent / "commands" / "spalloc-batch.rst").read_text("utf-8")
    (example,) = re.findall(r"^    (\{\"format\".*?\})\n\n", told, re.MULTILINE | re.DOTALL)
    assert complaints("joblog", json.loads(example)) == []
    assert CaseRecord.from_json(json.loads(example)).verdict is Verdict.FAILED


def test_jobs_of_a_campaign_are_in_the_ledger_by_its_name(site: Site) -> None:
    write_cases(site, "a true")
    done = site.shell.run("batch", "cases", SPALLOC_LEDGER="ledger")
    assert done.returncode == 0
    first = (site.shell.folder / "ledger").read_text().splitlines()[0]
    assert json.loads(first)["label"] == "spalloc-batch cases"
