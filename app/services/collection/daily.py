"""Days of a stored series: which of them are kept, and the figures of those that were verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.errors import InvalidInput
from app.core.market.coverage import CoverageState, expected_of
from app.core.market.expected import Range, count_in, expected_ranges, within
from app.core.market.intervals import DAY_MS
from app.models import KlineDayRow, KlineSeriesRow
from app.repositories.unit import Unit
from app.services.collection.comparing import Compared, date_of
from app.services.collection.target import Target

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


def _wanted_since(unit: Unit, wanted: Target) -> int | None:
    """Open time of the first bar that an enabled plan wants, or None."""
    exchange, symbol, name, kind = wanted.key
    since = unit.plans.since(exchange, symbol, name, kind.value)
    return None if since is None else wanted.interval.ceil(since)


def parts_of_day(unit: Unit, wanted: Target, day: int) -> list[Range]:
    """The parts of a day of a stored series whose bars are expected: known of, or planned.

    Raises:
        InvalidInput: nothing of the series is stored.
    """
    series_id, end = series_of(unit, wanted).id, day + DAY_MS
    spans = unit.coverage.spans(series_id, day, end)
    before = unit.coverage.before(series_id, spans[0].start if spans else day)
    after = unit.coverage.after(series_id, spans[-1].end if spans else end)
    since = _wanted_since(unit, wanted)
    planned = None if since is None else (since, end)
    return within(
        expected_ranges(spans, planned, wanted.interval, before=before, after=after), day, end
    )


@dataclass(frozen=True, slots=True)
class Days:
    """Days of a series to be verified.

    Attributes:
        first: 00:00 UTC of the first one, ms.
        count: how many to the last one, those without an expected bar among them.
        empty: how many of them have none: they lie between two histories that are kept.
    """

    first: int
    count: int
    empty: int


def latest_days(unit: Unit, wanted: Target, last: int, days: int) -> Days:
    """The latest days of a series of which anything is stored or planned.

    The others are left out: a verification stores what it finds, and nobody wants those.

    Args:
        last: 00:00 UTC of the last day, ms.
        days: how many up to that one were asked for.

    Raises:
        InvalidInput: nothing of the series is stored, not a number of days that makes sense, or
            nothing of any of them is stored or planned.
    """
    require_number(days)
    oldest = last - (days - 1) * DAY_MS
    since = _wanted_since(unit, wanted)
    end = last + DAY_MS
    planned = None if since is None else (since, max(end, since + 1))
    spans = unit.coverage.spans(series_of(unit, wanted).id)
    ranges = expected_ranges(spans, planned, wanted.interval)
    if not ranges:
        # A file of which all was refused has made the series; nobody wants the venue's bars.
        raise _nothing(wanted)
    found = _days_of(within(ranges, oldest, end))
    if not found:
        raise _none_of(wanted, ranges, last, days)
    count = (found[-1] - found[0]) // DAY_MS + 1
    return Days(found[0], count, count - len(found))


def _days_of(ranges: Sequence[Range]) -> list[int]:
    """00:00 UTC of each day that some ranges touch, ascending."""
    found: set[int] = set()
    for start, end in ranges:
        found.update(range(start - start % DAY_MS, end, DAY_MS))
    return sorted(found)


def _none_of(wanted: Target, ranges: Sequence[Range], last: int, days: int) -> InvalidInput:
    """Why none of the days that were asked for is verified."""
    code, name = "nothing-to-verify", f"{wanted.symbol} {wanted.interval.name}"
    earlier = within(ranges, 0, last - (days - 1) * DAY_MS)
    if earlier:
        latest = earlier[-1][1] - 1
        latest -= latest % DAY_MS
        return InvalidInput(
            f"{name} is neither stored nor planned behind {date_of(latest)}; ask for at least "
            f"{(last - latest) // DAY_MS + 1} days, or have a plan collect it",
            code=code,
        )
    return InvalidInput(
        f"{name} is stored or planned from {date_of(ranges[0][0])} on, and that day is not over "
        "yet; verify it tomorrow",
        code=code,
    )


def note_day(
    unit: Unit,
    wanted: Target,
    day: int,
    parts: Sequence[Range],
    found: Compared,
    derived: Compared,
) -> None:
    """Write the figures of a day, to what was found of it before.

    Args:
        day: when it begins, ms; ``parts``: those of it whose bars are expected.
    """
    series = unit.klines.lock_series(series_of(unit, wanted).id)
    end = day + DAY_MS
    counts = count_in(unit.coverage.spans(series.id, day, end), wanted.interval, parts)
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
