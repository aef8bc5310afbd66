"""The order book of a market second: noise around a price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from simulator import noise
from simulator.instruments import DECIMALS, Spec
from simulator.noise import Ints

BOOK_LEVELS: Final = 100
# With no spread the first level holds everything: a market order fills at exactly the price.
_BOTTOMLESS: Final = 10**6


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """The order book of one market second.

    Attributes:
        update_id: grows with market time; the same second has the same id and levels.
        bids, asks: (prices, quantities), best first, in counts of the units below.
    """

    update_id: int
    bids: tuple[Ints, Ints]
    asks: tuple[Ints, Ints]
    price_decimals: int
    volume_decimals: int

    def levels(self, *, asks: bool, limit: int = BOOK_LEVELS) -> list[tuple[Decimal, Decimal]]:
        """(price, quantity) of one side, best first."""
        prices, sizes = self.asks if asks else self.bids
        return [
            (
                Decimal(int(price)).scaleb(-self.price_decimals),
                Decimal(int(size)).scaleb(-self.volume_decimals),
            )
            for price, size in zip(prices[:limit], sizes[:limit], strict=True)
        ]


class BookMaker:
    """Makes the books of one instrument.

    Args:
        key: of the noise.
        spread_bps: mean bid-ask spread in basis points; 0 makes both sides meet at the price.
    """

    def __init__(self, key: int, spread_bps: float) -> None:
        self._key = key
        self._spread = spread_bps / 10_000

    def made(self, spec: Spec, price: Decimal, second: int, update_id: int, typical: int) -> Book:
        """The book of a market second.

        Args:
            typical: base units of an ordinary minute, as counts of 10^-8.
        """
        tick = spec.tick_units
        units = int(price.scaleb(DECIMALS))
        key = noise.key(self._key, second)
        bid, ask = self._touch(units, tick, noise.uniform(key, 0))
        scale = typical / spec.step_units / 8
        return Book(
            update_id,
            self._side(key ^ 1, bid, -tick, scale, spec.step_units),
            self._side(key ^ 2, ask, tick, scale, spec.step_units),
            DECIMALS,
            DECIMALS,
        )

    def _touch(self, units: int, tick: int, draw: float) -> tuple[int, int]:
        if self._spread == 0:
            return units, units
        half = units * self._spread * (0.25 + 0.5 * draw)
        bid = int((units - half) // tick) * tick
        ask = -int(-(units + half) // tick) * tick
        return max(bid, tick), max(ask, bid + tick)

    def _side(self, key: int, best: int, tick: int, scale: float, step: int) -> tuple[Ints, Ints]:
        positions = np.arange(BOOK_LEVELS, dtype=np.int64)
        jumps = 1 + (noise.uniforms(key, positions) ** 3 * 6).astype(np.int64)
        jumps[0] = 0
        prices = best + tick * np.cumsum(jumps)
        sizes = scale * np.exp(noise.normals(key ^ 4, positions))
        steps = np.maximum(1, sizes.astype(np.int64))
        if self._spread == 0:
            steps[0] = min((1 << 62) // step, max(int(steps[0]), int(scale * _BOTTOMLESS)))
        kept = prices > 0
        return prices[kept], (steps * step)[kept]
