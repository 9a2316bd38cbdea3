"""Quotations: short, printable, and never the whole of what somebody else sent."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.wire.quoting import quoted


def test_a_short_line_is_quoted_whole() -> None:
    assert quoted(b'{"return": 1}') == "'{\"return\": 1}'"


@pytest.mark.parametrize("character", ["a", "é", "\u2713", "\N{ROCKET}"])
def test_the_first_80_characters_are_quoted_whatever_bytes_they_take(character: str) -> None:
    assert quoted((character * 80).encode()) == repr(character * 80)
    assert quoted((character * 81).encode()) == repr(character * 80) + "..."
    assert quoted((character * 100_000).encode()) == repr(character * 80) + "..."


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert quoted(b"\x1b[2J\r\x00") == r"'\x1b[2J\r\x00'"


def test_bytes_that_are_no_utf_8_are_shown_as_numbers() -> None:
    assert quoted(b"a\xffb") == r"'a\\xffb'"


@given(st.binary(max_size=500))
def test_any_bytes_are_quoted_on_one_printable_line_of_bounded_length(line: bytes) -> None:
    quotation = quoted(line)
    assert quotation.isprintable()
    text = ast.literal_eval(quotation.removesuffix("..."))
    assert line.decode("utf-8", "backslashreplace").startswith(text)
    assert len(text) <= 80
