"""A file of funding rates into the record: payments at the venue's own times, each once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

from app.core.errors import InvalidInput
from app.core.market.files.findings import longest, told
from app.core.market.files.reading import read_funding
from app.core.market.files.tables import NoRowsError
from app.core.market.intervals import HOUR_MS, MINUTE_MS
from app.core.market.point_gaps import as_json, opened_behind, spans_of
from app.repositories.points import Point
from app.repositories.unit import Unit
from app.services.collection.points import Extra, PointKind, tell_points
from app.services.importing.order import ImportFile, ImportOrder

# Payments are an hour apart at least; two sources state one payment milliseconds apart.
_SAME_MS: Final = MINUTE_MS
# Caps of venues lie at a few percent; a price or a percentage in the place of a rate does not.
_HIGHEST: Final = 1
_NAME_LIMIT: Final = 64
_MOST: Final = 1_000_000
_EXTRA: Final = Extra(PointKind.FUNDING)


@dataclass(slots=True)
class Payments:
    """The payments of one file.

    Attributes:
        points: ascending, none twice.
        rows: of the file.
        same, differing: rows that repeat a payment, equally and otherwise; the first counts.
        outside: rows outside the range that the order asks for, or in the future.
    """

    points: list[Point] = field(default_factory=list)
    rows: int = 0
    same: int = 0
    differing: int = 0
    outside: int = 0


def payments_of(path: Path, file: ImportFile, order: ImportOrder, now_ms: int) -> Payments:
    """Read a file of funding rates.

    Args:
        now_ms: market time.

    Raises:
        NoRowsError: it has none.
        InvalidInput: it cannot be read, or what it holds are no funding rates.
    """
    found = Payments()
    first = 0 if order.start is None else order.start
    stop = now_ms + 1 if order.end is None else min(order.end, now_ms + 1)
    for rate in sorted(read_funding(path, file.reading), key=lambda each: each.ts):
        found.rows += 1
        if abs(rate.rate) >= _HIGHEST:
            raise InvalidInput(
                f"{path.name} has the rate {rate.rate} at {rate.ts}, which no funding rate is; a "
                "rate is a part of one, as in 0.0001"
            )
        if not first <= rate.ts < stop:
            found.outside += 1
        elif found.points and rate.ts - found.points[-1].ts < _SAME_MS:
            equal = rate.rate == found.points[-1].value
            found.same, found.differing = found.same + equal, found.differing + (not equal)
        else:
            found.points.append(Point(rate.ts, rate.rate, rate.mark_price))
    if not found.rows:
        raise NoRowsError(path.name)
    return found


def keep_funding(unit: Unit, file: ImportFile, found: Payments) -> dict[str, Any]:
    """Store the payments of a file under the series row's lock; the account of it.

    A payment that is stored already keeps its time and its mark price, which files do not say.
    What a plan asks the venue for does not change: a file says nothing of what it lacks. But an
    older payment than the first one so far says that this was no listing.
    """
    names = (file.exchange, file.symbol, _EXTRA.kind.value, _EXTRA.interval)
    series = unit.points.lock_series(unit.points.series(*names, unit.now_ms).id)
    first, last = (found.points[0].ts, found.points[-1].ts) if found.points else (0, 0)
    known = unit.points.read(series.id, first - _SAME_MS, last + _SAME_MS, _MOST)
    points = _settled(found.points, known)
    before = {point.ts: point for point in known}
    new = sum(point.ts not in before for point in points)
    revised = sum(before.get(point.ts, point) != point for point in points)
    stored = unit.points.store(series.id, points, f"file:{file.name}"[:_NAME_LIMIT], unit.now_ms)
    if points:
        series.gaps = as_json(opened_behind(spans_of(series.gaps), first))
    if stored:
        tell_points(unit, file.exchange, file.symbol, _EXTRA, points, stored)
    return {
        "file": file.name,
        "exchange": file.exchange,
        "symbol": file.symbol,
        "in_catalogue": unit.instruments.find(file.exchange, file.symbol) is not None,
        "rows": found.rows,
        "new": new,
        "unchanged": len(points) - new - revised,
        "revised": revised,
        "outside": found.outside,
        "duplicates": {"same": found.same, "differing": found.differing},
        "off_hour": sum(point.ts % HOUR_MS != 0 for point in points),
        "first": first or None,
        "last": last or None,
        **_pauses(points),
    }


def _settled(points: Sequence[Point], known: Sequence[Point]) -> list[Point]:
    """The points, each at the time at which it is stored already, if it is.

    The nearest ones go together, and no stored point is taken twice: else of two payments one
    would be lost.
    """
    times = [point.ts for point in known]
    near = sorted(
        (abs(times[at] - point.ts), position, at)
        for position, point in enumerate(points)
        for at in range(
            bisect_left(times, point.ts - _SAME_MS + 1), bisect_left(times, point.ts + _SAME_MS)
        )
    )
    stored_of: dict[int, Point] = {}
    taken: set[int] = set()
    for _, position, at in near:
        if position not in stored_of and at not in taken:
            stored_of[position] = known[at]
            taken.add(at)
    found = []
    for position, point in enumerate(points):
        stored = stored_of.get(position)
        if stored is not None:
            second = stored.second if point.second is None else point.second
            point = Point(stored.ts, point.value, second)  # noqa: PLW2901
        found.append(point)
    return found


def _pauses(points: Sequence[Point]) -> dict[str, Any]:
    """How far payments are apart, and what lacks by that between the first and the last."""
    apart = [round((right.ts - left.ts) / HOUR_MS) for left, right in pairwise(points)]
    hours = round(median(apart)) if apart else None
    gaps = [
        (left.ts, right.ts, round(distance / hours) - 1)
        for (left, right), distance in zip(pairwise(points), apart, strict=True)
        if hours and distance >= 2 * hours
    ]
    return {"hours_apart": hours, "gaps": told(longest({}, gaps))}
