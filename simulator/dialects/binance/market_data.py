"""Public endpoints: what is listed, klines, tickers, books, trades."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from app.core.errors import UnknownName
from app.core.market.intervals import DAY_MS, HOUR_MS, Interval, interval
from simulator.bars import Bars
from simulator.book import BOOK_LEVELS
from simulator.clock import wall_ms
from simulator.dialects.binance import params as read
from simulator.dialects.binance.api import Call, Route, market_of
from simulator.dialects.binance.errors import BinanceError
from simulator.dialects.binance.filters import ORDER_TYPES, describe, eight
from simulator.dialects.binance.klines import render
from simulator.dialects.binance.shapes import levels, price_text, units_text
from simulator.instruments import Status
from simulator.market import Market
from simulator.trades import PublicTrade, latest_trades, trades_between, trades_from
from simulator.venue import Maintenance


def _ping(_: Call) -> Any:
    return {}


def _time(_: Call) -> Any:
    return {"serverTime": wall_ms()}


def _exchange_info(call: Call) -> Any:
    markets = _named_markets(call) or _listed(call)
    return {
        "timezone": "UTC",
        "serverTime": wall_ms(),
        "rateLimits": _rate_limits(),
        "exchangeFilters": [],
        "symbols": [_symbol(market, call) for market in markets],
    }


def _rate_limits() -> list[dict[str, Any]]:
    def limit(kind: str, unit: str, count: int, highest: int) -> dict[str, Any]:
        return {
            "rateLimitType": kind, "interval": unit, "intervalNum": count, "limit": highest,
        }  # fmt: skip

    return [
        limit("REQUEST_WEIGHT", "MINUTE", 1, 6000),
        limit("ORDERS", "SECOND", 10, 100),
        limit("ORDERS", "DAY", 1, 200000),
        limit("RAW_REQUESTS", "MINUTE", 5, 61000),
    ]


def _symbol(market: Market, call: Call) -> dict[str, Any]:
    spec = market.spec
    # An outage, which is a gap of the tape, is not announced; orders meet a closed market.
    is_up = call.venue.maintenance is Maintenance.NONE
    status = market.status(call.now) if is_up else Status.BREAK
    return {
        "symbol": spec.native,
        "status": status.value,
        "baseAsset": spec.base,
        "baseAssetPrecision": 8,
        "quoteAsset": spec.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": describe(spec),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _named_markets(call: Call) -> list[Market]:
    """Markets that ``symbol`` or ``symbols`` names; empty if neither was sent."""
    if "symbol" in call.params:
        return [call.market()]
    listed = call.params.get("symbols")
    if listed is None:
        return []
    try:
        names = json.loads(listed)
    except ValueError:
        names = None
    if not isinstance(names, list) or not names:
        raise BinanceError(
            -1100,
            "Illegal characters found in parameter 'symbols'; legal range is "
            '\'^\\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\\]$\'.',
        )
    return [market_of(call.venue, str(name)) for name in names]


def _klines(call: Call) -> Any:
    market = call.market()
    wanted = _interval(read.text(call.params, "interval"))
    start, end = read.whole(call.params, "startTime"), read.whole(call.params, "endTime")
    limit = read.limit(call.params, 500, 1000)
    return render(market.klines(wanted, start, end, limit, call.now), wanted)


def _prepare_klines(call: Call) -> Iterator[None]:
    """Compute the klines that a request will ask for, in short turns.

    Raises:
        BinanceError: the request is wrong; answering it will say so.
    """
    wanted = _interval(read.text(call.params, "interval"))
    start, end = read.whole(call.params, "startTime"), read.whole(call.params, "endTime")
    limit = read.limit(call.params, 500, 1000)
    yield from call.market().prepare_klines(wanted, start, end, limit, call.now)


def _interval(name: str) -> Interval:
    try:
        return interval(name)
    except UnknownName:
        raise BinanceError(-1120, "Invalid interval.") from None


# -- tickers ------------------------------------------------------------------------------


def _ticker_24hr(call: Call) -> Any:
    if "symbol" in call.params:
        return day_ticker(call.market(), call.now)
    markets = _named_markets(call) or _listed(call)
    return [day_ticker(market, call.now) for market in markets]


def _listed(call: Call) -> list[Market]:
    return [market for market in call.venue.markets.values() if market.is_listed(call.now)]


def day_bars(market: Market, now: int) -> Bars:
    """The finest bars of the last 24 hours, the open one included."""
    finest = market.tape.finest
    count = max(1, DAY_MS // finest.length_ms)
    return market.klines(finest, now - DAY_MS + 1, None, count + 1, now)


def day_ticker(market: Market, now: int) -> dict[str, Any]:
    """The rolling 24-hour ticker of a market."""
    bars = day_bars(market, now)
    last = market.price(now)
    book = market.book(now)
    if last is None or book is None:
        raise BinanceError(-1121, "Invalid symbol.")
    opened = bars.price(int(bars.open[0])) if len(bars) else last
    high = bars.price(int(bars.high.max())) if len(bars) else last
    low = bars.price(int(bars.low.min())) if len(bars) else last
    volume, turnover = int(bars.volume.sum()), int(bars.quote_volume.sum())
    average = _average(volume, turnover, bars) or last
    trades = int(bars.trades.sum())
    (bid, bid_size), (ask, ask_size) = book.levels(asks=False)[0], book.levels(asks=True)[0]
    change = last - opened
    return {
        "symbol": market.spec.native,
        "priceChange": price_text(change),
        "priceChangePercent": f"{change / opened * 100:.3f}",
        "weightedAvgPrice": eight(average),
        "prevClosePrice": price_text(opened),
        "lastPrice": price_text(last),
        "lastQty": eight(market.spec.step),
        "bidPrice": price_text(bid),
        "bidQty": eight(bid_size),
        "askPrice": price_text(ask),
        "askQty": eight(ask_size),
        "openPrice": price_text(opened),
        "highPrice": price_text(high),
        "lowPrice": price_text(low),
        "volume": units_text(volume, bars.volume_decimals),
        "quoteVolume": units_text(turnover, bars.quote_decimals),
        "openTime": now - DAY_MS,
        "closeTime": now,
        "firstId": 0 if trades else -1,
        "lastId": trades - 1,
        "count": trades,
    }


def _average(volume: int, turnover: int, bars: Bars) -> Decimal | None:
    if volume == 0:
        return None
    base = Decimal(volume).scaleb(-bars.volume_decimals)
    return Decimal(turnover).scaleb(-bars.quote_decimals) / base


def _ticker_price(call: Call) -> Any:
    def row(market: Market) -> dict[str, str]:
        price = market.price(call.now)
        if price is None:
            raise BinanceError(-1121, "Invalid symbol.")
        return {"symbol": market.spec.native, "price": price_text(price)}

    if "symbol" in call.params:
        return row(call.market())
    return [row(market) for market in _named_markets(call) or _listed(call)]


def _book_ticker(call: Call) -> Any:
    if "symbol" in call.params:
        return touch(call.market(), call.now)
    return [touch(market, call.now) for market in _named_markets(call) or _listed(call)]


def touch(market: Market, now: int) -> dict[str, str]:
    """Best bid and ask.

    Raises:
        BinanceError: the market has no price yet.
    """
    book = market.book(now)
    if book is None:
        raise BinanceError(-1121, "Invalid symbol.")
    (bid, bid_size), (ask, ask_size) = book.levels(asks=False)[0], book.levels(asks=True)[0]
    return {
        "symbol": market.spec.native,
        "bidPrice": price_text(bid),
        "bidQty": eight(bid_size),
        "askPrice": price_text(ask),
        "askQty": eight(ask_size),
    }


def _depth(call: Call) -> Any:
    market = call.market()
    limit = read.limit(call.params, 100, 5000)
    book = market.book(call.now)
    if book is None:
        raise BinanceError(-1121, "Invalid symbol.")
    shown = min(limit, BOOK_LEVELS)
    return {
        "lastUpdateId": book.update_id,
        "bids": levels(book.levels(asks=False, limit=shown)),
        "asks": levels(book.levels(asks=True, limit=shown)),
    }


def _trades(call: Call) -> Any:
    market = call.market()
    limit = read.limit(call.params, 500, 1000)
    return [trade_row(trade) for trade in latest_trades(market, call.now, limit)]


def _agg_trades(call: Call) -> Any:
    market = call.market()
    limit = read.limit(call.params, 500, 1000)
    from_id = read.whole(call.params, "fromId")
    start, end = read.whole(call.params, "startTime"), read.whole(call.params, "endTime")
    if from_id is not None:
        if start is not None or end is not None:
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        found = trades_from(market, from_id, call.now, limit)
    elif start is not None:
        last = min(call.now, start + HOUR_MS if end is None else end + 1)
        found = trades_between(market, start, last)[:limit]
    else:
        found = latest_trades(market, min(call.now, call.now if end is None else end + 1), limit)
    return [agg_row(trade) for trade in found]


def trade_row(trade: PublicTrade) -> dict[str, Any]:
    """One row of ``trades``."""
    return {
        "id": trade.id,
        "price": price_text(trade.price),
        "qty": eight(trade.quantity),
        "quoteQty": eight(trade.price * trade.quantity),
        "time": trade.time,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def agg_row(trade: PublicTrade) -> dict[str, Any]:
    """One row of ``aggTrades``: here each trade is its own aggregate."""
    return {
        "a": trade.id,
        "p": price_text(trade.price),
        "q": eight(trade.quantity),
        "f": trade.id,
        "l": trade.id,
        "T": trade.time,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def _by_count(single: int, few: int, many: int) -> Any:
    def weigh(params: Mapping[str, str]) -> int:
        if "symbol" in params:
            return single
        names = params.get("symbols")
        if names is None:
            return many
        count = names.count(",") + 1
        return few if count <= 20 else many

    return weigh


def _depth_weight(params: Mapping[str, str]) -> int:
    text = params.get("limit", "100")
    limit = int(text[:9]) if text.isascii() and text.isdigit() else 100
    for highest, weight in ((100, 5), (500, 25), (1000, 50)):
        if limit <= highest:
            return weight
    return 250


ROUTES: Final = {
    ("GET", "/api/v3/ping"): Route(_ping),
    ("GET", "/api/v3/time"): Route(_time),
    ("GET", "/api/v3/exchangeInfo"): Route(_exchange_info, 20),
    ("GET", "/api/v3/klines"): Route(_klines, 2, prepare=_prepare_klines),
    ("GET", "/api/v3/ticker/24hr"): Route(_ticker_24hr, _by_count(2, 2, 80)),
    ("GET", "/api/v3/ticker/price"): Route(_ticker_price, _by_count(2, 4, 4)),
    ("GET", "/api/v3/ticker/bookTicker"): Route(_book_ticker, _by_count(2, 4, 4)),
    ("GET", "/api/v3/trades"): Route(_trades, 25),
    ("GET", "/api/v3/aggTrades"): Route(_agg_trades, 4),
    ("GET", "/api/v3/depth"): Route(_depth, _depth_weight),
}
