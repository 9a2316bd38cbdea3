"""Every keyword of a job stands in the signatures, and one value says "not given"."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from spalloc_gevent.batch import JobGroup, SpallocExecutor, allocate
from spalloc_gevent.job.request import ALL_KEYWORDS
from spalloc_gevent.not_given import NOT_GIVEN, NotGiven, given

OWN = {allocate: (), SpallocExecutor: (), JobGroup: ("timeout",)}
"""The keywords of a job that each has for something of its own."""


@pytest.mark.parametrize("door", OWN, ids=lambda door: door.__name__)
def test_a_signature_has_every_keyword_of_a_new_job_and_no_other(door: Callable[..., Any]) -> None:
    parameters = inspect.signature(door).parameters
    found = {name for name, one in parameters.items() if one.default is NOT_GIVEN}
    assert found == set(ALL_KEYWORDS) - {"resume_job_id", *OWN[door]}
    kinds = {one.kind for one in parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert {parameters[name].kind for name in found} == {inspect.Parameter.KEYWORD_ONLY}
    assert "hostname: 'str | NotGiven' = <not given>" in str(inspect.signature(door))


@pytest.mark.parametrize("door", OWN, ids=lambda door: door.__name__)
def test_help_shows_what_is_not_given_as_such(door: Callable[..., Any]) -> None:
    assert "NotGiven.NOT_GIVEN" not in str(inspect.signature(door))


def test_what_is_not_given_is_left_out_and_none_is_a_value() -> None:
    def door(first: object = NOT_GIVEN, second: object = NOT_GIVEN, third: int = 3) -> object:
        assert third == 3
        return given(locals(), ("first", "second"))

    assert door() == {}
    assert door(None) == {"first": None}
    assert door(second=NOT_GIVEN, first=0) == {"first": 0}


def test_a_name_that_a_function_does_not_have_is_told() -> None:
    with pytest.raises(KeyError, match="hostname"):
        given({"port": 1}, ("hostname", "port"))


def test_there_is_one_value_also_after_pickling() -> None:
    assert list(NotGiven) == [NOT_GIVEN]
    assert pickle.loads(pickle.dumps(NOT_GIVEN)) is NOT_GIVEN
    assert repr(NOT_GIVEN) == "<not given>"
