"""Machines and jobs as the commands draw them.

The pictures are drawn by hand from the rule for hexagons: board (x, y, z) is at column
2x - y + (1 if z == 1 else 0) and row 3y + z; rows count upwards, each column is four
characters further right, each row one line further up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.terminal import Paint
from spalloc_gevent.geometry import Board, boards_of_triads
from spalloc_gevent.scripts.jobs.subject import Subject
from spalloc_gevent.scripts.jobs.view import JobView
from spalloc_gevent.scripts.machine_views import MachineView
from spalloc_gevent.wire.answers import JobDescription, MachineDescription
from tests.unit.fake_client import FakeClient, job, machine

EAST, NORTH_EAST, NORTH, WEST, SOUTH_WEST, SOUTH = range(6)
PLAIN = Paint(False)


def page_of(
    described: MachineDescription, jobs: Sequence[JobDescription] = (), columns: int | None = None
) -> str:
    view = MachineView(described["name"])
    return text_of(view.page(view.collect(FakeClient([described], jobs)), PLAIN, columns))


def picture_of(described: MachineDescription) -> str:
    """What is below the summary, which has four lines, and a blank one, on a page without jobs."""
    return "\n".join(page_of(described).split("\n")[5:])


def golden(text: str) -> str:
    """The picture between the first and the last line of `text`, without its indentation."""
    return "\n".join(line[8:] for line in text.split("\n")[1:-1])


# -- whole machines ----------------------------------------------------------------------

WHOLE = [
    (
        machine(1, 1),
        r"""
         ___
        / . \___
        \___/ . \
        / . \___/
        \___/
        """,
    ),
    (
        machine(4, 2),
        r"""
         ___     ___     ___     ___
        / . \___/ . \___/ . \___/ . \___
        \___/ . \___/ . \___/ . \___/ . \
        / . \___/ . \___/ . \___/ . \___/
        \___/ . \___/ . \___/ . \___/ . \___
            \___/ . \___/ . \___/ . \___/ . \
            / . \___/ . \___/ . \___/ . \___/
            \___/   \___/   \___/   \___/
        """,
    ),
    (
        machine(1, 3),
        r"""
         ___
        / . \___
        \___/ . \
        / . \___/
        \___/ . \___
            \___/ . \
            / . \___/
            \___/ . \___
                \___/ . \
                / . \___/
                \___/
        """,
    ),
    (
        machine(3, 1, dead_boards=[(1, 0, 0), (2, 0, 1)]),
        r"""
         ___     ___     ___
        / . \___/ . \___/ . \
        \___/ . \___/ . \___/
        / . \___/   \___/ . \
        \___/           \___/
        """,
    ),
]


@pytest.mark.parametrize(
    ("described", "picture"), WHOLE, ids=["one triad", "4 by 2", "high: it leans", "dead boards"]
)
def test_a_machine_is_drawn_without_its_dead_boards(
    described: MachineDescription, picture: str
) -> None:
    assert picture_of(described) == golden(picture)


def test_a_machine_without_a_living_board_has_no_picture() -> None:
    described = machine(1, 1, dead_boards=[(0, 0, 0), (0, 0, 1), (0, 0, 2)])
    assert page_of(described) == "  Name: m\n  Tags: default\nIn-use: 0 of 0\n  Jobs: 0"


# -- dead links --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dead_links",
    [
        [(0, 0, 0, NORTH), (0, 0, 1, EAST)],
        [(0, 0, 2, SOUTH), (1, 0, 0, WEST)],
        [(0, 0, 0, NORTH), (0, 0, 2, SOUTH), (0, 0, 1, EAST), (1, 0, 0, WEST)],
    ],
)
def test_a_dead_link_within_the_machine_is_marked_between_its_boards(
    dead_links: list[tuple[int, int, int, int]],
) -> None:
    assert picture_of(machine(2, 1, dead_links=dead_links)) == golden(r"""
         ___     ___
        / . \___/ . \___
        \XXX/ . \___/ . \
        / . \___X . \___/
        \___/   \___/
        """)


AROUND = [
    # North of column -1, row 5 is row 7; two triads lower that is column 1, row 1: (0, 0, 1).
    (
        [(0, 1, 2, NORTH), (0, 0, 1, SOUTH)],
        r"""
         XXX     ___
        / . \___/ . \___
        \___/ . \___/ . \
        / . \___/ . \___/
        \___/ . \___/ . \___
            \___/ . \___/ . \
            / . \XXX/ . \___/
            \___/   \___/
        """,
    ),
    # West of column 0, row 0 is column -1, row 1; two triads further right that is column 3.
    (
        [(0, 0, 0, WEST), (1, 0, 1, EAST)],
        r"""
         ___     ___
        / . \___/ . \___
        \___/ . \___/ . \
        / . \___/ . \___/
        \___/ . \___/ . \___
            \___/ . \___/ . \
            X . \___/ . \___X
            \___/   \___/
        """,
    ),
]


@pytest.mark.parametrize(("ends", "picture"), AROUND, ids=["upwards", "sideways"])
def test_a_dead_link_around_the_torus_is_marked_at_both_ends(
    ends: list[tuple[int, int, int, int]], picture: str
) -> None:
    for told in ends[:1], ends[1:], ends:
        assert picture_of(machine(2, 2, dead_links=told)) == golden(picture)


def test_a_dead_link_around_a_single_triad_is_marked_at_both_ends() -> None:
    # South of column 0, row 0 is row -2; a triad higher and one to the right: column 1, row 1.
    assert picture_of(machine(1, 1, dead_links=[(0, 0, 0, SOUTH)])) == golden(r"""
         ___
        / . \XXX
        \___/ . \
        / . \___/
        \XXX/
        """)


def test_a_dead_link_to_a_dead_board_is_marked_at_the_one_that_lives() -> None:
    described = machine(1, 1, dead_boards=[(0, 0, 1)], dead_links=[(0, 0, 0, SOUTH)])
    assert picture_of(described) == golden(r"""
         ___
        / . \
        \___/
        / . \
        \XXX/
        """)


# -- jobs on a machine -------------------------------------------------------------------


def test_a_page_tells_the_machine_draws_it_and_names_its_jobs() -> None:
    described = machine(2, 2, tags=["default", "big"], dead_boards=[(1, 0, 2)])
    jobs = [
        job(1541, boards_of_triads(0, 0)),
        job(7, [(1, 1, 0)]),
        job(8),
        job(9, [(0, 0, 0)], allocated_machine_name="another"),
    ]
    assert page_of(described, jobs) == golden(r"""
          Name: m
          Tags: big, default
        In-use: 4 of 11
          Jobs: 2

         ___     ___
        / . \___/ . \___
        \___/ . \___/ . \
        / . \___/ B \___/
        \___/ A \___/    ___
            \___/ A \___/ . \
            / A \___/ . \___/
            \___/   \___/

        A:1541  B:7
        """)


def test_27_jobs_of_one_board_have_letters_beyond_z() -> None:
    jobs = [job(100 + n, [board]) for n, board in enumerate(boards_of_triads(0, 0, 3, 3))]
    lines = page_of(machine(3, 3), jobs).split("\n")
    assert "\n".join(lines[5:16]) == golden(r"""
         ___     ___     ___
        / I \___/ R \___/ AA\___
        \___/ H \___/ Q \___/ Z \
        / G \___/ P \___/ Y \___/
        \___/ F \___/ O \___/ X \___
            \___/ E \___/ N \___/ W \
            / D \___/ M \___/ V \___/
            \___/ C \___/ L \___/ U \___
                \___/ B \___/ K \___/ T \
                / A \___/ J \___/ S \___/
                \___/   \___/   \___/
        """)
    assert lines[-1].split()[-2:] == ["Z:125", "AA:126"]


def test_jobs_keep_their_letters_while_a_machine_is_watched() -> None:
    client = FakeClient([machine(1, 1)], [job(1, [(0, 0, 0)]), job(2, [(0, 0, 1)])])
    view = MachineView("m")
    view.collect(client)
    client.jobs = [client.jobs[1], job(3, [(0, 0, 2)])]
    assert text_of(view.page(view.collect(client), PLAIN, None)).split("\n")[5:] == golden(r"""
         ___
        / A \___
        \___/ B \
        / . \___/
        \___/

        A:3  B:2
        """).split("\n")


def test_a_machine_wider_than_the_terminal_is_drawn_in_parts() -> None:
    shown = page_of(machine(3, 1), columns=20)
    assert shown.split("\n\n", 1)[1] == golden(r"""
        (part 1 of 2, from the left)
         ___     ___
        / . \___/ . \
        \___/ . \___/
        / . \___/ . \
        \___/   \___/

        (part 2 of 2, from the left)
             ___
        \___/ . \___
        / . \___/ . \
        \___/ . \___/
        /   \___/
        """)


# -- jobs by themselves ------------------------------------------------------------------


@pytest.fixture
def in_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def job_page(described: MachineDescription, shown: JobDescription) -> str:
    view = JobView(Subject(shown["job_id"]))
    client = FakeClient([described], [shown])
    return text_of(view.page(view.collect(client), PLAIN, None))


def drawing_of(described: MachineDescription, boards: Sequence[Board]) -> str:
    page = job_page(described, job(1, boards))
    allocation = page[page.index(" Allocation: ") : page.index("\n      Width: ")]
    return "\n".join(line[len("Board power: ") :] for line in allocation.split("\n"))


def test_a_job_is_told_with_its_boards_drawn(in_greenwich: None) -> None:
    shown = job(1541, boards_of_triads(1, 0), owner="me@x", args=[3], kwargs={"machine": None})
    assert job_page(machine(4, 2), shown) == golden(r"""
             Job ID: 1541
              Owner: me@x
              State: ready
         Start time: 09/09/2001 02:12:21
          Keepalive: 60.0
         Owner host: 127.0.0.1
            Request: Job(3,
                         machine=None)
         Allocation:  ___
                     / . \___
                     \___/ . \
                     / . \___/
                     \___/
              Width: 16
             Height: 16
         Num boards: 3
        Board power: on
         Running on: m
        """)


def test_a_job_of_one_board_is_one_hexagon() -> None:
    assert drawing_of(machine(4, 2), [(2, 1, 1)]) == golden(r"""
         ___
        / . \
        \___/
        """)


def test_a_job_shows_the_dead_links_between_its_own_boards_only() -> None:
    dead_links = [(0, 0, 0, NORTH), (0, 0, 1, EAST), (1, 0, 0, WEST), (0, 0, 0, SOUTH)]
    shown = drawing_of(machine(2, 2, dead_links=dead_links), list(boards_of_triads(0, 0)))
    assert shown == golden(r"""
         ___
        / . \___
        \XXX/ . \
        / . \___/
        \___/
        """)


def test_a_job_around_the_torus_shows_a_dead_link_there_at_both_ends() -> None:
    dead_links = [(0, 0, 0, WEST), (0, 0, 0, SOUTH)]
    shown = drawing_of(machine(2, 2, dead_links=dead_links), list(boards_of_triads(0, 0, 2, 1)))
    assert shown == golden(r"""
         ___     ___
        / . \___/ . \___
        \___/ . \___/ . \
        X . \___/ . \___X
        \___/   \___/
        """)


# -- whatever the machine ----------------------------------------------------------------

# Where the board down each link is drawn, and the edge towards it: its line and character from
# the beginning of the label's line, and what is marked there.
STEPS = {
    EAST: ((1, -1), (-1, 4), "X"),
    NORTH_EAST: ((1, 1), (0, 4), "X"),
    NORTH: ((0, 2), (1, 1), "XXX"),
    WEST: ((-1, 1), (0, 0), "X"),
    SOUTH_WEST: ((-1, -1), (-1, 0), "X"),
    SOUTH: ((0, -2), (-1, 1), "XXX"),
}


def place_of(board: Board) -> tuple[int, int]:
    x, y, z = board
    return 2 * x - y + (1 if z == 1 else 0), 3 * y + z


def drawn_by_the_rule(described: MachineDescription, labels: Mapping[Board, str]) -> str:
    ink: dict[tuple[int, int], str] = {}

    def put(line: int, character: int, text: str) -> None:
        ink.update({(line, character + n): letter for n, letter in enumerate(text)})

    for board, label in labels.items():
        column, row = place_of(board)
        put(row + 1, 4 * column + 1, "___")
        put(row, 4 * column, f"/ {label} \\")
        put(row - 1, 4 * column, "\\___/")
    for end, link in ends_of_dead_links(described):
        if end in labels:
            (column, row), (_, (up, right), mark) = place_of(end), STEPS[link]
            put(row + up, 4 * column + right, mark)
    if not ink:
        return ""
    lines, characters = {line for line, _ in ink}, {character for _, character in ink}
    return "\n".join(
        "".join(
            ink.get((line, at), " ") for at in range(min(characters), max(characters) + 1)
        ).rstrip()
        for line in range(max(lines), min(lines) - 1, -1)
    )


def ends_of_dead_links(described: MachineDescription) -> Iterator[tuple[Board, int]]:
    width, height = described["width"], described["height"]
    # A machine repeats every `width` triads to the right, and every `height` upwards.
    copies = {
        (column + 2 * width * i - height * j, row + 3 * height * j): board
        for board in boards_of_triads(0, 0, width, height)
        for column, row in [place_of(board)]
        for i in (-2, -1, 0, 1, 2)
        for j in (-1, 0, 1)
    }
    for x, y, z, link in described["dead_links"]:
        column, row = place_of((x, y, z))
        right, up = STEPS[link][0]
        yield (x, y, z), link
        yield copies[column + right, row + up], (link + 3) % 6


@st.composite
def machines(draw: st.DrawFn) -> MachineDescription:
    width, height = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    boards = list(boards_of_triads(0, 0, width, height))
    links = st.builds(
        lambda board, link: (*board, link), st.sampled_from(boards), st.integers(0, 5)
    )
    return machine(
        width,
        height,
        dead_boards=draw(st.sets(st.sampled_from(boards), max_size=6)),
        dead_links=draw(st.lists(links, max_size=6)),
    )


@given(machines(), st.data())
def test_every_machine_is_drawn_by_the_rule(
    described: MachineDescription, data: st.DataObject
) -> None:
    dead = {tuple(board) for board in described["dead_boards"]}
    everything = boards_of_triads(0, 0, described["width"], described["height"])
    labels = {board: "." for board in everything if board not in dead}
    held = data.draw(st.sets(st.sampled_from(sorted(labels)))) if labels else set()
    labels |= dict.fromkeys(held, "A")
    jobs = [job(1, sorted(held))] if held else []
    shown = "\n".join(page_of(described, jobs).split("\n")[5:])
    key = ["A:1"] if held else []
    assert shown == "\n\n".join(filter(None, [drawn_by_the_rule(described, labels), *key]))
