"""How the Python server and the Java server speak differently.

The Java server's differences are those of PROTOCOL that show in its answers.
Not simulated are its threads: the odd times of its notifications (order them as
faults), expiry every 30 s, commands that arrive in pieces and lose their beginning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from spalloc_gevent.simulator.commands import Asker, Commands
from spalloc_gevent.simulator.jobs import Jobs
from spalloc_gevent.simulator.watches import SeparateWatches
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import (
    CommandRequest,
    Message,
    Refused,
    Returned,
    encode_message,
)

HIDDEN = "<Hidden>"
_IGNORED_OPTIONS = frozenset(("min_ratio", "max_dead_links", "require_torus"))
_JAVA_KEEPALIVE_S = 60.0
NO_DESCRIPTION = "No description."
_MOST_BY_POSITION = {"destroy_job": 1, "get_board_position": 0, "get_board_at_position": 0}


class Report(NamedTuple):
    """A bad board, chip or core as a client has reported it."""

    address: str
    chip: tuple[int, int] | None
    core: int | None
    description: str


class JavaCommands(Commands):
    """The commands as the Java server's version-1 service answers them."""

    known = frozenset(COMMANDS)

    def __init__(self, jobs: Jobs, version: str) -> None:
        super().__init__(jobs, version)
        self.job_watches = SeparateWatches()
        self.machine_watches = SeparateWatches()
        self.reports: list[Report] = []

    def carry_out(self, asker: Asker, request: CommandRequest) -> Returned | Refused:
        if len(request.args) > _MOST_BY_POSITION.get(request.name, len(request.args)):
            return Refused(f"{request.name} takes its arguments by name")
        return super().carry_out(asker, request)

    def create_job(self, asker: Asker, /, *args: Any, **kwargs: Any) -> int:
        owner = kwargs.get("owner")
        if not isinstance(owner, str) or not owner.strip() or not _printable_ascii(owner):
            raise ValueError("owner must be printable ASCII and not blank")
        asked = {name: kwargs[name] for name in kwargs if name not in _IGNORED_OPTIONS}
        if asked.get("keepalive") is None:
            asked["keepalive"] = _JAVA_KEEPALIVE_S
        job_id = super().create_job(asker, *args, **asked)
        if self._jobs.was_destroyed(job_id):
            raise ValueError("no machine can ever meet this request")
        return job_id

    def job_keepalive(self, asker: Asker, /, job_id: Any) -> None:
        self._check_job(job_id)
        super().job_keepalive(asker, job_id)

    def get_job_state(self, asker: Asker, /, job_id: Any) -> dict[str, object]:
        self._check_job(job_id)
        state = super().get_job_state(asker, job_id)
        # The time stamp of the last keepalive, where the Python server tells the interval.
        last = self._jobs.wall_time() if self._jobs.get(job_id) else None
        return {
            **state,
            "keepalive": last,
            "power": bool(state["power"]),
            "reason": state["reason"] or "",
        }

    def get_job_machine_info(self, asker: Asker, /, job_id: Any) -> dict[str, object]:
        self._check_job(job_id)
        info = super().get_job_machine_info(asker, job_id)
        if info["boards"] is None:
            raise ValueError("boards not allocated")
        return info

    def power_on_job_boards(self, asker: Asker, /, job_id: Any) -> None:
        self._check_job(job_id)
        super().power_on_job_boards(asker, job_id)

    def power_off_job_boards(self, asker: Asker, /, job_id: Any) -> None:
        self._check_job(job_id)
        super().power_off_job_boards(asker, job_id)

    def destroy_job(self, asker: Asker, /, job_id: Any, reason: Any = None) -> None:
        self._check_job(job_id)
        super().destroy_job(asker, job_id, reason)

    def notify_job(self, asker: Asker, /, job_id: Any = None) -> None:
        self._jobs.keep_alive(job_id, asker.host)
        super().notify_job(asker, job_id)

    def list_jobs(self, asker: Asker, /) -> list[dict[str, Any]]:
        return [_hidden(job) for job in super().list_jobs(asker)]

    def where_is(self, asker: Asker, /, **question: Any) -> dict[str, Any]:
        if "job_id" in question:
            self._check_job(question["job_id"])
            self._jobs.keep_alive(question["job_id"], asker.host)
        location = super().where_is(asker, **question)
        if location is None:
            raise ValueError("no such board")
        return location

    def report_problem(self, _asker: Asker, /, address: Any, *_: Any, **told: Any) -> None:
        """A bad board is noted; nobody comes to mend it.

        What stands behind the address is passed over; a chip has both its coordinates, a core
        has a chip, or they are passed over too.
        """
        where = [told[name] for name in ("x", "y", "p") if name in told]
        if not all(type(number) is int for number in where):
            raise ValueError("x, y and p must be whole numbers")
        is_chip = "x" in told and "y" in told
        self.reports.append(
            Report(
                str(address),
                (told["x"], told["y"]) if is_chip else None,
                told.get("p") if is_chip else None,
                str(told.get("description", NO_DESCRIPTION)),
            )
        )

    def _check_job(self, job_id: Any) -> None:
        if self._jobs.get(job_id) is None and not self._jobs.was_destroyed(job_id):
            raise ValueError("no such job")


def _printable_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _hidden(job: dict[str, Any]) -> dict[str, Any]:
    return {
        **job,
        "owner": HIDDEN,
        "keepalivehost": HIDDEN,
        "args": None,
        "kwargs": None,
        "power": bool(job["power"]),
        "boards": job["boards"] or [],
    }


def encode_java_message(message: Message) -> bytes:
    """As the Java server sends it: characters as they are, and both line ends."""
    text = json.dumps(_body_of(message), ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\r\n"


def _body_of(message: Message) -> dict[str, Any]:
    if isinstance(message, Returned):
        return {"return": message.value}
    if isinstance(message, Refused):
        return {"exception": message.reason}
    return message.body


@dataclass(frozen=True)
class Dialect:
    """One kind of server."""

    name: str
    version: str
    commands: type[Commands]
    encode: Callable[[Message], bytes]
    hangs_up_on_nonsense: bool
    """On an unknown or malformed command; otherwise it answers with an exception."""
    blank_line_ends: bool


PYTHON = Dialect("python", "1!7.0.0", Commands, encode_message, True, False)
JAVA = Dialect("java", "5.0.0", JavaCommands, encode_java_message, False, True)

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (PYTHON, JAVA)}
