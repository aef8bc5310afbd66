"""Funding, premium and open interest of Binance USD-M futures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from app.core.market.intervals import DAY_MS, INTERVALS
from simulator.contracts import Open, Span, mark_prices, open_interest, settlements
from simulator.dialects.binance import params as read
from simulator.dialects.binance.api import Call, Route
from simulator.dialects.binance.errors import BinanceError
from simulator.dialects.daily import price_at
from simulator.dialects.usdm import shapes
from simulator.dialects.usdm.contracts import all_or_one, perpetual
from simulator.listings import Perpetual
from simulator.premium import FUNDING_MS

_PERIODS: Final = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
# The venue keeps the history of what is open for a month.
_KEPT_MS: Final = 30 * DAY_MS


def _funding_span(call: Call) -> Span:
    start, end = read.whole(call.params, "startTime"), read.whole(call.params, "endTime")
    return Span(start, end, read.limit(call.params, 100, 1000))


def _funding(call: Call) -> Any:
    rows = []
    for each in all_or_one(call):
        paid = settlements(each, _funding_span(call), call.now, is_late=True)
        for settled, mark in zip(paid, mark_prices(each, paid), strict=True):
            rows.append(
                {
                    "symbol": each.spec.native,
                    "fundingTime": settled.stamped,
                    "fundingRate": shapes.mark(settled.rate),
                    "markPrice": shapes.mark(mark),
                }
            )
    return sorted(rows, key=lambda row: row["fundingTime"])


def _prepare_funding(call: Call) -> Iterator[None]:
    span = _funding_span(call)
    reach = span.limit * FUNDING_MS
    begin = min(call.now, call.now if span.end is None else span.end) - reach
    begin = begin if span.start is None else span.start
    for each in all_or_one(call):
        yield from each.mark.tape.prepare(INTERVALS["8h"], begin, min(call.now, begin + reach))


def premium_index(each: Perpetual, now: int) -> dict[str, Any]:
    """Mark, index and the funding rate as it stands."""
    index = price_at(each.index, now)
    return {
        "symbol": each.spec.native,
        "markPrice": shapes.mark(price_at(each.mark, now)),
        "indexPrice": shapes.mark(index),
        "estimatedSettlePrice": shapes.mark(index),
        "lastFundingRate": shapes.mark(each.premium.predicted(now)),
        "interestRate": "0.00010000",
        "nextFundingTime": now - now % FUNDING_MS + FUNDING_MS,
        "time": now,
    }


def _open_interest(call: Call) -> Any:
    each = perpetual(call)
    amount = shapes.quantity(each.open_units(call.now))
    return {"symbol": each.spec.native, "openInterest": amount, "time": call.now}


def _open_interest_history(call: Call) -> Any:
    each = perpetual(call)
    period = read.text(call.params, "period")
    if period not in _PERIODS:
        raise BinanceError(-1130, "Data sent for parameter 'period' is not valid.")
    start, end = read.whole(call.params, "startTime"), read.whole(call.params, "endTime")
    earliest = call.now - _KEPT_MS
    if start is not None and start < earliest:
        raise BinanceError(-1130, "parameter 'startTime' is invalid.")
    span = Span(start, end, read.limit(call.params, 30, 500))
    found = open_interest(each, INTERVALS[period], span, call.now)
    return [_open_row(each, row) for row in found if row.ts >= earliest]


def _open_row(each: Perpetual, row: Open) -> dict[str, Any]:
    return {
        "symbol": each.spec.native,
        "sumOpenInterest": shapes.mark(row.amount),
        "sumOpenInterestValue": shapes.mark(row.value),
        "timestamp": row.ts,
    }


ROUTES: Final = {
    ("GET", "/fapi/v1/fundingRate"): Route(_funding, prepare=_prepare_funding),
    ("GET", "/fapi/v1/openInterest"): Route(_open_interest),
    ("GET", "/futures/data/openInterestHist"): Route(_open_interest_history),
}
