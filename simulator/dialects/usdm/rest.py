"""Binance USD-M futures over HTTP: what is listed, bars, tickers, books.

Errors, request weight and bans are Binance's own (``simulator.dialects.binance``); the budget is
another one than spot's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from app.core.errors import UnknownName
from app.core.market.intervals import DAY_MS, Interval, interval
from simulator.book import BOOK_LEVELS
from simulator.clock import wall_ms
from simulator.dialects.binance import params as read
from simulator.dialects.binance.api import Call, Route
from simulator.dialects.binance.budget import Budget
from simulator.dialects.binance.errors import BinanceError
from simulator.dialects.binance.rest import BinanceRest
from simulator.dialects.daily import day_of
from simulator.dialects.usdm import history, shapes
from simulator.dialects.usdm.contracts import all_or_one, perpetual
from simulator.listings import Perpetual
from simulator.market import Market
from simulator.venue import Maintenance, Venue

PREFIXES: Final = ("/fapi/", "/futures/data/")
_MOST_BARS: Final = 1500
_DEPTHS: Final = (5, 10, 20, 50, 100, 500, 1000)


def _ping(_: Call) -> Any:
    return {}


def _time(_: Call) -> Any:
    return {"serverTime": wall_ms()}


def _exchange_info(call: Call) -> Any:
    is_up = call.venue.maintenance is Maintenance.NONE
    limits = (("REQUEST_WEIGHT", "MINUTE", 1, 2400), ("ORDERS", "MINUTE", 1, 1200),
              ("ORDERS", "SECOND", 10, 300))  # fmt: skip
    names = ("rateLimitType", "interval", "intervalNum", "limit")
    return {
        "timezone": "UTC",
        "serverTime": wall_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": [dict(zip(names, limit, strict=True)) for limit in limits],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [shapes.symbol(each, call.now, is_up=is_up) for each in all_or_one(call)],
    }


# -- bars ---------------------------------------------------------------------------------


def _traded(call: Call) -> Market:
    return perpetual(call).market


def _mark(call: Call) -> Market:
    return perpetual(call).mark


def _index(call: Call) -> Market:
    return perpetual(call, "pair").index


def _klines(call: Call) -> bytes:
    wanted = _interval(call)
    return shapes.klines(_bars(call, _traded, wanted), wanted, perpetual(call).spec)


def _marks(find: Callable[[Call], Market]) -> Callable[[Call], bytes]:
    def answer(call: Call) -> bytes:
        wanted = _interval(call)
        return shapes.mark_klines(_bars(call, find, wanted), wanted)

    return answer


def _bars(call: Call, find: Callable[[Call], Market], wanted: Interval) -> Any:
    return find(call).klines(wanted, *_span(call), call.now)


def _prepared(find: Callable[[Call], Market]) -> Callable[[Call], Iterator[None]]:
    def prepare(call: Call) -> Iterator[None]:
        yield from find(call).prepare_klines(_interval(call), *_span(call), call.now)

    return prepare


def _interval(call: Call) -> Interval:
    try:
        return interval(read.text(call.params, "interval"))
    except UnknownName:
        raise BinanceError(-1120, "Invalid interval.") from None


def _span(call: Call) -> tuple[int | None, int | None, int]:
    start, end = read.whole(call.params, "startTime"), read.whole(call.params, "endTime")
    return start, end, read.limit(call.params, 500, _MOST_BARS)


def _bars_weight(params: Mapping[str, str]) -> int:
    limit = _limit_of(params, 500)
    for below, weight in ((100, 1), (500, 2), (1001, 5)):
        if limit < below:
            return weight
    return 10


# -- tickers and books --------------------------------------------------------------------


def day_ticker(each: Perpetual, now: int) -> dict[str, Any]:
    """The rolling 24-hour ticker.

    Raises:
        BinanceError: the contract has no price yet.
    """
    day = day_of(each.market, now)
    if day is None:
        raise BinanceError(-1121, "Invalid symbol.")
    return {
        "symbol": each.spec.native,
        "priceChange": shapes.price(day.change),
        "priceChangePercent": f"{day.change / day.open * 100:.3f}",
        "weightedAvgPrice": f"{day.average:.2f}",
        "lastPrice": shapes.price(day.last),
        "lastQty": shapes.quantity(each.spec.step),
        "openPrice": shapes.price(day.open),
        "highPrice": shapes.price(day.high),
        "lowPrice": shapes.price(day.low),
        "volume": shapes.quantity(day.volume),
        "quoteVolume": shapes.price(day.turnover),
        "openTime": now - DAY_MS,
        "closeTime": now,
        "firstId": 1 if day.trades else -1,
        "lastId": day.trades,
        "count": day.trades,
    }


def touch(each: Perpetual, now: int) -> dict[str, Any]:
    """Best bid and ask.

    Raises:
        BinanceError: the contract has no price yet.
    """
    book = each.market.book(now)
    if book is None:
        raise BinanceError(-1121, "Invalid symbol.")
    (bid, bid_size), (ask, ask_size) = book.levels(asks=False)[0], book.levels(asks=True)[0]
    return {
        "symbol": each.spec.native,
        "bidPrice": shapes.price(bid),
        "bidQty": shapes.quantity(bid_size),
        "askPrice": shapes.price(ask),
        "askQty": shapes.quantity(ask_size),
        "time": now,
        "lastUpdateId": book.update_id,
    }


def _last(each: Perpetual, now: int) -> dict[str, Any]:
    price = each.market.price(now)
    if price is None:
        raise BinanceError(-1121, "Invalid symbol.")
    return {"symbol": each.spec.native, "price": shapes.price(price), "time": now}


def _each(make: Callable[[Perpetual, int], dict[str, Any]]) -> Callable[[Call], Any]:
    """An endpoint that answers one object for a symbol, else a list of all."""

    def answer(call: Call) -> Any:
        made = [make(each, call.now) for each in all_or_one(call)]
        return made[0] if "symbol" in call.params else made

    return answer


def _depth(call: Call) -> Any:
    each = perpetual(call)
    limit = read.whole(call.params, "limit")
    limit = 500 if limit is None else limit
    if limit not in _DEPTHS:
        raise BinanceError(-4021, f"{limit} is not valid depth limit.")
    book = each.market.book(call.now)
    if book is None:
        raise BinanceError(-1121, "Invalid symbol.")
    shown = min(limit, BOOK_LEVELS)
    return {
        "lastUpdateId": book.update_id,
        "E": call.now,
        "T": call.now,
        "bids": levels(book.levels(asks=False, limit=shown)),
        "asks": levels(book.levels(asks=True, limit=shown)),
    }


def levels(side: list[tuple[Decimal, Decimal]]) -> list[list[str]]:
    """One side of an order book."""
    return [[shapes.price(price), shapes.quantity(size)] for price, size in side]


def _depth_weight(params: Mapping[str, str]) -> int:
    limit = _limit_of(params, 500)
    for highest, weight in ((50, 2), (100, 5), (500, 10)):
        if limit <= highest:
            return weight
    return 20


def _limit_of(params: Mapping[str, str], default: int) -> int:
    text = params.get("limit", "")
    return int(text[:9]) if text.isascii() and text.isdigit() else default


def _one_or_all(one: int, every: int) -> Callable[[Mapping[str, str]], int]:
    return lambda params: one if "symbol" in params else every


ROUTES: Final = {
    ("GET", "/fapi/v1/ping"): Route(_ping),
    ("GET", "/fapi/v1/time"): Route(_time),
    ("GET", "/fapi/v1/exchangeInfo"): Route(_exchange_info),
    ("GET", "/fapi/v1/klines"): Route(_klines, _bars_weight, prepare=_prepared(_traded)),
    ("GET", "/fapi/v1/markPriceKlines"): Route(
        _marks(_mark), _bars_weight, prepare=_prepared(_mark)
    ),
    ("GET", "/fapi/v1/indexPriceKlines"): Route(
        _marks(_index), _bars_weight, prepare=_prepared(_index)
    ),
    ("GET", "/fapi/v1/ticker/24hr"): Route(_each(day_ticker), _one_or_all(1, 40)),
    ("GET", "/fapi/v1/ticker/bookTicker"): Route(_each(touch), _one_or_all(2, 5)),
    ("GET", "/fapi/v1/ticker/price"): Route(_each(_last), _one_or_all(1, 2)),
    ("GET", "/fapi/v2/ticker/price"): Route(_each(_last), _one_or_all(1, 2)),
    ("GET", "/fapi/v1/depth"): Route(_depth, _depth_weight),
    ("GET", "/fapi/v1/premiumIndex"): Route(_each(history.premium_index), _one_or_all(1, 10)),
    **history.ROUTES,
}


def usdm_rest(venue: Venue, weight_limit: int) -> BinanceRest:
    """The REST interface of a venue's contracts.

    Args:
        weight_limit: per minute; 0 for none.
    """
    return BinanceRest(venue, Budget(weight_limit), ROUTES)
