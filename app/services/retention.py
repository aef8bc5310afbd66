"""How long bars are kept: rules, what they would free, and the removal of what is older.

Nothing is removed without a rule. A step removes some days of one series under the lock of its
row, together with what is known of them: killed at any point, it was done whole or not at all.
On a partitioned table a month that no series keeps is dropped whole. Orders, fills and postings
have no retention: they are the record of money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from app.core.errors import InvalidInput, Unavailable
from app.core.market.coverage import CoverageState, count_bars
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineKind
from app.core.market.retention import KeepRule
from app.core.ports import Clock, Ids, MarketClock
from app.models import RetentionRuleRow
from app.repositories.partitions import KlinePartitions
from app.repositories.retention import rule_in
from app.repositories.unit import Unit, Units
from app.services.collection.plan_checks import DERIVED
from app.services.retiring import Due, Months, reopen, rule_for, step

_log = structlog.get_logger(__name__)
# A task ends before 60 s.
_SLICE_S: Final = 40.0
#: Bytes that a stored bar takes, measured: see "Sizing" in docs/market-data.md.
BYTES_PER_BAR: Final = {True: 150, False: 100}


@dataclass(frozen=True, slots=True)
class Freed:
    """What a rule would remove of one series now."""

    due: Due
    bars: int
    bytes: int


@dataclass(slots=True)
class Removed:
    """What a call removed.

    Attributes:
        bars: deleted row by row.
        partitions: names of the months that were dropped whole.
        is_done: whether nothing is left to be removed.
    """

    bars: int = 0
    partitions: list[str] = field(default_factory=list)
    is_done: bool = True


class RetentionService:
    """Keeps rules, and does what they say.

    Args:
        units: of the bulk engine, as for every bar that is stored.
        market_clock: by which bars are old.
        clock: this machine's, for the length of a slice.
    """

    def __init__(
        self,
        units: Units,
        partitions: KlinePartitions,
        market_clock: MarketClock,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._units = units
        self._partitions = partitions
        self._market_clock = market_clock
        self._clock = clock
        self._ids = ids

    # -- rules ---------------------------------------------------------------------------

    def rules(self) -> list[KeepRule]:
        """Every rule."""
        with self._units.read() as unit:
            return unit.retention.rules()

    def set(self, exchange: str, symbol: str, interval: str, keep_days: int | None) -> KeepRule:
        """Keep bars of matching series for so many days; the rule of the same names is replaced.

        Args:
            keep_days: None keeps them for ever, whatever another rule says.

        Raises:
            InvalidInput: a value that cannot be meant, or an interval that no plan can collect and
                of which nothing is stored.
            UnknownName: no such interval.
        """
        wanted = self._rule(exchange, symbol, interval, keep_days)

        def work(unit: Unit) -> KeepRule:
            row = unit.retention.named(exchange, symbol, interval)
            if row is None:
                row = unit.retention.add(RetentionRuleRow(id=wanted.id, created_at=unit.now_ms))
                row.exchange, row.symbol, row.interval = exchange, symbol, interval
            row.keep_days, row.updated_at = keep_days, unit.now_ms
            return rule_in(row)

        return self._units.run(work)

    def note_of(self, rule: KeepRule) -> str:
        """What is to be known of a rule that nothing stored or planned matches; "" of others."""
        with self._units.read() as unit:
            plans = unit.plans.enabled()
            if _is_stored(unit, rule) or any(
                rule.matches(plan.exchange, symbol, name)
                for plan in plans
                for symbol in plan.symbols
                for name in plan.intervals
            ):
                return ""
        return (
            f"nothing of {rule.interval} that the rule names is stored, and no plan collects any: "
            "until one does it removes nothing. Bars that are made of others as they are read go "
            "with those: set a rule for the interval that is stored, see: tidemark data coverage"
        )

    def _rule(self, exchange: str, symbol: str, interval: str, keep_days: int | None) -> KeepRule:
        wanted = KeepRule(self._ids.new(), exchange, symbol, interval, keep_days)
        with self._units.read() as unit:
            if interval not in DERIVED or _is_stored(unit, wanted):
                return wanted
        raise InvalidInput(
            f"no bars of {interval} are stored that a rule could remove: they are made of 1d or 1m "
            "as they are read; set the rule for these, as in: "
            "tidemark data retention set -i 1d --keep-days 365",
            code="interval-not-stored",
        )

    def remove(self, rule_id: str) -> None:
        """Delete a rule. What it removed stays away until ``collect_again``.

        Raises:
            NotFound: there is none of that id.
        """

        def work(unit: Unit) -> None:
            unit.retention.lock(rule_id)
            unit.retention.delete(rule_id)

        self._units.run(work)

    def collect_again(self) -> int:
        """Have plans ask again for what was removed and no rule removes any more; how many bars.

        Raises:
            Unavailable: a venue's market time is not known.
        """
        with self._units.read() as unit:
            rules, rows = unit.retention.rules(), unit.klines.all_series()
        bars = 0
        for row in rows:
            rule = rule_for(rules, row)
            cut = 0
            if rule is not None:
                cut = rule.cut(self._market_clock.now_ms(row.exchange), row.grid_offset_ms)
            bars += self._units.run(partial(reopen, series_id=row.id, cut=cut))
        return bars

    # -- what they do --------------------------------------------------------------------

    def preview(self) -> list[Freed]:
        """What would be removed now, by series; series that lose nothing are left out."""
        return self._freed(self._due(self.rules()))

    def preview_with(
        self, exchange: str, symbol: str, interval: str, keep_days: int | None
    ) -> list[Freed]:
        """The same if a rule were set; nothing is.

        Raises:
            InvalidInput, UnknownName: see ``set``.
        """
        wanted = self._rule(exchange, symbol, interval, keep_days)
        names = (exchange, symbol, interval)
        others = [
            each for each in self.rules() if (each.exchange, each.symbol, each.interval) != names
        ]
        return self._freed(self._due([*others, wanted]))

    def _freed(self, wanted: Sequence[Due]) -> list[Freed]:
        found = []
        for due in wanted:
            with self._units.read() as unit:
                spans = unit.coverage.spans(due.series.id, None, due.cut)
            start = min((span.start for span in spans), default=due.cut)
            grid, offset = interval_of(due.series.interval), due.series.grid_offset_ms
            counts = count_bars(spans, grid, start, max(start, due.cut), offset)
            bars = counts[CoverageState.PRESENT]
            if bars:
                size = bars * BYTES_PER_BAR[self._partitions.are_possible]
                found.append(Freed(due, bars, size))
        return found

    def apply(self) -> Removed:
        """Remove what is older than the rules keep, for less than a minute.

        What is more than that the next call goes on with. A venue whose market time is not known
        is left for later.

        Raises:
            Unavailable: the database stayed locked.
        """
        began = self._clock.monotonic()
        removed = Removed()
        wanted = self._due(self.rules())
        if not wanted:
            return removed
        removed.partitions = Months(self._units, self._partitions).drop_all(wanted)
        for due in wanted:
            while (bars := self._units.run(partial(step, due=due))) is not None:
                removed.bars += bars
                if self._clock.monotonic() - began >= _SLICE_S:
                    removed.is_done = False
                    return removed
        return removed

    def _due(self, rules: Sequence[KeepRule]) -> list[Due]:
        """Series that a rule is about, with the cut of each as of now."""
        if not rules:
            return []
        with self._units.read() as unit:
            rows = unit.klines.all_series()
        found: list[Due] = []
        times: dict[str, int | None] = {}
        for row in rows:
            rule = rule_for(rules, row)
            if rule is None:
                continue
            if row.exchange not in times:
                times[row.exchange] = self._market_ms(row.exchange)
            now = times[row.exchange]
            cut = 0 if now is None else rule.cut(now, row.grid_offset_ms)
            if cut:
                found.append(Due(row, rule, cut))
        return found

    def _market_ms(self, exchange: str) -> int | None:
        try:
            return self._market_clock.now_ms(exchange)
        except Unavailable as error:
            _log.warning("retention_put_off", exchange=exchange, why=error.message)
            return None


def _is_stored(unit: Unit, rule: KeepRule) -> bool:
    """Whether a series that a venue states is one of a rule's."""
    kinds = {kind.value for kind in KlineKind}
    return any(
        row.kind in kinds and rule.matches(row.exchange, row.symbol, row.interval)
        for row in unit.klines.all_series()
    )
