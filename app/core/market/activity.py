"""What the days of a series say of its trading: bars without volume, and the runs they make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from app.core.market.files.arrays import mask_of
from app.core.market.intervals import DAY_MS, Interval

if TYPE_CHECKING:
    from app.core.market.files.columns import KlineColumns, Mask
    from app.core.market.klines import Times

#: So many days of nothing but flat bars without volume, and a series is taken for dead. Thin
#: markets are silent over a weekend; none that lives is for a week.
DEAD_AFTER_DAYS: Final = 7


class DayBars(NamedTuple):
    """How many bars of a series open on one UTC day.

    Attributes:
        day: 00:00 UTC, ms.
        bars: at least one.
        last: open time of the last one, ms.
    """

    day: int
    bars: int
    last: int


@dataclass(frozen=True, slots=True)
class DayActivity:
    """The bars of one UTC day of a series.

    A run is made of bars without volume that follow each other without a gap.

    Attributes:
        day: 00:00 UTC, ms.
        bars: how many are stored.
        idle: of these, the ones without volume.
        flat: of the idle ones, those whose four prices are one.
        runs: of idle bars, one that comes from the day before or goes on after it included.
        longest: bars of the longest run.
        head: bars of the run that begins with the day; 0 where none does.
        tail: bars of the run that ends with the day; 0 where none does.
        price: the one price of a day of flat idle bars alone; None for any other day.
    """

    day: int
    bars: int
    idle: int
    flat: int
    runs: int
    longest: int
    head: int
    tail: int
    price: Decimal | None = None

    @property
    def is_silent(self) -> bool:
        """Whether the day is, from its first bar to its last, flat at one price without volume."""
        return self.price is not None and self.tail > 0 and self.head == self.bars

    @property
    def has_trades(self) -> bool:
        """Whether anything was traded in it."""
        return self.idle < self.bars


@dataclass(frozen=True, slots=True)
class Activity:
    """Days of one series together.

    Attributes:
        bars, idle, flat: sums.
        runs: of idle bars; one that goes over midnight is one.
        longest: bars of the longest run.
    """

    bars: int = 0
    idle: int = 0
    flat: int = 0
    runs: int = 0
    longest: int = 0


@dataclass(frozen=True, slots=True)
class Silence:
    """The silent days with which a series ends.

    Attributes:
        since: the first of them, 00:00 UTC, ms.
        days: how many.
        price: at which all of their bars lie.
    """

    since: int
    days: int
    price: Decimal


def activity_of(
    counts: Iterable[DayBars], idle: KlineColumns, interval: Interval
) -> list[DayActivity]:
    """What was traded on days of checked bars, which ascend; a day without a bar is left out.

    Args:
        counts: how many bars the days have.
        idle: those of their bars that have no volume, as ``check_columns`` lets bars pass.
    """
    times = idle.open_ts
    flat = _one_price(idle)
    found = []
    for day, bars, _ in counts:
        first, stop = np.searchsorted(times, [day, day + DAY_MS]).tolist()
        activity = _day(day, bars, times[first:stop], flat[first:stop], interval)
        if activity.flat == bars:
            prices = set(idle.close.slice(first, stop - first).to_pylist())
            price = Decimal(prices.pop()) if len(prices) == 1 else None
            activity = replace(activity, price=price)
        found.append(activity)
    return found


def summed(days: Iterable[DayActivity]) -> Activity:
    """Days of one series together; they ascend, and those without a bar may be left out."""
    bars = idle = flat = runs = longest = carried = 0
    before: DayActivity | None = None
    for day in days:
        goes_on = bool(
            before is not None and before.tail and day.head and day.day == before.day + DAY_MS
        )
        over_midnight = carried + day.head if goes_on else 0
        bars, idle, flat = bars + day.bars, idle + day.idle, flat + day.flat
        runs += day.runs - goes_on
        longest = max(longest, day.longest, over_midnight)
        is_one_run = day.tail > 0 and day.head == day.bars
        carried = over_midnight if goes_on and is_one_run else day.tail
        before = day
    return Activity(bars, idle, flat, runs, longest)


def silence_of(days: Sequence[DayActivity]) -> Silence | None:
    """The silent days with which ascending days end, or None where they do not.

    A last day that is not over, and was silent so far, is left out.
    """
    known = list(days)
    if known and known[-1].price is not None and not known[-1].is_silent:
        known.pop()
    found: list[DayActivity] = []
    for day in reversed(known):
        follows = not found or (day.day == found[-1].day - DAY_MS and day.price == found[-1].price)
        if not day.is_silent or not follows:
            break
        found.append(day)
    if not found or found[-1].price is None:
        return None
    return Silence(found[-1].day, len(found), found[-1].price)


def _day(day: int, bars: int, quiet: Times, flat: Mask, interval: Interval) -> DayActivity:
    from app.core.market.files.findings import ends

    closes = ends(quiet, interval)
    breaks = np.flatnonzero(quiet[1:] != closes[:-1]) + 1
    starts = np.concatenate([[0], breaks]).astype(np.int64) if len(quiet) else np.empty(0, np.int64)
    lengths = np.diff(np.append(starts, len(quiet)))
    begins = len(quiet) > 0 and int(quiet[0]) == day
    reaches = len(quiet) > 0 and int(closes[-1]) >= day + DAY_MS
    return DayActivity(
        day,
        bars,
        len(quiet),
        int(flat.sum()),
        len(starts),
        int(lengths.max()) if len(lengths) else 0,
        int(lengths[0]) if begins else 0,
        int(lengths[-1]) if reaches else 0,
    )


def _one_price(columns: KlineColumns) -> Mask:
    """Where the four prices of a bar are one; equal amounts have equal texts."""
    import pyarrow.compute as pc

    same = np.ones(len(columns), np.bool_)
    for other in (columns.high, columns.low, columns.close):
        same &= mask_of(pc.equal(columns.open, other))
    return same
