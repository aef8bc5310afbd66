"""Which bars of an answer may be stored, and why the others may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from app.core.errors import InvalidInput
from app.core.market.intervals import Interval
from app.core.market.klines import KlineRow
from app.core.money import checked

#: How the reason of a bar begins that opens beside the grid; the interval follows.
OFF_GRID: Final = "its open time is not on the grid of "
#: The reason of a bar that repeats one, or goes back in time.
NOT_ABOVE: Final = "its open time is not above the one before it"
# KlineQuarantineRow.reason has 200 characters; reasons below stay far under it.
_TEXT_LIMIT = 80


@dataclass(frozen=True, slots=True)
class BadKline:
    """A bar that must not be stored.

    Attributes:
        row: as the venue stated it, numbers as text.
        reason: one short sentence.
    """

    open_ts: int
    row: list[str | int | None]
    reason: str


@dataclass(slots=True)
class CheckedKlines:
    """The bars of one answer, sorted out.

    Attributes:
        good: closed bars, ascending, none twice.
        bad: bars for quarantine, in the order of the answer.
        unfinished: how many bars were left out because they had not closed yet.
    """

    good: list[KlineRow] = field(default_factory=list)
    bad: list[BadKline] = field(default_factory=list)
    unfinished: int = 0


def check_klines(
    rows: Sequence[KlineRow],
    interval: Interval,
    *,
    start: int,
    end: int,
    closed_by: int,
    offset_ms: int = 0,
) -> CheckedKlines:
    """Sort the rows of one answer into good and bad.

    Args:
        start, end: the range of open times that was asked for, [start, end).
        closed_by: market time, ms, less the grace: a bar that closes later is unfinished, and
            the venue's last word on it is still to come.
        offset_ms: of the venue's grid.
    """
    found = CheckedKlines()
    last = -1
    for row in rows:
        if not start <= row.open_ts < end:
            reason = "opens outside the range that was asked for"
        elif interval.next(row.open_ts) > closed_by:
            found.unfinished += 1
            continue
        elif row.open_ts <= last:
            reason = NOT_ABOVE
        else:
            reason = kline_fault(row, interval, offset_ms)
        if reason:
            found.bad.append(BadKline(row.open_ts, as_text(row), reason))
        else:
            found.good.append(row)
            last = row.open_ts
    return found


def kline_fault(row: KlineRow, interval: Interval, offset_ms: int = 0) -> str:
    """What is wrong with a bar by itself; "" if nothing is."""
    if interval.floor(row.open_ts, offset_ms) != row.open_ts:
        return f"{OFF_GRID}{interval.name}"
    amounts = (row.open, row.high, row.low, row.close, row.volume)
    try:
        for amount in amounts if row.quote_volume is None else (*amounts, row.quote_volume):
            checked(amount)
    except InvalidInput as error:
        return str(error)[:_TEXT_LIMIT]
    if min(row.open, row.high, row.low, row.close) <= 0:
        return "a price is not above 0"
    if row.volume < 0 or (row.quote_volume or 0) < 0 or (row.trade_count or 0) < 0:
        return "a volume or the trade count is negative"
    if row.low > min(row.open, row.close) or row.high < max(row.open, row.close):
        return "open and close are not between low and high"
    return ""


def as_text(row: KlineRow) -> list[str | int | None]:
    """A bar as JSON holds it exactly: numbers as text, times and counts as integers."""
    return [
        value if value is None or isinstance(value, int) else str(value)[:_TEXT_LIMIT]
        for value in row
    ]
