"""Numbers with their units, as people read them."""

from __future__ import annotations

_SMALLER = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


def told(value: float, unit: str) -> str:
    """Three digits where they say something; ``x`` is a ratio, ``""`` a number of things."""
    if unit == "s":
        return _seconds(value)
    if unit == "x":
        return _digits(value)
    if unit == "":
        return f"{value:,.0f}"
    if unit == "KiB" and abs(value) >= 10_240:
        return f"{value * 1024 / 1e6:,.0f} MB"
    return f"{_digits(value)} {unit}"


def _seconds(value: float) -> str:
    size, name = next((s for s in _SMALLER if abs(value) >= s[0]), _SMALLER[-1])
    if value == 0:
        size, name = _SMALLER[0]
    return f"{_digits(value / size)} {name}"


def _digits(value: float) -> str:
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    text = f"{value:,.{decimals}f}"
    return f"{value:,.0f}" if float(value).is_integer() else text
