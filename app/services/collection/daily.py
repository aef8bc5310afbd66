"""Days of a stored series: which of them are kept, and the figures of those that were verified."""

from __future__ import annotations

from typing import Final

from app.core.errors import InvalidInput
from app.core.market.coverage import CoverageState, count_bars, expected_of
from app.core.market.intervals import DAY_MS
from app.models import KlineDayRow, KlineSeriesRow
from app.repositories.unit import Unit
from app.services.collection.comparing import Compared, date_of
from app.services.collection.target import Target, keeps

_LONGEST_DAYS: Final = 3_660


def require_number(days: int) -> None:
    """Nothing, if so many days can be verified at once.

    Raises:
        InvalidInput: they cannot.
    """
    if not 0 < days <= _LONGEST_DAYS:
        raise InvalidInput(f"verify 1 to {_LONGEST_DAYS} days at once")


def series_of(unit: Unit, wanted: Target) -> KlineSeriesRow:
    """The stored series.

    Raises:
        InvalidInput: nothing of it is stored.
    """
    series = unit.klines.find_series(*wanted.key)
    if series is None:
        raise _nothing(wanted)
    return series


def _nothing(wanted: Target) -> InvalidInput:
    return InvalidInput(
        f"nothing of {wanted.symbol} {wanted.interval.name} is stored; collect it first"
    )


def first_bar(unit: Unit, wanted: Target) -> int | None:
    """Open time of the first bar that is known of or that an enabled plan wants, or None."""
    names = (wanted.exchange, wanted.symbol, wanted.interval.name, wanted.kind.value)
    known = unit.coverage.spans(series_of(unit, wanted).id, limit=1)
    starts = [plan.since_ts for plan in unit.plans.enabled() if keeps(plan, *names)]
    starts += [span.start for span in known]
    return wanted.interval.ceil(min(starts)) if starts else None


def latest_days(unit: Unit, wanted: Target, last: int, days: int) -> tuple[int, int]:
    """The first of the latest days of a series that are kept, and how many are.

    Days before the first one that is stored or planned are left out: a verification stores what it
    finds, and nobody wants those.

    Args:
        last: 00:00 UTC of the last day, ms.
        days: how many up to that one were asked for.

    Raises:
        InvalidInput: nothing of the series is stored, not a number of days that makes sense, or
            nothing of any of them is stored or planned.
    """
    require_number(days)
    first_day = last - (days - 1) * DAY_MS
    first = first_bar(unit, wanted)
    if first is None:
        # A file of which all was refused has made the series; nobody wants the venue's bars.
        raise _nothing(wanted)
    first_day = max(first_day, first - first % DAY_MS)
    if first_day > last:
        raise InvalidInput(
            f"{wanted.symbol} {wanted.interval.name} is stored or planned from "
            f"{date_of(first_day)} on, and that day is not over yet; verify it tomorrow",
            code="nothing-to-verify",
        )
    return first_day, (last - first_day) // DAY_MS + 1


def note_day(
    unit: Unit, wanted: Target, reach: tuple[int, int], found: Compared, derived: Compared
) -> None:
    """Write the figures of a day, to what was found of it before.

    Args:
        reach: when the day begins, and its first bar that is stored or planned.
    """
    day, begin = reach
    series = unit.klines.lock_series(series_of(unit, wanted).id)
    end = day + DAY_MS
    counts = count_bars(unit.coverage.spans(series.id, begin, end), wanted.interval, begin, end)
    rows = unit.klines.read_exact(series.id, day, end)
    so_far = found.after(unit.days.find(series.id, day))
    figures = KlineDayRow(
        series_id=series.id,
        day_ts=day,
        expected=expected_of(counts),
        present=counts[CoverageState.PRESENT],
        exchange_side=counts[CoverageState.EXCHANGE_SIDE],
        pending=counts[CoverageState.PENDING],
        quiet=sum(not row.volume for row in rows),
        compared=so_far.compared,
        differed=so_far.differed,
        missed=so_far.missed,
        surplus=so_far.surplus,
        uncompared=so_far.uncompared,
        derived_compared=derived.compared,
        derived_differed=derived.differed,
        verified_at=unit.now_ms,
    )
    unit.days.put(figures)
