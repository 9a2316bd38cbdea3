"""Keeps what this machine is set up for away from tests."""

from __future__ import annotations

import os
import uuid

import pytest


def forget_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Until `monkeypatch` is undone: no SPALLOC_* variables, and nobody's configuration files."""
    for name in [name for name in os.environ if name.startswith("SPALLOC_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
        monkeypatch.setenv(name, str(home))
    # Of each test's own: what is kept of a server would be taken for that of the next on its port.
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / uuid.uuid4().hex))
