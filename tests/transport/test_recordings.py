"""The simulated Java server answers as the real one did when it was recorded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import pytest

from spalloc_gevent.simulator import JavaOptions, SimulatedServer
from tests.transport.recordings import FOLDER, Playback, Time, machines_of

BY_CHANCE = frozenset({"revive"})
"""Which jobs live on there differs each time."""

NOT_TOLD: Mapping[str, Mapping[str, list[object]]] = {
    # The job is ready here before it is watched.
    "life": {"b": [{"jobs_changed": [1]}] * 2},
    # So is the first one, which for that reason does not repeat itself either. The third one's
    # end comes later, and its repetition after the recording's end.
    "expiry": {"b": [*[{"jobs_changed": [1]}] * 3, {"jobs_changed": [3]}]},
    # A watch of machines that was to end tells once more a minute later.
    "watch": {"f": [{"machines_changed": ["m"]}]},
}
"""Notifications that were recorded and do not come here."""


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.jsonl") if path.stem not in BY_CHANCE)


@pytest.mark.parametrize("name", names())
def test_everything_that_comes_is_as_recorded(name: str) -> None:
    time = Time()
    with SimulatedServer(machines_of(name), dialect="java", clock=time) as server:
        playback = Playback(name, server, time)
        playback.run()
    assert playback.differences == []
    for peer, recorded in playback.recorded.items():
        left_out = Counter(map(json.dumps, NOT_TOLD.get(name, {}).get(peer, ())))
        assert Counter(playback.told[peer]) == Counter(recorded) - left_out, peer


def test_jobs_that_are_destroyed_while_they_are_allocated_live_on_there() -> None:
    """As in the recording, of which chance decides the details."""
    time = Time()
    always = JavaOptions(allocator_seconds=0.036, revive="always")
    with SimulatedServer(machines_of("revive"), dialect="java", clock=time, java=always) as server:
        playback = Playback("revive", server, time)
        playback.run()
    # Where an answer is another one, it is that of a job that lives here and not there.
    states = [(recorded["state"], got["state"]) for _, recorded, got in playback.differences
              if isinstance(recorded, dict)]  # fmt: skip
    assert set(states) <= {(3, 4), (4, 3), (4, 4)}
    assert Counter(got for _, got in states)[3] > 0
