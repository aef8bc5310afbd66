"""Bars that a stream brought: the same validation, store and coverage as those asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from app.core.market.coverage import missing
from app.core.market.intervals import Interval, interval
from app.core.market.klines import KlineRow
from app.core.market.validation import BadKline, as_text, kline_fault
from app.repositories.unit import Unit, Units
from app.services.collection.filling import Answer, Filler, Kept
from app.services.collection.target import Ask, Target, kept_by

# A bar said to be closed this long before it could be is not believed: venues' clocks do not
# disagree with themselves by more than the rounding of a frame's time.
_SKEW_MS = 1_000


@dataclass(frozen=True, slots=True)
class ArrivedKline:
    """One bar that a venue's stream called closed.

    Attributes:
        event_ts: the venue's time of the frame, ms.
    """

    exchange: str
    symbol: str
    interval: str
    row: KlineRow
    event_ts: int

    @property
    def series(self) -> tuple[str, str, str]:
        """Exchange, symbol, interval."""
        return self.exchange, self.symbol, self.interval


class Arrivals:
    """Stores streamed bars.

    Args:
        units: of the bulk engine, as for every bar that is stored.
    """

    def __init__(self, units: Units, filler: Filler) -> None:
        self._units = units
        self._filler = filler

    def store(self, bars: Sequence[ArrivedKline], fence: Callable[[Unit], None]) -> int:
        """Store bars of any series in one transaction; how many were new or changed.

        A stream proves what it brought and nothing of what it did not bring: where the bar
        before is missing, the plans concerned are asked to fetch it by REST.

        Args:
            fence: raises in the transaction if the caller may no longer write.

        Raises:
            Unavailable: the database stayed locked.
        """
        # Series in one order everywhere, so that two writers of several never wait in a circle.
        ordered = sorted(bars, key=lambda bar: (bar.series, bar.row.open_ts))

        def work(unit: Unit) -> int:
            fence(unit)
            changed = 0
            behind: set[tuple[str, str, str]] = set()
            newest: dict[int, list[int]] = defaultdict(list)
            for series, group in groupby(ordered, key=lambda bar: bar.series):
                changed += self._keep(unit, series, list(group), behind, newest)
            for open_ts, series_ids in sorted(newest.items()):
                unit.outlines.note_streamed(open_ts, series_ids)
            hint_catch_up(unit, behind)
            return changed

        return self._units.run(work)

    def catch_up(self, series: Iterable[tuple[str, str, str]]) -> None:
        """Ask for whatever these series lack to be fetched by REST."""
        wanted = set(series)
        self._units.run(lambda unit: hint_catch_up(unit, wanted))

    def _keep(
        self,
        unit: Unit,
        series: tuple[str, str, str],
        bars: list[ArrivedKline],
        behind: set[tuple[str, str, str]],
        newest: dict[int, list[int]],
    ) -> int:
        exchange, symbol, name = series
        length = interval(name)
        target = Target(exchange, symbol, length, 0)
        good, bad = _sorted_out(bars, length)
        # One answer for each run without a gap: a gap between two answers proves nothing.
        kept = [self._keep_answer(unit, target, run, []) for run in _runs(good, length)]
        for fault in bad:
            self._keep_answer(unit, target, [], [fault])
        if bad or (good and _lacks(unit, target, good[0].open_ts, good[-1].open_ts, kept)):
            behind.add(series)
        if good:
            newest[good[-1].open_ts].append(kept[-1].series_id)
        return sum(each.stored.changed for each in kept)

    def _keep_answer(
        self, unit: Unit, target: Target, good: list[KlineRow], bad: list[BadKline]
    ) -> Kept:
        times = [row.open_ts for row in good] or [entry.open_ts for entry in bad]
        start, end = times[0], target.interval.next(times[-1])
        ask = Ask(start, end, wanted_from=start, stored_until=None)
        answer = Answer(ask, good, bad, position=end, earliest=None)
        return self._filler.keep(unit, target, answer, transport="ws")


def hint_catch_up(unit: Unit, series: set[tuple[str, str, str]]) -> None:
    """Hint ``collection.follow`` for every enabled plan that keeps one of the series."""
    if not series:
        return
    for plan in unit.plans.enabled():
        if kept_by(plan) & series:
            unit.enqueue("collection.follow", plan.id)


def _lacks(unit: Unit, target: Target, first: int, last: int, kept: Sequence[Kept]) -> bool:
    """Whether the bar before the first is not here, or one between those that came."""
    before = target.interval.floor(first - 1)
    spans = kept[0].spans
    if len(kept) > 1:
        spans = unit.coverage.spans(kept[0].series_id, before, last)
    return bool(missing(spans, before, last, unit.now_ms))


def _sorted_out(
    bars: Sequence[ArrivedKline], length: Interval
) -> tuple[list[KlineRow], list[BadKline]]:
    """Valid rows ascending, one for each open time (the last word counts), and the bad ones."""
    good: dict[int, KlineRow] = {}
    bad = []
    for bar in bars:
        reason = kline_fault(bar.row, length)
        if not reason and length.next(bar.row.open_ts) > bar.event_ts + _SKEW_MS:
            reason = "it was called closed before its close"
        if reason:
            bad.append(BadKline(bar.row.open_ts, as_text(bar.row), reason))
        else:
            good[bar.row.open_ts] = bar.row
    return [good[opened] for opened in sorted(good)], bad


def _runs(rows: Sequence[KlineRow], length: Interval) -> list[list[KlineRow]]:
    runs: list[list[KlineRow]] = []
    for row in rows:
        if runs and length.next(runs[-1][-1].open_ts) == row.open_ts:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs
