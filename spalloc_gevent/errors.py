"""One error tree: each message says what failed, where, and what to do next.

Everything this package raises on its own account is a :class:`SpallocError`.
An error that also is a built-in one (``OSError``, ``ValueError``) is so
because scripts written for the existing client catch it that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class SpallocError(Exception):
    """The root of every error of this package.

    ``connection_survives`` says whether the connection on which it happened
    is still in step with the server.

    :ref:`Its messages <errors-spallocerror>`.
    """

    connection_survives: ClassVar[bool] = True


class ProtocolError(SpallocError):
    """The server said something that the protocol does not allow, or is gone.

    :ref:`Its messages <errors-protocolerror>`.
    """

    connection_survives = False


class ConnectionLostError(ProtocolError, OSError):
    """No connection could be made, or the one in use broke.

    ``may_have_happened`` is True when the command had been sent already: the
    server may or may not have carried it out.

    :ref:`Its messages <errors-connectionlosterror>`.
    """

    def __init__(self, message: str, *, may_have_happened: bool = False) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class UnknownStateError(ProtocolError, ValueError):
    """The server told a job's state that this client does not know; ``state`` is what it told.

    :ref:`Its messages <errors-protocolerror>`.
    """

    def __init__(self, state: object) -> None:
        super().__init__(f"the server told a job's state that is none: {state!r}")
        self.state = state

    def __reduce__(self) -> tuple[type[UnknownStateError], tuple[object]]:
        return type(self), (self.state,)


class ClosedError(ProtocolError):
    """The client or job that was asked has been closed by its owner.

    :ref:`Its messages <errors-closederror>`.
    """


class ForkedError(ProtocolError):
    """A job of the parent process was used in a forked child, which must not touch it.

    :ref:`Its messages <errors-forkederror>`.
    """


class ProtocolTimeoutError(SpallocError):
    """The server did not answer in the time that the caller was ready to wait.

    Deliberately not the built-in ``TimeoutError``, which is an ``OSError``.

    :ref:`Its messages <errors-protocoltimeouterror>`.
    """


class SpallocServerException(SpallocError):
    """The server answered `command` with an exception, whose text is `reason`: it is what
    ``str()`` gives.

    The connection stays in step. :ref:`Its messages <errors-spallocserverexception>`.
    """

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(reason)
        self.command = command
        self.reason = reason

    def __reduce__(self) -> tuple[type[SpallocServerException], tuple[str, str]]:
        return type(self), (self.command, self.reason)


class BadRequestError(SpallocServerException):
    """What was asked for cannot be: it was refused here, and nothing was sent.

    ``command`` is empty. Always one of the two below, so that it is caught as a ValueError
    or TypeError too. :ref:`Its messages <errors-arguments>`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("", reason)

    def __reduce__(self) -> tuple[type[BadRequestError], tuple[str]]:  # type: ignore[override]
        return type(self), (self.reason,)


class BadValueError(BadRequestError, ValueError):
    """A value that nothing can be done with. :ref:`Its messages <errors-arguments>`."""


class BadTypeError(BadRequestError, TypeError):
    """An argument of the wrong kind. :ref:`Its messages <errors-arguments>`."""


class JobDestroyedError(SpallocError):
    """The job was destroyed, or lost, before or while it was wanted.

    :ref:`Its messages <errors-jobdestroyederror>`.
    """


class StateChangeTimeoutError(SpallocError):
    """The job did not reach the wanted state in time.

    :ref:`Its messages <errors-statechangetimeouterror>`.
    """


class AllocationError(SpallocError):
    """No good boards were found in the attempts that were allowed; the message names each.

    ``attempts`` are what was tried, as :class:`spalloc_gevent.batch.Attempt`, the first in front.

    :ref:`Its messages <errors-allocationerror>`.
    """

    def __init__(self, message: str, attempts: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)

    def __reduce__(self) -> tuple[type[AllocationError], tuple[str, tuple[Any, ...]]]:
        return type(self), (str(self), self.attempts)


class QueueTimeoutError(AllocationError, StateChangeTimeoutError):
    """The request was still queued when it had waited for boards as long as it may.

    :ref:`Its messages <errors-queuetimeouterror>`.
    """


class PowerTimeoutError(AllocationError, StateChangeTimeoutError):
    """The boards of the last attempt were not powered on in the time that they are given.

    :ref:`Its messages <errors-allocationerror>`.
    """


class ConfigError(SpallocError, ValueError):
    """A configuration file or environment variable cannot be understood, or a ledger written.

    :ref:`Its messages <errors-configerror>`.
    """


class UnsupportedCommandError(SpallocError):
    """The server at hand does not have the command; nothing was sent.

    :ref:`Its messages <errors-unsupportedcommanderror>`.
    """


class IncompatibleServerError(SpallocError, ValueError):
    """The server's version is outside the range that this client speaks.

    :ref:`Its messages <errors-incompatibleservererror>`.
    """


class WouldDeadlockError(SpallocError, RuntimeError):
    """A blocking call was made on the one thread that would have to answer it.

    :ref:`Its messages <errors-woulddeadlockerror>`.
    """


class LifecycleBugError(SpallocError, AssertionError):
    """A state table was driven into a move that it does not have: a bug in this package.

    :ref:`Its messages <errors-lifecyclebugerror>`.
    """
