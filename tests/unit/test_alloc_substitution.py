"""What a wrapped command is told of its machine."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.scripts.substitution import (
    TOKENS,
    VARIABLES,
    Command,
    Facts,
    TokenError,
    csv_file,
    environment_of,
    render_csv,
)

FACTS = Facts(
    id=12,
    hostname="board-0",
    width=16,
    height=28,
    machine="big",
    connections={(4, 8): "board-2", (0, 0): "board-0", (8, 4): "board-1"},
    boards=[(0, 0, 2), (0, 0, 0), (0, 0, 1)],
    ethernet_ips="/tmp/ips.csv",
)


def words(*given: str) -> list[str]:
    return Command(("prog", *given)).argv(FACTS)[1:]


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("{}", "board-0"),
        ("{hostname}", "board-0"),
        ("{w}", "16"),
        ("{width}", "16"),
        ("{h}", "28"),
        ("{height}", "28"),
        ("{ethernet_ips}", "/tmp/ips.csv"),
        ("{id}", "12"),
    ],
)
def test_the_following_substitutions_are_available(token: str, value: str) -> None:
    assert token in [documented for documented, _ in TOKENS]
    assert words(token, f"x{token}y") == [value, f"x{value}y"]
    assert Command((f"a {token}",)).argv(FACTS) == ["/bin/sh", "-c", f"a {value}"]


def test_the_hostname_can_stand_as_often_as_it_is_wanted() -> None:
    line = "rig-boot {} {w} {h} && python my_app.py {}"
    expected = "rig-boot board-0 16 28 && python my_app.py board-0"
    assert Command((line,)).argv(FACTS)[2] == expected
    assert words("{}{}", "{}") == ["board-0board-0", "board-0"]


def test_a_doubled_brace_is_a_brace() -> None:
    assert words("{{}}", "{{w}}", "{{{w}}}", "{{", "}}") == ["{}", "{w}", "{16}", "{", "}"]


@pytest.mark.parametrize(
    "word", ["{x}", "{W}", "{0}", "{id:05}", "{w!r}", "{ }", "${HOME}", "{hostname.x}"]
)
def test_a_token_that_stands_for_nothing_is_refused_with_those_there_are(word: str) -> None:
    with pytest.raises(TokenError, match=r"there are \{\}, \{hostname\}") as caught:
        Command(("prog", word))
    assert "write {{" in str(caught.value)


@pytest.mark.parametrize("word", ["{", "}", "a { b", "{w}}", "{{}", "{a{b}}"])
def test_a_single_brace_is_refused(word: str) -> None:
    with pytest.raises(TokenError, match=r"a single [{}] in "):
        Command((word,))


@given(st.text())
def test_any_text_arrives_unchanged_once_its_braces_are_doubled(text: str) -> None:
    assert words(text.replace("{", "{{").replace("}", "}}")) == [text]


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20))
def test_a_shell_line_gets_values_as_single_words(value: str) -> None:
    facts = Facts(1, value, 8, 8, "m", {(0, 0): value}, [(0, 0, 0)], "x")
    argv = Command(("printf %s {}",)).argv(facts)
    assert subprocess.run(argv, check=True, capture_output=True).stdout == value.encode()


def test_several_words_are_a_vector_that_no_shell_sees() -> None:
    assert words("a b", "$HOME", "'", "*") == ["a b", "$HOME", "'", "*"]


def test_the_environment_says_the_same_as_the_tokens() -> None:
    environ = environment_of(FACTS, {"PATH": "/bin", "SPALLOC_JOB_ID": "another"})
    assert environ == {
        "PATH": "/bin",
        "SPALLOC_JOB_ID": "12",
        "SPALLOC_JOB_HOSTNAME": "board-0",
        "SPALLOC_JOB_WIDTH": "16",
        "SPALLOC_JOB_HEIGHT": "28",
        "SPALLOC_JOB_ETHERNET_IPS": "/tmp/ips.csv",
        "SPALLOC_JOB_MACHINE": "big",
        "SPALLOC_JOB_NUM_BOARDS": "3",
        "SPALLOC_JOB_BOARDS": "0,0,0 0,0,1 0,0,2",
    }
    assert {name for name, _ in VARIABLES} == environ.keys() - {"PATH"}


def test_the_csv_file_has_three_columns_x_y_and_hostname() -> None:
    rows = list(csv.DictReader(render_csv(FACTS.connections).splitlines()))
    assert rows[0] == {"x": "0", "y": "0", "hostname": "board-0"}
    assert len(rows) == 3


def test_the_csv_file_is_newline_delimited_and_the_first_row_is_a_header() -> None:
    text = "x,y,hostname\n0,0,board-0\n4,8,board-2\n8,4,board-1\n"
    assert render_csv(FACTS.connections) == text


def test_the_csv_file_is_sorted_by_number() -> None:
    text = render_csv({(12, 0): "c", (8, 0): "b", (0, 12): "a", (8, 4): "d"})
    assert [line[-1] for line in text.splitlines()[1:]] == ["a", "b", "d", "c"]


def test_the_csv_file_exists_in_its_block_and_not_after() -> None:
    with csv_file(FACTS.connections) as name:
        assert Path(name).read_bytes().decode() == render_csv(FACTS.connections)
    assert not Path(name).exists()


def test_the_csv_file_is_gone_after_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), csv_file({}) as name:
        raise KeyboardInterrupt
    assert not Path(name).exists()


def test_a_csv_file_that_somebody_else_removed_is_no_trouble() -> None:
    with csv_file({}) as name:
        Path(name).unlink()
