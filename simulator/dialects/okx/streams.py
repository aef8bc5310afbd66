"""OKX's public WebSockets: candles on /business, tickers on /public."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
from aiohttp import web

from simulator.dialects.broadcast import Broadcast, bars_of_step
from simulator.dialects.okx import instruments
from simulator.dialects.okx.bars import GRIDS, candle_rows, mark_rows
from simulator.dialects.okx.history import funding_row
from simulator.dialects.okx.instruments import Instrument
from simulator.dialects.okx.tickers import ticker_row
from simulator.dialects.pages import Grid
from simulator.dialects.web import VenueError
from simulator.faults import Faults
from simulator.market import Market
from simulator.noise import key
from simulator.sockets import Connection, decoded
from simulator.venue import Venue

PUBLIC: Final = "/ws/v5/public"
BUSINESS: Final = "/ws/v5/business"
_TICKERS: Final = "tickers"
_FUNDING: Final = "funding-rate"
_CANDLE: Final = "candle"
_MARK: Final = "mark-price-candle"
_INDEX: Final = "index-candle"


class OkxStreams(Broadcast):
    """The streams of one address.

    A stream is named as in ``candle1m:BTC-USDT``, which is also what fault rules match.
    """

    def __init__(self, venue: Venue, faults: Faults, path: str) -> None:
        super().__init__(venue, faults, (path,))
        self._path = path
        self._connection_id = f"{key(venue.seed, path) & 0xFFFFFFFF:08x}"

    def _heard(self, connection: Connection, _: web.Request, text: str, /) -> None:
        if text == "ping":
            connection.send_text("pong")
            return
        message = decoded(text)
        arguments = None if message is None else message.get("args")
        if (
            message is None
            or message.get("op") not in ("subscribe", "unsubscribe")
            or not isinstance(arguments, list)
            or not all(_is_argument(each) for each in arguments)
        ):
            self._refuse(connection, "60012", f"Invalid request: {text[:200]}")
            return
        for argument in arguments:
            self._take(connection, str(message["op"]), argument)

    def _take(self, connection: Connection, operation: str, argument: dict[str, str]) -> None:
        channel, instrument = argument["channel"], argument["instId"]
        name = f"{channel}:{instrument}"
        if self._found(channel, instrument) is None:
            self._refuse(
                connection,
                "60018",
                f"Wrong URL or channel:{channel},instId:{instrument} doesn't exist. Please use "
                "the correct URL, channel and parameters referring to API document.",
            )
            return
        stated = {"channel": channel, "instId": instrument}
        connection.send({"event": operation, "arg": stated, "connId": self._connection_id})
        if operation == "unsubscribe":
            self._unsubscribe(connection, name)
            return
        self._subscribe(connection, name)
        now = self._venue.clock.now()
        for kind, text in self._frames(name, now, now, is_last=True):
            connection.publish(text, name, kind)

    def _refuse(self, connection: Connection, code: str, message: str) -> None:
        connection.send(
            {"event": "error", "code": code, "msg": message, "connId": self._connection_id}
        )

    def _frames(
        self, name: str, before: int, now: int, *, is_last: bool
    ) -> Iterator[tuple[str, str]]:
        channel, _, instrument = name.partition(":")
        found = self._found(channel, instrument)
        if found is None:
            return  # it was delisted meanwhile
        argument = orjson.dumps({"channel": channel, "instId": instrument}).decode()
        for data in self._data(channel, found, before, now, is_last=is_last):
            yield channel, f'{{"arg":{argument},"data":{data.decode()}}}'

    def _data(
        self, channel: str, found: Instrument | Market, before: int, now: int, *, is_last: bool
    ) -> Iterator[bytes]:
        grid = _grid(channel)
        if grid is not None:
            yield from _candles(found, grid, before, now, is_last=is_last)
        elif is_last and isinstance(found, Instrument):
            if channel == _TICKERS:
                yield orjson.dumps([ticker_row(found, now)])
            elif found.perpetual is not None:
                yield orjson.dumps([funding_row(found.perpetual, now)])

    def _found(self, channel: str, name: str) -> Instrument | Market | None:
        """What a channel of this address shows: an instrument, a mark or an index."""
        is_here = (_grid(channel) is not None) is (self._path == BUSINESS)
        try:
            return _shown(self._venue, channel, name) if is_here else None
        except VenueError:
            return None


def _shown(venue: Venue, channel: str, name: str) -> Instrument | Market | None:
    if channel.startswith(_INDEX):
        return instruments.index_of(venue, name)
    found = instruments.find(venue, name)
    if channel.startswith(_CANDLE) or channel == _TICKERS:
        return found
    perpetual = found.perpetual
    if perpetual is not None and channel.startswith(_MARK):
        return perpetual.mark
    return found if perpetual is not None and channel == _FUNDING else None


def _candles(
    found: Instrument | Market, grid: Grid, before: int, now: int, *, is_last: bool
) -> Iterator[bytes]:
    market = found.market if isinstance(found, Instrument) else found
    for bars, _ in bars_of_step(market, grid, before, now, is_last=is_last):
        if isinstance(found, Instrument):
            yield candle_rows(bars, grid, found, now)
        else:
            yield mark_rows(bars, grid, now)


def _grid(channel: str) -> Grid | None:
    """The bars that a channel shows; None if it shows none."""
    for prefix in (_MARK, _INDEX, _CANDLE):
        if channel.startswith(prefix):
            return GRIDS.get(channel.removeprefix(prefix))
    return None


def _is_argument(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) for name in ("channel", "instId")
    )
