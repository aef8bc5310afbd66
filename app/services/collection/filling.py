"""One slice: ask the venue, sort the answer, store it with what it proves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from app.core.events import kline_event
from app.core.market.coverage import CoverageState, Span, lay_apart
from app.core.market.files.checking import check_columns
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import Interval, interval
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.retention import retired_parts
from app.core.market.validation import BadKline, check_klines
from app.core.ports import MarketAdapter, MarketClock
from app.repositories.klines import Stored
from app.repositories.unit import Unit
from app.services.collection.delisting import is_delisted
from app.services.collection.learning import is_over, learned
from app.services.collection.rolling import hint_roll_up
from app.services.collection.target import GRACE_MS, Ask, Target, closed_end

# The shortest longer interval reaches back furthest beyond the asked one's own day.
_LONGER: Final = ("1d", "1w", "1M")
# Fewer bars are read as rows: Arrow's calls cost a millisecond before the first bar.
_MANY: Final = 200
Markets = Callable[[str], MarketAdapter]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the venue answered to an ``Ask``, sorted out.

    Attributes:
        good: many bars come as columns.
        position: where the next request begins.
        earliest: open time of the first bar of all that the venue gives, where it was asked for.
        forgets: whether it may have had older bars: ``earliest`` is no listing then.
    """

    ask: Ask
    good: list[KlineRow] | KlineColumns
    bad: list[BadKline]
    position: int
    earliest: int | None
    forgets: bool = False

    @property
    def times(self) -> list[int]:
        """Open times of the good bars, ascending."""
        if isinstance(self.good, KlineColumns):
            times: list[int] = self.good.open_ts.tolist()
            return times
        return [row.open_ts for row in self.good]

    def outside(self, ranges: Sequence[Span]) -> Answer:
        """The answer without the good bars in some ranges, which are few."""
        if not ranges or not len(self.good):
            return self
        times = np.asarray(self.times, dtype=np.int64)
        mask = np.ones(len(times), np.bool_)
        for span in ranges:
            mask &= (times < span.start) | (times >= span.end)
        if isinstance(self.good, KlineColumns):
            return replace(self, good=self.good.kept(mask))
        good = [row for row, is_kept in zip(self.good, mask.tolist(), strict=True) if is_kept]
        return replace(self, good=good)

    def rows(self) -> list[KlineRow]:
        """The good bars as exact rows."""
        return list(self.good.rows()) if isinstance(self.good, KlineColumns) else self.good


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of an answer.

    Attributes:
        series_id: the series that holds its bars.
        spans: what is known now of the answer's range and of what touches it, ascending.
    """

    stored: Stored
    series_id: int
    spans: Sequence[Span]


class Filler:
    """Fills series from their venues. ``fetch`` talks to the venue, ``keep`` to the database.

    Args:
        markets: the adapter of a venue.
        grace_ms: for each venue, how long after its close a bar is taken as final; 3 s on a
            real venue, 0 where the market clock is stepped by hand.
    """

    def __init__(
        self, markets: Markets, market_clock: MarketClock, grace_ms: Mapping[str, int]
    ) -> None:
        self._markets = markets
        self._market_clock = market_clock
        self._grace_ms = grace_ms

    def closed_end(self, target: Target, market_ms: int | None = None) -> int:
        """Open time of the first bar that is not final yet: the end of what can be kept.

        Args:
            market_ms: the venue's market time; asked for where it is not given.

        Raises:
            Unavailable: the venue's market time is not known.
        """
        now = self._market_clock.now_ms(target.exchange) if market_ms is None else market_ms
        return closed_end(target.interval, now, self._grace_ms.get(target.exchange, GRACE_MS))

    def page(self, exchange: str) -> int:
        """Bars that a venue gives in one answer at most."""
        return self._markets(exchange).features.page

    def forgets(self, exchange: str) -> bool:
        """Whether a venue is known to give its latest bars alone."""
        return self._markets(exchange).features.latest_bars is not None

    def offers(self, exchange: str, interval_name: str) -> bool:
        """Whether a venue has klines of an interval itself."""
        return interval_name in self._markets(exchange).features.intervals

    def fetch(self, target: Target, ask: Ask) -> Answer:
        """Ask the venue; no transaction may be open meanwhile.

        Raises:
            VenueError: see ``MarketAdapter.klines``.
            Unavailable: it began late, and the venue's market time is not known.
        """
        if is_many(target, ask):
            return self.sorted_out(target, ask, self.stated(target, ask))
        rows = self._markets(target.exchange).klines(*_asked(target, ask))
        checked = check_klines(rows, target.interval, **_limits(ask))
        return self._answer(target, ask, checked.good, checked.bad)

    def stated(self, target: Target, ask: Ask) -> KlineColumns:
        """What the venue states, unchecked; no transaction may be open meanwhile.

        Raises:
            VenueError: see ``MarketAdapter.klines``.
        """
        return self._markets(target.exchange).kline_columns(*_asked(target, ask))

    def sorted_out(self, target: Target, ask: Ask, stated: KlineColumns) -> Answer:
        """The answer that bars make; where they begin late, the venue is asked for its first.

        Args:
            stated: one page, or some that follow each other.

        Raises:
            VenueError: see ``MarketAdapter.klines``.
            Unavailable: it began late, and the venue's market time is not known.
        """
        columns = check_columns(stated, target.interval, **_limits(ask))
        return self._answer(target, ask, columns.good, columns.bad)

    def _answer(
        self,
        target: Target,
        ask: Ask,
        good: list[KlineRow] | KlineColumns,
        bad: list[BadKline],
    ) -> Answer:
        answer = Answer(ask, good, bad, ask.end, None)
        times = answer.times
        answer = replace(answer, position=_position(target, ask, times))
        if ask.stored_until is not None or (times[0] if times else ask.end) <= ask.wanted_from:
            return answer
        closed = max(ask.end, self.closed_end(target))
        earliest = self._first_of_all(target, target.interval, closed)
        forgets = earliest is not None and self._forgets(target, closed, earliest)
        return replace(answer, earliest=earliest, forgets=forgets)

    def _first_of_all(self, target: Target, length: Interval, closed: int) -> int | None:
        """Open time of the first bar of an interval, closed by then, that the venue gives."""
        market = self._markets(target.exchange)
        oldest = market.klines(target.symbol, length.name, 0, closed, 1, target.kind)
        probe = check_klines(oldest, length, start=0, end=closed, closed_by=closed)
        return probe.good[0].open_ts if probe.good else None

    def _forgets(self, target: Target, closed: int, earliest: int) -> bool:
        """Whether the venue's bars of the next longer interval reach further back.

        A venue that gives the latest 720 bars alone gives minutes of half a day, and days of two
        years; one that gives all of them begins both on the day of the listing.
        """
        features = self._markets(target.exchange).features
        if features.latest_bars is not None:
            return True
        for name in _LONGER:
            length = interval(name)
            if name in features.intervals and length.length_ms > target.interval.length_ms:
                first = self._first_of_all(target, length, closed)
                return first is not None and length.next(first) <= earliest
        return False

    def keep(self, unit: Unit, target: Target, answer: Answer, transport: str = "rest") -> Kept:
        """Store an answer with its coverage, under the series row's lock.

        Emits one event and a hint to each instance concerned, if anything was stored. Bars that
        a rule of retention has removed are not stored again.

        Args:
            transport: how the bars came, for revisions and quarantine: ``rest`` or ``ws``.

        Raises:
            Unavailable: the bulk load did not store exactly these rows; roll back.
        """
        name = target.interval.name
        kind = target.kind
        series = unit.klines.locked(
            target.exchange, target.symbol, name, unit.now_ms, kind=kind.value
        )
        ask = answer.ask
        before = unit.coverage.spans(series.id, ask.start, ask.end)
        retired = retired_parts(before)
        answer = answer.outside(retired)
        times = answer.times
        how: dict[str, Any] = {"source": f"{transport}:{target.exchange}", "now_ms": unit.now_ms}
        covered = _covers_any(before, times)
        if isinstance(answer.good, KlineColumns):
            stored = unit.klines.store_columns(series.id, answer.good, covered=covered, **how)
        else:
            stored = unit.klines.store(series.id, answer.good, covered=covered, **how)
        unit.klines.quarantine(series.id, answer.bad, f"{transport}:{target.exchange}", unit.now_ms)
        over = not answer.bad and is_over(answer, before, times) and is_delisted(unit, target)
        after: Sequence[Span] = before
        for found in (*learned(target, answer, before, unit.now_ms, over=over), retired):
            after = lay_apart(after, found)
        unit.coverage.save(series.id, before, after)
        if stored.changed:
            first, last = stored.first, stored.last
            names = (target.exchange, target.symbol, name)
            unit.emit(*kline_event(*names, first, last, stored.changed, kind=kind))
            concerned = unit.instances.running_on(*names) if kind is KlineKind.TRADE else []
            for instance_id in concerned:
                unit.enqueue("strategies.evaluate", instance_id)
            hint_roll_up(unit, series.id, stored)
        return Kept(stored, series.id, after)


def is_many(target: Target, ask: Ask) -> bool:
    """Whether a request may bring so many bars that they are read as columns."""
    return target.bars(ask.start, ask.end) >= _MANY


def _asked(target: Target, ask: Ask) -> tuple[str, str, int, int, int, KlineKind]:
    """What an adapter is asked, in its order."""
    return target.symbol, target.interval.name, ask.start, ask.end, target.page, target.kind


def _limits(ask: Ask) -> dict[str, int]:
    return {"start": ask.start, "end": ask.end, "closed_by": ask.end}


def _position(target: Target, ask: Ask, times: Sequence[int]) -> int:
    """Where to go on: behind the last bar, or behind the range if that brought none."""
    if times and times[-1] >= ask.wanted_from:
        return target.interval.next(times[-1])
    return ask.end


def _covers_any(spans: Sequence[Span], times: Sequence[int]) -> bool:
    if not times:
        return False
    first, last = times[0], times[-1]
    return any(
        span.state is CoverageState.PRESENT and span.start <= last and span.end > first
        for span in spans
    )
