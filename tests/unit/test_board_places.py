"""Where boards are, asked for one by one for as long as there is time."""

from __future__ import annotations

from typing import Any

from spalloc_gevent.client import ProtocolClient, Timeout
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.geometry import boards_of_triads
from spalloc_gevent.scripts.drawing import places_of


class SlowClient(ProtocolClient):
    """Takes a second for each answer, and knows no place of boards with z = 2."""

    def __init__(self) -> None:
        super().__init__("made.up")
        self.now_s = 0.0

    def _ask(self, name: str, *args: object, timeout: Timeout, **place: Any) -> Any:
        assert (name, place["machine_name"]) == ("get_board_position", "m")
        self.now_s += 1.0
        return None if place["z"] == 2 else [place["x"], place["y"], place["z"]]


def test_every_board_is_asked_about_while_there_is_time() -> None:
    client = SlowClient()
    boards = list(boards_of_triads(0, 0, 2, 1))
    places = places_of(client, "m", boards, Deadline(60.0, lambda: client.now_s))
    assert places == {
        (0, 0, 0): (0, 0, 0),
        (0, 0, 1): (0, 0, 1),
        (0, 0, 2): None,
        (1, 0, 0): (1, 0, 0),
        (1, 0, 1): (1, 0, 1),
        (1, 0, 2): None,
    }


def test_nothing_is_asked_after_the_deadline() -> None:
    client = SlowClient()
    boards = list(boards_of_triads(0, 0, 2, 1))
    places = places_of(client, "m", boards, Deadline(3.5, lambda: client.now_s))
    assert list(places) == boards[:4]
