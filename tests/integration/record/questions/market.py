"""Questions about instruments, klines and whatever else is collected."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import UnknownName
from app.core.market.activity import DayActivity, DayBars
from app.core.market.coverage import CoverageState, Span
from app.core.market.files.columns import KlineColumns
from app.core.market.klines import KlineRow
from app.core.market.rolling import ROLLED
from app.core.market.validation import BadKline
from app.models import (
    CollectionPlanRow,
    DataSourceRow,
    KlineDayRow,
    KlineSeriesRow,
    RetentionRuleRow,
)
from app.repositories.outlines import Outline
from app.repositories.points import Point
from app.repositories.unit import Unit
from tests.integration.record.questions.rows import ID, NOW, ONE, SYMBOL, contents, keyed, row
from tests.support.catalogue import instrument
from tests.support.record import CountingIds


def catalogue(unit: Unit) -> None:
    wanted = instrument(SYMBOL)
    (listed,) = unit.instruments.refresh("binance", [wanted], CountingIds().new, NOW)
    assert (listed.old, listed.new) == (None, wanted)
    assert unit.instruments.exchanges() == ["binance"]
    assert unit.instruments.find("binance", SYMBOL) == unit.instruments.get("binance", SYMBOL)
    assert unit.instruments.of_exchange("binance") == [wanted]
    assert unit.instruments.symbols_of_native("binance", wanted.native_id) == [wanted.symbol]
    assert unit.instruments.of_exchange("binance", trading_only=True) == [wanted]
    assert unit.instruments.not_trading("binance", [SYMBOL]) == {}
    assert unit.instruments.page(None, 1) == [wanted]
    assert unit.instruments.page("binance", 1, ("binance", SYMBOL)) == []
    assert unit.instruments.count("binance") == 1
    unit.instruments.require_exchange("binance")
    unit.instruments.require_exchange("okx")
    with pytest.raises(UnknownName, match="exchange 'nope' is not known"):
        unit.instruments.require_exchange("nope")
    # Delisted, since the venue says nothing of it any more.
    (gone,) = unit.instruments.refresh("binance", [], CountingIds().new, NOW)
    assert gone.old == wanted
    assert unit.instruments.refresh("binance", [], CountingIds().new, NOW, among=[SYMBOL]) == []
    (revision,) = unit.instruments.revisions("binance", SYMBOL)
    assert (revision.old, revision.new) == ({"status": "trading"}, {"status": "delisted"})


def _ends(unit: Unit, series: KlineSeriesRow) -> dict[str, Any]:
    """The ends of the one series that there is, by its interval."""
    spanned = unit.klines.spanned("binance", SYMBOL, ["1h", "1m"])
    assert contents(row for row, _ in spanned.values()) == contents([series])
    return {name: ends for name, (_, ends) in spanned.items()}


def klines(unit: Unit) -> None:
    series = unit.klines.series("binance", SYMBOL, "1m", NOW)
    assert unit.klines.find_series("binance", SYMBOL, "1m") is series
    assert unit.klines.all_series() == unit.klines.all_series("binance") == [series]
    assert unit.klines.all_series(rolled=True) == [series]
    assert unit.klines.roll_ups(series) == {}
    sources = unit.klines.sources("binance", SYMBOL, ["1h", "1m"])
    assert list(sources) == ["1m"]
    assert contents(sources.values()) == contents([series])
    assert _ends(unit, series) == {"1m": None}
    assert unit.klines.lock_series(series.id) is series
    assert unit.klines.locked("binance", SYMBOL, "1m", NOW) is series
    bars = [KlineRow(minute * 60_000, ONE, ONE, ONE, ONE, ONE) for minute in range(1, 4)]
    how: dict[str, Any] = {"source": "test", "now_ms": NOW}
    assert unit.klines.store(series.id, bars[1:2], covered=False, **how).inserted == 1
    # One more before it, one after it, and another word on the one between.
    bars[1] = bars[1]._replace(close=Decimal(2), high=Decimal(2))
    stored = unit.klines.store(series.id, bars, covered=True, **how)
    assert (stored.inserted, stored.revised) == (2, 1)
    assert unit.klines.read_exact(series.id, 0, 10**9) == bars
    assert len(unit.klines.read(series, 0, 10**9)) == unit.klines.count(series.id, 0, 10**9) == 3
    assert unit.klines.read_within(series, 0, 10**9).close.tolist() == [1.0, 2.0, 1.0]
    ends = (60_000, 180_000)
    assert unit.klines.bounds(series.id) == ends
    assert _ends(unit, series) == {"1m": ends}
    hours = unit.klines.series("binance", SYMBOL, "1h", NOW, kind=ROLLED)
    spanned = unit.klines.spanned("binance", SYMBOL, ["1h", "1m"], rolled="1h")
    assert {name: row.id for name, (row, _) in spanned.items()} == {
        "1m": series.id,
        ROLLED: hours.id,
    }
    assert unit.klines.versions(series.id, 0, 10**9) == {0: NOW}
    assert unit.klines.last(series.id, 10**9) == bars[2]
    assert list(unit.klines.read_exact_columns(series.id, 0, 10**9).rows()) == bars
    assert len(unit.klines.read_exact_columns(series.id, 0, 10**9, idle=True)) == 0
    assert unit.klines.days(series.id, 0, 10**9) == [DayBars(day=0, bars=3, last=180_000)]
    assert list(unit.klines.versions(series.id, 0, 10**9)) == [0]
    columns = KlineColumns.of_rows(bars)
    assert unit.klines.store_columns(series.id, columns, covered=True, **how).unchanged == 3
    fewer = columns.slice(0, 2)
    assert unit.klines.replace(series.id, 0, 10**9, fewer, now_ms=NOW) == 1
    assert unit.klines.replace(series.id, 0, 10**9, columns, now_ms=NOW) == 1
    (revision,) = unit.klines.revisions(series.id)
    assert unit.klines.revisions(series.id, before=revision.id) == []
    unit.klines.withdraw(series.id, bars[2:], "no such bar", source="test", now_ms=NOW)
    (withdrawn,) = unit.klines.quarantined(series.id)
    assert (withdrawn.open_ts, withdrawn.reason) == (180_000, "no such bar")
    assert unit.klines.store(series.id, bars, covered=True, **how).inserted == 1
    bad = BadKline(240_000, [240_000, "NaN"], "not finite")
    assert unit.klines.quarantine(series.id, [bad], "test", NOW) == 1
    refused, withdrawn = unit.klines.quarantined(series.id)
    assert unit.klines.quarantined(series.id, before=refused.id) == [withdrawn]
    assert unit.klines.quarantined_opens(series.id, 0, 240_000) == [180_000]
    assert unit.klines.quarantined_opens(series.id, 0, 240_001) == [180_000, 240_000]


def rolls(unit: Unit) -> None:
    assert unit.rolls.mark(1, [5, 7, 9]) == 3
    assert unit.rolls.mark(1, [7, 8]) == 1
    assert unit.rolls.days(1, 5, 9) == [5, 7, 8]
    assert unit.rolls.first(1, 2) == [5, 7]
    unit.rolls.clear(1, [5, 8])
    assert unit.rolls.waiting() == [(1, 7)]


def days(unit: Unit) -> None:
    figures = ("expected", "present", "exchange_side", "pending", "quiet", "compared", "differed")
    counts = dict.fromkeys((*figures, "missed", "derived_compared", "derived_differed"), 1)
    for differed in (1, 2):
        day = KlineDayRow(series_id=1, day_ts=NOW, verified_at=NOW, **counts)
        day.differed = differed
        unit.days.put(day)
    (kept,) = unit.days.of_series(1, NOW, NOW + 1)
    assert unit.days.of_series(1, NOW, NOW + 1, 5) == [kept]
    assert (unit.days.find(1, NOW), unit.days.find(1, 0)) == (kept, None)
    assert kept.differed == 2
    assert [kept] == unit.days.between(NOW, NOW + 1)
    assert unit.days.verified(NOW, NOW + 1) == {1: {NOW}}
    assert (unit.days.first(1), unit.days.first(2)) == (NOW, None)
    unit.days.recount(1, [(NOW, NOW + 60_000)], [])
    assert (kept.exchange_side, kept.pending) == (2, 0)


def activity(unit: Unit) -> None:
    (series,) = [row for row in unit.klines.all_series() if unit.klines.bounds(row.id)]
    assert unit.activity.uncounted_from(series.id) == 0
    # Bars came before the newest one and were revised: their day is to be counted anew.
    assert unit.activity.changed_days(series.id, 5) == [0]
    day = DayActivity(0, 3, 2, 2, 1, 2, 0, 0, ONE)
    unit.activity.put(series.id, [(day, 180_000)])
    assert unit.activity.of_series(series.id, 0, 1) == unit.activity.latest(series.id, 7) == [day]
    assert unit.activity.uncounted_from(series.id) is None
    assert unit.activity.changed_days(series.id, 5) == []
    assert unit.activity.others_traded(series.exchange, "ANOTHER/USDT", 0, 1)
    assert not unit.activity.others_traded(series.exchange, series.symbol, 0, 1)


def points(unit: Unit) -> None:
    series = unit.points.series("okx", SYMBOL, "funding", "", NOW)
    assert unit.points.find_series("okx", SYMBOL, "funding") is series
    assert unit.points.lock_series(series.id) is series
    point = Point(1, ONE, None)
    assert unit.points.store(series.id, [point], "test", NOW) == 1
    assert unit.points.store(series.id, [point._replace(second=ONE)], "test", NOW) == 1
    assert unit.points.read(series.id, 0, 2, 5) == [Point(1, ONE, ONE)]
    assert unit.points.times(series.id, 0, 2) == [1] == unit.points.times_around(series.id, 5, 9, 1)
    assert unit.points.first_times(series.id, 1) == [1]
    assert len(unit.points.revisions(series.id)) == 1
    assert unit.points.series_of("okx") == [series]
    bad = [(["x", 1, "NaN", None, None, None], "not finite")]
    assert [unit.points.quarantine("okx", bad, "test", NOW) for _ in "12"] == [1, 0]
    assert unit.points.count_quarantined("okx") == 1
    assert [each.reason for each in unit.points.quarantined("okx", 5)] == ["not finite"]


def sources(unit: Unit) -> None:
    made = row(DataSourceRow, name="one", enabled=True, due_at=NOW, lease_until=0, text="")
    keyed(unit.sources, made)
    assert [unit.sources.named("one")] == unit.sources.all() == unit.sources.due(NOW)
    assert unit.sources.due(NOW - 1) == []
    unit.sources.delete(ID)
    assert unit.sources.named("one") is None


def coverage(unit: Unit) -> None:
    found = [Span(0, 60_000, CoverageState.PRESENT)]
    unit.coverage.save(1, [], found)
    assert unit.coverage.spans(1) == unit.coverage.spans(1, 0, 60_000) == found
    unit.coverage.save(1, found, [Span(0, 120_000, CoverageState.PRESENT)])
    (last,) = unit.coverage.spans(1, limit=1)
    assert last.end == 120_000
    assert unit.coverage.before(1, 1) == unit.coverage.after(1, 0) == last
    assert unit.coverage.before(1, 0) is unit.coverage.after(1, 1) is None
    assert unit.coverage.ranges(1, 60_000, 90_000, CoverageState.PRESENT) == [(0, 120_000)]
    assert unit.coverage.ranges(1, 0, 120_000, CoverageState.EXCHANGE_SIDE) == []


def outlines(unit: Unit) -> None:
    series = unit.klines.series("okx", SYMBOL, "1m", NOW)
    gap = Span(60_000, 120_000, CoverageState.PENDING, {"looks": 1})
    unit.coverage.save(series.id, [], [Span(0, 60_000, CoverageState.PRESENT), gap])
    unit.outlines.note_streamed(60_000, [series.id])
    unit.outlines.note_streamed(0, [series.id])
    (outline,) = unit.outlines.of("okx", [SYMBOL], 0).values()
    assert outline == Outline(0, 120_000, 120_000, [gap], 60_000)
    (outline,) = unit.outlines.of("okx", [SYMBOL], 60_000).values()
    assert (outline.start, outline.covered) == (60_000, 60_000)


def plans(unit: Unit) -> None:
    wants = {"symbols": [SYMBOL], "intervals": ["1m"]}
    keyed(unit.plans, row(CollectionPlanRow, name="one", enabled=True, **wants))
    assert [unit.plans.named("one")] == unit.plans.enabled()
    plan = unit.plans.get(ID)
    series = (plan.exchange, plan.symbols[0], plan.intervals[0], plan.kind)
    assert unit.plans.since(*series) == plan.since_ts
    assert unit.plans.since("other", *series[1:]) is unit.plans.since(*series[:3], "other") is None
    assert unit.plans.since(series[0], "other", *series[2:]) is None
    unit.plans.mark_followed([ID], NOW)
    assert unit.plans.get(ID).followed_ts == NOW
    unit.plans.delete(ID)
    assert unit.plans.named("one") is None


def retention(unit: Unit) -> None:
    keyed(unit.retention, row(RetentionRuleRow, interval="1m", exchange="*", keep_days=30))
    assert [rule.keep_days for rule in unit.retention.rules()] == [30]
    assert unit.retention.named("*", "x", "1m") is not None
    (series,) = [each for each in unit.klines.all_series() if unit.klines.bounds(each.id)]
    assert series.id in unit.retention.series_ids()
    # A day of it waits to be rolled up.
    assert unit.retention.removable_to(series, 60_000) == 0
    before = series.past_version
    first, _ = unit.klines.bounds(series.id) or (0, 0)
    assert unit.retention.remove(series, first, first + 1, NOW) == 1
    unit.retention.forget(series, first, first + 1, NOW)
    assert series.past_version == before + 2
    unit.retention.delete(ID)
    assert unit.retention.rules() == []
