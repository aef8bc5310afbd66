"""What is kept of a source's answers: good observations, revisions, and bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from app.core.ports import Clock
from app.core.sources.base import Observation
from app.core.sources.rows import BadObservation, check
from app.repositories.points import Point
from app.repositories.unit import Unit, Units
from app.services.collection.points import tell_series

#: Series of one source; more are a mistake in how it names them.
MOST_SERIES: Final = 1_000
#: Bad observations kept of one source; those that follow are counted alone.
MOST_BAD: Final = 1_000
_SHOWN: Final = 3
_Key = tuple[str, str]


@dataclass(slots=True)
class Kept:
    """What came of a run.

    Attributes:
        observed: rows that the source gave.
        stored: of them, those that were new or another value of a known time.
        quarantined: of them, those that failed their checks.
    """

    observed: int = 0
    stored: int = 0
    quarantined: int = 0

    def as_row(self) -> dict[str, int]:
        """As it is kept with the source."""
        return asdict(self)


class Keeper:
    """Checks and stores the rows of one run, as they come.

    Args:
        exchange: the namespace of the source.
        origin: what a revision says of who stated it.
    """

    def __init__(self, units: Units, clock: Clock, exchange: str, origin: str) -> None:
        self._units = units
        self._clock = clock
        self._exchange = exchange
        self._origin = origin
        self.kept = Kept()
        self.reasons: list[str] = []
        with units.read() as unit:
            self._known = {(row.kind, row.symbol) for row in unit.points.series_of(exchange)}
            self._room = MOST_BAD - unit.points.count_quarantined(exchange)

    def take(self, rows: Sequence[Any]) -> None:
        """Store what is good of some rows, in one transaction, and keep the rest aside."""
        now = self._clock.now_ms()
        series: dict[_Key, dict[int, Point]] = {}
        bad: list[BadObservation] = []
        for row in rows:
            found = check(row, now)
            if isinstance(found, BadObservation):
                bad.append(found)
                continue
            refused = self._refused(found)
            if refused is not None:
                bad.append(refused)
                continue
            key = (found.series, found.symbol or "")
            # Of two values of one time the later one is the source's word.
            series.setdefault(key, {})[found.ts] = Point(
                found.ts, found.value, found.second, found.label
            )
        stored, told = self._units.run(lambda unit: self._write(unit, series, bad))
        self._room -= told
        self.kept.observed += len(rows)
        self.kept.stored += stored
        self.kept.quarantined += len(bad)
        fresh = [each.reason for each in bad if each.reason not in self.reasons]
        self.reasons += list(dict.fromkeys(fresh))[: max(0, _SHOWN - len(self.reasons))]

    def _refused(self, found: Observation) -> BadObservation | None:
        key = (found.series, found.symbol or "")
        if key in self._known:
            return None
        if len(self._known) >= MOST_SERIES:
            row: list[str | int | None] = [found.series, found.ts, str(found.value), found.symbol]
            return BadObservation(row, f"its source has {MOST_SERIES} series already")
        self._known.add(key)
        return None

    def _write(
        self, unit: Unit, series: dict[_Key, dict[int, Point]], bad: Sequence[BadObservation]
    ) -> tuple[int, int]:
        stored = 0
        # In one order, so that two who write the same series wait for each other, not both.
        for (kind, symbol), points in sorted(series.items()):
            ascending = [points[ts] for ts in sorted(points)]
            stored += self._store(unit, kind, symbol, ascending)
        kept = [(each.row, each.reason) for each in bad[: max(0, self._room)]]
        return stored, unit.points.quarantine(self._exchange, kept, self._origin, unit.now_ms)

    def _store(self, unit: Unit, kind: str, symbol: str, points: Sequence[Point]) -> int:
        made = unit.points.series(self._exchange, symbol, kind, "", unit.now_ms)
        row = unit.points.lock_series(made.id)
        stored = unit.points.store(row.id, points, self._origin, unit.now_ms)
        row.next_ts = max(row.next_ts, points[-1].ts + 1)
        row.asked_at = unit.now_ms
        if stored:
            tell_series(unit, self._exchange, symbol, kind, "", points, stored)
        return stored
