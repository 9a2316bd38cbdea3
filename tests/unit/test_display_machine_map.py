"""A machine drawn as SVG, as far as that can be judged without a browser."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.hexagons import edge
from spalloc_gevent.display.machine_map import drawn
from spalloc_gevent.display.map_facts import MachineMap, MapJob
from spalloc_gevent.display.svg import element, escaped, number
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.geometry import BoardLink, Link, boards_of_triads, next_board

_SVG = "{http://www.w3.org/2000/svg}"


def job(job_id: int, key: str, *boards: tuple[int, int, int], owner: str = "me") -> MapJob:
    return MapJob(job_id, key, owner, boards, f"job {job_id}")


def of_class(picture: str, name: str) -> list[ET.Element]:
    return [
        one for one in ET.fromstring(picture).iter() if name in (one.get("class") or "").split()
    ]


@given(st.text())
def test_whatever_an_owner_is_called_the_picture_is_xml_in_ascii(owner: str) -> None:
    picture = drawn(MachineMap("m", (1, 1), [job(1, "A", (0, 0, 0), owner=owner)]))
    assert picture.isascii()
    *_, described = ET.fromstring(picture).iter(f"{_SVG}desc")
    assert described.text is not None
    assert f"A is job 1 of {printable(owner)} with 1 board." in described.text


@given(st.text())
def test_attributes_hold_any_text(text: str) -> None:
    assert ET.fromstring(element("g", id=printable(text))).get("id") == printable(text)


def test_text_may_have_lines_and_nothing_else_that_steers() -> None:
    assert escaped("a\nb\r\x00<é>") == "a\nb\\r\\x00&lt;&#233;&gt;"


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (-0.01, "0"), (2.25, "2.2"), (10.0, "10"), (-3.14, "-3.1")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("links", "edges"),
    [
        ([(0, 0, 0, Link.north)], 1),
        ([(0, 0, 0, Link.north), (0, 0, 2, Link.south)], 1),
        ([(0, 0, 0, Link.south)], 2),
    ],
    ids=["within", "told from both ends", "around the machine"],
)
def test_a_dead_link_is_drawn_once_or_at_either_end_of_the_machine(
    links: list[BoardLink], edges: int
) -> None:
    picture = drawn(MachineMap("m", (2, 2), dead_links=links))
    assert len(of_class(picture, "broken")) == edges + len(["in the legend"])


def test_only_what_is_there_is_in_the_legend() -> None:
    everything = job(1, "A", *boards_of_triads(0, 0))
    words = [one.text for one in of_class(drawn(MachineMap("m", (1, 1), [everything])), "line")]
    assert words == ["3 of 3 boards in use by 1 job"]
    unsure = MachineMap("m", (1, 1), [everything], is_complete=False)
    assert of_class(drawn(unsure), "line")[0].text == "3 of up to 3 boards in use by 1 job"
    spotted = MachineMap("m", (2, 1), [job(1, "A", (0, 0, 0)), job(2, "B", (0, 0, 1))],
                         [(1, 0, 0)], [(0, 0, 0, 2)], only=1)  # fmt: skip
    words = [one.text for one in of_class(drawn(spotted), "line")]
    assert words[0] == "2 of 5 boards in use by 2 jobs, 1 dead board, 1 dead link"
    assert words[1:] == ["free", "another job's", "dead board", "dead link"]


def test_a_job_is_outlined_where_its_boards_end() -> None:
    machine_map = MachineMap("m", (1, 1), [job(1, "A", (0, 0, 0), (0, 0, 2))])
    (outline,) = of_class(drawn(machine_map), "outline")
    # Two hexagons that share one edge.
    assert str(outline.get("d")).count("M") == 10


@pytest.mark.parametrize("link", Link)
def test_neighbours_share_the_edge_of_their_link(link: Link) -> None:
    board = (3, 3, 1)
    there = next_board(board, link)
    own, its = edge(board, link), edge(there, link.opposite)
    rounded = [{(round(x, 6), round(y, 6)) for x, y in ends} for ends in (own, its)]
    assert rounded[0] == rounded[1]
