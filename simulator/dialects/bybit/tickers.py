"""Bybit's tickers and books."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from app.core.market.intervals import HOUR_MS
from app.core.money import canonical
from simulator.book import BOOK_LEVELS
from simulator.dialects.bybit import errors, instruments
from simulator.dialects.bybit.instruments import LINEAR, SPOT, Instrument
from simulator.dialects.daily import Day, day_of, price_at
from simulator.dialects.web import Call
from simulator.listings import Perpetual
from simulator.premium import FUNDING_MS

# (levels without a limit, most levels)
_LEVELS: Final = {SPOT: (1, 200), LINEAR: (25, 500)}


def ticker_row(each: Instrument, now: int) -> dict[str, str]:
    """The ticker of an instrument.

    Raises:
        VenueError: it has no price yet.
    """
    day = day_of(each.market, now)
    if day is None:
        raise errors.no_symbol()
    row = {
        "symbol": each.spec.native,
        "bid1Price": canonical(day.bid[0]),
        "bid1Size": canonical(day.bid[1]),
        "ask1Price": canonical(day.ask[0]),
        "ask1Size": canonical(day.ask[1]),
        "lastPrice": canonical(day.last),
        "prevPrice24h": canonical(day.open),
        "price24hPcnt": _fraction(day),
        "highPrice24h": canonical(day.high),
        "lowPrice24h": canonical(day.low),
        "turnover24h": canonical(day.turnover),
        "volume24h": canonical(day.volume),
    }
    if each.perpetual is None:
        return row | {"usdIndexPrice": canonical(day.last)}
    return row | _contract(each, each.perpetual, now)


def _contract(each: Instrument, perpetual: Perpetual, now: int) -> dict[str, str]:
    mark, amount = price_at(perpetual.mark, now), perpetual.open_units(now)
    return {
        "indexPrice": canonical(price_at(perpetual.index, now)),
        "markPrice": canonical(mark),
        "prevPrice1h": canonical(price_at(each.market, now - HOUR_MS)),
        "openInterest": canonical(amount),
        "openInterestValue": f"{amount * mark:.2f}",
        "fundingRate": canonical(perpetual.premium.predicted(now)),
        "nextFundingTime": str(now - now % FUNDING_MS + FUNDING_MS),
        "fundingIntervalHour": "8",
        "fundingCap": "0.003",
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }


def _fraction(day: Day) -> str:
    return canonical((day.change / day.open).quantize(Decimal("0.000001")))


def tickers(call: Call) -> Any:
    """``tickers``: of a category, or of one symbol."""
    category = instruments.category_of(call)
    if call.params.get("symbol"):
        rows = [ticker_row(instruments.named(call), call.now)]
    else:
        base = call.params.get("baseCoin", "")
        rows = [
            ticker_row(each, call.now)
            for each in instruments.of(call.venue, category)
            if base in ("", each.spec.base) and not each.market.is_delisted(call.now)
        ]
    return {"category": category, "list": rows}


def order_book(call: Call) -> Any:
    """``orderbook``."""
    each = instruments.named(call)
    usual, most = _LEVELS[each.category]
    limit = call.whole("limit")
    limit = usual if limit is None else limit
    if not 1 <= limit <= most:
        raise errors.wrong("Limit is invalid")
    return book_of(each, min(limit, BOOK_LEVELS), call.now)


def book_of(each: Instrument, limit: int, now: int) -> dict[str, Any]:
    """The book of an instrument.

    Raises:
        VenueError: it has no price yet.
    """
    book = each.market.book(now)
    if book is None:
        raise errors.no_symbol()

    def side(*, asks: bool) -> list[list[str]]:
        levels = book.levels(asks=asks, limit=limit)
        return [[canonical(price), canonical(size)] for price, size in levels]

    return {
        "s": each.spec.native,
        "b": side(asks=False),
        "a": side(asks=True),
        "ts": now,
        "u": book.update_id,
        "seq": book.update_id,
        "cts": now,
    }
