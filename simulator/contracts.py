"""The history of a perpetual that is no bars: what funding was paid and what was open."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from app.core.market.intervals import INTERVALS, MINUTE_MS, Interval
from simulator.listings import Perpetual
from simulator.premium import FUNDING_MS

if TYPE_CHECKING:
    from simulator.payments import Payments

_BETWEEN_SETTLEMENTS: Final = INTERVALS["8h"]


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a history is wanted.

    Attributes:
        start, end: first and last time, ms, both included; None for no bound.
        limit: how many rows at most: the oldest from ``start``, else the newest.
        newest: whether the newest are kept even where ``start`` is given.
    """

    start: int | None
    end: int | None
    limit: int
    newest: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """One payment of funding.

    Attributes:
        due: the full hour at which it is paid, ms.
        stamped: when the venue says it was, some ms later.
        rate: fraction of the position's value.
    """

    due: int
    stamped: int
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Open:
    """What was open at a time: base units, and their worth at the mark price."""

    ts: int
    amount: Decimal
    value: Decimal


def settlements(perpetual: Perpetual, span: Span, now: int, *, is_late: bool) -> list[Settlement]:
    """Payments of funding in a span, oldest first.

    Args:
        is_late: whether the venue's stamps lie behind the hour; the span is of stamps.
    """
    if perpetual.payments is not None:
        return _filed(perpetual.payments, span, _until(perpetual, now), is_late=is_late)
    first = _first_settlement(perpetual)
    last = _until(perpetual, now) // FUNDING_MS * FUNDING_MS
    dues = _picked(first, last, FUNDING_MS, _widened(span))
    late = perpetual.premium.lateness
    stamps = [due + late(due) if is_late else due for due in dues]
    chosen = [
        (due, stamp)
        for due, stamp in zip(dues, stamps, strict=True)
        if (span.start is None or stamp >= span.start)
        and (span.end is None or stamp <= span.end)
        and stamp <= now
    ]
    is_newest = span.start is None or span.newest
    chosen = chosen[-span.limit :] if is_newest else chosen[: span.limit]
    if not chosen:
        return []
    rates = perpetual.premium.rates([due for due, _ in chosen])
    return [Settlement(*times, rate) for times, rate in zip(chosen, rates, strict=True)]


def _filed(payments: Payments, span: Span, now: int, *, is_late: bool) -> list[Settlement]:
    """Payments of a file in a span, oldest first."""
    start, end = span.start or 0, now if span.end is None else min(span.end, now)
    reach = (start, end) if is_late else (start, end + MINUTE_MS)
    found = [
        Settlement(due, stamp if is_late else due, rate)
        for due, stamp, rate in payments.between(*reach)
        if is_late or start <= due <= end
    ]
    is_newest = span.start is None or span.newest
    return found[-span.limit :] if is_newest else found[: span.limit]


def mark_prices(perpetual: Perpetual, paid: list[Settlement]) -> list[Decimal]:
    """The mark price at each settlement."""
    return _marks(perpetual, _BETWEEN_SETTLEMENTS, [each.due for each in paid])


def open_interest(
    perpetual: Perpetual, period: Interval, span: Span, now: int, *, ahead_ms: int = 0
) -> list[Open]:
    """What was open at every mark of a grid, oldest first.

    Args:
        ahead_ms: how far the clock of the grid is ahead of UTC.
    """
    step = period.length_ms
    first = _on_grid(perpetual.market.tape.first_ts + step - 1, step, ahead_ms)
    last = _on_grid(_until(perpetual, now), step, ahead_ms)
    times = _picked(first, last, step, span)
    if not times:
        return []
    amounts = perpetual.open_interest.at(np.array(times, dtype=np.int64))
    finest = INTERVALS["1h"] if step % INTERVALS["1h"].length_ms == 0 else INTERVALS["5m"]
    marks = _marks(perpetual, finest, times)
    return [
        Open(ts, amount, amount * mark)
        for ts, amount, mark in zip(times, amounts, marks, strict=True)
    ]


def _first_settlement(perpetual: Perpetual) -> int:
    return (perpetual.market.tape.first_ts // FUNDING_MS + 1) * FUNDING_MS


def _until(perpetual: Perpetual, now: int) -> int:
    """Now, or when the contract was delisted."""
    delisted = perpetual.market.delisted_ms
    return now if delisted is None else min(now, delisted)


def _on_grid(ts: int, step: int, ahead_ms: int) -> int:
    return (ts + ahead_ms) // step * step - ahead_ms


def _widened(span: Span) -> Span:
    """A span of due times that holds every stamp of the span."""
    start = None if span.start is None else max(0, span.start - 1000)
    return Span(start, span.end, span.limit + 1, newest=span.newest)


def _picked(first: int, last: int, step: int, span: Span) -> list[int]:
    """Times of a grid (``first`` is on it) up to ``last`` that a span wants, ascending."""
    if span.start is not None:
        first = max(first, first + -(-(span.start - first) // step) * step)
    if span.end is not None:
        last = min(last, span.end)
    last = first + (last - first) // step * step
    if last < first:
        return []
    count = min((last - first) // step + 1, span.limit)
    if span.start is None or span.newest:
        first = last - (count - 1) * step
    return [first + index * step for index in range(count)]


def _marks(perpetual: Perpetual, grid: Interval, times: list[int]) -> list[Decimal]:
    """Mark prices at ascending times of a grid; the last known one in a gap."""
    if not times:
        return []
    bars = perpetual.mark.tape.between(grid, times[0], times[-1] + 1)
    if len(bars) == 0:
        prices = [perpetual.mark.price(ts) for ts in times]
        return [Decimal(0) if price is None else price for price in prices]
    found = np.clip(np.searchsorted(bars.open_ts, times, side="right") - 1, 0, None)
    return [bars.price(int(bars.open[index])) for index in found]
