"""Lines of cases: what they mean, and how they are refused."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.scripts.batch.cases import (
    LONGEST_FILE_NAME,
    CasesError,
    file_name,
    read_cases,
)


def read(text: str, *, named: bool = True) -> list[tuple[str, str, int]]:
    cases = read_cases(text.encode(), "file", named=named)
    return [(case.name, case.text, case.line) for case in cases]


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ("a true", "a", "true"),
        ("  a \t true  ", "a", "true"),
        ("a\ttrue x", "a", "true x"),
        ("'a b' true", "a b", "true"),
        ('"a\'b" true', "a'b", "true"),
        ("a\\ b true", "a b", "true"),
        ("a'b c'd true", "ab cd", "true"),
        ("a echo 'it''s' # a remark", "a", "echo 'it''s' # a remark"),
        ("a#b true", "a#b", "true"),
        ("{x} true", "{x}", "true"),
        ("Zoë-张 true", "Zoë-张", "true"),
    ],
)
def test_a_line_is_a_name_and_a_shell_line(line: str, name: str, text: str) -> None:
    assert read(line) == [(name, text, 1)]


def test_empty_lines_and_remarks_are_passed_over_and_counted() -> None:
    assert read("\ufeff# first\r\n\r\na x\r\n  # b y\n\nc z") == [("a", "x", 3), ("c", "z", 6)]


def test_unnamed_lines_are_called_after_their_number() -> None:
    assert read("true\n\n'x y' z\n", named=False) == [("1", "true", 1), ("3", "'x y' z", 3)]


def test_the_name_is_a_token_of_the_command_quoted_for_the_shell() -> None:
    (case,) = read_cases(b"'a b' echo {case} {{case}}", "file")
    assert case.command.own == {"case": "a b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no cases in file"),
        ("# a\n\n", "there are no cases in file"),
        ("a", "file, line 1: 'a' has no command: a line is NAME COMMAND (or give --unnamed"),
        ("'a b'", "file, line 1: \"'a b'\" has no command"),
        ("'a b", 'file, line 1: a quotation in "\'a b" has no end'),
        ("a echo 'b", 'file, line 1: a quotation in "echo \'b" has no end'),
        ("a x\n\n\na y", "file, line 4: there is a case 'a' on line 1 already"),
        ("'' x", "file, line 1: '' is no name for a case"),
        ("'a\x1bb' x", "is no name for a case"),
        ("a x\0y", "file, line 1: a command cannot have a NUL in it"),
        ("a echo {name}", "line 1: {name} in 'echo {name}' stands for nothing: there are {}, "),
        ("a echo }", "line 1: a single } in 'echo }': double it to mean a brace"),
        ("a" * 241 + " x", "line 1: the name 'aaaaaaaaaaaaaaaaaaaa'... is too long"),
    ],
)
def test_a_line_that_will_not_do_is_told(text: str, message: str) -> None:
    with pytest.raises(CasesError) as error:
        read(text)
    assert message in str(error.value)


def test_the_token_of_the_name_is_among_those_that_there_are() -> None:
    with pytest.raises(CasesError, match=r"there are \{\}, .*, \{id\}, \{case\}; write"):
        read("a {x}")


def test_bytes_that_are_no_utf_8_are_told_by_line() -> None:
    with pytest.raises(CasesError, match="file, line 2: this is not UTF-8"):
        read_cases(b"a x\nb \xff\n", "file")


def test_a_name_may_have_joiners_between_letters_that_need_them() -> None:
    persian = "\u0645\u06cc\u200c\u062e"
    assert read(f"{persian} true") == [(persian, "true", 1)]


def test_what_only_a_shell_understands_is_left_to_a_shell() -> None:
    text = "echo it is # the shell's affair"
    assert read(f"a {text}") == [("a", text, 1)]


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=20))
def test_any_name_can_be_quoted(name: str) -> None:
    cases = read_cases(f"{shlex.quote(name)} true".encode(), "file")
    assert [case.name for case in cases] == [name]


@given(st.sets(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)))
def test_files_of_different_cases_have_different_safe_names(names: set[str]) -> None:
    files = {file_name(name) for name in names}
    assert len(files) == len(names)
    for file in files:
        assert file.isascii()
        assert "/" not in file
        assert not file.startswith(".")


def test_a_name_may_be_as_long_as_its_files_can_be_called() -> None:
    assert read(f"{'a' * LONGEST_FILE_NAME} true")
