"""OKX's tickers and books."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.money import canonical
from simulator.book import BOOK_LEVELS, Book
from simulator.dialects.daily import day_of, price_at
from simulator.dialects.okx import errors, instruments
from simulator.dialects.okx.instruments import Instrument
from simulator.dialects.web import Call

_MOST_LEVELS: Final = 400
_HONG_KONG_MS: Final = 8 * HOUR_MS


def ticker_row(each: Instrument, now: int) -> dict[str, str]:
    """The ticker of an instrument.

    Raises:
        VenueError: it has no price yet.
    """
    day = day_of(each.market, now)
    if day is None:
        raise errors.no_instrument()
    value = day.turnover if each.perpetual is None else day.volume
    return {
        "instType": each.kind,
        "instId": each.spec.native,
        "last": canonical(day.last),
        "lastSz": each.size(each.spec.step),
        "askPx": canonical(day.ask[0]),
        "askSz": each.size(day.ask[1]),
        "bidPx": canonical(day.bid[0]),
        "bidSz": each.size(day.bid[1]),
        "open24h": canonical(day.open),
        "high24h": canonical(day.high),
        "low24h": canonical(day.low),
        "volCcy24h": canonical(value),
        "vol24h": each.size(day.volume),
        "ts": str(now),
        "sodUtc0": canonical(price_at(each.market, now - now % DAY_MS)),
        "sodUtc8": canonical(price_at(each.market, now - (now + _HONG_KONG_MS) % DAY_MS)),
    }


def ticker(call: Call) -> Any:
    """``market/ticker``."""
    return [ticker_row(instruments.named(call), call.now)]


def tickers(call: Call) -> Any:
    """``market/tickers``."""
    kind = call.params.get("instType", "")
    if not kind:
        raise errors.empty("instType")
    if kind not in instruments.KINDS:
        raise errors.wrong("instType")
    return [ticker_row(each, call.now) for each in instruments.listed(call.venue, kind)]


def books(call: Call) -> Any:
    """``market/books``."""
    each = instruments.named(call)
    wanted = call.whole("sz")
    if wanted is not None and not 1 <= wanted <= _MOST_LEVELS:
        raise errors.wrong("sz")
    book = each.market.book(call.now)
    if book is None:
        raise errors.no_instrument()
    limit = min(1 if wanted is None else wanted, BOOK_LEVELS)
    return [{**sides(each, book, limit), "ts": str(call.now), "seqId": book.update_id}]


def sides(each: Instrument, book: Book, limit: int) -> dict[str, list[list[str]]]:
    """Both sides: price, size, a field that is no longer used, number of orders."""

    def rows(side: list[tuple[Decimal, Decimal]]) -> list[list[str]]:
        return [[canonical(price), each.size(size), "0", "1"] for price, size in side]

    return {
        "asks": rows(book.levels(asks=True, limit=limit)),
        "bids": rows(book.levels(asks=False, limit=limit)),
    }
