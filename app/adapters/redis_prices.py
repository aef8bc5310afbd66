"""Live prices that all processes share: ``price:{exchange}:{symbol}`` in Redis, and ticks.

Each process keeps what it saw (L1) and asks Redis (L2) when that is older than a moment. Redis is
only the faster way to hear of a price: slow, away, read-only, flushed or full of garbage it is a
miss, and what the process saw itself still counts. The venue's timestamp decides which of two
prices is the newer one, everywhere.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import structlog

from app.adapters.prices import ORDERED_S, TickHandler, TickHandlers
from app.adapters.redis_link import RedisAway, RedisLink
from app.adapters.redis_ticks import RedisTicks
from app.core.market.quotes import MarketData

_log = structlog.get_logger(__name__)

# A price of five minutes ago serves nobody: readers fall back to the last close.
_TTL_MS: Final = 300_000
_ORDERED_TTL_MS: Final = _TTL_MS - round(ORDERED_S * 1000)
# What was seen within this time is not asked for again.
_FRESH_S: Final = 0.2

# KEYS: the price. ARGV: the price as JSON, its timestamp, its life (ms), the channel of its ticks,
# and the rest of a price's life after which it gives way to any.
_SCRIPT: Final = """
local known = redis.pcall('GET', KEYS[1])
if type(known) == 'table' and known.err then
  redis.call('DEL', KEYS[1])
  known = false
end
if known then
  local readable, price = pcall(cjson.decode, known)
  if readable and type(price) == 'table' and type(price.timestamp) == 'number'
      and price.timestamp > tonumber(ARGV[2])
      and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[5]) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[1])
return 1
"""


@dataclass(slots=True)
class _Seen:
    """A price, when it came, and when Redis was last asked whether it is the latest."""

    price: MarketData
    came: float
    at: float


class RedisPrices:
    """Implements ``PriceCache`` and ``Ticks``. Safe for threads; survives a fork.

    ``put`` never waits: a thread writes the latest price of each symbol behind it, so a symbol
    that ticks faster than Redis writes is conflated. ``get`` waits for Redis at most about 50 ms.
    """

    def __init__(self, url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._reader = RedisLink(url, name="price-reader")
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._lock = threading.Lock()
        self._handlers = TickHandlers()
        self._writer = _Writer(url)
        self._ticks = RedisTicks(url, self._handlers, self._heard)

    def put(self, price: MarketData) -> None:
        """Keep a price unless a newer one is known, and tell the other processes."""
        if self._accept(price):
            self._writer.write(price)
            self._handlers.give(price)

    def get(self, exchange: str, symbol: str) -> MarketData | None:
        """The latest price, whatever its age."""
        key = (exchange, symbol)
        with self._lock:
            seen = self._seen.get(key)
        if seen is not None and self._monotonic() - seen.at < _FRESH_S:
            return seen.price
        try:
            text = self._reader.call(lambda client: client.get(_key(exchange, symbol)))
        except RedisAway:
            return seen.price if seen is not None else None
        shared = price_of(text, exchange, symbol)
        if shared is not None and self._accept(shared, is_news=False):
            self._handlers.give(shared)
        with self._lock:
            seen = self._seen.get(key)
            if seen is not None:
                seen.at = self._monotonic()
            return seen.price if seen is not None else None

    def subscribe(self, exchange: str, symbol: str, handler: TickHandler) -> Callable[[], None]:
        """Call ``handler`` with each new price of a symbol; returns how to stop.

        Prices that this process puts come in the thread that puts them, others in one thread.
        """
        stop = self._handlers.add(exchange, symbol, handler)
        self._ticks.follow()
        return stop

    def close(self) -> None:
        """Write what waits, and let go of threads and connections."""
        self._writer.close()
        self._ticks.close()
        self._reader.close()

    def _heard(self, text: bytes, exchange: str, symbol: str) -> None:
        price = price_of(text, exchange, symbol)
        if price is not None and self._accept(price):
            self._handlers.give(price)

    def _accept(self, price: MarketData, *, is_news: bool = True) -> bool:
        """Keep a price in this process; False if it is no news.

        Args:
            is_news: it has just come. What Redis still holds may be of long ago, and never takes
                the place of a later price.
        """
        key, now = (price.exchange, price.symbol), self._monotonic()
        with self._lock:
            seen = self._seen.get(key)
            if seen is not None and price == seen.price:
                seen.at = now
                return False
            is_older = seen is not None and price.timestamp < seen.price.timestamp
            if seen is not None and is_older and (not is_news or now - seen.came < ORDERED_S):
                return False
            self._seen[key] = _Seen(price, came=now, at=now)
            return True


class _Writer:
    """Writes the latest price of each symbol from a thread, which starts with the first."""

    def __init__(self, url: str) -> None:
        self._link = RedisLink(url, name="price-writer", step_s=0.5)
        self._script = self._link.client.register_script(_SCRIPT)
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._waiting: dict[tuple[str, str], MarketData] = {}
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def write(self, price: MarketData) -> None:
        """Write a price soon; an older one of the symbol that still waits is left out."""
        if self._pid != os.getpid():
            self._reset()
        with self._change:
            if self._stopping:
                return
            self._waiting[price.exchange, price.symbol] = price
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="price-writer", daemon=True)
                self._thread.start()
            self._change.notify()

    def close(self) -> None:
        """Write what waits, for a bounded time, and end the thread."""
        with self._change:
            self._stopping = True
            self._change.notify()
            thread = self._thread
        if thread is not None and self._pid == os.getpid():
            thread.join(2.0)
        self._link.close()

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._stopping)
                prices, self._waiting = list(self._waiting.values()), {}
            if not prices:
                return
            try:
                self._link.call(lambda client, prices=prices: self._send(client, prices))  # type: ignore[misc]
            except RedisAway:
                continue  # the next price is the better one anyway

    def _send(self, client: Any, prices: list[MarketData]) -> None:
        with client.pipeline(transaction=False) as pipe:
            for price in prices:
                channel = f"ticks:{price.exchange}:{price.symbol}"
                self._script(
                    keys=[_key(price.exchange, price.symbol)],
                    args=[text_of(price), price.timestamp, _TTL_MS, channel, _ORDERED_TTL_MS],
                    client=pipe,
                )
            pipe.execute()


def _key(exchange: str, symbol: str) -> str:
    return f"price:{exchange}:{symbol}"


def text_of(price: MarketData) -> str:
    """A price as JSON; numbers are exact decimal text."""

    def text(number: Decimal | None) -> str | None:
        return None if number is None else format(number, "f")

    return json.dumps(
        {
            "exchange": price.exchange,
            "symbol": price.symbol,
            "timestamp": price.timestamp,
            "price": text(price.price),
            "bid": text(price.bid),
            "ask": text(price.ask),
            "volume_24h": text(price.volume_24h),
        },
        ensure_ascii=False,
    )


def price_of(text: object, exchange: str, symbol: str) -> MarketData | None:
    """The price that Redis holds for a symbol; None for anything else that it may hold."""
    if not isinstance(text, (bytes, str)):
        return None
    try:
        document = json.loads(text)
        found = (document["exchange"], document["symbol"])
        timestamp = document["timestamp"]
        if found != (exchange, symbol) or type(timestamp) is not int or timestamp <= 0:
            raise ValueError("it is another price")
        return MarketData(
            exchange=exchange,
            symbol=symbol,
            timestamp=timestamp,
            price=_positive(document["price"]),
            bid=_optional(document["bid"]),
            ask=_optional(document["ask"]),
            volume_24h=_amount(document["volume_24h"]),
        )
    except (ValueError, TypeError, KeyError, InvalidOperation, RecursionError) as error:
        _log.warning("price_not_readable", symbol=symbol, error=type(error).__name__)
        return None


def _positive(text: object) -> Decimal:
    number = _amount(text)
    if number is None or number == 0:
        raise ValueError("a price is above 0")
    return number


def _optional(text: object) -> Decimal | None:
    return None if text is None else _positive(text)


def _amount(text: object) -> Decimal | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError("a number was not written as text")
    number = Decimal(text)
    if not number.is_finite() or number < 0:
        raise ValueError("a number was negative or not finite")
    return number
