"""Histories that are not bars: one exact value at a time."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple


class FundingRate(NamedTuple):
    """What longs paid shorts at one funding time of a perpetual.

    Attributes:
        ts: the venue's time of the payment, ms; some venues state it milliseconds off the hour.
        rate: part of the position's value, as in ``0.0001``; negative where shorts paid.
        mark_price: price that the payment was valued at, or None where the venue does not say.
    """

    ts: int
    rate: Decimal
    mark_price: Decimal | None = None


class OpenInterest(NamedTuple):
    """How much of a perpetual was open at one time.

    Attributes:
        ts: time of the observation, ms.
        quantity: base units.
        value: quote units, or None where the venue does not say.
    """

    ts: int
    quantity: Decimal
    value: Decimal | None = None
