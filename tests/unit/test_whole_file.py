"""Files that are there whole, or as they were before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from spalloc_gevent.scripts.whole_file import write_whole


def test_content_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write_whole(str(tmp_path / "file"), content)
        assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_stays_and_what_it_leads_to_changes(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    write_whole(str(tmp_path / "link"), b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"


def test_a_failure_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "no luck")

    (tmp_path / "file").write_bytes(b"before")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no luck"):
        write_whole(str(tmp_path / "file"), b"after")
    assert (tmp_path / "file").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
