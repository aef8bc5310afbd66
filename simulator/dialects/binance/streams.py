"""Binance spot's market streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
from aiohttp import web

from app.core.market.intervals import INTERVALS
from simulator.book import Book
from simulator.dialects.binance import events
from simulator.dialects.binance.named import NamedStreams
from simulator.faults import Faults
from simulator.market import Market
from simulator.sockets import Connection
from simulator.trades import trades_between
from simulator.venue import Venue

# Trades older than this are not sent after a long step; nobody could have read them in time.
_TRADE_SPAN_MS: Final = 60_000
_PLAIN: Final = frozenset({"miniTicker", "ticker", "bookTicker", "trade", "aggTrade"})
_DEPTHS: Final = frozenset({"depth", "depth@100ms", "depth@1000ms"})
_PATHS: Final = ("/stream", "/ws", "/stream/ws")


class Streams(NamedStreams):
    """The market streams of one venue."""

    def __init__(self, venue: Venue, faults: Faults) -> None:
        super().__init__(venue, faults, _PATHS)
        self._books: dict[str, Book] = {}

    def _stem(self, request: web.Request) -> str:
        # ccxt needs /stream in the address even where it wants frames plain: /stream/ws.
        path = request.path
        return path.removeprefix("/stream") if path.startswith("/stream/ws") else path

    def _subscribe(self, connection: Connection, name: str, *, is_wrapped: bool = False) -> None:
        found = self._parse(name)
        if found is not None and found[1] in _DEPTHS and name not in self._listeners:
            self._remember_book(name, found[0])
        super()._subscribe(connection, name, is_wrapped=is_wrapped)

    def _forgotten(self, name: str) -> None:
        self._books.pop(name, None)

    def _frames(
        self, name: str, before: int, now: int, *, is_last: bool
    ) -> Iterator[tuple[str, str]]:
        found = self._parse(name)
        if found is None:
            return
        for event in self._events(name, *found, before, now, is_last=is_last):
            yield str(event.get("e", "bookTicker")), orjson.dumps(event).decode()

    def _events(
        self, name: str, market: Market, channel: str, before: int, now: int, *, is_last: bool
    ) -> Iterator[dict[str, Any]]:
        if channel.startswith("kline_"):
            interval = INTERVALS[channel.removeprefix("kline_")]
            yield from events.klines(market, interval, before, now, is_last=is_last)
            return
        if not is_last or market.price(now) is None:
            return
        if channel in ("trade", "aggTrade"):
            make = events.trade if channel == "trade" else events.agg_trade
            for item in trades_between(market, max(before, now - _TRADE_SPAN_MS), now):
                yield make(market, item, now)
        elif channel in _DEPTHS:
            yield from self._depth(name, market, now)
        elif channel == "bookTicker":
            book = market.book(now)
            if book is not None:
                yield events.book_ticker(market, now, book.update_id)
        elif channel == "ticker":
            yield events.ticker(market, now)
        else:
            yield events.mini_ticker(market, now)

    def _depth(self, name: str, market: Market, now: int) -> Iterator[dict[str, Any]]:
        last, book = self._books.get(name), market.book(now)
        if book is None:
            return
        self._books[name] = book
        if last is not None and last.update_id != book.update_id:
            yield events.depth_update(market, last, book, now)

    def _remember_book(self, name: str, market: Market) -> None:
        book = market.book(self._venue.clock.now())
        if book is not None:
            self._books[name] = book

    def _parse(self, name: str) -> tuple[Market, str] | None:
        native, at, channel = name.partition("@")
        market = self._venue.by_native.get(native.upper())
        if market is None or not at:
            return None
        is_kline = channel.startswith("kline_") and channel.removeprefix("kline_") in INTERVALS
        known = is_kline or channel in _PLAIN or channel in _DEPTHS
        return (market, channel) if known else None
