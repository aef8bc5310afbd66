"""Bybit's public WebSockets: klines and tickers of a category."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import orjson
from aiohttp import web

from app.core.market.intervals import Interval
from app.core.money import canonical
from simulator.bars import Bars
from simulator.dialects.broadcast import Broadcast, bars_of_step
from simulator.dialects.bybit import instruments
from simulator.dialects.bybit.bars import NAMES
from simulator.dialects.bybit.instruments import SPOT, Instrument
from simulator.dialects.bybit.tickers import ticker_row
from simulator.dialects.pages import Grid
from simulator.dialects.web import VenueError
from simulator.faults import Faults
from simulator.noise import key
from simulator.sockets import Connection, decoded
from simulator.venue import Venue

_KLINE: Final = "kline"
_TICKERS: Final = "tickers"
# A spot ticker has no best prices; those are on the book's stream.
_NOT_IN_SPOT: Final = ("bid1Price", "bid1Size", "ask1Price", "ask1Size")


class BybitStreams(Broadcast):
    """The streams of one category, named by their topics.

    A contract's ticker is sent whole once, and after that what changed of it.
    """

    def __init__(self, venue: Venue, faults: Faults, category: str) -> None:
        super().__init__(venue, faults, (f"/v5/public/{category}",))
        self._category = category
        self._connection_id = f"{key(venue.seed, category):016x}"
        self._tickers: dict[str, dict[str, str]] = {}

    def _heard(self, connection: Connection, _: web.Request, text: str, /) -> None:
        message = decoded(text)
        operation = None if message is None else message.get("op")
        if message is None or operation not in ("ping", "subscribe", "unsubscribe"):
            self._answer(connection, {}, str(operation), "Invalid op", is_well=False)
            return
        if operation == "ping":
            self._answer(connection, message, "ping", "pong", is_well=True)
            return
        topics = message.get("args")
        if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
            self._answer(connection, message, operation, "Params Error", is_well=False)
            return
        for topic in topics:
            if self._found(topic) is None:
                wrong = f"error:handler not found,topic:{topic}"
                self._answer(connection, message, operation, wrong, is_well=False)
                return
        said = operation if self._category == SPOT else ""
        self._answer(connection, message, operation, said, is_well=True)
        for topic in topics:
            self._take(connection, operation, topic)

    def _take(self, connection: Connection, operation: str, topic: str) -> None:
        if operation == "unsubscribe":
            self._unsubscribe(connection, topic)
            return
        now = self._venue.clock.now()
        # Who listens already is told what changed since; the newcomer gets all of it.
        for kind, text in self._frames(topic, now, now, is_last=True):
            if topic.startswith(_TICKERS):
                self._publish(topic, kind, text)
            else:
                connection.publish(text, topic, kind)
        if topic in self._tickers:
            whole = _ticker(topic, "snapshot", self._tickers[topic], now)
            connection.publish(whole, topic, _TICKERS)
        self._subscribe(connection, topic)

    def _forgotten(self, name: str) -> None:
        self._tickers.pop(name, None)

    def _answer(
        self,
        connection: Connection,
        message: dict[str, Any],
        operation: str,
        said: str,
        *,
        is_well: bool,
    ) -> None:
        answer = {"success": is_well, "ret_msg": said, "conn_id": self._connection_id}
        connection.send(answer | {"req_id": str(message.get("req_id", "")), "op": operation})

    # -- publishing -----------------------------------------------------------------------

    def _frames(
        self, name: str, before: int, now: int, *, is_last: bool
    ) -> Iterator[tuple[str, str]]:
        found = self._found(name)
        if found is None or found[1].market.is_delisted(now):
            return
        interval, each = found
        if interval is not None:
            grid = Grid(interval)
            for bars, is_closed in bars_of_step(each.market, grid, before, now, is_last=is_last):
                yield _KLINE, _kline(name, interval, bars, now, is_closed=is_closed)
        elif is_last:
            yield from self._ticker_frames(name, each, now)

    def _ticker_frames(self, topic: str, each: Instrument, now: int) -> Iterator[tuple[str, str]]:
        row = ticker_row(each, now)
        last, self._tickers[topic] = self._tickers.get(topic), row
        if each.perpetual is None:
            row = self._tickers[topic] = {
                name: value for name, value in row.items() if name not in _NOT_IN_SPOT
            }
            yield _TICKERS, _ticker(topic, "snapshot", row, now)
        elif last is not None:
            changed = {name: value for name, value in row.items() if last.get(name) != value}
            if changed:
                yield _TICKERS, _ticker(topic, "delta", {"symbol": row["symbol"]} | changed, now)

    def _found(self, topic: str) -> tuple[Interval | None, Instrument] | None:
        """The instrument of a topic, and the interval of its klines."""
        kind, _, rest = topic.partition(".")
        interval: Interval | None = None
        if kind == _KLINE:
            name, _, rest = rest.partition(".")
            interval = NAMES.get(name)
            if interval is None:
                return None
        elif kind != _TICKERS:
            return None
        try:
            return interval, instruments.find(self._venue, self._category, rest)
        except VenueError:
            return None


def _ticker(topic: str, kind: str, row: dict[str, str], now: int) -> str:
    frame = {"topic": topic, "type": kind, "data": row, "cs": now, "ts": now}
    return orjson.dumps(frame).decode()


def _kline(topic: str, interval: Interval, bars: Bars, now: int, *, is_closed: bool) -> str:
    bar = bars.bar(0)
    data = {
        "start": bar.open_ts,
        "end": interval.next(bar.open_ts) - 1,
        "interval": topic.split(".")[1],
        "open": canonical(bars.price(bar.open)),
        "close": canonical(bars.price(bar.close)),
        "high": canonical(bars.price(bar.high)),
        "low": canonical(bars.price(bar.low)),
        "volume": canonical(Decimal(bar.volume).scaleb(-bars.volume_decimals)),
        "turnover": canonical(Decimal(bar.quote_volume).scaleb(-bars.quote_decimals)),
        "confirm": is_closed,
        "timestamp": now,
    }
    frame = {"topic": topic, "data": [data], "ts": now, "type": "snapshot"}
    return orjson.dumps(frame).decode()
