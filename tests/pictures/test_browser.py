"""The pictures of ``--svg`` in a real browser, on light and on dark desktops."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from spalloc_gevent.display.palette import DARK, LIGHT
from spalloc_gevent.protocol_client import ProtocolClient
from spalloc_gevent.scripts import job, machine
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.isolation import forget_configuration
from tests.pictures.inspecting import Inspected, inspected
from tools.environments import ROOT

OWNERS = ("me@example.org", "a <b>&\"'</title>\n\x1b[31m", "張偉 😀", "שלום", "w" * 200, "me")
MANY = 720
"""So many jobs that some have three letters."""

MACHINES = (
    MachineSpec("single", 1, 1, dead_boards=[(0, 0, 1), (0, 0, 2)]),
    MachineSpec("triad", 1, 1),
    MachineSpec(
        "torus",
        4,
        2,
        dead_boards=[(3, 1, 2)],
        # The same link from both ends, one around the machine, one within a job, one below text.
        dead_links=[(0, 0, 0, 2), (0, 0, 2, 5), (0, 0, 0, 5), (0, 0, 1, 1), (1, 0, 1, 0)],
    ),
    MachineSpec("many", 20, 20, dead_boards=[(3, 4, 1)], dead_links=[(1, 1, 0, 2)]),
)


@dataclass
class Gallery:
    """The pictures by their names, and what a browser made of them."""

    folder: Path
    pictures: dict[str, Path] = field(default_factory=dict)
    light: dict[str, Inspected] = field(default_factory=dict)
    dark: dict[str, Inspected] = field(default_factory=dict)

    def new(self, name: str) -> Path:
        self.pictures[name] = self.folder / f"{name}.svg"
        return self.pictures[name]

    def spoil(self, name: str, before: str, after: str) -> None:
        """Hang a copy of the torus with one thing changed."""
        sound = self.pictures["torus"].read_text("ascii")
        assert before in sound
        self.new(name).write_text(sound.replace(before, after, 1), "ascii")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """All pictures, made by the commands and looked at twice."""
    gallery = Gallery(tmp_path_factory.mktemp("gallery"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        forget_configuration(monkeypatch, tmp_path_factory)
        _draw(gallery)
    _spoil(gallery)
    for name in README:
        gallery.pictures[f"readme-{name}"] = ROOT / "docs" / f"{name}.svg"
    gallery.light = inspected(gallery.pictures, gallery.folder)
    gallery.dark = inspected(gallery.pictures, gallery.folder, dark=True)
    return gallery


def _draw(gallery: Gallery) -> None:
    with SimulatedServer(MACHINES) as server:
        where = ["--hostname", server.host, "--port", str(server.port)]
        with ProtocolClient(server.host, server.port, 60.0) as client:
            first = _occupy(client)
        for spec in MACHINES:
            file = str(gallery.new(spec.name))
            assert machine.main([spec.name, "--svg", file, *where]) == 0
        for name, job_id in first.items():
            file = str(gallery.new(f"job-on-{name}"))
            assert job.main([str(job_id), "--svg", file, *where]) == 0


def _occupy(client: ProtocolClient) -> dict[str, int]:
    """Create jobs; the first one of each machine that has any, by the machine's name."""
    first = {"single": client.create_job(owner="me", machine="single", keepalive=None)}
    torus = [
        client.create_job(*what, owner=owner, machine="torus", keepalive=None)
        for what, owner in zip([(1, 1), (1,), (1,), (1,), (1,), (2, 1)], OWNERS, strict=True)
    ]
    many = [client.create_job(owner="me", machine="many", keepalive=None) for _ in range(MANY)]
    return {**first, "torus": torus[0], "many": many[0]}


def _spoil(gallery: Gallery) -> None:
    gallery.spoil("spoilt-large", 'font-size="15">A</text>', 'font-size="60">A</text>')
    gallery.spoil("spoilt-moved", '<g class="board ', '<g transform="translate(9 0)" class="board ')
    gallery.spoil("spoilt-away", '<g class="board ', '<g transform="translate(-999)" class="board ')
    gallery.spoil("spoilt-faint", "#000000", "#335577")
    gallery.spoil("spoilt-nothing", '">A</text>', '" display="none">A</text>')
    gallery.spoil("spoilt-legend", 'class="entry" x', 'class="entry" dy="20" x')
    gallery.spoil("spoilt-halo", "stroke-width: 5.4", "stroke-width: 40")


SOUND = ("single", "triad", "torus", "many", "job-on-single", "job-on-torus", "job-on-many")
README = ("machine", "ps-watch")
SPOILT = {
    "spoilt-large": "A: leaves its hexagon",
    "spoilt-moved": ": overlap",
    "spoilt-away": ": leaves the picture",
    "spoilt-faint": ": contrast of text ",
    "spoilt-nothing": "A: not rendered",
    "spoilt-legend": ": overlap",
    "spoilt-halo": ": covers ",
}


@pytest.mark.parametrize("name", [*SOUND, *(f"readme-{name}" for name in README)])
@pytest.mark.parametrize("page", ["light", "dark"])
def test_nothing_overlaps_leaves_its_hexagon_or_is_hard_to_see(
    gallery: Gallery, name: str, page: str
) -> None:
    seen: dict[str, Inspected] = getattr(gallery, page)
    assert list(seen[name].problems) == []


@pytest.mark.parametrize("name", SPOILT)
def test_the_inspection_finds_what_is_wrong_with_a_spoilt_picture(
    gallery: Gallery, name: str
) -> None:
    assert any(SPOILT[name] in problem for problem in gallery.light[name].problems)


@pytest.mark.parametrize("name", [*SOUND, *(f"readme-{name}" for name in README)])
def test_the_paper_is_light_or_dark_as_the_desktop_is(gallery: Gallery, name: str) -> None:
    assert gallery.light[name].paper == _rgb(LIGHT["paper"])
    assert gallery.dark[name].paper == _rgb(DARK["paper"])


@pytest.mark.parametrize("name", SOUND)
def test_the_picture_is_an_image_with_a_name_and_a_description(gallery: Gallery, name: str) -> None:
    role, (title, description) = gallery.light[name].role, gallery.light[name].labels
    assert role == "img"
    assert name.removeprefix("job-on-") in title
    assert " in use by " in description


@pytest.mark.parametrize(
    ("name", "boards", "dead", "edges", "keys"),
    [
        ("single", 3, 2, 0, 1),
        ("triad", 3, 0, 0, 0),
        # Four links, of which one has two ends in the picture.
        ("torus", 24, 1, 5, 13),
        ("many", 1200, 1, 1, MANY),
        ("job-on-single", 3, 2, 0, 1),
        ("job-on-torus", 24, 1, 5, 3),
        ("job-on-many", 1200, 1, 1, 1),
    ],
)
def test_every_board_dead_link_and_key_is_there(
    gallery: Gallery, name: str, boards: int, dead: int, edges: int, keys: int
) -> None:
    seen = gallery.light[name]
    assert (seen.boards, seen.dead, seen.broken, len(seen.keys)) == (boards, dead, edges, keys)


def test_the_legend_tells_id_boards_and_owner_whatever_it_is_called(gallery: Gallery) -> None:
    entries = list(gallery.light["torus"].entries)
    boards, owners = entries[1::3], entries[2::3]
    assert boards == ["3", "1", "1", "1", "1", "6"]
    assert owners == [
        "me@example.org",
        "a <b>&\"'</title>\\n\\x1b[31m",
        "張偉 😀",
        "שלום",
        "w" * 39 + "…",
        "me",
    ]


def test_a_board_tells_its_places_and_job_where_it_is_pointed_at(gallery: Gallery) -> None:
    first, *_ = gallery.light["torus"].tooltips
    assert first.splitlines()[:2] == [
        "Board coordinate: (0, 0, 0)",
        "Physical location: Cabinet 0, Frame 0, Board 0",
    ]
    assert " of me@example.org (127.0.0.1), " in first.splitlines()[2]


def test_hundreds_of_jobs_have_a_legend_of_300_and_words_about_the_rest(gallery: Gallery) -> None:
    assert len(gallery.light["many"].entries) == 3 * 300
    drawn = gallery.pictures["many"].read_text("ascii")
    assert f"and {MANY - 300} more jobs: point at a board" in drawn


def _rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[place : place + 2], 16)) for place in (1, 3, 5))})"
