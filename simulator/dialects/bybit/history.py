"""Funding and open interest of Bybit's contracts."""

from __future__ import annotations

from typing import Any, Final

from app.core.market.intervals import INTERVALS
from app.core.money import canonical
from simulator.contracts import Span, open_interest, settlements
from simulator.dialects.bybit import errors, instruments
from simulator.dialects.bybit.instruments import LINEAR
from simulator.dialects.web import Call

_PERIODS: Final = {
    "5min": INTERVALS["5m"],
    "15min": INTERVALS["15m"],
    "30min": INTERVALS["30m"],
    "1h": INTERVALS["1h"],
    "4h": INTERVALS["4h"],
    "1d": INTERVALS["1d"],
}
_MOST: Final = 200
_USUAL_OPEN: Final = 50


def funding(call: Call) -> Any:
    """``funding/history``, newest first; a start without an end is refused."""
    each = instruments.contract(call)
    start, end = call.whole("startTime"), call.whole("endTime")
    if start is not None and end is None:
        raise errors.wrong("endTime is required with startTime")
    span = Span(start, end, _limit(call, _MOST), newest=True)
    rows = [
        {
            "symbol": each.spec.native,
            "fundingRate": canonical(paid.rate),
            "fundingRateTimestamp": str(paid.due),
        }
        for paid in reversed(settlements(each, span, call.now, is_late=False))
    ]
    return {"category": LINEAR, "list": rows}


def open_history(call: Call) -> Any:
    """``open-interest``, newest first; the cursor is the end of the next page."""
    each = instruments.contract(call)
    period = _PERIODS.get(call.params.get("intervalTime", ""))
    if period is None:
        raise errors.wrong("Interval is invalid")
    end, cursor = call.whole("endTime"), call.whole("cursor")
    limit = _limit(call, _USUAL_OPEN)
    span = Span(
        None if end is None else call.whole("startTime"),
        end if cursor is None else cursor,
        limit,
        newest=True,
    )
    found = open_interest(each, period, span, call.now)
    rows = [
        {"openInterest": f"{row.amount:.8f}", "timestamp": str(row.ts)} for row in reversed(found)
    ]
    has_more = len(found) == limit and (span.start is None or found[0].ts > span.start)
    return {
        "symbol": each.spec.native,
        "category": LINEAR,
        "list": rows,
        "nextPageCursor": str(found[0].ts - 1) if has_more else "",
    }


def _limit(call: Call, usual: int) -> int:
    limit = call.whole("limit")
    return min(usual if limit is None else max(limit, 1), _MOST)
