"""Which bars of a file may be stored: the verdicts of ``check_klines``, a column at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.core.market.files.arrays import mask_of, number_scalar
from app.core.market.files.columns import KlineColumns, Mask
from app.core.market.files.exact import ExactColumn, above, decimals, exact, negative, zero
from app.core.market.intervals import Interval
from app.core.market.klines import Times
from app.core.market.validation import NOT_ABOVE, OFF_GRID, BadKline

OUTSIDE = "opens outside the range that was asked for"
_PRICE = "a price is not above 0"
_NEGATIVE = "a volume or the trade count is negative"
_ORDER = "open and close are not between low and high"
_TEXT_LIMIT = 80


@dataclass(frozen=True, slots=True)
class CheckedColumns:
    """The bars of one chunk, sorted out.

    Attributes:
        good: closed bars, ascending, none twice, amounts as canonical text.
        bad: bars for quarantine, in the order of the file.
        unfinished: how many bars were left out because they had not closed yet.
        last: the highest open time of a good bar, of this chunk or before it; else ``after``.
    """

    good: KlineColumns
    bad: list[BadKline]
    unfinished: int
    last: int


def check_columns(
    columns: KlineColumns,
    interval: Interval,
    *,
    start: int,
    end: int,
    closed_by: int,
    after: int = -1,
    offset_ms: int = 0,
) -> CheckedColumns:
    """Sort the bars of one chunk into good and bad, as ``check_klines`` does with rows.

    Args:
        start, end: the range of open times that may come, [start, end).
        closed_by: market time, ms, less the grace: a bar that closes later is unfinished.
        after: the highest open time of the chunks before.
        offset_ms: of the venue's grid.
    """
    times = columns.open_ts
    outside = (times < start) | (times >= end)
    within = np.where(outside, 0, times)
    unfinished = ~outside & (_next(within, interval) > closed_by)
    candidates = ~outside & ~unfinished
    faults = _Faults(len(times))
    faults.note(
        _floor(within, interval, offset_ms) != within,
        f"{OFF_GRID}{interval.name}",
    )
    exactly = _exact_columns(columns)
    faults.note_amounts(list(exactly[:6]))
    _note_values(faults, exactly, columns)
    fine = candidates & ~faults.any
    highest = np.maximum.accumulate(np.concatenate([[after], np.where(fine, times, -1)]))
    repeated = candidates & (times <= highest[:-1])
    good = fine & ~repeated
    bad = outside | repeated | (candidates & faults.any)
    reasons = {int(position): OUTSIDE for position in np.flatnonzero(outside)}
    reasons |= {int(position): NOT_ABOVE for position in np.flatnonzero(repeated)}
    texts = [each.texts for each in exactly]
    canonical = KlineColumns(times, *[*texts, columns.trade_count])
    return CheckedColumns(
        canonical.kept(good),
        [
            _bad(columns, position, reasons.get(position) or faults.reason(position))
            for position in np.flatnonzero(bad).tolist()
        ],
        int(unfinished.sum()),
        int(highest[-1]),
    )


class _Faults:
    """The first fault of each bar by itself."""

    def __init__(self, bars: int) -> None:
        self.any: Mask = np.zeros(bars, np.bool_)
        self._reasons: dict[int, str] = {}

    def note(self, wrong: Mask, reason: str) -> None:
        """Bars that have this fault, where they had none before."""
        fresh = wrong & ~self.any
        if fresh.any():
            self._reasons |= dict.fromkeys(np.flatnonzero(fresh).tolist(), reason)
            self.any |= fresh

    def note_amounts(self, columns: list[ExactColumn]) -> None:
        """Bars with texts that are no amounts; the first such text of a bar is its fault."""
        for column in columns:
            for position, reason in column.faults.items():
                if not self.any[position]:
                    self._reasons[position] = reason
                    self.any[position] = True

    def reason(self, position: int) -> str:
        """Of a bar that has a fault."""
        return self._reasons[position]


def _exact_columns(columns: KlineColumns) -> list[ExactColumn]:
    *amounts, quote_volume, _ = columns.arrays()
    return [*map(exact, amounts), exact(quote_volume, may_be_null=True)]


def _note_values(faults: _Faults, exactly: list[ExactColumn], columns: KlineColumns) -> None:
    import pyarrow.compute as pc

    opened, high, low, close, volume, quote_volume = (each.texts for each in exactly)
    prices = (opened, high, low, close)
    not_above_zero = np.zeros(len(columns), np.bool_)
    for price in prices:
        not_above_zero |= negative(price) | zero(price)
    faults.note(not_above_zero, _PRICE)
    counts = columns.trade_count
    below_zero = mask_of(pc.less(counts, number_scalar(0, counts)))
    faults.note(negative(volume) | negative(quote_volume) | below_zero, _NEGATIVE)
    opens, highs, lows, closes = map(decimals, prices)
    wrong = above(lows, opens) | above(lows, closes) | above(opens, highs) | above(closes, highs)
    faults.note(wrong, _ORDER)


def _floor(times: Times, interval: Interval, offset_ms: int) -> Times:
    if interval.is_month:
        return np.array([interval.floor(ts) for ts in times.tolist()], dtype=np.int64)
    floored: Times = times - (times - interval.floor(0, offset_ms)) % interval.length_ms
    return floored


def _next(times: Times, interval: Interval) -> Times:
    if interval.is_month:
        return np.array([interval.next(ts) for ts in times.tolist()], dtype=np.int64)
    following: Times = times + interval.length_ms
    return following


def _bad(columns: KlineColumns, position: int, reason: str) -> BadKline:
    texts = columns.texts(position)
    shortened = [each[:_TEXT_LIMIT] if isinstance(each, str) else each for each in texts]
    return BadKline(int(columns.open_ts[position]), shortened, reason)
