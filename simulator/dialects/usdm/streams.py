"""Binance USD-M's market streams: klines, tickers, marks, best prices."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import orjson
from aiohttp import web

from app.core.market.intervals import INTERVALS, Interval
from simulator.bars import Bars
from simulator.dialects.binance.named import NamedStreams
from simulator.dialects.broadcast import bars_of_step
from simulator.dialects.pages import Grid
from simulator.dialects.usdm import shapes
from simulator.dialects.usdm.history import premium_index
from simulator.dialects.usdm.rest import day_ticker, touch
from simulator.faults import Faults
from simulator.listings import USDM, Perpetual
from simulator.venue import Venue

# Best prices are on /public, everything else on /market; here either address serves all.
_KINDS: Final = ("public", "market", "private")
_PATHS: Final = tuple(f"/{kind}/{form}" for kind in _KINDS for form in ("ws", "stream"))
_PLAIN: Final = frozenset({"miniTicker", "ticker", "bookTicker", "markPrice", "markPrice@1s"})
_TICKER_NAMES: Final = {
    "s": "symbol",
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "c": "lastPrice",
    "Q": "lastQty",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}
_MINI: Final = ("s", "c", "o", "h", "l", "v", "q")


class UsdmStreams(NamedStreams):
    """The market streams of the contracts."""

    heartbeat = 180.0

    def __init__(self, venue: Venue, faults: Faults) -> None:
        super().__init__(venue, faults, _PATHS)

    def _stem(self, request: web.Request) -> str:
        return "/" + request.path.split("/", 2)[2]

    def _frames(
        self, name: str, before: int, now: int, *, is_last: bool
    ) -> Iterator[tuple[str, str]]:
        native, _, channel = name.partition("@")
        each = self._venue.listings[USDM].perpetuals.get(native.upper())
        if each is None or not each.market.is_listed(now):
            return
        for event in _events(each, channel, before, now, is_last=is_last):
            yield event["e"], orjson.dumps(event).decode()


def _events(
    each: Perpetual, channel: str, before: int, now: int, *, is_last: bool
) -> Iterator[dict[str, Any]]:
    if channel.startswith("kline_"):
        interval = INTERVALS.get(channel.removeprefix("kline_"))
        if interval is not None:
            yield from _klines(each, interval, before, now, is_last=is_last)
    elif is_last and channel in _PLAIN:
        yield _event(each, channel, now)


def _klines(
    each: Perpetual, interval: Interval, before: int, now: int, *, is_last: bool
) -> Iterator[dict[str, Any]]:
    steps = bars_of_step(each.market, Grid(interval), before, now, is_last=is_last)
    for bars, is_closed in steps:
        yield {
            "e": "kline",
            "E": now,
            "s": each.spec.native,
            "k": _bar(each, interval, bars, is_closed=is_closed),
        }


def _bar(each: Perpetual, interval: Interval, bars: Bars, *, is_closed: bool) -> dict[str, Any]:
    bar = bars.bar(0)

    def base(units: int) -> str:
        return shapes.quantity(Decimal(units).scaleb(-bars.volume_decimals))

    def quote(units: int) -> str:
        return f"{Decimal(units).scaleb(-bars.quote_decimals):.5f}"

    return {
        "t": bar.open_ts,
        "T": interval.next(bar.open_ts) - 1,
        "s": each.spec.native,
        "i": interval.name,
        "f": 1 if bar.trades else -1,
        "L": bar.trades or -1,
        "o": shapes.price(bars.price(bar.open)),
        "c": shapes.price(bars.price(bar.close)),
        "h": shapes.price(bars.price(bar.high)),
        "l": shapes.price(bars.price(bar.low)),
        "v": base(bar.volume),
        "n": bar.trades,
        "x": is_closed,
        "q": quote(bar.quote_volume),
        "V": base(bar.taker_volume),
        "Q": quote(bar.taker_quote_volume),
        "B": "0",
    }


def _event(each: Perpetual, channel: str, now: int) -> dict[str, Any]:
    if channel.startswith("markPrice"):
        return _mark(each, now)
    if channel == "bookTicker":
        return _best(each, now)
    day = day_ticker(each, now)
    if channel == "ticker":
        return {"e": "24hrTicker", "E": now} | {
            short: day[name] for short, name in _TICKER_NAMES.items()
        }
    return {"e": "24hrMiniTicker", "E": now} | {short: day[_TICKER_NAMES[short]] for short in _MINI}


def _mark(each: Perpetual, now: int) -> dict[str, Any]:
    stated = premium_index(each, now)
    return {
        "e": "markPriceUpdate",
        "E": now,
        "s": stated["symbol"],
        "p": stated["markPrice"],
        "i": stated["indexPrice"],
        "P": stated["estimatedSettlePrice"],
        "r": stated["lastFundingRate"],
        "T": stated["nextFundingTime"],
    }


def _best(each: Perpetual, now: int) -> dict[str, Any]:
    best = touch(each, now)
    return {
        "e": "bookTicker",
        "u": best["lastUpdateId"],
        "s": best["symbol"],
        "b": best["bidPrice"],
        "B": best["bidQty"],
        "a": best["askPrice"],
        "A": best["askQty"],
        "T": now,
        "E": now,
    }
