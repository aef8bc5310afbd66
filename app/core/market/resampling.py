"""Higher intervals from lower ones: complete bars only, and which were not.

A bar of the higher interval is made when every bar of the lower one inside it is there. A bar
with a hole would have a wrong high, low and volume, so it is reported instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Generic, TypeVar

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.intervals import Interval, interval
from app.core.market.klines import Floats, KlineFrame, KlineRow, Times
from app.core.money import ZERO

Bars = TypeVar("Bars", KlineFrame, list[KlineRow])


@dataclass(frozen=True, slots=True)
class Resampled(Generic[Bars]):
    """Bars of a higher interval.

    Attributes:
        bars: the complete ones, ascending.
        incomplete: open times of bars of which only a part was there, ms.
    """

    bars: Bars
    incomplete: tuple[int, ...]


def resample(frame: KlineFrame, to: str, *, offset_ms: int = 0) -> Resampled[KlineFrame]:
    """Bars of interval ``to`` from a frame of a lower one.

    Args:
        offset_ms: the venue's grid offset.

    Raises:
        UnknownName: no such interval.
        InvalidInput: ``to`` cannot be built from the frame's interval.
    """
    lower, higher = _pair(frame.interval, to)
    opens, first, complete = _groups(frame.open_ts, lower, higher, offset_ms)
    last = _stops(first, len(frame))[complete] - 1
    kept = first[complete]
    bars = KlineFrame(
        frame.exchange,
        frame.symbol,
        to,
        opens[complete],
        frame.open[kept],
        _reduce(np.maximum, frame.high, first)[complete],
        _reduce(np.minimum, frame.low, first)[complete],
        frame.close[last],
        _reduce(np.add, frame.volume, first)[complete],
    )
    return Resampled(bars, tuple(opens[~complete].tolist()))


def resample_rows(
    rows: Iterable[KlineRow], of: str, to: str, *, offset_ms: int = 0
) -> Resampled[list[KlineRow]]:
    """The same for exact rows: sums of decimals, without a rounding.

    Quote volume and trade count are None where one of the parts has none.

    Raises:
        UnknownName: no such interval.
        InvalidInput: ``to`` cannot be built from ``of``, or the rows do not ascend.
    """
    lower, higher = _pair(of, to)
    listed = list(rows)
    times = np.array([row.open_ts for row in listed], dtype=np.int64)
    opens, first, complete = _groups(times, lower, higher, offset_ms)
    stops = _stops(first, len(listed))
    bars = [
        _merge(int(open_ts), listed[start:stop])
        for open_ts, start, stop, whole in zip(opens, first, stops, complete, strict=True)
        if whole
    ]
    return Resampled(bars, tuple(opens[~complete].tolist()))


def _pair(of: str, to: str) -> tuple[Interval, Interval]:
    lower, higher = interval(of), interval(to)
    fits = higher.is_month or higher.length_ms % lower.length_ms == 0
    days_only = not higher.is_month or interval("1d").length_ms % lower.length_ms == 0
    longer = higher.length_ms > lower.length_ms
    if lower.is_month or not (longer and fits and days_only):
        raise InvalidInput(f"bars of {to} cannot be built from bars of {of}")
    return lower, higher


def _groups(
    times: Times, lower: Interval, higher: Interval, offset_ms: int
) -> tuple[Times, Times, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Open time of each higher bar, position of its first lower bar, and whether it is whole."""
    if len(times) > 1 and not bool(np.all(np.diff(times) > 0)):
        raise InvalidInput("klines to resample did not ascend by open time")
    parents = _parents(times, higher, offset_ms)
    opens, first, counts = np.unique(parents, return_index=True, return_counts=True)
    expected = np.array(
        [lower.expected(int(ts), higher.next(int(ts)), offset_ms) for ts in opens], dtype=np.int64
    )
    return opens, first.astype(np.int64), counts == expected


def _stops(first: Times, total: int) -> Times:
    """Where each group ends, given where each begins."""
    stops: Times = np.append(first, total)[1:]
    return stops


def _parents(times: Times, higher: Interval, offset_ms: int) -> Times:
    if higher.is_month:
        return np.array([higher.floor(int(ts)) for ts in times], dtype=np.int64)
    base = higher.floor(0, offset_ms)
    parents: Times = times - (times - base) % higher.length_ms
    return parents


def _reduce(function: np.ufunc, values: Floats, first: Times) -> Floats:
    if not len(first):
        return np.empty(0)
    reduced: Floats = function.reduceat(values, first)
    return reduced


def _total(values: list[Decimal]) -> Decimal:
    # The default context keeps 28 digits; a sum of DECIMAL(36,18) may need more.
    with localcontext(prec=60):
        return sum(values, ZERO)


def _merge(open_ts: int, parts: list[KlineRow]) -> KlineRow:
    quotes = [row.quote_volume for row in parts if row.quote_volume is not None]
    counts = [row.trade_count for row in parts if row.trade_count is not None]
    return KlineRow(
        open_ts,
        parts[0].open,
        max(row.high for row in parts),
        min(row.low for row in parts),
        parts[-1].close,
        _total([row.volume for row in parts]),
        _total(quotes) if len(quotes) == len(parts) else None,
        sum(counts) if len(counts) == len(parts) else None,
    )
