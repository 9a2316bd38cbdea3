"""Which versions of the server this client speaks."""

from __future__ import annotations

import re

from spalloc_gevent.errors import IncompatibleServerError

VERSION_RANGE_START = (0, 1, 0)
"""The oldest version of a server that is used without being told to ignore its version."""
VERSION_RANGE_STOP = (8, 0, 0)
"""The first version of a server that is too new."""

_VERSION = re.compile(r"(?:\d+!)?(\d+(?:\.\d+)*)")


def check_version(version: str, server: str = "the server") -> None:
    """Raise IncompatibleServerError (a ValueError) unless `version` is one this client speaks.

    The epoch of ``1!7.0.0`` is left out: it says how releases are ordered, not
    what they speak.
    """
    found = _VERSION.match(version.strip())
    numbers = tuple(int(part) for part in found[1].split(".")) if found else ()
    if not found or not VERSION_RANGE_START <= (*numbers, 0, 0)[:3] < VERSION_RANGE_STOP:
        raise IncompatibleServerError(
            f"the version of {server} is {version!r}; this client speaks "
            f"{_dotted(VERSION_RANGE_START)} up to, not including, {_dotted(VERSION_RANGE_STOP)} "
            "(ignore_version=True tries all the same)"
        )


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
