"""Configuration files for the real server say what was asked for."""

from __future__ import annotations

from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import pytest

from tools.real_machine import (
    Machine,
    board_places,
    configuration_text,
    frames,
    machine_with_boards,
)


def configured(*machines: Machine, addresses: list[str]) -> Any:
    """What the server's Configuration would be given, by evaluating the file as it does."""
    text = configuration_text(
        machines, addresses, ip="127.0.0.1", timeout_check_s=0.5, seconds_before_free=2.0
    )
    names: dict[str, Any] = {"Configuration": SimpleNamespace, "Machine": SimpleNamespace}
    exec(text, names)
    return names["configuration"]


def test_a_machine_has_three_boards_a_triad_each_in_a_place_of_its_own() -> None:
    places = board_places(Machine(width=4, height=2))
    assert len(places) == 24
    assert len(set(places.values())) == 24
    assert frames(Machine(width=4, height=2)) == [(0, 0)]


def test_boards_fill_frames_of_24_and_cabinets_of_5() -> None:
    large = machine_with_boards(1200)
    assert (large.width, large.height) == (20, 20)
    places = board_places(large)
    assert places[0, 0, 0] == (0, 0, 0)
    assert places[19, 19, 2] == (9, 4, 23)
    assert len(frames(large)) == 50


def test_a_dead_board_leaves_its_slot_empty() -> None:
    whole = board_places(Machine())
    holed = board_places(Machine(dead_boards=[(1, 0, 2)]))
    assert holed.keys() == whole.keys() - {(1, 0, 2)}
    assert all(whole[board] == place for board, place in holed.items())


@pytest.mark.parametrize(
    ("boards", "size"), [(1, (1, 1)), (4, (2, 1)), (24, (4, 2)), (26, (3, 3)), (61, (6, 4))]
)
def test_a_machine_by_number_of_boards_is_nearly_square_and_large_enough(
    boards: int, size: tuple[int, int]
) -> None:
    machine = machine_with_boards(boards)
    assert (machine.width, machine.height) == size


def test_a_machine_of_no_boards_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 board, not 0"):
        machine_with_boards(0)


def test_the_file_holds_server_and_machine_as_described() -> None:
    machine = Machine("x", 2, 1, ["big"], [(0, 0, 1)], [(1, 0, 0, 3)])
    told = configured(machine, addresses=["127.1.2.3"])
    assert (told.ip, told.timeout_check_interval) == ("127.0.0.1", 0.5)
    assert told.seconds_before_free == 2.0
    (described,) = told.machines
    assert (described.name, described.width, described.height) == ("x", 2, 1)
    assert described.tags == {"big"}
    assert described.dead_boards == {(0, 0, 1)}
    assert described.dead_links == {(1, 0, 0, 3)}
    assert described.bmp_ips == {(0, 0): "127.1.2.3"}
    assert described.spinnaker_ips.keys() == described.board_locations.keys()


def test_machines_share_no_address() -> None:
    told = configured(Machine("a"), Machine("b"), addresses=["127.0.0.2", "127.0.0.3"])
    first, second = told.machines
    assert first.bmp_ips != second.bmp_ips
    assert not set(first.spinnaker_ips.values()) & set(second.spinnaker_ips.values())


def test_every_board_has_a_loopback_address_of_its_own() -> None:
    addresses = [f"127.200.0.{frame + 1}" for frame in range(50)]
    (machine,) = configured(machine_with_boards(1200), addresses=addresses).machines
    hostnames = set(machine.spinnaker_ips.values())
    assert len(hostnames) == 1200
    assert all(ip_address(hostname).is_loopback for hostname in hostnames)
    assert machine.spinnaker_ips[0, 0, 0] == "127.1.0.1"
