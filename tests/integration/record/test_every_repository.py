"""Every public method of every repository is asked, on both databases.

Each statement that comes of it is compiled for MySQL and SQLite and looked through before it runs
(``tests.support.statements``), so a new method whose SQL is not shared, or which computes with
money, fails here; and so does a new method that is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from app.core.market.activity import DayActivity, DayBars
from app.core.market.coverage import CoverageState, Span
from app.core.market.files.columns import KlineColumns
from app.core.market.klines import KlineRow
from app.core.market.validation import BadKline
from app.models import (
    AccountRow,
    AdjustmentRow,
    ApiTokenRow,
    BacktestRow,
    Base,
    CollectionPlanRow,
    DataSourceRow,
    EquitySnapshotRow,
    FillRow,
    InstrumentLockRow,
    JobRow,
    KlineDayRow,
    OrderRow,
    OrderTriggerRow,
    PostingRow,
    RetentionRuleRow,
    RiskDecisionRow,
    RiskRuleRow,
    SignalRow,
    StrategyInstanceRow,
    StrategyRow,
    StrategyVersionRow,
    TradingHaltRow,
)
from app.repositories.base import KeyedRepository, Repository
from app.repositories.database import open_engine
from app.repositories.kline_series import KlineSeriesRepository
from app.repositories.migrating import upgrade
from app.repositories.points import Point
from app.repositories.unit import Unit, Units
from tests.support.asking import Asked, questions, repositories
from tests.support.catalogue import instrument
from tests.support.history import filled
from tests.support.record import CountingIds, ManualClock, units_over
from tests.support.statements import BothDialects, NotShared

ONE = Decimal(1)
NOW = 1_000
# The id of every row: what refers to another row refers to this one.
ID = "00000000-0000-7000-8000-000000000001"
SYMBOL = "BTC/USDT"


@pytest.fixture
def units(empty_database_url: str) -> Iterator[Units]:
    engine = open_engine(empty_database_url)
    upgrade(engine)
    yield units_over(engine, ManualClock())
    engine.dispose()


def row(model: Any, **given: Any) -> Any:
    """A row of a model: every id is ``ID``, whatever else is not given is 0, 1 or "x"."""
    columns = model.__table__.columns
    ids = {
        column.name: ID
        for column in columns
        if column.name in ("id", "order_id") and column.autoincrement is not True
    }
    ids |= {column.name: ID for column in columns if column.foreign_keys}
    return model(**filled(model, {**ids, **given}))


# -- what is asked -------------------------------------------------------------------------------


def _keyed(repository: KeyedRepository[Any], found: Base) -> None:
    repository.add(found)
    assert repository.find(ID) is found
    assert repository.get(ID) is found
    assert repository.lock(ID) is found
    assert repository.page(1).rows == [found]
    assert repository.page(1, ID).rows == []


def _accounts(unit: Unit) -> None:
    _keyed(unit.accounts, row(AccountRow, name="one", status="active", epoch=1))
    assert unit.accounts.named("one") is unit.accounts.resolve("one") is unit.accounts.resolve(ID)
    assert unit.accounts.all() == unit.accounts.distrusted(NOW)
    assert unit.accounts.opening(NOW) == []
    usdt = unit.accounts.lock_balances(ID, ["USDT"])["USDT"]
    unit.accounts.move(usdt, free=ONE, locked=-ONE, at=NOW)
    assert unit.accounts.balances(ID) == [usdt]


def _strategies(unit: Unit) -> None:
    _keyed(unit.strategies, row(StrategyRow, name="one"))
    assert [unit.strategies.named("one")] == unit.strategies.all()
    version = unit.strategies.add_version(row(StrategyVersionRow, app_version="1", sha256="s"))
    assert unit.strategies.version(ID) is version
    assert unit.strategies.version_of(ID, "s", "1") is version
    assert unit.strategies.newest_version(ID) is version


def _jobs_and_backtests(unit: Unit) -> None:
    _keyed(unit.jobs, row(JobRow, state="queued", dedupe_key="d"))
    assert [unit.jobs.live_with("d")] == unit.jobs.due(NOW)
    assert unit.jobs.any_live("d")
    assert not unit.jobs.any_live("_"), "a wildcard of LIKE is a character here"
    assert unit.jobs.claim(ID, "me", NOW, 1) is not None
    unit.jobs.free_leases()
    assert [unit.jobs.live_with("d")] == unit.jobs.due(NOW)
    _keyed(unit.backtests, row(BacktestRow))
    assert unit.backtests.of_job(ID) is unit.backtests.find(ID)


def _instances(unit: Unit) -> None:
    made = row(
        StrategyInstanceRow, kind="strategy", status="running", symbols=[SYMBOL], interval="1m"
    )
    _keyed(unit.instances, made)
    assert unit.instances.running() == [made]
    assert unit.instances.running_on("x", SYMBOL, "1m") == [made.id]
    assert unit.instances.of_account(ID) == [made]
    assert unit.instances.builtin(ID, "strategy") is made
    news: dict[str, Any] = {"run_id": None, "state": {}, "now_ms": NOW}
    assert unit.instances.advance(ID, seen=None, cursor_ts=1, **news)
    assert unit.instances.advance(ID, seen=1, cursor_ts=2, **news)
    assert not unit.instances.advance(ID, seen=1, cursor_ts=2, **news)
    assert unit.instances.quota(ID) is None
    assert unit.instances.lock_quota(ID) is unit.instances.lock_quota(ID)


def _signals(unit: Unit) -> None:
    found = row(SignalRow, symbol=SYMBOL, leg=1, status="new", created_at=NOW)
    _keyed(unit.signals, found)
    assert unit.signals.waiting(NOW) == unit.signals.of_instance(ID) == [found]
    assert unit.signals.unjudged_of(ID) == [found]
    assert unit.signals.waiting_of(ID) == 1
    assert unit.signals.latest_bars(ID, 2) == [found.bar_ts]
    assert unit.signals.earlier_legs(found) == []


def _risk(unit: Unit) -> None:
    unit.risk.add_rule(row(RiskRuleRow, kind="k", scope="global", enabled=True))
    assert [unit.risk.rule("k", "global")] == unit.risk.rules() == unit.risk.rules_for(["global"])
    unit.risk.add_decision(row(RiskDecisionRow, intent_key="i", passed=True))
    decision = unit.risk.decision_of(ID, "i")
    assert decision is not None
    assert unit.risk.decisions(1).rows == unit.risk.decisions_of_instance(ID, 1) == [decision]
    assert unit.risk.decisions(1, ID, ID).rows == []
    unit.risk.add_halt(row(TradingHaltRow))
    assert len(unit.risk.halts_in_force()) == 1
    unit.risk.add_instrument_lock(row(InstrumentLockRow, symbol=SYMBOL))
    assert unit.risk.locks_in_force(ID) == unit.risk.locks_in_force(ID, SYMBOL) != []


def _orders(unit: Unit) -> None:
    made = row(OrderRow, intent_key="i", client_order_id="c", venue_order_id="v", symbol=SYMBOL)
    made.status, made.reason = "new", "waits"
    _keyed(unit.orders, made)
    assert unit.orders.of_intent(ID, "i") is unit.orders.of_client_id(ID, "c") is made
    assert unit.orders.of_venue_id(ID, SYMBOL, "v") is made
    assert unit.orders.lock_of_client_id(ID, "c") is made
    for listed in (
        unit.orders.live(ID),
        unit.orders.held_back(ID, "waits"),
        unit.orders.live_of_instance(ID),
        unit.orders.of_instance(ID, 1),
        unit.orders.unsettled(NOW),
    ):
        assert listed == [made]
    assert unit.orders.count_unsettled(ID) == 1
    assert unit.orders.claim(ID, 0, owner="me", request_ts=NOW, now_ms=NOW)


def _order_events(unit: Unit) -> None:
    """In a unit of their own: the last number of an order that is not new is asked for."""
    order = unit.orders.get(ID)
    first, second = (unit.orders.add_event(order, "k", None, {}, NOW, told=False) for _ in "12")
    assert unit.orders.events(ID) == unit.orders.untold(ID) == [first, second]
    unit.orders.mark_told(ID, [first.id])
    assert unit.orders.untold(ID) == [second]
    unit.orders.mark_told(ID)
    assert unit.orders.untold(ID) == []


def _ledger(unit: Unit) -> None:
    unit.ledger.add_fill(row(FillRow, symbol=SYMBOL, trade_id="7"))
    fill = unit.ledger.fill(ID, SYMBOL, "7")
    assert fill is not None
    for listed in (
        unit.ledger.latest_fills(ID, 1),
        unit.ledger.fills_of_order(ID),
        unit.ledger.fills_of_instance(ID, 1),
        unit.ledger.fill_page(None, 1, None).rows,
    ):
        assert listed == [fill]
    assert unit.ledger.fill_page(ID, 1, ID).rows == []
    assert unit.ledger.count_fills(ID) == 1
    unit.ledger.post([row(PostingRow, book="holdings", at=NOW)])
    assert unit.ledger.postings(ID) == unit.ledger.postings(ID, "holdings") != []
    assert (unit.ledger.last_posting(ID), unit.ledger.last_posted_at(ID)) == (1, NOW)
    unit.ledger.add_adjustment(row(AdjustmentRow))
    assert len(unit.ledger.adjustments(ID, 1)) == 1


def _positions(unit: Unit) -> None:
    position = unit.ledger.lock_position(ID, SYMBOL, ID)
    position.quantity = ONE
    assert unit.ledger.positions_of_instance(ID) == [position]
    assert unit.ledger.positions_of_account(ID) == [position]
    assert unit.ledger.held(ID, SYMBOL) == ONE
    unit.ledger.add_snapshot(row(EquitySnapshotRow, ts=NOW))
    assert [unit.ledger.snapshot_at(ID, NOW)] == unit.ledger.snapshots(ID, 1)


def _triggers(unit: Unit) -> None:
    made = row(OrderTriggerRow, exchange="x", symbol=SYMBOL, status="armed", oco_group="g")
    _keyed(unit.triggers, made)
    assert unit.triggers.armed() == unit.triggers.armed("x") == [made]
    assert unit.triggers.of_instance(ID) == [made]
    assert unit.triggers.fire(ID, price=ONE, market_ts=NOW, signal_id=ID, now_ms=NOW)
    assert unit.triggers.cancel(ID, SYMBOL, "why", NOW) == 0
    assert unit.triggers.cancel(ID, SYMBOL, "why", NOW, oco_group="g", trigger_id=ID) == 0


def _catalogue(unit: Unit) -> None:
    wanted = instrument(SYMBOL)
    (listed,) = unit.instruments.refresh("binance", [wanted], CountingIds().new, NOW)
    assert (listed.old, listed.new) == (None, wanted)
    assert unit.instruments.exchanges() == ["binance"]
    assert unit.instruments.find("binance", SYMBOL) == unit.instruments.get("binance", SYMBOL)
    assert unit.instruments.of_exchange("binance") == [wanted]
    assert unit.instruments.symbols_of_native("binance", wanted.native_id) == [wanted.symbol]
    assert unit.instruments.of_exchange("binance", trading_only=True) == [wanted]
    assert unit.instruments.page(None, 1) == [wanted]
    assert unit.instruments.page("binance", 1, ("binance", SYMBOL)) == []
    assert unit.instruments.count("binance") == 1
    # Delisted, since the venue says nothing of it any more.
    (gone,) = unit.instruments.refresh("binance", [], CountingIds().new, NOW)
    assert gone.old == wanted
    assert unit.instruments.refresh("binance", [], CountingIds().new, NOW, among=[SYMBOL]) == []
    (revision,) = unit.instruments.revisions("binance", SYMBOL)
    assert (revision.old, revision.new) == ({"status": "trading"}, {"status": "delisted"})


def _klines(unit: Unit) -> None:
    series = unit.klines.series("binance", SYMBOL, "1m", NOW)
    assert unit.klines.find_series("binance", SYMBOL, "1m") is series
    assert unit.klines.all_series() == unit.klines.all_series("binance") == [series]
    assert unit.klines.all_series(rolled=True) == [series]
    assert unit.klines.roll_ups(series) == {}
    assert unit.klines.sources("binance", SYMBOL, ["1h", "1m"]) == {"1m": series}
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
    assert unit.klines.bounds(series.id) == (60_000, 180_000)
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
    assert len(unit.klines.revisions(series.id)) == 1
    bad = BadKline(240_000, [240_000, "NaN"], "not finite")
    assert unit.klines.quarantine(series.id, [bad], "test", NOW) == 1
    assert len(unit.klines.quarantined(series.id)) == 1


def _rolls(unit: Unit) -> None:
    assert unit.rolls.mark(1, [5, 7, 9]) == 3
    assert unit.rolls.mark(1, [7, 8]) == 1
    assert unit.rolls.days(1, 5, 9) == [5, 7, 8]
    assert unit.rolls.first(1, 2) == [5, 7]
    unit.rolls.clear(1, [5, 8])
    assert unit.rolls.waiting() == [(1, 7)]


def _days(unit: Unit) -> None:
    figures = ("expected", "present", "exchange_side", "pending", "quiet", "compared", "differed")
    counts = dict.fromkeys((*figures, "missed", "derived_compared", "derived_differed"), 1)
    for differed in (1, 2):
        day = KlineDayRow(series_id=1, day_ts=NOW, verified_at=NOW, **counts)
        day.differed = differed
        unit.days.put(day)
    (kept,) = unit.days.of_series(1, NOW, NOW + 1)
    assert kept.differed == 2
    assert [kept] == unit.days.between(NOW, NOW + 1)
    assert unit.days.verified(NOW) == {1}


def _activity(unit: Unit) -> None:
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


def _points(unit: Unit) -> None:
    series = unit.points.series("okx", SYMBOL, "funding", "", NOW)
    assert unit.points.find_series("okx", SYMBOL, "funding") is series
    assert unit.points.lock_series(series.id) is series
    point = Point(1, ONE, None)
    assert unit.points.store(series.id, [point], "test", NOW) == 1
    assert unit.points.store(series.id, [point._replace(second=ONE)], "test", NOW) == 1
    assert unit.points.read(series.id, 0, 2, 5) == [Point(1, ONE, ONE)]
    assert len(unit.points.revisions(series.id)) == 1
    assert unit.points.series_of("okx") == [series]
    bad = [(["x", 1, "NaN", None, None, None], "not finite")]
    assert [unit.points.quarantine("okx", bad, "test", NOW) for _ in "12"] == [1, 0]
    assert unit.points.count_quarantined("okx") == 1
    assert [each.reason for each in unit.points.quarantined("okx", 5)] == ["not finite"]


def _sources(unit: Unit) -> None:
    made = row(DataSourceRow, name="one", enabled=True, due_at=NOW, lease_until=0, text="")
    _keyed(unit.sources, made)
    assert [unit.sources.named("one")] == unit.sources.all() == unit.sources.due(NOW)
    assert unit.sources.due(NOW - 1) == []
    unit.sources.delete(ID)
    assert unit.sources.named("one") is None


def _coverage(unit: Unit) -> None:
    found = [Span(0, 60_000, CoverageState.PRESENT)]
    unit.coverage.save(1, [], found)
    assert unit.coverage.spans(1) == unit.coverage.spans(1, 0, 60_000) == found
    unit.coverage.save(1, found, [Span(0, 120_000, CoverageState.PRESENT)])
    assert [span.end for span in unit.coverage.spans(1)] == [120_000]


def _plans(unit: Unit) -> None:
    _keyed(unit.plans, row(CollectionPlanRow, name="one", enabled=True))
    assert [unit.plans.named("one")] == unit.plans.enabled()
    unit.plans.mark_followed(ID, NOW)
    assert unit.plans.get(ID).followed_ts == NOW
    unit.plans.delete(ID)
    assert unit.plans.named("one") is None


def _retention(unit: Unit) -> None:
    _keyed(unit.retention, row(RetentionRuleRow, interval="1m", exchange="*", keep_days=30))
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


def _schedule_and_leases(unit: Unit) -> None:
    assert unit.system.take_slot("t", 1, "me", NOW)
    assert unit.system.last_runs() == {"t": 1}
    assert unit.system.last_run("t") == 1
    unit.system.prune_slots(2)
    assert unit.system.last_run("t") is None
    assert unit.system.take_lease("l:1", "me", NOW, 10) == 1
    assert unit.system.holds_lease("l:1", "me", 1, NOW)
    assert len(unit.system.leases("l:", NOW)) == 1
    unit.system.release_lease("l:1", "me")
    unit.system.drop_leases("l:")
    assert unit.system.leases("l:", NOW) == []


def _tokens_and_bans(unit: Unit) -> None:
    assert not unit.system.knew_token("d")
    unit.system.add_token(row(ApiTokenRow, digest="d"))
    assert unit.system.knew_token("d")
    assert [unit.system.token_by_digest("d")] == unit.system.tokens()
    unit.system.save_ban("binance", NOW, "418", 0)
    unit.system.save_ban("binance", NOW + 1, "418", 0)
    assert [ban.until for ban in unit.system.bans(NOW)] == [NOW + 1]


def _alarms_and_waits(unit: Unit) -> None:
    assert unit.system.begin_alarm("a", "text", NOW)
    assert not unit.system.begin_alarm("a", "text", NOW)
    assert unit.system.alarm_stands("a")
    assert unit.system.standing_alarms("a") == ["a"]
    assert unit.system.end_alarm("a")
    assert not unit.system.end_alarm("a")
    assert unit.system.take_slot("t", 2 * NOW, "me", NOW)
    assert unit.waits.end_future(NOW, reply_ms=1) == 1
    assert unit.system.last_run("t") is None


def _outbox(unit: Unit) -> None:
    unit.emit("risk.alert.info", {"schema": "alerts.v1"})
    later = unit.now_ms + 1
    (event,) = unit.outbox.unsent(later)
    assert unit.audit.unsent_events(later) == unit.audit.alerts() == [event]
    assert unit.audit.last_event("risk.alert.info") is event
    assert unit.audit.last_event_id() == event.id
    assert unit.outbox.backlog() == 1
    unit.outbox.mark_sent([event.id], 1)
    assert unit.outbox.backlog() == 0


def _sent_events(unit: Unit) -> None:
    unit.outbox.prune(2)
    assert unit.audit.last_event_id() == 0


def _audit(unit: Unit) -> None:
    (found,) = unit.audit.orders(ID)
    assert found[1:] == (True, 0)
    assert [event.seq for event in unit.audit.order_events(ID)] == [1, 2]
    assert [fill.trade_id for fill in unit.audit.fills(ID)] == ["7"]
    assert [posting.book for posting in unit.audit.postings(ID)] == ["holdings"]
    assert [position.symbol for position in unit.audit.positions(ID)] == [SYMBOL]
    assert [balance.asset for balance in unit.audit.balances(ID)] == ["USDT"]
    assert unit.audit.stuck_orders(10**9) == [found[0]]
    assert len(unit.audit.stuck_signals(10**9)) == len(unit.audit.stuck_jobs(10**9)) == 1
    assert len(list(unit.audit.klines(1))) == 3


#: One unit for each, in an order in which every row finds what it refers to.
STORIES: tuple[Callable[[Unit], None], ...] = (
    _accounts,
    _strategies,
    _jobs_and_backtests,
    _instances,
    _signals,
    _risk,
    _orders,
    _order_events,
    _ledger,
    _positions,
    _triggers,
    _catalogue,
    _klines,
    _rolls,
    _days,
    _activity,
    _points,
    _sources,
    _coverage,
    _plans,
    _schedule_and_leases,
    _tokens_and_bans,
    _alarms_and_waits,
    _outbox,
    _sent_events,
    _audit,
    _retention,
)


# -- that all of it is ---------------------------------------------------------------------------


def test_every_method_of_every_repository_speaks_the_sql_of_both_databases(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BothDialects() as statements:
        asked = Asked(statements, monkeypatch)
        for story in STORIES:
            with units.write() as unit:
                story(unit)
    wanted = {question for each in repositories().values() for question in questions(each)}
    assert sorted(wanted - asked.questions) == []
    assert asked.silent == set()
    assert len(wanted) > 150


def test_every_repository_is_a_units() -> None:
    def below(base: type[Repository]) -> set[type[Repository]]:
        return {base}.union(*(below(each) for each in base.__subclasses__()))

    known = {each for each in below(Repository) if each.__module__.startswith("app.")}
    bases = {Repository, KeyedRepository, KlineSeriesRepository}
    assert known - bases == set(repositories().values())


def test_a_new_method_must_be_asked_and_must_speak_both(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hurry(self: Any, limit: int | None = None) -> None:
        self._session.execute(sqlite.insert(JobRow).on_conflict_do_nothing())

    jobs = repositories()["jobs"]
    before = set(questions(jobs))
    monkeypatch.setattr(jobs, "hurry", hurry, raising=False)
    name = ("JobRepository", "hurry")
    new = {name, (*name, "limit given"), (*name, "limit left out")}
    assert set(questions(jobs)) - before == new
    with BothDialects() as statements, units.write() as unit:
        asked = Asked(statements, monkeypatch)
        with pytest.raises(NotShared):
            unit.jobs.hurry()  # type: ignore[attr-defined]
    assert asked.questions & new == {name, (*name, "limit left out")}
