"""A client of a server that is made up: it knows what a test says, and remembers the questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spalloc_gevent.client import ProtocolClient, Timeout
from spalloc_gevent.errors import SpallocServerException
from spalloc_gevent.geometry import Board
from spalloc_gevent.not_given import NOT_GIVEN
from spalloc_gevent.transport.server_kind import ServerKind
from spalloc_gevent.wire.answers import JobDescription, MachineDescription


class FakeClient(ProtocolClient):
    """Tells the jobs and machines that are put into it; of what it knows nothing it says so.

    states, hardware: what is told of a job by its ID; text is a refusal.
    """

    def __init__(
        self,
        machines: Iterable[MachineDescription] = (),
        jobs: Iterable[JobDescription] = (),
    ) -> None:
        super().__init__("made.up")
        self.machines = list(machines)
        self.jobs = list(jobs)
        self.states: dict[int, dict[str, Any] | str] = {}
        self.hardware: dict[int, dict[str, Any] | str] = {}
        self.asked: list[tuple[object, ...]] = []
        self.kind = ServerKind()

    @property
    def server_kind(self) -> ServerKind:
        return self.kind

    def _ask(self, name: str, *args: object, timeout: Timeout = NOT_GIVEN, **kwargs: object) -> Any:
        self.asked.append((name, *args))
        answers: dict[str, Callable[..., Any]] = {
            "list_jobs": lambda: self.jobs,
            "list_machines": lambda: self.machines,
            "get_job_state": lambda job_id: self.states.get(job_id, {"state": 0}),
            "get_job_machine_info": lambda job_id: self.hardware.get(job_id),
        }
        answer = answers[name](*args)
        if isinstance(answer, str):
            raise SpallocServerException(name, answer)
        return answer


def machine(
    width: int,
    height: int,
    *,
    name: str = "m",
    tags: Sequence[str] = ("default",),
    dead_boards: Iterable[Board] = (),
    dead_links: Iterable[tuple[int, int, int, int]] = (),
) -> MachineDescription:
    """A machine as ``list_machines`` tells it."""
    return {
        "name": name,
        "tags": list(tags),
        "width": width,
        "height": height,
        "dead_boards": [list(board) for board in dead_boards],
        "dead_links": [list(link) for link in dead_links],
    }


def job(job_id: int, boards: Iterable[Board] = (), **facts: Any) -> JobDescription:
    """A job as ``list_jobs`` tells it: ready with boards, queued without."""
    held = [list(board) for board in boards]
    description: dict[str, Any] = {
        "job_id": job_id,
        "owner": "me",
        "start_time": 1_000_000_000.0 + job_id,
        "keepalive": 60.0,
        "state": 3 if held else 1,
        "power": True if held else None,
        "args": [len(held) or 1],
        "kwargs": {"tags": ["default"]},
        "allocated_machine_name": "m" if held else None,
        "boards": held or None,
        "keepalivehost": "127.0.0.1",
    }
    return {**description, **facts}  # type: ignore[typeddict-item]
