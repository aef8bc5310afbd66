"""The series that an installation keeps, and all that its record holds of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import func, select

from app.core.market.coverage import Span
from app.core.market.intervals import Interval, interval
from app.core.market.klines import KlineKind, KlineRow
from app.models import KlineQuarantineRow, KlineRecord, KlineRevisionRow
from app.repositories.unit import Unit
from app.services.collection.target import kept_by
from app.services.jobs import purpose_of

# No rehearsal makes as many revisions or quarantined bars of one series.
_ALL: Final = 1_000_000


@dataclass(slots=True)
class Kept:
    """A series that plans keep.

    Attributes:
        since: open time of the first bar that any of them wants, ms.
        created: market time at which the first of them was made, ms.
        purposes: of the jobs that fill it.
    """

    exchange: str
    symbol: str
    step: Interval
    since: int
    created: int
    purposes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.step.name}"


@dataclass(frozen=True, slots=True)
class Held:
    """What the record holds of a series.

    Attributes:
        series_id: 0 where nothing was ever stored of it.
        rows: bars by open time.
        revisions: by open time, oldest first, as (old, new).
        is_filling: whether a job that fills it is under way.
    """

    series_id: int
    rows: dict[int, KlineRow]
    spans: list[Span]
    revisions: dict[int, list[tuple[KlineRow, KlineRow]]]
    quarantined: list[KlineQuarantineRow]
    is_filling: bool


def kept_of(unit: Unit, ahead_ms: int) -> list[Kept]:
    """Every series of trades of an enabled plan, once.

    Args:
        ahead_ms: market time less wall time.
    """
    found: dict[tuple[str, str, str], Kept] = {}
    for plan in unit.plans.enabled():
        for key in sorted(kept_by(plan)):
            exchange, symbol, name = key
            step = interval(name)
            since, created = step.ceil(plan.since_ts), plan.created_at + ahead_ms
            kept = found.setdefault(key, Kept(exchange, symbol, step, since, created))
            kept.since, kept.created = min(kept.since, since), min(kept.created, created)
            named = {"plan_id": plan.id, "symbol": symbol, "interval": name}
            kept.purposes.append(purpose_of("collection", named))
    return list(found.values())


def held_of(unit: Unit, kept: Kept) -> Held:
    """What is stored and known of one of them."""
    is_filling = any(unit.jobs.live_with(each) for each in kept.purposes)
    series = unit.klines.find_series(kept.exchange, kept.symbol, kept.step.name, KlineKind.TRADE)
    if series is None:
        return Held(0, {}, [], {}, [], is_filling)
    revisions = defaultdict(list)
    for row in reversed(unit.klines.revisions(series.id, _ALL)):
        revisions[row.open_ts].append(_pair(row))
    return Held(
        series.id,
        {row.open_ts: KlineRow._make(row) for row in unit.audit.klines(series.id)},
        unit.coverage.spans(series.id),
        revisions,
        list(unit.klines.quarantined(series.id, _ALL)),
        is_filling,
    )


def doubled_of(unit: Unit) -> list[tuple[int, int, int]]:
    """Bars that are stored more than once: (series id, open time, how often)."""
    row = KlineRecord
    found = unit.session.execute(
        select(row.series_id, row.open_ts, func.count())
        .group_by(row.series_id, row.open_ts)
        .having(func.count() > 1)
    )
    return [(each[0], each[1], each[2]) for each in found]


def _pair(row: KlineRevisionRow) -> tuple[KlineRow, KlineRow]:
    return _row(row.old), _row(row.new)


def _row(named: dict[str, Any]) -> KlineRow:
    """A bar as a revision keeps it: amounts as text."""
    amounts = {name: named[name] for name in KlineRow._fields if isinstance(named[name], str)}
    return KlineRow(**{**named, **{name: Decimal(text) for name, text in amounts.items()}})
