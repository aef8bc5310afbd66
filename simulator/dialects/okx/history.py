"""Funding and open interest of OKX's contracts."""

from __future__ import annotations

from typing import Any, Final

from app.core.market.intervals import DAY_MS
from app.core.money import canonical
from simulator.contracts import Open, Span, open_interest, settlements
from simulator.dialects.daily import price_at
from simulator.dialects.okx import errors, instruments
from simulator.dialects.okx.bars import GRIDS
from simulator.dialects.okx.instruments import SWAP, Instrument
from simulator.dialects.web import Call
from simulator.listings import Perpetual
from simulator.premium import FUNDING_MS

_MOST_RATES: Final = 400
_MOST_OPEN: Final = 100
# The venue keeps three months of funding, and so many marks of what is open.
_KEPT_MS: Final = 92 * DAY_MS
_KEPT_MARKS: Final = 1440


def funding_rate(call: Call) -> Any:
    """``public/funding-rate``."""
    return [funding_row(instruments.contract(call), call.now)]


def funding_row(each: Perpetual, now: int) -> dict[str, str]:
    """The payment that is due next, as it stands, and the last one."""
    due = now - now % FUNDING_MS + FUNDING_MS
    mark, index = price_at(each.mark, now), price_at(each.index, now)
    (paid,) = each.premium.rates([due - FUNDING_MS])
    return {
        "formulaType": "noRate",
        "fundingRate": canonical(each.premium.predicted(now)),
        "fundingTime": str(due),
        "impactValue": "20000",
        "instId": each.spec.native,
        "instType": SWAP,
        "interestRate": "0.0001",
        "maxFundingRate": "0.003",
        "method": "current_period",
        "minFundingRate": "-0.003",
        "nextFundingRate": "",
        "nextFundingTime": str(due + FUNDING_MS),
        "premium": f"{mark / index - 1:.16f}",
        "prevFundingTime": str(due - FUNDING_MS),
        "settFundingRate": canonical(paid),
        "settState": "settled",
        "ts": str(now),
    }


def funding_rate_history(call: Call) -> Any:
    """``public/funding-rate-history``, newest first."""
    each = instruments.contract(call)
    older, newer, limit = call.whole("after"), call.whole("before"), call.whole("limit")
    kept = call.now - _KEPT_MS
    span = Span(
        kept if newer is None else max(kept, newer + 1),
        None if older is None else older - 1,
        min(_MOST_RATES if limit is None else max(limit, 1), _MOST_RATES),
        newest=True,
    )
    return [
        {
            "formulaType": "noRate",
            "fundingRate": canonical(paid.rate),
            "fundingTime": str(paid.due),
            "instId": each.spec.native,
            "instType": SWAP,
            "method": "current_period",
            "realizedRate": canonical(paid.rate),
        }
        for paid in reversed(settlements(each, span, call.now, is_late=False))
    ]


def open_now(call: Call) -> Any:
    """``public/open-interest``."""
    kind = call.params.get("instType", "")
    if not kind:
        raise errors.empty("instType")
    wanted = call.params.get("instId", "")
    family = call.params.get("instFamily", "") or call.params.get("uly", "")
    return [
        _open_row(each, call.now)
        for each in instruments.listed(call.venue, kind)
        if each.perpetual is not None
        and wanted in ("", each.spec.native)
        and family in ("", f"{each.spec.base}-{each.spec.quote}")
    ]


def _open_row(each: Instrument, now: int) -> dict[str, str]:
    if each.perpetual is None:
        raise errors.wrong("instId")
    amount = each.perpetual.open_units(now)
    value = amount * price_at(each.perpetual.mark, now)
    return {
        "instId": each.spec.native,
        "instType": each.kind,
        "oi": each.size(amount),
        "oiCcy": canonical(amount),
        "oiUsd": canonical(value),
        "ts": str(now),
    }


def open_history(call: Call) -> Any:
    """``rubik/stat/contracts/open-interest-history``, newest first; both bounds are excluded."""
    each = instruments.named(call)
    if each.perpetual is None:
        raise errors.wrong("instId")
    grid = GRIDS.get(call.params.get("period", "5m"))
    if grid is None or grid.interval.name in ("1m", "3m", "1M"):
        raise errors.wrong("period")
    begin, end, limit = call.whole("begin"), call.whole("end"), call.whole("limit")
    kept = call.now - _KEPT_MARKS * grid.interval.length_ms
    span = Span(
        kept if begin is None else max(kept, begin + 1),
        None if end is None else end - 1,
        min(_MOST_OPEN if limit is None else max(limit, 1), _MOST_OPEN),
        newest=True,
    )
    found = open_interest(each.perpetual, grid.interval, span, call.now, ahead_ms=grid.ahead_ms)
    return [_history_row(each, row) for row in reversed(found)]


def _history_row(each: Instrument, row: Open) -> list[str]:
    return [str(row.ts), each.size(row.amount), canonical(row.amount), f"{row.value:.2f}"]
