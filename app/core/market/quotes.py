"""The present price of a symbol: best bid and ask, and the order book."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

# A venue's time is known here to a second or two.
_AHEAD_MS: Final = 5_000


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


def is_ahead(timestamp: int, now_ms: int) -> bool:
    """Whether a price has a time that has not come yet, and is none: a broken clock, or garbage.

    Args:
        now_ms: the venue's market time.
    """
    return timestamp - now_ms > _AHEAD_MS


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
