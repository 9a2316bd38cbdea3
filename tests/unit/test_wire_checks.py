"""What no server must be sent: each refused with what was given and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.errors import BadTypeError, BadValueError, SpallocServerException
from spalloc_gevent.wire.checks import (
    WHERE_IS_STYLES,
    as_int,
    as_number,
    check_create_job,
    check_where_is,
)
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import decode_command, encode_command


class IndexLike:
    """An integer as numpy has them."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"IndexLike({self.value})"


class FloatLike:
    """A number as numpy and decimal have them."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        # The test's name, which is the same in every process of a parallel run.
        return f"FloatLike({self.value})"


def accepted(*size: object, **options: object) -> tuple[int, ...]:
    return check_create_job(size, {"owner": "me", **options})


def refusal(kind: type[Exception], size: Sequence[object], options: dict[str, Any]) -> str:
    with pytest.raises(kind) as caught:
        check_create_job(size, {"owner": "me", **options})
    # One of them alone: callers tell a wrong kind from a wrong value.
    assert type(caught.value) in (BadValueError, BadTypeError)
    assert isinstance(caught.value, SpallocServerException)
    return str(caught.value)


# -- the size -----------------------------------------------------------------


@pytest.mark.parametrize("size", [(), (1,), (4,), (1, 1), (8, 12), (0, 0, 0), (3, 2, 1), (9, 9, 2)])
def test_the_four_styles_of_request_are_accepted(size: tuple[int, ...]) -> None:
    assert accepted(*size) == size


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((0,), "boards must be 1 or more, not 0"),
        ((-1,), "boards must be 1 or more, not -1"),
        ((0, 1), "width in triads must be 1 or more, not 0"),
        ((1, -3), "height in triads must be 1 or more, not -3"),
        ((-1, 0, 0), "board x must be 0 or more, not -1"),
        ((0, -1, 0), "board y must be 0 or more, not -1"),
        ((0, 0, -1), "board z must be 0 or more, not -1"),
        ((0, 0, 3), "board z must be 0, 1 or 2 (its place in the triad), not 3"),
    ],
)
def test_a_size_that_cannot_be_is_refused(size: tuple[int, ...], said: str) -> None:
    assert refusal(ValueError, size, {}) == said


@pytest.mark.parametrize("count", [4, 5, 20])
def test_more_than_three_numbers_are_refused_with_the_styles_there_are(count: int) -> None:
    said = refusal(ValueError, [7] * count, {})
    assert said.startswith(f"{count} numbers given (7, 7, ")
    for style in ("N for at least N boards", "WIDTH HEIGHT in triads", "X Y Z for the board"):
        assert style in said


@pytest.mark.parametrize("number", [1.0, 2.5, "3", b"3", None, True, False, [1], float("nan")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_whole_number_is_refused_in_every_place(number: object, place: int) -> None:
    size: list[object] = [*[1] * place, number]
    assert refusal(TypeError, size, {}).endswith(f"must be a whole number, not {number!r}")


def test_integers_of_other_libraries_become_plain_ones() -> None:
    size = accepted(IndexLike(2), IndexLike(3))
    assert size == (2, 3)
    assert {type(number) for number in size} == {int}


def test_integers_of_other_libraries_are_held_to_the_same_limits() -> None:
    assert refusal(ValueError, [IndexLike(0)], {}) == "boards must be 1 or more, not 0"


@pytest.mark.parametrize("size", [(-(10**5000),), (1, -(10**5000)), (0, 0, 10**5000)])
def test_a_number_too_long_to_be_written_is_still_a_value_error(size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        accepted(*size)


# -- the keywords -------------------------------------------------------------


def test_every_keyword_of_the_server_is_accepted_at_once() -> None:
    everything = {
        "owner": "me",
        "keepalive": 0.5,
        "machine": None,
        "tags": ["a", "b"],
        "min_ratio": 1.0,
        "max_dead_boards": 3,
        "max_dead_links": 0,
        "require_torus": True,
    }
    assert set(everything) == set(COMMANDS["create_job"].options)
    assert check_create_job((4, 2), everything) == (4, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"keepalive": None},
        {"keepalive": 60},
        {"keepalive": FloatLike(2.5)},
        {"machine": "m"},
        {"machine": "m", "tags": None},
        {"tags": []},
        {"tags": ("a", "b")},
        {"tags": {"a"}},
        {"tags": frozenset({"a"})},
        {"min_ratio": 0},
        {"min_ratio": 0.0},
        {"max_dead_boards": None, "max_dead_links": None},
        {"max_dead_boards": IndexLike(2)},
        {"require_torus": False},
    ],
    ids=repr,
)
def test_a_keyword_may_have_every_documented_value(options: dict[str, Any]) -> None:
    assert accepted(1, **options) == (1,)


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"owner": None}, ValueError, "no owner given: pass owner=, set SPALLOC_OWNER"),
    ({"owner": ""}, ValueError, "owner must not be blank"),
    ({"owner": " \t"}, ValueError, "owner must not be blank"),
    ({"owner": 3}, TypeError, "owner must be text, not 3"),
    ({"owner": b"me"}, TypeError, "owner must be text, not b'me'"),
    ({"keepalive": 0}, ValueError, "keepalive must be more than 0 seconds, or None for none"),
    ({"keepalive": -1.0}, ValueError, "or None for none, not -1.0"),
    ({"keepalive": float("nan")}, ValueError, "keepalive must be a finite number, not nan"),
    ({"keepalive": float("inf")}, ValueError, "keepalive must be a finite number, not inf"),
    ({"keepalive": "60"}, TypeError, "keepalive must be a finite number, not '60'"),
    ({"keepalive": True}, TypeError, "keepalive must be a finite number, not True"),
    ({"keepalive": 10**400}, ValueError, "keepalive must be a finite number, not 1000"),
    ({"machine": 3}, TypeError, "machine must be the name of a machine, not 3"),
    ({"machine": "m", "tags": ["a"]}, ValueError, "machine='m' and tags=['a'] given: only one"),
    ({"machine": "m", "tags": []}, ValueError, "machine='m' and tags=[] given: only one"),
    ({"tags": "default"}, TypeError, "tags must be a list of text, not 'default'"),
    ({"tags": b"default"}, TypeError, "tags must be a list of text, not b'default'"),
    ({"tags": 3}, TypeError, "tags must be a list of text, not 3"),
    ({"tags": {"a": 1}}, TypeError, "tags must be a list of text, not {'a': 1}"),
    ({"tags": ["a", 3]}, TypeError, "tags must be a list of text; 3 is none"),
    ({"min_ratio": -0.1}, ValueError, "from 0.0 (any shape) to 1.0 (square), not -0.1"),
    ({"min_ratio": 1.01}, ValueError, "from 0.0 (any shape) to 1.0 (square), not 1.01"),
    ({"min_ratio": None}, TypeError, "min_ratio must be a finite number, not None"),
    ({"max_dead_boards": -1}, ValueError, "max_dead_boards (None for any number) must be 0 or"),
    ({"max_dead_links": -1}, ValueError, "max_dead_links (None for any number) must be 0 or"),
    ({"max_dead_boards": 1.5}, TypeError, "must be a whole number, not 1.5"),
    ({"max_dead_links": True}, TypeError, "must be a whole number, not True"),
    ({"require_torus": 1}, TypeError, "require_torus must be True or False, not 1"),
    ({"require_torus": None}, TypeError, "require_torus must be True or False, not None"),
    ({"colour": "red"}, TypeError, "create_job has no keyword colour; it has owner, keepalive"),
    ({"b": 1, "a": 2}, TypeError, "create_job has no keyword a, b; it has owner"),
    ({"x": 1}, TypeError, "create_job has no keyword x; it has owner"),
    ({"job_id": 1}, TypeError, "create_job has no keyword job_id; it has owner"),
]


@pytest.mark.parametrize(
    ("options", "kind", "said"), REFUSED, ids=[repr(row[0]) for row in REFUSED]
)
def test_a_keyword_that_no_server_should_get_is_refused(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    assert said in refusal(kind, (2, 2), options)


def test_a_missing_owner_is_refused() -> None:
    with pytest.raises(ValueError, match="no owner given"):
        check_create_job((1,), {})


@pytest.mark.parametrize("size", [(), (1,), (IndexLike(1),), (0, 0, 0)], ids=repr)
def test_a_torus_of_one_board_is_refused(size: tuple[object, ...]) -> None:
    assert "it cannot go with one board" in refusal(ValueError, size, {"require_torus": True})


@pytest.mark.parametrize("size", [(2,), (1, 1), (4, 2)])
def test_a_torus_of_more_boards_is_asked_for(size: tuple[int, ...]) -> None:
    assert accepted(*size, require_torus=True) == size


OPTIONS = st.fixed_dictionaries(
    {"owner": st.text(min_size=1).filter(str.strip)},
    optional={
        "keepalive": st.none() | st.floats(0.1, 1e9) | st.just(FloatLike(1.5)),
        "tags": st.none() | st.lists(st.text(), max_size=3),
        "machine": st.none() | st.text(),
        "min_ratio": st.floats(-0.5, 1.5) | st.none(),
        "max_dead_boards": st.none() | st.integers(-2, 9) | st.builds(IndexLike, st.integers(0, 9)),
        "max_dead_links": st.none() | st.integers(-2, 9) | st.floats(0, 1),
        "require_torus": st.booleans() | st.none(),
        "colour": st.text(),
    },
)
SIZES = st.lists(st.integers(-1, 4) | st.builds(IndexLike, st.integers(0, 4)), max_size=4)


@given(SIZES, OPTIONS)
def test_a_request_that_is_not_refused_binds_can_be_sent_and_is_none_of_the_hazards(
    size: list[object], options: dict[str, Any]
) -> None:
    try:
        checked = check_create_job(size, options)
    except (TypeError, ValueError):
        return
    sent = decode_command(encode_command("create_job", checked, options))
    assert COMMANDS["create_job"].binds(sent.args, sent.kwargs)
    assert len(sent.args) <= 3
    assert sum(sent.args) > 0 or len(sent.args) in (0, 3)
    assert sent.kwargs.get("machine") is None or sent.kwargs.get("tags") is None
    assert not (sent.kwargs.get("require_torus") and sent.args in ([], [1]))


# -- single values ------------------------------------------------------------


def test_whole_numbers_are_taken_from_whatever_counts_as_one() -> None:
    assert [as_int(value, "n") for value in (3, -3, IndexLike(5), 10**30)] == [3, -3, 5, 10**30]


@pytest.mark.parametrize("value", [True, 1.0, "1", None, FloatLike(1.0)])
def test_what_is_no_whole_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(TypeError, match="job_id must be a whole number, not "):
        as_int(value, "job_id")


def test_numbers_are_taken_from_whatever_counts_as_one() -> None:
    values = (1, 2.5, FloatLike(0.5), IndexLike(7))
    assert [as_number(value, "n") for value in values] == [1.0, 2.5, 0.5, 7.0]


@pytest.mark.parametrize("value", [True, "1", b"1", None, [], FloatLike(float("nan"))])
def test_what_is_no_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(TypeError, match="timeout must be a finite number, not "):
        as_number(value, "timeout")


# -- where_is -----------------------------------------------------------------


@pytest.mark.parametrize("style", WHERE_IS_STYLES, ids=", ".join)
def test_where_is_is_asked_in_each_of_its_four_styles(style: tuple[str, ...]) -> None:
    question: dict[str, object] = {
        name: "m" if name == "machine" else IndexLike(at) for at, name in enumerate(style)
    }
    asked = check_where_is(question)
    assert list(asked) == list(style)
    assert all(type(asked[name]) is int for name in style if name != "machine")


@pytest.mark.parametrize("chip", [-1, 0, 5000])
def test_where_is_leaves_it_to_the_server_to_wrap_coordinates_around(chip: int) -> None:
    question = {"machine": "m", "chip_x": chip, "chip_y": 0}
    assert check_where_is(question) == question


NAMES = sorted({name for style in WHERE_IS_STYLES for name in style} | {"colour"})


@given(st.sets(st.sampled_from(NAMES)))
def test_where_is_refuses_every_other_mixture_and_says_which_there_are(names: set[str]) -> None:
    question: dict[str, object] = {name: "m" if name == "machine" else 0 for name in names}
    if any(names == set(style) for style in WHERE_IS_STYLES):
        assert check_where_is(question) == question
        return
    with pytest.raises(ValueError, match="where_is takes exactly") as caught:
        check_where_is(question)
    said = str(caught.value)
    assert all(f"({', '.join(style)})" in said for style in WHERE_IS_STYLES)
    assert said.endswith(f"given was {', '.join(sorted(names)) or 'nothing'}")


@pytest.mark.parametrize("style", WHERE_IS_STYLES, ids=", ".join)
@pytest.mark.parametrize("bad", [None, 1.5, True, [0]])
def test_where_is_refuses_a_value_of_the_wrong_kind_by_its_name(
    style: tuple[str, ...], bad: object
) -> None:
    for name in style:
        question: dict[str, object] = {one: "m" if one == "machine" else 0 for one in style}
        question[name] = bad
        with pytest.raises(TypeError, match=f"^{name} must be ") as caught:
            check_where_is(question)
        assert str(caught.value).endswith(f"not {bad!r}")
