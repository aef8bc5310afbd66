"""Latest prices in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from app.core.market.quotes import MarketData

_log = structlog.get_logger(__name__)
TickHandler = Callable[[MarketData], None]
_Key = tuple[str, str]

#: For so long a price keeps those of an earlier time away, which were late on their way. After
#: that it gives way to any: one with a time of next year would be the latest for a year.
ORDERED_S: Final = 10.0


class TickHandlers:
    """Who listens to which symbol. Safe for threads."""

    def __init__(self) -> None:
        self._handlers: dict[_Key, dict[int, TickHandler]] = {}
        self._lock = threading.Lock()
        self._next = 0

    def add(self, exchange: str, symbol: str, handler: TickHandler) -> Callable[[], None]:
        """Listen; returns how to stop."""
        key = (exchange, symbol)
        with self._lock:
            token, self._next = self._next, self._next + 1
            self._handlers.setdefault(key, {})[token] = handler

        def stop() -> None:
            with self._lock:
                listening = self._handlers.get(key, {})
                listening.pop(token, None)
                if not listening:
                    self._handlers.pop(key, None)

        return stop

    def symbols(self) -> set[_Key]:
        """(exchange, symbol) of everyone who listens."""
        with self._lock:
            return set(self._handlers)

    def give(self, price: MarketData) -> None:
        """Call the handlers of a price's symbol; a failing one disturbs nobody."""
        with self._lock:
            handlers = list(self._handlers.get((price.exchange, price.symbol), {}).values())
        for handler in handlers:
            try:
                handler(price)
            except Exception:  # noqa: BLE001 - logged in full; the others listen too
                _log.exception("tick_handler_failed", symbol=price.symbol)


class InProcessPriceCache:
    """Latest price of each symbol, in memory; implements ``PriceCache`` and ``Ticks``.

    Safe for threads. Handlers of ticks run in the thread that puts the price.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._prices: dict[_Key, tuple[MarketData, float]] = {}
        self._lock = threading.Lock()
        self._handlers = TickHandlers()

    def put(self, price: MarketData) -> None:
        """Keep a price unless a newer one has just come, and give it to who listens."""
        key, now = (price.exchange, price.symbol), self._monotonic()
        with self._lock:
            known, came = self._prices.get(key, (price, now))
            if price.timestamp < known.timestamp and now - came < ORDERED_S:
                return
            self._prices[key] = (price, now)
        self._handlers.give(price)

    def get(self, exchange: str, symbol: str) -> MarketData | None:
        """The latest price, whatever its age."""
        known = self._prices.get((exchange, symbol))
        return None if known is None else known[0]

    def subscribe(self, exchange: str, symbol: str, handler: TickHandler) -> Callable[[], None]:
        """Call ``handler`` with each new price of a symbol; returns how to stop."""
        return self._handlers.add(exchange, symbol, handler)
