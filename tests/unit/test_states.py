"""Job states, numbered as on the wire."""

from __future__ import annotations

import json

import pytest

from spalloc_gevent.states import JobState


def test_states_have_the_numbers_of_the_protocol() -> None:
    assert {state.name: state.value for state in JobState} == {
        "unknown": 0,
        "queued": 1,
        "power": 2,
        "ready": 3,
        "destroyed": 4,
    }


@pytest.mark.parametrize("state", JobState)
def test_a_state_compares_and_travels_as_its_number(state: JobState) -> None:
    assert state == state.value
    assert json.dumps(state) == str(state.value)
    assert JobState(json.loads(json.dumps(state))) is state


def test_a_number_of_no_state_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="5 is not a valid JobState"):
        JobState(5)
