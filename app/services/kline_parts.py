"""Bars of an interval from every series that holds some, each bar from exactly one.

The interval's own series is read from its first bar to its last. What lies before it, and after
it, comes of the next series that holds bars there (``app.core.market.composing``): whoever collects
or imports a little of an interval keeps the history that derives from a finer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.market.composing import FOREVER, Origin, stretches, whole_bars
from app.core.market.intervals import Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame, KlineKind, KlineRow
from app.core.market.rolling import ROLLED, roll_up_of
from app.models import KlineSeriesRow
from app.repositories.kline_store import KlineStore
from app.repositories.segments import joined
from app.repositories.unit import Unit
from app.services.kline_sources import read_frame, read_rows, rolls_to, sources_of

_Bounds = tuple[int, int]
_Held = tuple[KlineSeriesRow, _Bounds | None, _Bounds]
# Bars that a series may be behind before the next one stands in for it: a gap is told of after two.
_PATIENCE: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """Bars that open in [start, end), of one stored series.

    Attributes:
        bounds: open times of the series' own first and last bar; None where it has none.
    """

    series: KlineSeriesRow
    bounds: _Bounds | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sources:
    """The stored series that bars of an interval come of, as they were at one moment.

    Attributes:
        offset_ms: of the interval's grid.
        known: every series, the best first, with the open times of its own first and last bar;
            never empty.
        held: those that hold whole bars of the interval, and where these open, half open.
        stored: first and last stored time of all that hold bars, half open; None where none does.
    """

    wanted: Interval
    offset_ms: int
    known: Sequence[tuple[KlineSeriesRow, _Bounds | None]]
    held: Sequence[_Held]
    stored: _Bounds | None

    @property
    def best(self) -> KlineSeriesRow:
        """The series that is read first; one without a bar where no other one holds any."""
        if self.held:
            return self.held[0][0]
        return next((row for row, bounds in self.known if bounds), self.known[0][0])

    def parts(self, start: int, end: int) -> list[Part]:
        """What bars that open in [start, end) come of: parts that ascend and do not overlap.

        Where a single series holds bars it is one part, whether or not it reaches so far.
        """
        if len(self.held) <= 1:
            bounds = next(bounds for row, bounds in self.known if row is self.best)
            return [Part(self.best, bounds, start, end)]
        found = stretches([each[2] for each in self.held], start, end)
        return [Part(*self.held[one.place][:2], one.start, one.end) for one in found]

    def origins(self, start: int) -> tuple[Origin, ...]:
        """Of what all bars from ``start`` on come: as long as these are the same, so are they."""
        return tuple(
            Origin(part.series.id, self.version_of(part), part.start, part.end)
            for part in self.parts(start, FOREVER)
        )

    def version_of(self, part: Part) -> int:
        """How often the past of a part's bars has changed, as the interval has them."""
        row = part.series
        # Both only grow. What is known of missing bars is nothing to the series itself.
        is_own = row.interval == self.wanted.name
        return row.past_version if is_own else row.past_version + row.absent_version

    def frame(self, unit: Unit, store: KlineStore, start: int, end: int) -> KlineFrame:
        """Bars that open in [start, end) as float64 columns, ascending.

        Columns of a single part are not copied.
        """
        found = [self.frame_of(unit, store, part) for part in self.parts(start, end)]
        name = (self.best.exchange, self.best.symbol, self.wanted.name)
        return joined(name, [frame for frame in found if len(frame)])

    def frame_of(self, unit: Unit, store: KlineStore, part: Part) -> KlineFrame:
        """The bars of one part."""
        offset = self._offset_of(part.series)
        return read_frame(unit, store, part.series, self.wanted, part.start, part.end, offset)

    def rows(self, unit: Unit, start: int, end: int) -> list[KlineRow]:
        """The same bars exactly, as the venue stated them or as their exact sums."""
        return self.rows_of(unit, self.parts(start, end))

    def rows_of(self, unit: Unit, parts: Sequence[Part]) -> list[KlineRow]:
        """The bars of some parts exactly."""
        found: list[KlineRow] = []
        for part in parts:
            offset = self._offset_of(part.series)
            found += read_rows(unit, part.series, self.wanted, part.start, part.end, offset)
        return found

    def _offset_of(self, series: KlineSeriesRow) -> int:
        # Months are those of the calendar: the offset is that of the days they are made of.
        return series.grid_offset_ms if self.wanted.is_month else self.offset_ms


def find_sources(
    unit: Unit, exchange: str, symbol: str, wanted: Interval, kind: str = "trade"
) -> Sources | None:
    """What bars of an interval come of, by one statement; None where nothing was ever collected."""
    names = sources_of(wanted)
    rolled = (roll_up_of(wanted) or "") if kind == KlineKind.TRADE else ""
    found = unit.klines.spanned(exchange, symbol, names, kind, rolled=rolled)
    _, rolled_bounds = found.pop(ROLLED, (None, None))
    known = [found[name] for name in names if name in found]
    if not known:
        return None
    # The best series that holds bars says which grid is meant.
    offset = next((row for row, bounds in known if bounds), known[0][0]).grid_offset_ms
    held: list[_Held] = []
    spans: list[_Bounds] = []
    for row, bounds in known:
        span = _span(row, bounds, wanted, offset, rolled_bounds)
        if span is None or not _fits(row, wanted, offset):
            continue
        spans.append(span)
        if row.interval != wanted.name:
            span = whole_bars(wanted, *span, offset)
        if span is not None:
            held.append((row, bounds, span))
    _wait_for_the_best(held, wanted)
    stored = (min(each[0] for each in spans), max(each[1] for each in spans)) if spans else None
    return Sources(wanted, offset, known, held, stored)


def _wait_for_the_best(held: list[_Held], wanted: Interval) -> None:
    """Leave the newest bars to the interval's own series while it is but little behind.

    Its bar is under way, and a strategy must not be told of a derived one that the venue's, and a
    backtest's, may differ from.
    """
    if not held or held[0][0].interval != wanted.name:
        return
    row, bounds, (begin, end) = held[0]
    furthest = max(each[2][1] for each in held)
    patient = end
    for _ in range(_PATIENCE):
        patient = wanted.next(patient)
    if end < furthest <= patient:
        held[0] = (row, bounds, (begin, furthest))


def _span(
    series: KlineSeriesRow,
    bounds: _Bounds | None,
    wanted: Interval,
    offset: int,
    rolled: _Bounds | None,
) -> _Bounds | None:
    """First and last time of which a series has bars, half open; hours and days that outlived
    their minutes are of these."""
    found = [] if bounds is None else [(bounds[0], interval_of(series.interval).next(bounds[1]))]
    name = rolls_to(series, wanted, offset)
    if name is not None and rolled is not None:
        found.append((rolled[0], interval_of(name).next(rolled[1])))
    return (min(one[0] for one in found), max(one[1] for one in found)) if found else None


def _fits(series: KlineSeriesRow, wanted: Interval, offset: int) -> bool:
    """Whether no bar of a series lies across two of the wanted grid."""
    if series.interval == wanted.name or wanted.is_month:
        return True
    return (series.grid_offset_ms - offset) % interval_of(series.interval).length_ms == 0
