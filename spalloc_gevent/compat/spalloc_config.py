"""What users of the existing client import from its ``spalloc_config`` module."""

from __future__ import annotations

from collections.abc import Iterable

from spalloc_gevent.config import SEARCH_PATH as SEARCH_PATH
from spalloc_gevent.config import SECTION as SECTION
from spalloc_gevent.config import Config, Filename, read_config


class SpallocConfig(Config):
    """The value of every option, as an attribute; read when it is made."""

    def __init__(self, filenames: Iterable[Filename] | None = None) -> None:
        """`filenames`: the files to read, lowest priority first; None for :data:`SEARCH_PATH`."""
        super().__init__(**read_config(filenames))
