"""What a test asks for: the mark, the options, and the boards themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pytest

from spalloc_gevent.batch import allocate
from spalloc_gevent.errors import QueueTimeoutError
from spalloc_gevent.job import Job
from spalloc_gevent.job.request import ALL_KEYWORDS

MARK = (
    "spalloc(boards=1, **options): what spalloc_job is to be: boards=n; width=, height= in triads; "
    "x=, y=, z= of a board; and options of spalloc_gevent.batch.allocate and Job"
)

_SHAPES = (("boards",), ("width", "height"), ("x", "y", "z"))
_OF_ALLOCATE = ("attempts", "check", "avoid", "queue_timeout", "power_timeout", "settle")
_NOT_ASKED = ("resume_job_id", "label")


class Wish(NamedTuple):
    """Boards that are wanted: the size or place, and options of ``allocate``."""

    what: tuple[int, ...]
    options: Mapping[str, Any]


def add_options(parser: pytest.Parser) -> None:
    """What ``pytest --help`` lists below "spalloc"."""
    group = parser.getgroup("spalloc", "boards of a SpiNNaker machine")
    group.addoption("--spalloc-hostname", metavar="HOST", help="the spalloc server")
    group.addoption("--spalloc-port", metavar="PORT", type=int, help="its port")
    group.addoption("--spalloc-owner", metavar="OWNER", help="who owns the jobs")
    group.addoption(
        "--spalloc-boards",
        metavar="N",
        type=int,
        default=1,
        help="how many boards a job has for which no mark says otherwise (default: 1)",
    )
    group.addoption(
        "--spalloc-simulate",
        action="store_true",
        help="run on a simulated server, which needs no hardware",
    )
    group.addoption(
        "--spalloc-queue-timeout",
        metavar="SECONDS",
        type=float,
        help="skip a test for which no boards are free in that time (default: wait)",
    )


def wish_of_test(item: pytest.Item) -> Wish:
    """What the mark of a test says, else the options."""
    mark = item.get_closest_marker("spalloc")
    wish = wish_of_mark(mark) if mark is not None else Wish((), {})
    return completed(wish, item.config, item.nodeid)


def wish_of_session(config: pytest.Config) -> Wish:
    """What the options say; a worker of pytest-xdist has a job of its own."""
    worker = getattr(config, "workerinput", {}).get("workerid")
    label = "the test session" if worker is None else f"the test session, worker {worker}"
    return completed(Wish((), {}), config, label)


def completed(wish: Wish, config: pytest.Config, label: str) -> Wish:
    """With what the options say, where the mark does not."""
    options: dict[str, Any] = {"label": label}
    limit_s = config.getoption("spalloc_queue_timeout")
    if limit_s is not None:
        options["queue_timeout"] = limit_s
    return Wish(wish.what or (config.getoption("spalloc_boards"),), {**options, **wish.options})


def allocated(wish: Wish, where: Mapping[str, Any]) -> Job:
    """Ready boards; skips the test that waits for them when there are none in time."""
    try:
        return allocate(*wish.what, **{**where, **wish.options})
    except QueueTimeoutError as error:
        pytest.skip(f"no boards were free in time: {error}")


# -- the mark ------------------------------------------------------------------


def wrong_marks(nodes: Iterable[pytest.Item | pytest.Collector]) -> list[str]:
    """What is wrong with marks of these tests, each with the first test that has it."""
    found: dict[str, str] = {}
    for node in nodes:
        for mark in node.iter_markers("spalloc"):
            try:
                wish_of_mark(mark)
            except TypeError as error:
                found.setdefault(str(error), _complaint(node.nodeid, error))
    return list(found.values())


def _complaint(test: str, error: TypeError) -> str:
    return f"{test}: @pytest.mark.spalloc: {error}"


def wish_of_mark(mark: pytest.Mark) -> Wish:
    """What a mark asks for; raises TypeError where that makes no sense."""
    options = dict(mark.kwargs)
    names = [name for shape in _SHAPES for name in shape]
    places = {name for name in names if name in options}
    shape = next((shape for shape in _SHAPES if places == set(shape)), ())
    if set(shape) != places:
        raise TypeError(
            f"{', '.join(sorted(places))} do not go together: give boards, or width and height, "
            "or x, y and z"
        )
    if shape and mark.args:
        raise TypeError(f"the size is given twice: {mark.args} and {', '.join(shape)}")
    what = tuple(options.pop(name) for name in shape) or mark.args
    known = [name for name in (*_OF_ALLOCATE, *ALL_KEYWORDS) if name not in _NOT_ASKED]
    if unknown := sorted(set(options) - set(known)):
        raise TypeError(
            f"there is no {', '.join(unknown)}; there are {', '.join(sorted([*known, *names]))}"
        )
    return Wish(what, options)
