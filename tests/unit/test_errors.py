"""The error tree: what each may be caught as, and what survives of it where it travels."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable

import pytest

from spalloc_gevent import errors
from spalloc_gevent.errors import (
    AllocationError,
    BadRequestError,
    BadTypeError,
    BadValueError,
    ClosedError,
    ConfigError,
    ConnectionLostError,
    ForkedError,
    IncompatibleServerError,
    JobDestroyedError,
    LifecycleBugError,
    PowerTimeoutError,
    ProtocolError,
    ProtocolTimeoutError,
    QueueTimeoutError,
    SpallocError,
    SpallocServerException,
    StateChangeTimeoutError,
    UnknownStateError,
    UnsupportedCommandError,
    WouldDeadlockError,
)

TREE: dict[type[SpallocError], tuple[type[BaseException], ...]] = {
    SpallocError: (Exception,),
    ProtocolError: (SpallocError,),
    ConnectionLostError: (ProtocolError, OSError),
    UnknownStateError: (ProtocolError, ValueError),
    ClosedError: (ProtocolError,),
    ForkedError: (ProtocolError,),
    ProtocolTimeoutError: (SpallocError,),
    SpallocServerException: (SpallocError,),
    BadRequestError: (SpallocServerException,),
    BadValueError: (BadRequestError, ValueError),
    BadTypeError: (BadRequestError, TypeError),
    JobDestroyedError: (SpallocError,),
    StateChangeTimeoutError: (SpallocError,),
    AllocationError: (SpallocError,),
    QueueTimeoutError: (AllocationError, StateChangeTimeoutError),
    PowerTimeoutError: (AllocationError, StateChangeTimeoutError),
    ConfigError: (SpallocError, ValueError),
    UnsupportedCommandError: (SpallocError,),
    IncompatibleServerError: (SpallocError, ValueError),
    WouldDeadlockError: (SpallocError, RuntimeError),
    LifecycleBugError: (SpallocError, AssertionError),
}
ALL = list(TREE)


def one_of(kind: type[SpallocError]) -> SpallocError:
    if kind is SpallocServerException:
        return SpallocServerException("create_job", "no boards")
    if kind is ConnectionLostError:
        return ConnectionLostError("gone", may_have_happened=True)
    return kind("what failed, where")


def test_every_error_of_the_package_stands_in_the_tree() -> None:
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass)]
    assert {one for one in classes if issubclass(one, BaseException)} == set(TREE)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_has_the_parents_that_handlers_catch_it_by(kind: type[SpallocError]) -> None:
    assert kind.__bases__ == TREE[kind]


@pytest.mark.parametrize("kind", ALL)
def test_one_handler_catches_every_error(kind: type[SpallocError]) -> None:
    with pytest.raises(SpallocError):
        raise one_of(kind)


def test_time_outs_are_not_the_built_in_one_which_is_an_os_error() -> None:
    for kind in (ProtocolTimeoutError, StateChangeTimeoutError):
        assert not issubclass(kind, TimeoutError | OSError)


@pytest.mark.parametrize("kind", ALL)
def test_the_connection_is_out_of_step_after_protocol_errors_and_no_others(
    kind: type[SpallocError],
) -> None:
    assert kind.connection_survives == (not issubclass(kind, ProtocolError))
    assert one_of(kind).connection_survives == kind.connection_survives


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    "travel",
    [
        pytest.param(copy.copy, id="copied"),
        pytest.param(lambda error: pickle.loads(pickle.dumps(error)), id="pickled"),
    ],
)
def test_an_error_that_travels_to_another_process_says_the_same(
    kind: type[SpallocError], travel: Callable[[SpallocError], SpallocError]
) -> None:
    error = one_of(kind)
    there = travel(error)
    assert type(there) is kind
    assert str(there) == str(error)
    assert vars(there) == vars(error)


def test_a_lost_connection_says_whether_the_command_may_have_happened() -> None:
    assert not ConnectionLostError("no route").may_have_happened
    assert ConnectionLostError("broke", may_have_happened=True).may_have_happened
    assert str(ConnectionLostError("broke", may_have_happened=True)) == "broke"


def test_a_refusal_of_the_server_has_its_parts() -> None:
    error = SpallocServerException("destroy_job", "because")
    assert (error.command, error.reason) == ("destroy_job", "because")
    assert str(error) == "because"


def test_a_request_that_is_refused_here_has_a_reason_too_and_no_command() -> None:
    error = BadValueError("boards must be 1 or more, not 0")
    assert (error.command, error.reason) == ("", str(error))


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_explained(kind: type[SpallocError]) -> None:
    assert kind.__doc__ != kind.__bases__[0].__doc__
    assert inspect.getdoc(kind)
