"""What simulated machines are made of."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from spalloc_gevent.geometry import boards_of_triads
from spalloc_gevent.simulator.machine import Machine, MachineSpec


def test_default_machine_has_24_boards_and_the_default_tag() -> None:
    spec = MachineSpec()
    assert (spec.name, spec.boards, tuple(spec.tags)) == ("m", 24, ("default",))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"width": 0}, "at least 1 triad"),
        ({"height": True}, "height must be a whole number"),
        ({"name": ""}, "needs a name"),
        ({"width": 1000, "height": 1000}, "at most"),
        ({"dead_boards": [(4, 0, 0)]}, "not on machine 'm' of 4 x 2 triads"),
        ({"dead_boards": [(0, 0, 3)]}, "not on machine"),
        ({"dead_links": [(0, 0, 0, 6)]}, "numbered 0 to 5"),
        ({"dead_links": [(9, 0, 0, 0)]}, "not on machine"),
    ],
)
def test_impossible_machine_is_refused_with_the_reason(options: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        MachineSpec(**options)


def test_boards_fill_frames_of_24_and_cabinets_of_5_frames() -> None:
    places = Machine(MachineSpec(width=10, height=10)).places
    assert [places[board] for board in ((0, 0, 0), (0, 7, 2), (0, 8, 0), (4, 0, 0))] == [
        (0, 0, 0),
        (0, 0, 23),
        (0, 1, 0),
        (1, 0, 0),
    ]


def test_dead_boards_slot_stays_empty_and_every_living_board_is_found_again() -> None:
    whole = Machine(MachineSpec(width=3, height=3))
    broken = Machine(MachineSpec(width=3, height=3, dead_boards=[(0, 0, 0)]))
    left = set(boards_of_triads(0, 0, 3, 3)) - {(0, 0, 0)}
    assert broken.places == {board: whole.places[board] for board in left}
    assert broken.boards == {whole.places[board]: board for board in left}


@pytest.mark.parametrize("java", [False, True])
def test_hostnames_are_distinct_loopback_addresses(java: bool) -> None:
    machines = [Machine(MachineSpec(width=40, height=40), number, java=java) for number in range(2)]
    names = [machine.hostname_of(board) for machine in machines for board in machine.places]
    assert len(set(names)) == len(names) == 2 * 40 * 40 * 3
    assert all(ipaddress.ip_address(name).is_loopback for name in names)


def test_described_machine_has_what_list_machines_tells() -> None:
    spec = MachineSpec("b", 3, 2, ("z", "a"), [(1, 1, 1)], [(0, 0, 0, 5)])
    assert Machine(spec).described() == {
        "name": "b",
        "tags": ["a", "z"],
        "width": 3,
        "height": 2,
        "dead_boards": [(1, 1, 1)],
        "dead_links": [[0, 0, 0, 5]],
    }
