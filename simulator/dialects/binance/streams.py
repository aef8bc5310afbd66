"""Binance's market streams: who listens to what, and what they are sent as time moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import orjson
from aiohttp import web

from app.core.market.intervals import INTERVALS
from simulator.dialects.binance import events
from simulator.faults import Faults
from simulator.market import Book, Market
from simulator.sockets import Connection, refuse_offline, texts
from simulator.trades import trades_between
from simulator.venue import Venue

_SECOND: Final = 1_000
# Trades older than this are not sent after a long step; nobody could have read them in time.
_TRADE_SPAN_MS: Final = 60_000
_PLAIN: Final = frozenset({"miniTicker", "ticker", "bookTicker", "trade", "aggTrade"})
_DEPTHS: Final = frozenset({"depth", "depth@100ms", "depth@1000ms"})


class Streams:
    """The market streams of one venue."""

    def __init__(self, venue: Venue, faults: Faults) -> None:
        self._venue = venue
        self._faults = faults
        self._listeners: dict[str, dict[Connection, bool]] = {}
        self._books: dict[str, Book] = {}
        # Start of the stretch that is not published yet; None if all of it is.
        self._begun: int | None = None
        venue.on_step.append(self._step)
        venue.audiences.append(lambda: bool(self._listeners))

    def add_routes(self, app: web.Application) -> None:
        """Mount the streams where clients look for them."""
        for path in ("/stream", "/ws", "/stream/ws"):
            app.router.add_get(path, self._serve)
            app.router.add_get(path + "/{rest:.*}", self._serve)

    # -- one client -----------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        refuse_offline(self._venue)
        socket = web.WebSocketResponse(autoping=True, compress=False)
        await socket.prepare(request)
        connection = Connection(socket, self._faults)
        self._venue.on_offline.append(connection.cut)
        path = request.path.removeprefix("/stream").strip("/")
        combined = not path.startswith("ws")
        names = _named(path.removeprefix("ws").strip("/"))
        names += _named(request.query.get("streams", ""))
        self._subscribe(connection, names, combined=combined)
        writer = asyncio.create_task(self._write(connection, socket))
        try:
            async for message in texts(socket):
                self._answer(connection, message, combined=combined)
        finally:
            self._venue.on_offline.remove(connection.cut)
            self._leave(connection)
            writer.cancel()
        return socket

    async def _write(self, connection: Connection, socket: web.WebSocketResponse) -> None:
        await connection.write()
        self._leave(connection)
        await socket.close()

    def _answer(
        self, connection: Connection, message: dict[str, Any] | None, *, combined: bool
    ) -> None:
        if message is None:
            connection.send({"error": {"code": 3, "msg": "Invalid JSON: expected value"}})
            return
        number, method = message.get("id"), message.get("method")
        names = message.get("params", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            connection.send(_error(2, "Invalid request: invalid params", number))
        elif method == "SUBSCRIBE":
            self._subscribe(connection, names, combined=combined)
            connection.send({"result": None, "id": number})
        elif method == "UNSUBSCRIBE":
            self._unsubscribe(connection, names)
            connection.send({"result": None, "id": number})
        elif method == "LIST_SUBSCRIPTIONS":
            connection.send({"result": self._of(connection), "id": number})
        else:
            connection.send(_error(2, "Invalid request: unknown method", number))

    def _subscribe(self, connection: Connection, names: list[str], *, combined: bool) -> None:
        for name in names:
            found = self._parse(name)
            if found is not None and found[1] in _DEPTHS and name not in self._listeners:
                self._remember_book(name, found[0])
            # The venue takes names that it does not know, and never sends anything for them.
            self._listeners.setdefault(name, {})[connection] = combined

    def _unsubscribe(self, connection: Connection, names: list[str]) -> None:
        for name in names:
            listeners = self._listeners.get(name, {})
            listeners.pop(connection, None)
            if not listeners:
                self._listeners.pop(name, None)
                self._books.pop(name, None)

    def _leave(self, connection: Connection) -> None:
        self._unsubscribe(connection, self._of(connection))

    def _of(self, connection: Connection) -> list[str]:
        return [name for name, listeners in self._listeners.items() if connection in listeners]

    # -- publishing -----------------------------------------------------------------------

    def _step(self, before: int, now: int, is_last: bool) -> None:
        """Publish a step of the tape: at most once in a market second, closed bars at once."""
        begun = before if self._begun is None else self._begun
        if now // _SECOND == begun // _SECOND:
            self._begun = begun
            return
        self._begun = None
        for name in list(self._listeners):
            found = self._parse(name)
            if found is None:
                continue
            for event in self._events(name, *found, begun, now, is_last=is_last):
                self._send(name, event)

    def _send(self, name: str, event: dict[str, Any]) -> None:
        plain = orjson.dumps(event).decode()
        wrapped = f'{{"stream":"{name}","data":{plain}}}'
        kind = str(event.get("e", "bookTicker"))
        for connection, combined in list(self._listeners.get(name, {}).items()):
            connection.publish(wrapped if combined else plain, name, kind)

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


def _named(text: str) -> list[str]:
    """Streams named in a path or query; ccxt's running number is none."""
    return [name for name in text.split("/") if "@" in name]


def _error(code: int, text: str, number: Any) -> dict[str, Any]:
    return {"error": {"code": code, "msg": text}, "id": number}
