"""Prices on their way from the sockets to the cache: the latest of each symbol, no queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from app.core.market.quotes import MarketData
from app.core.ports import PriceCache
from app.services.streams.leases import Lease
from app.services.streams.lines import Tools

_log = structlog.get_logger(__name__)


class PriceWriter:
    """Puts prices into the cache. A slow cache sees fewer of them, never older ones.

    Args:
        listener: is told of the prices that were put; blocks, in the same thread.
    """

    def __init__(
        self,
        cache: PriceCache,
        tools: Tools,
        listener: Callable[[Sequence[MarketData]], object],
    ) -> None:
        self._cache = cache
        self._tools = tools
        self._listener = listener
        self._latest: dict[tuple[str, str], tuple[MarketData, Lease]] = {}
        self._arrived = asyncio.Event()

    def put(self, price: MarketData, lease: Lease) -> None:
        """Take a price in the place of the one before; returns at once."""
        self._latest[price.exchange, price.symbol] = (price, lease)
        self._arrived.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._latest = list(self._latest.values()), {}
            try:
                await self._tools.blocking(self._write, batch)
            except Exception as error:  # noqa: BLE001 - the next price comes within a second
                _log.warning("prices_not_kept", prices=len(batch), why=type(error).__name__)

    def _write(self, batch: list[tuple[MarketData, Lease]]) -> None:
        now = self._tools.now()
        kept = [price for price, lease in batch if lease.is_valid(now)]
        for price in kept:
            self._cache.put(price)
        self._listener(kept)
