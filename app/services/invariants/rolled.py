"""Roll-ups: each bar that is read of them is what its minutes make, while these are there (D13)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.core.market.absences import ranges_of
from app.core.market.coverage import CoverageState
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import DAY_MS
from app.core.market.resampling import resample_columns
from app.core.market.retention import whole_days
from app.core.market.rolling import ROLL_UPS, day_of
from app.models import KlineSeriesRow
from app.repositories.kline_past import is_all_marked
from app.repositories.unit import Unit
from app.services.invariants.breach import Breach

# 45,000 minutes: 5 MB of columns.
_DAYS: Final = 31


def check_rolled(unit: Unit, minutes: KlineSeriesRow) -> Iterator[Breach]:
    """Breaches among the days that are said to be rolled up.

    Args:
        minutes: the series that they were made of.
    """
    rolled = unit.klines.roll_ups(minutes)
    starts = [unit.klines.bounds(each.id) for each in (minutes, *rolled.values())]
    first = min((each[0] for each in starts if each is not None), default=None)
    if minutes.rolled_to is None or first is None or not is_all_marked(minutes):
        return
    for start in range(day_of(first), minutes.rolled_to, _DAYS * DAY_MS):
        end = min(start + _DAYS * DAY_MS, minutes.rolled_to)
        spans = unit.coverage.spans(minutes.id, start, end)
        absent = ranges_of(spans, CoverageState.EXCHANGE_SIDE)
        whole = set(whole_days(spans, start, end))
        looked_at = whole - set(unit.rolls.days(minutes.id, start, end))
        bars, of = unit.klines.read_exact_columns(minutes.id, start, end), minutes.interval
        for name in ROLL_UPS:
            bars, of = resample_columns(bars, of, name, absent=absent).bars, name
            kept = KlineColumns.joined([])
            if name in rolled:
                kept = unit.klines.read_exact_columns(rolled[name].id, start, end)
            for open_ts in _differing(bars, kept):
                if day_of(open_ts) in looked_at:
                    text = (
                        f"{minutes.exchange} {minutes.symbol} {name}: the bar of {open_ts} is "
                        "not what its minutes make"
                    )
                    yield Breach("D13", str(minutes.id), text)


def _differing(made: KlineColumns, kept: KlineColumns) -> list[int]:
    return sorted({row.open_ts for row in set(made.rows()) ^ set(kept.rows())})
