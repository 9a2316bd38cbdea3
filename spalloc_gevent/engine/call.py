"""One command on its way to the server, and what may be done with it on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.outcome import Outcome
from spalloc_gevent.errors import ConnectionLostError, SpallocServerException
from spalloc_gevent.wire.commands import COMMANDS, Command, Route, route_of
from spalloc_gevent.wire.messages import Refused, Returned, encode_command

MOST_SENDS = 3
"""A command that loses its connection this often is not sent again: it may be the cause."""


Taken = Callable[["Returned | Refused"], object]


class Call:
    """A command, the outcome its caller waits on, and the rules for losing and late answers.

    patient
        Waits for a server that is away, instead of failing when it cannot be reached.
    urgent_at
        The monotonic time from which it goes before older calls; None for never.
    answer_within_s
        Seconds after which its connection is taken for frozen and it is sent on another.
    outlives_caller
        Is still sent when its caller has given up, like ``destroy_job``.
    late
        Called on the hub with the value of an answer that nobody waits for any more.
    taken
        Called on the hub with the reply, before anybody hears of it.
    introduces
        It asks about a job that is not held yet, whatever else is held by its number.
    outcome
        Where the result goes; None for one that the maker of the call can wait on.
    """

    __slots__ = (
        "abandoned",
        "answer_by",
        "answer_within_s",
        "held",
        "introduces",
        "job_id",
        "late",
        "line",
        "name",
        "outcome",
        "outlives_caller",
        "patient",
        "repeatable",
        "route",
        "sends",
        "sent_at",
        "taken",
        "urgent_at",
    )

    def __init__(
        self,
        name: str,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        patient: bool = False,
        urgent_at: float | None = None,
        answer_within_s: float | None = None,
        outlives_caller: bool = False,
        late: Callable[[Any], object] | None = None,
        taken: Taken | None = None,
        introduces: bool = False,
        outcome: Outcome[Any] | None = None,
    ) -> None:
        self.name = name
        self.line = encode_command(name, args, kwargs or {})
        self.outcome = Outcome() if outcome is None else outcome
        self.patient = patient
        self.urgent_at = urgent_at
        self.answer_within_s = answer_within_s
        self.outlives_caller = outlives_caller
        self.late = late
        self.taken = taken
        self.introduces = introduces
        self.route = route_of(name, args, kwargs or {})
        command = COMMANDS.get(name) if self.route is not Route.ALONE else None
        self.repeatable = command is not None and command.repeatable
        self.job_id = _job_named(command, args, kwargs or {})
        """The job that it names, if it does."""
        self.held: tuple[Held, ...] = ()
        """The held jobs that it means by that number; noted when the hub gets it."""
        self.sends = 0
        self.sent_at: float | None = None
        self.answer_by: float | None = None
        self.abandoned = False

    @property
    def is_watch(self) -> bool:
        """True if it belongs on the connection that notifications come on."""
        return self.route is Route.WATCH

    @property
    def wanted(self) -> bool:
        """True while it still has to be sent."""
        return not self.outcome.settled and (not self.abandoned or self.outlives_caller)

    @property
    def may_be_sent_again(self) -> bool:
        """After its connection broke: is it harmless, wanted and not itself the suspect?

        Nobody would hear what became of one that was given up, and a number of which nobody
        keeps track may be another job's by then.
        """
        known = not self.abandoned or self.job_id is None or bool(self.held)
        return self.repeatable and self.wanted and known and self.sends < MOST_SENDS

    @property
    def lendable(self) -> bool:
        """May its caller's own thread send it and wait for the answer, outside the hub?"""
        return (
            self.outcome.blocks_thread
            and self.repeatable
            and self.route is Route.POOL
            and not self.outlives_caller
            and self.urgent_at is None
            and self.answer_within_s is None
            and self.late is None
            and self.taken is None
        )

    @property
    def may_move(self) -> bool:
        """May its connection be left, because nobody waits for it or it can be sent on another?"""
        return self.may_be_sent_again if self.wanted else self.abandoned

    def sent_before(self, moment: float) -> bool:
        return self.sent_at is not None and self.sent_at <= moment

    def sent(self, now: float) -> None:
        """It is on its way."""
        self.sends += 1
        self.sent_at = now
        if self.answer_within_s is not None:
            self.answer_by = now + self.answer_within_s

    def answered(self, reply: Returned | Refused) -> None:
        """Hand the answer to the caller, or to whoever looks after late ones."""
        if self.taken is not None:
            self.taken(reply)
        if isinstance(reply, Refused):
            self.outcome.fail(SpallocServerException(self.name, reply.reason))
            return
        if self.abandoned and self.late is not None:
            self.late(reply.value)
        self.outcome.settle(reply.value)

    def abandon(self) -> None:
        """Its caller has given up; an answer that is here already counts as late."""
        if self.abandoned:
            return
        self.abandoned = True
        value = self.outcome.value
        if value is not None and self.late is not None:
            self.late(value)

    def lost(self, where: str, error: Exception) -> None:
        """Fail it because its connection broke while it was in flight."""
        self.outcome.fail(
            ConnectionLostError(
                f"the connection to {where} broke before {self.name!r} was answered: {error}; "
                + (
                    "sending it again did not help"
                    if self.repeatable
                    else "the server may or may not have carried it out: "
                    "look with list_jobs before asking again"
                ),
                may_have_happened=True,
            )
        )


def _job_named(
    command: Command | None, args: Sequence[Any], kwargs: Mapping[str, object]
) -> object:
    if command is not None and command.names_job and args:
        return args[0]
    return kwargs.get("job_id")
