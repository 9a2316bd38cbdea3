"""Which boards a request gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.geometry import Link
from spalloc_gevent.simulator.machine import Machine, MachineSpec
from spalloc_gevent.simulator.placement import (
    FreeTriads,
    HeldBoards,
    Placement,
    request_from,
    shapes_for,
)


def on(width: int = 4, height: int = 2, **options: Any) -> Placement:
    return Placement(Machine(MachineSpec("m", width, height, **options)))


def tried(placement: Placement, *args: Any, **limits: Any) -> HeldBoards | None:
    return placement.place(request_from(args, limits))


def taken(placement: Placement, *args: Any, **limits: Any) -> HeldBoards:
    held = tried(placement, *args, **limits)
    assert held is not None
    return held


def possible(placement: Placement, *args: Any, **limits: Any) -> bool:
    return placement.possible(request_from(args, limits))


def test_single_boards_share_triads() -> None:
    placement = on()
    boards = [board for _ in range(6) for board in taken(placement).boards]
    assert boards == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0), (0, 1, 1), (0, 1, 2)]


def test_named_board_is_given_once() -> None:
    placement = on()
    assert taken(placement, 2, 1, 1).boards == {(2, 1, 1)}
    assert tried(placement, 2, 1, 1) is None
    assert taken(placement, 2, 1, 0).boards == {(2, 1, 0)}


def test_shared_triad_is_free_for_rectangles_only_when_all_its_boards_are_back() -> None:
    placement = on(1, 1)
    first, second = taken(placement), taken(placement)
    placement.free(first)
    assert tried(placement, 1, 1) is None
    placement.free(second)
    assert len(taken(placement, 1, 1).boards) == 3


def test_dead_board_is_never_given_and_its_triad_still_shared() -> None:
    placement = on(1, 1, dead_boards=[(0, 0, 1)])
    assert {*taken(placement).boards, *taken(placement).boards} == {(0, 0, 0), (0, 0, 2)}
    assert tried(placement) is None


@pytest.mark.parametrize(
    ("boards", "min_ratio", "shape"),
    [
        (2, 0.0, (1, 1)),
        (3, 0.333, (1, 1)),
        (4, 0.0, (1, 2)),
        (7, 0.333, (2, 2)),
        (12, 1.0, (2, 2)),
        (24, 0.333, (4, 2)),
    ],
)
def test_some_boards_get_the_rectangle_that_the_python_server_gives(
    boards: int, min_ratio: float, shape: tuple[int, int]
) -> None:
    held = taken(on(), boards, min_ratio=min_ratio)
    assert len(held.boards) == 3 * shape[0] * shape[1] >= boards
    assert held.shape == shape


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 9), st.floats(0.0, 1.0))
def test_shapes_are_big_enough_square_enough_and_fit(
    triads: int, width: int, height: int, ratio: float
) -> None:
    if triads > width * height:
        return
    for w, h in shapes_for(triads, width, height, ratio):
        assert w * h >= triads
        assert w <= width
        assert h <= height
        assert min(w, h) / max(w, h) >= ratio


def test_negative_ratio_is_refused_and_one_above_1_taken_the_other_way_up() -> None:
    with pytest.raises(ValueError, match="negative"):
        shapes_for(4, 4, 4, -0.5)
    assert shapes_for(6, 4, 4, 2.0) == shapes_for(6, 4, 4, 0.5)


def test_other_shape_is_taken_when_the_best_has_no_room() -> None:
    placement = on(3, 3)
    for board in ((1, 1, 0), (0, 2, 0), (2, 0, 0)):
        taken(placement, *board)
    assert len(taken(placement, 6).boards) == 6


@pytest.mark.parametrize(
    ("args", "limits", "answer"),
    [
        ((), {}, True),
        ((0,), {}, False),
        ((-1,), {}, False),
        ((24,), {}, True),
        ((25,), {}, False),
        ((4, 2), {"require_torus": True}, True),
        ((4, 1), {"require_torus": True}, False),
        ((24,), {"require_torus": True}, True),
        ((21,), {"require_torus": True}, False),
        ((5, 1), {}, False),
        ((0, 2), {}, False),
        ((3, 1, 2), {}, True),
        ((4, 0, 0), {}, False),
        ((0, 0, 3), {}, False),
        ((12,), {"min_ratio": 1.0}, True),
        ((18,), {"min_ratio": 1.0}, False),
        ((1, 1, 1, 0), {}, True),
    ],
)
def test_possible_is_what_an_idle_machine_could_give(
    args: Sequence[int], limits: dict[str, Any], answer: bool
) -> None:
    assert possible(on(), *args, **limits) is answer


@pytest.mark.parametrize(
    ("args", "limits"),
    [
        ((), {"require_torus": True}),
        ((1, 1, 0), {"require_torus": True}),
        ((), {"colour": "red"}),
        ((1, 2, 0, 4, 5, False, 7, 8), {}),
    ],
)
def test_request_that_makes_no_sense_is_an_error(args: Any, limits: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        request_from(args, limits)


NORTH = [(0, 0, 0, int(Link.north)), (0, 0, 2, int(Link.south))]
EAST = [(0, 0, 0, int(Link.east))]


@pytest.mark.parametrize(
    ("broken", "args", "limits", "answer"),
    [
        ({"dead_boards": [(1, 1, 2)]}, (2, 2), {"max_dead_boards": 0}, False),
        ({"dead_boards": [(1, 1, 2)]}, (2, 2), {"max_dead_boards": 1}, True),
        # More were given than asked for.
        ({"dead_boards": [(1, 1, 2)]}, (11,), {"max_dead_boards": 0}, True),
        ({"dead_links": NORTH}, (2, 2), {"max_dead_links": 1}, False),
        ({"dead_links": NORTH}, (2, 2), {"max_dead_links": 2}, True),
        # Links that wrap around count for a torus only.
        ({"dead_links": EAST}, (2, 2), {"max_dead_links": 0}, True),
        ({"dead_links": EAST}, (2, 2), {"max_dead_links": 0, "require_torus": True}, False),
    ],
)
def test_dead_boards_and_links_count_against_their_limits(
    broken: dict[str, Any], args: Any, limits: dict[str, Any], answer: bool
) -> None:
    assert possible(on(2, 2, **broken), *args, **limits) is answer


def test_rectangle_needs_its_lower_left_board() -> None:
    assert not possible(on(1, 1, dead_boards=[(0, 0, 0)]), 1, 1)
    assert taken(on(2, 1, dead_boards=[(0, 0, 0)]), 1, 1).boards >= {(1, 0, 0)}


def test_boards_cut_off_by_dead_links_are_not_given() -> None:
    around = [(0, 0, 0, int(link)) for link in (Link.north, Link.north_east)]
    assert taken(on(2, 2, dead_links=around), 1, 1).boards == {(0, 0, 0)}


@pytest.mark.parametrize(
    ("triads", "chips"),
    [((4, 2), (48, 24)), ((4, 1), (48, 16)), ((1, 2), (16, 24)), ((2, 1), (28, 16))],
)
def test_whole_machine_wraps_around_and_a_strip_only_along(triads: Any, chips: Any) -> None:
    assert taken(on(), *triads).dimensions == chips


STEPS = st.one_of(
    st.just(()),
    st.tuples(st.integers(1, 14)),
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 2)),
    st.integers(0, 30),
)


@given(st.lists(STEPS, max_size=40))
def test_no_board_is_ever_held_twice_and_all_come_back(steps: list[Any]) -> None:
    dead = {(1, 1, 1), (3, 2, 0)}
    placement = on(4, 3, dead_boards=tuple(dead))
    held: list[HeldBoards] = []
    for step in steps:
        if not isinstance(step, int):
            given = tried(placement, *step) if possible(placement, *step) else None
            held += [] if given is None else [given]
        elif held:
            placement.free(held.pop(step % len(held)))
        boards = [board for one in held for board in one.boards]
        assert len(boards) == len({*boards} - dead)
    for one in held:
        placement.free(one)
    assert len(taken(placement, 4, 3).boards) == 34


@given(
    st.integers(1, 5), st.integers(1, 5), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)))
)
def test_free_rectangles_are_all_found_and_no_others(
    width: int, height: int, busy: set[tuple[int, int]]
) -> None:
    free = FreeTriads(6, 6)
    for corner in busy:
        free.take(corner, (1, 1))
    expected = [
        (x, y)
        for x in range(7 - width)
        for y in range(7 - height)
        if not busy & {(x + i, y + j) for i in range(width) for j in range(height)}
    ]
    assert list(free.corners(width, height)) == expected
