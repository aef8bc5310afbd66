"""Latest prices in this process."""

from __future__ import annotations

import threading

from app.core.market.quotes import MarketData


class InProcessPriceCache:
    """Latest price of each symbol, in memory; implements ``PriceCache``. Safe for threads."""

    def __init__(self) -> None:
        self._prices: dict[tuple[str, str], MarketData] = {}
        self._lock = threading.Lock()

    def put(self, price: MarketData) -> None:
        """Keep a price unless a newer one is known."""
        key = (price.exchange, price.symbol)
        with self._lock:
            known = self._prices.get(key)
            if known is None or price.timestamp >= known.timestamp:
                self._prices[key] = price

    def get(self, exchange: str, symbol: str) -> MarketData | None:
        """The latest price, whatever its age."""
        return self._prices.get((exchange, symbol))
