"""Sums of amounts, exact: of decimals, and of the decimals that float64 values stand for.

The plain sum of sixty floats is off in its last digit, and the sum of their sums in another way.
The hour of a strategy must be the same number whether it derives from minutes at this moment or
was rolled up of them exactly, so a sum of floats is the float64 that is nearest to the exact sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import Final

import numpy as np

from app.core.market.klines import Floats, Times
from app.core.money import INTEGER_DIGITS, ZERO

#: What is no amount any more: see ``app.core.money``.
TOO_LARGE: Final = 10**INTEGER_DIGITS
# Decimals of the volumes of venues: eight, more of dear things, fewer of cheap ones.
_DECIMALS: Final = (8, 12, 3, 0)
# A float times a power of ten was rounded twice: below this it is off by less than an eighth.
_SAFE: Final = 2.0**49
# Every integer below this is a float64.
_WHOLE: Final = 2**53


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum of amounts."""
    # The default context keeps 28 digits; a sum of DECIMAL(36,18) may need more.
    with localcontext(prec=60):
        return sum(values, ZERO)


def sums(values: Floats, first: Times) -> Floats:
    """The exact sum of each group of values, as the nearest float64.

    Each value stands for the shortest decimal that it is the nearest float64 of; for an amount of
    at most 15 digits that is the amount.

    Args:
        first: where each group begins; it ends where the next one does.
    """
    found = np.zeros(len(first))
    waiting = np.ones(len(first), np.bool_)
    for decimals in _DECIMALS if len(first) else ():
        scale = 10.0**decimals
        scaled = np.rint(values * scale)
        fits = (np.abs(scaled) < _SAFE) & (scaled / scale == values)
        can = np.logical_and.reduceat(fits, first) & waiting
        if can.any():
            units = np.add.reduceat(np.where(fits, scaled, 0).astype(np.int64), first)
            found[can] = _divided(units[can], 10**decimals)
            waiting &= ~can
        if not waiting.any():
            return found
    stops = np.append(first, len(values))[1:]
    for group in np.flatnonzero(waiting):
        part = values[first[group] : stops[group]].tolist()
        found[group] = float(total(Decimal(repr(value)) for value in part))
    return found


def _divided(units: Times, scale: int) -> Floats:
    """Integers over a power of ten, each rounded once."""
    if bool(np.all(np.abs(units) < _WHOLE)):
        return units / float(scale)
    return np.array([each / scale for each in units.tolist()])
