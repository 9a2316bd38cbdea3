"""What a server must never be sent, refused before it leaves.

The Python server takes bad requests at their word: some become jobs whose ID
the client never learns, one ends the server's only thread (PROTOCOL, hazards
of ``create_job``).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spalloc_gevent.errors import BadTypeError, BadValueError
from spalloc_gevent.wire.commands import COMMANDS

_REQUEST_STYLES = (
    "nothing or 1 for one board, N for at least N boards, WIDTH HEIGHT in triads, "
    "or X Y Z for the board there"
)


def as_int(value: object, name: str) -> int:
    """`value` as a whole number; bool and float are refused, numpy's integers taken."""
    if isinstance(value, bool):
        raise BadTypeError(f"{name} must be a whole number, not {value!r}")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise BadTypeError(f"{name} must be a whole number, not {value!r}") from None


def at_least(value: object, least: int, name: str) -> int:
    """`value` as a whole number; ValueError when it is below `least`."""
    number = as_int(value, name)
    if number < least:
        raise BadValueError(f"{name} must be {least} or more, not {number}")
    return number


def as_port(port: int | str) -> int:
    """A TCP port, as a number."""
    try:
        number = int(port) if isinstance(port, str) else as_int(port, "port")
    except ValueError:
        raise BadValueError(f"port must be a number from 1 to 65535, not {port!r}") from None
    if not 1 <= number <= 65535:
        raise BadValueError(f"port must be a number from 1 to 65535, not {port!r}")
    return number


def as_number(value: object, name: str) -> float:
    """`value` as a finite number; bool and text are refused."""
    try:
        number = math.nan if isinstance(value, bool | str | bytes) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        raise (BadValueError if is_number else BadTypeError)(
            f"{name} must be a finite number, not {value!r}"
        )
    return number


def plain_number(value: object, name: str) -> int | float:
    """`value` as :func:`as_number`, and an int as it is: it is shown as it was given."""
    return value if type(value) is int else as_number(value, name)


def make_plain(instance: object, convert: Callable[[object, str], object], *names: str) -> None:
    """Have fields of a dataclass, also of a frozen one, be plain numbers.

    Args:
        instance: what has them.
        convert: :func:`as_int`, :func:`as_number` or the like.
        names: the fields; None stays None.
    """
    for name in names:
        value = getattr(instance, name)
        if value is not None:
            object.__setattr__(instance, name, convert(value, name))


def check_size(numbers: Sequence[object]) -> tuple[int, ...]:
    """The positional arguments of ``create_job``, each checked for its place."""
    if len(numbers) > 3:
        raise BadValueError(f"{len(numbers)} numbers given ({_listed(numbers)}): {_REQUEST_STYLES}")
    if len(numbers) == 3:
        return tuple(
            at_least(n, 0, f"board {axis}") for n, axis in zip(numbers, "xyz", strict=True)
        )
    names = ("boards",) if len(numbers) == 1 else ("width in triads", "height in triads")
    return tuple(at_least(n, 1, name) for n, name in zip(numbers, names, strict=False))


def _listed(numbers: Sequence[object]) -> str:
    return ", ".join(map(repr, numbers))


def check_board_z(size: tuple[int, ...]) -> None:
    """Refuse a fourth board in a triad."""
    if len(size) == 3 and size[2] > 2:
        raise BadValueError(f"board z must be 0, 1 or 2 (its place in the triad), not {size[2]}")


def check_create_job(args: Sequence[object], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Raise ValueError or TypeError for a request that the server would not survive or lose.

    Returns the positional arguments as plain integers.
    """
    check_keywords(kwargs)
    size = check_size(args)
    check_board_z(size)
    check_owner(kwargs.get("owner"))
    check_keepalive(kwargs.get("keepalive", 60.0))
    check_tags(kwargs.get("tags"))
    check_machine(kwargs.get("machine"), kwargs.get("tags"))
    check_min_ratio(kwargs.get("min_ratio", 0.333))
    check_limits(kwargs)
    check_torus(size, kwargs.get("require_torus", False))
    return size


def check_keywords(kwargs: Mapping[str, object]) -> None:
    """Refuse what the server does not know: it would keep the job and not tell its ID."""
    known = COMMANDS["create_job"].options
    unknown = sorted(set(kwargs) - set(known))
    if unknown:
        raise BadTypeError(
            f"create_job has no keyword {', '.join(unknown)}; it has {', '.join(known)}"
        )


def check_owner(owner: object) -> None:
    """Refuse a job that nobody would be known to own."""
    if owner is None:
        raise BadValueError(
            "no owner given: pass owner=, set SPALLOC_OWNER, or write `owner = NAME` "
            "in a configuration file"
        )
    if not isinstance(owner, str):
        raise BadTypeError(f"owner must be text, not {owner!r}")
    if not owner.strip():
        raise BadValueError("owner must not be blank; by convention it is an email address")


def check_keepalive(keepalive: object) -> None:
    """Refuse an interval in seconds that has always run out; None is none at all."""
    if keepalive is not None and as_number(keepalive, "keepalive") <= 0:
        raise BadValueError(
            f"keepalive must be more than 0 seconds, or None for none, not {keepalive!r}"
        )


def check_tags(tags: object) -> None:
    """Refuse anything but several texts; a single one is a likely slip."""
    if tags is None:
        return
    if isinstance(tags, str | bytes) or not isinstance(tags, Sequence | set | frozenset):
        raise BadTypeError(f"tags must be a list of text, not {tags!r}")
    for tag in tags:
        if not isinstance(tag, str):
            raise BadTypeError(f"tags must be a list of text; {tag!r} is none")


def check_machine(machine: object, tags: object) -> None:
    """Refuse a machine with tags: the job that such a request leaves kills the server."""
    if machine is not None and not isinstance(machine, str):
        raise BadTypeError(f"machine must be the name of a machine, not {machine!r}")
    if machine is not None and tags is not None:
        raise BadValueError(
            f"machine={machine!r} and tags={tags!r} given: only one of the two may be, "
            "the other must be None"
        )


def check_min_ratio(min_ratio: object) -> None:
    """Refuse a ratio that no shape can have."""
    if not 0.0 <= as_number(min_ratio, "min_ratio") <= 1.0:
        raise BadValueError(
            f"min_ratio must be from 0.0 (any shape) to 1.0 (square), not {min_ratio!r}"
        )


def check_limits(kwargs: Mapping[str, Any]) -> None:
    """Refuse limits to dead boards and links that are no counts."""
    for name in ("max_dead_boards", "max_dead_links"):
        if kwargs.get(name) is not None:
            at_least(kwargs[name], 0, f"{name} (None for any number)")


def check_torus(size: tuple[int, ...], require_torus: object) -> None:
    """Refuse a torus of one board: the server would keep the job and not tell its ID."""
    if not isinstance(require_torus, bool):
        raise BadTypeError(f"require_torus must be True or False, not {require_torus!r}")
    if require_torus and (len(size) in (0, 3) or size == (1,)):
        raise BadValueError(
            "require_torus=True asks for a whole machine: it cannot go with one board"
        )


def check_fits(
    size: Sequence[int], options: Mapping[str, Any], machines: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse a shape that none of the machines meant can hold, as the Java server lays it out.

    Args:
        size: the positional arguments of ``create_job``.
        options: its keywords.
        machines: what ``list_machines`` tells.

    Raises:
        ValueError: none of them can hold it; it names their sizes.
    """
    name, tags = options.get("machine"), set(options.get("tags") or ("default",))
    meant = [m for m in machines if (m["name"] == name if name else tags <= set(m["tags"]))]
    if not meant or any(_fits(size, m["width"], m["height"]) for m in meant):
        return
    what = f"{size[0]} boards" if len(size) == 1 else f"{size[0]} x {size[1]} triads"
    sizes = ", ".join(f"{m['name']} {m['width']} x {m['height']}" for m in meant)
    raise BadValueError(f"no machine can hold {what}; sizes in triads: {sizes}")


def _fits(size: Sequence[int], width: int, height: int) -> bool:
    if len(size) == 2:
        return size[0] <= width and size[1] <= height
    if len(size) != 1 or size[0] == 1:
        return True
    triads = -(-size[0] // 3)
    columns = min(math.isqrt(triads - 1) + 1, width)
    return -(-triads // columns) <= height


WHERE_IS_STYLES: tuple[tuple[str, ...], ...] = (
    ("machine", "x", "y", "z"),
    ("machine", "cabinet", "frame", "board"),
    ("machine", "chip_x", "chip_y"),
    ("job_id", "chip_x", "chip_y"),
)


def check_where_is(kwargs: Mapping[str, object]) -> dict[str, Any]:
    """The question as it is sent; ValueError unless it is one of the four styles.

    A coordinate may be negative or large: the server wraps it around.
    """
    for style in WHERE_IS_STYLES:
        if set(style) == set(kwargs):
            return {name: _where_is_value(name, kwargs[name]) for name in style}
    styles = " or ".join("(" + ", ".join(style) + ")" for style in WHERE_IS_STYLES)
    given = ", ".join(sorted(kwargs)) or "nothing"
    raise BadValueError(f"where_is takes exactly {styles}; given was {given}")


def _where_is_value(name: str, value: object) -> object:
    if name != "machine":
        return as_int(value, name)
    if not isinstance(value, str):
        raise BadTypeError(f"machine must be the name of a machine, not {value!r}")
    return value
