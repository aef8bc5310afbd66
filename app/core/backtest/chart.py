"""A line as braille dots: two columns and four rows of dots for each character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.core.market.klines import Floats

_BLANK: Final = 0x2800
# Dot bits of one braille character by (row from the top, column).
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def braille(values: Floats, width: int, height: int) -> list[str]:
    """Lines of text, the top one first, that draw ``values`` over their own range.

    Args:
        values: at least one; thinned to the lowest and highest value of each dot column, so
            that no drawdown is lost.
        width, height: characters.
    """
    columns, rows = width * 2, height * 4
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    cells = [[_BLANK] * width for _ in range(height)]
    for column, (bottom, top) in enumerate(_extremes(values, columns)):
        first = round((bottom - low) / span * (rows - 1))
        last = round((top - low) / span * (rows - 1))
        for level in range(first, last + 1):
            row = rows - 1 - level
            cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    return ["".join(map(chr, line)) for line in cells]


def _extremes(values: Floats, columns: int) -> Sequence[tuple[float, float]]:
    """Lowest and highest value of each of ``columns`` equal parts; neighbours are joined."""
    edges = np.linspace(0, len(values), columns + 1)
    parts = []
    for column in range(columns):
        first = min(int(edges[column]), len(values) - 1)
        part = values[first : max(int(edges[column + 1]), first + 1)]
        parts.append((float(part.min()), float(part.max())))
    for column in range(1, columns):
        (below, above), (low, high) = parts[column - 1], parts[column]
        # A jump between two columns is drawn as a line, not as a gap.
        if low > above:
            parts[column] = (above, high)
        elif high < below:
            parts[column] = (low, below)
    return parts
