"""How colours are seen, and how well one can be told from another."""

from __future__ import annotations

from collections.abc import Sequence

LEAST_CONTRAST = 4.5
"""Of text and what it stands on: WCAG 2, level AA."""

Matrix = Sequence[tuple[float, float, float]]

# Machado, Oliveira and Fernandes (2009), severity 1.0, for linear RGB.
SIGHTS: dict[str, Matrix] = {
    "full": [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "protanopia": [
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ],
    "deuteranopia": [
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ],
    "tritanopia": [
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ],
}


def linear(colour: str) -> list[float]:
    shares = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    ]


def seen_as(colour: str, sight: Matrix) -> tuple[float, float, float]:
    """The colour in CIE Lab, as somebody sees it."""
    parts = linear(colour)
    red, green, blue = (
        min(1.0, max(0.0, sum(a * b for a, b in zip(row, parts, strict=True)))) for row in sight
    )
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    a, b, c = (
        part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z)
    )
    return 116 * b - 16, 500 * (a - b), 200 * (b - c)


def contrast(one: str, other: str) -> float:
    weights = (0.2126, 0.7152, 0.0722)
    dark, light = sorted(
        sum(a * b for a, b in zip(weights, linear(colour), strict=True)) for colour in (one, other)
    )
    return (light + 0.05) / (dark + 0.05)
