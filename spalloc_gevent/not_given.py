"""What stands for an argument that the caller has not given, where None is a value."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final


class NotGiven(enum.Enum):
    """An enum of one member, so that type checkers narrow what ``is not NOT_GIVEN``."""

    NOT_GIVEN = enum.auto()
    """The default of a keyword for which the configuration counts, or nothing."""

    def __repr__(self) -> str:
        return "<not given>"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN


def given(arguments: Mapping[str, object], names: Iterable[str]) -> dict[str, Any]:
    """Those of a function's arguments that its caller has given.

    The text ``"USE_CONFIG"`` stands for none as well: it is the default in ``spalloc`` 1!7.4, and
    functions around its ``Job`` pass it on.

    Args:
        arguments: all of them by name: ``locals()``, in the first line of the function.
        names: which of them are looked for.

    Returns:
        The values, by name.
    """
    return {
        name: arguments[name]
        for name in names
        if arguments[name] is not NOT_GIVEN and arguments[name] != "USE_CONFIG"
    }
