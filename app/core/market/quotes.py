"""The present price of a symbol: best bid and ask, and the order book."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class MarketData:
    """A live price of one symbol.

    Attributes:
        timestamp: the venue's time of the price, ms.
        volume_24h: base units traded in the last 24 hours, or None where unknown.
    """

    exchange: str
    symbol: str
    timestamp: int
    price: Decimal
    bid: Decimal | None
    ask: Decimal | None
    volume_24h: Decimal | None


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Levels of an order book as (price, quantity in base units), best first.

    Attributes:
        sequence: the venue's update id of this state.
    """

    exchange: str
    symbol: str
    sequence: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
