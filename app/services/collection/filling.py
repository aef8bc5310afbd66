"""One slice: ask the venue, sort the answer, store it with what it proves."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from app.core.events import kline_event
from app.core.market.coverage import (
    CoverageState,
    Span,
    lay_apart,
    observed_absent,
    present_runs,
    refused,
)
from app.core.market.files.checking import check_columns
from app.core.market.files.columns import KlineColumns
from app.core.market.instruments import InstrumentStatus
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.retention import retired_parts
from app.core.market.validation import BadKline, check_klines
from app.core.ports import MarketAdapter, MarketClock
from app.repositories.klines import Stored
from app.repositories.unit import Unit
from app.services.collection.rolling import hint_roll_up
from app.services.collection.target import GRACE_MS, Ask, Target, closed_end

# Fewer bars are read as rows: Arrow's calls cost a millisecond before the first bar.
_MANY: Final = 200
Markets = Callable[[str], MarketAdapter]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the venue answered to an ``Ask``, sorted out.

    Attributes:
        good: many bars come as columns.
        position: where the next request begins.
        earliest: open time of the venue's first bar of all, where it was asked for.
    """

    ask: Ask
    good: list[KlineRow] | KlineColumns
    bad: list[BadKline]
    position: int
    earliest: int | None

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

    def closed_end(self, target: Target) -> int:
        """Open time of the first bar that is not final yet: the end of what can be kept.

        Raises:
            Unavailable: the venue's market time is not known.
        """
        now = self._market_clock.now_ms(target.exchange)
        return closed_end(target.interval, now, self._grace_ms.get(target.exchange, GRACE_MS))

    def page(self, exchange: str) -> int:
        """Bars that a venue gives in one answer at most."""
        return self._markets(exchange).features.page

    def offers(self, exchange: str, interval_name: str) -> bool:
        """Whether a venue has klines of an interval itself."""
        return interval_name in self._markets(exchange).features.intervals

    def fetch(self, target: Target, ask: Ask) -> Answer:
        """Ask the venue; no transaction may be open meanwhile.

        Raises:
            VenueError: see ``MarketAdapter.klines``.
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
        earliest = None
        if ask.stored_until is None and (times[0] if times else ask.end) > ask.wanted_from:
            name, market = target.interval.name, self._markets(target.exchange)
            oldest = market.klines(target.symbol, name, 0, ask.end, 1, target.kind)
            probe = check_klines(oldest, target.interval, start=0, end=ask.end, closed_by=ask.end)
            earliest = probe.good[0].open_ts if probe.good else None
        return replace(answer, position=_position(target, ask, times), earliest=earliest)

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
        over = not answer.bad and _is_over(answer, before, times) and _is_delisted(unit, target)
        after: Sequence[Span] = before
        for learned in (*_learned(target, answer, before, unit.now_ms, over=over), retired):
            after = lay_apart(after, learned)
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


def _learned(
    target: Target, answer: Answer, before: Sequence[Span], now_ms: int, *, over: bool
) -> list[list[Span]]:
    """Spans that an answer proves, in groups in which they ascend and do not overlap; the groups
    are laid over the known spans one after the other.

    Args:
        over: whether nothing more is to come, for the venue has delisted the symbol.
    """
    times = answer.times
    runs = present_runs(times, target.interval)
    absent = _leading(answer, before, times, now_ms)
    # A page of a market in which few trade has hundreds of gaps: none looks at all spans.
    starts = [span.start for span in before]
    for left, right in pairwise(runs):
        low = max(0, bisect_right(starts, left.end) - 1)
        near = before[low : bisect_left(starts, right.start)]
        absent += observed_absent(near, left.end, right.start, now_ms)
    learned = [absent, _refused(target, answer, before, now_ms)]
    if over:
        proof = {"status": "delisted", "seen_at": now_ms}
        rest = (answer.ask.wanted_from, answer.ask.end)
        learned.append([Span(*rest, CoverageState.AFTER_DELISTING, proof)])
    return [*learned, runs]


def _refused(target: Target, answer: Answer, before: Sequence[Span], now_ms: int) -> list[Span]:
    """What is known of the bars that came, were refused, and came in no better shape either."""
    stored = set(answer.times)
    reasons = {
        bad.open_ts: bad.reason
        for bad in answer.bad
        if answer.ask.start <= bad.open_ts < answer.ask.end
        and target.interval.floor(bad.open_ts) == bad.open_ts
        and bad.open_ts not in stored
    }
    found: list[Span] = []
    # A page in disorder has hundreds of them among as many spans: none looks at all of these.
    starts = [span.start for span in before]
    for opened in sorted(reasons):
        end = target.interval.next(opened)
        near = before[max(0, bisect_right(starts, opened) - 1) : bisect_left(starts, end)]
        found += refused(near, opened, end, reasons[opened], now_ms)
    return found


def _is_delisted(unit: Unit, target: Target) -> bool:
    listed = unit.instruments.find(target.exchange, target.symbol)
    return listed is not None and listed.status is InstrumentStatus.DELISTED


def _is_over(answer: Answer, before: Sequence[Span], times: Sequence[int]) -> bool:
    """Whether nothing came from the first missing bar on, and nothing later is stored."""
    wanted = answer.ask.wanted_from
    later = any(span.state is CoverageState.PRESENT and span.end > wanted for span in before)
    return not later and not any(opened >= wanted for opened in times)


def _leading(
    answer: Answer, before: Sequence[Span], times: Sequence[int], now_ms: int
) -> list[Span]:
    """What is known of the bars before the first one that came."""
    ask, earliest = answer.ask, answer.earliest
    first = times[0] if times else ask.end
    if first <= ask.wanted_from:
        return []
    if ask.stored_until == ask.start and times:
        # The bar before is stored: it ended the page before this one.
        return observed_absent(before, ask.start, first, now_ms)
    if earliest is None:
        return []
    found = []
    if earliest > ask.wanted_from:
        proof = {"earliest": earliest, "seen_at": now_ms}
        end = min(earliest, first)
        found.append(Span(ask.wanted_from, end, CoverageState.BEFORE_LISTING, proof))
    unseen = max(earliest, ask.wanted_from)
    if times and unseen < first:
        # The venue has older bars and has the next one: these came neither way.
        found += observed_absent(before, unseen, first, now_ms)
    return found
