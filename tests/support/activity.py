"""What was traded on the days of bars that a test holds itself."""

from __future__ import annotations

from collections import Counter

from app.core.market.activity import DayActivity, DayBars, activity_of
from app.core.market.files.columns import KlineColumns
from app.core.market.files.exact import zero
from app.core.market.intervals import DAY_MS, Interval


def activity_of_bars(columns: KlineColumns, interval: Interval) -> list[DayActivity]:
    """The days of checked bars, ascending."""
    times: list[int] = columns.open_ts.tolist()
    counts = Counter(ts - ts % DAY_MS for ts in times)
    last = {ts - ts % DAY_MS: ts for ts in times}
    days = [DayBars(day, bars, last[day]) for day, bars in counts.items()]
    return activity_of(days, columns.kept(zero(columns.volume)), interval)
