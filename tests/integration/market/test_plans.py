"""Collection plans: what may be asked for, and what becomes of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal

import pytest

from app.core.errors import Conflict, InvalidInput, NotFound, UnknownName
from app.core.exchanges.errors import BadVenueAnswer
from app.core.market.instruments import InstrumentStatus
from app.core.market.intervals import DAY_MS
from app.models import JobRow
from app.repositories.unit import Unit
from app.services.catalogue import sync_catalogue
from app.services.collection.selection import Selection
from app.services.jobs import JobService
from tests.integration.market.collecting import SYMBOL, Collecting, M, bar, instrument
from tests.support.record import START_MS, record


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        yield Collecting(engine)


def test_plans_refuse_what_cannot_be(world: Collecting) -> None:
    for changed, error in (
        ({"symbols": []}, InvalidInput),
        ({"intervals": []}, InvalidInput),
        ({"intervals": ["1w"]}, InvalidInput),
        ({"intervals": ["7m"]}, UnknownName),
        ({"symbols": ["BTC/USDT", "btc/usdt"]}, UnknownName),
        ({"symbols": ["X" * 500]}, UnknownName),
        ({"name": ""}, InvalidInput),
        ({"name": "a\nb"}, InvalidInput),
        ({"since_ms": -1}, InvalidInput),
        ({"symbols": [SYMBOL], "intervals": ["1m"] * 3, "name": "x" * 65}, InvalidInput),
    ):
        with pytest.raises(error):
            world.plan(**changed)
    world.plan()
    with pytest.raises(Conflict):
        world.plan()
    assert len(world.service.plans.page(10).rows) == 1


def test_a_plan_begins_now_or_earlier_by_the_venues_own_time(world: Collecting) -> None:
    now = world.market_clock.now
    with pytest.raises(
        InvalidInput, match=r"2026-03-02 00:00:00 UTC is in the future of binance, "
    ):
        world.plan(since_ms=now + DAY_MS)
    assert world.service.plans.page(10).rows == []
    # From now on, also by a clock that is somewhat ahead of the venue's: what comes is kept.
    world.plan(since_ms=now + 30_000)
    world.plan(name="today", since_ms=now)


def test_plans_are_listed_switched_off_and_deleted(world: Collecting) -> None:
    first, second = world.plan(), world.plan(name="q", symbols=[SYMBOL, SYMBOL])
    assert second.symbols == [SYMBOL]
    page = world.service.plans.page(1)
    assert [plan.id for plan in page.rows] == [second.id]
    assert [plan.id for plan in world.service.plans.page(1, page.next_cursor).rows] == [first.id]
    assert world.service.plans.enable(first.id, False).enabled is False
    world.service.plans.delete(first.id)
    with pytest.raises(NotFound):
        world.service.plans.get(first.id)
    assert world.service.plans.named("p") is None
    for missing in (world.service.plans.delete, world.service.start, world.service.follow):
        with pytest.raises(NotFound):
            missing(first.id)


def test_an_empty_catalogue_is_fetched_and_an_empty_answer_is_not_believed(
    world: Collecting,
) -> None:
    kept, world.venue.catalogue = world.venue.catalogue, []
    with pytest.raises(BadVenueAnswer):
        world.plan()
    world.venue.catalogue = kept
    world.plan()
    with world.units.read() as unit:
        assert unit.instruments.get("binance", SYMBOL) == kept[0]
        assert unit.instruments.of_exchange("binance", trading_only=True) == kept
        assert unit.instruments.page(None, 1, ("binance", SYMBOL)) == kept[1:]


def test_a_plan_by_turnover_takes_the_largest_and_never_loses_one(world: Collecting) -> None:
    world.venue.catalogue += [
        instrument("SOL/USDT"),
        instrument("OLD/USDT", InstrumentStatus.HALTED),
        instrument("ETH/BTC"),
    ]
    traded = {"BTCUSDT": 900, "ETHUSDT": 500, "SOLUSDT": 100, "OLDUSDT": 9_999}
    world.venue.traded = {name: Decimal(amount) for name, amount in traded.items()}
    plan = world.plan(symbols=[], selection=Selection("*/USDT", top=2))
    assert plan.symbols == ["BTC/USDT", "ETH/USDT"]
    # SOL/USDT overtakes ETH/USDT: it comes in, and what has been collected goes on.
    world.venue.traded["SOLUSDT"] = Decimal(700)
    assert world.service.choose_symbols("binance") == {"p": ["SOL/USDT"]}
    assert world.service.plans.get(plan.id).symbols == ["BTC/USDT", "ETH/USDT", "SOL/USDT"]
    assert world.service.choose_symbols("binance") == {}


def test_a_plan_by_pattern_takes_a_new_listing_in(world: Collecting) -> None:
    plan = world.plan(symbols=[], selection=Selection("*/USDT"))
    listed = world.plan(name="listed")
    world.venue.catalogue.append(instrument("NEW/USDT"))
    world.venue.catalogue.append(instrument("NEW/BTC"))
    assert world.service.choose_symbols("binance") == {"p": ["NEW/USDT"]}
    assert world.service.plans.get(plan.id).symbols == ["BTC/USDT", "ETH/USDT", "NEW/USDT"]
    assert world.service.plans.get(listed.id).symbols == [SYMBOL]
    # A venue that cannot be asked leaves the plan as it is.
    world.venue.catalogue = []
    assert world.service.choose_symbols("binance") == {}


def test_a_plan_that_is_full_says_so_once_and_as_long_as_it_leaves_symbols_out(
    world: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three symbols of two intervals fit into seven series; two of the new ones do not."""
    monkeypatch.setattr("app.services.collection.growing.SERIES_LIMIT", 7)
    plan = world.plan(symbols=[], intervals=["1m", "1h"], selection=Selection("*/USDT"))
    assert world.service.plans.full([plan]) == {}
    world.venue.catalogue += [instrument(f"N{n}/USDT") for n in range(3)]
    assert world.service.choose_symbols("binance") == {"p": ["N0/USDT"]}
    (alarm,) = world.events.on("risk.alert.warning")
    assert (alarm["kind"], alarm["plan"], alarm["left_out"]) == ("plan-full", "p", 2)
    assert alarm["text"].endswith("as by a narrower pattern: N1/USDT, N2/USDT")
    assert world.service.choose_symbols("binance") == {}
    assert len(world.events.on("risk.alert.warning")) == 1
    assert "make another plan" in world.service.plans.full([plan])[plan.id]
    world.venue.catalogue = world.venue.catalogue[:-2]
    assert world.service.choose_symbols("binance") == {}
    assert [told["kind"] for told in world.events.on("risk.alert.info")] == ["plan-grows"]
    assert world.service.plans.full([plan]) == {}


def test_a_full_plan_that_is_deleted_leaves_no_alarm(
    world: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.collection.growing.SERIES_LIMIT", 2)
    plan = world.plan(symbols=[], selection=Selection("*/USDT"))
    world.venue.catalogue.append(instrument("NEW/USDT"))
    assert world.service.choose_symbols("binance") == {}
    assert plan.id in world.service.plans.full([plan])
    world.service.plans.delete(plan.id)
    assert world.service.plans.full([plan]) == {}


def test_a_selection_that_cannot_be_is_refused(world: Collecting) -> None:
    for changed, sentence in (
        ({"selection": Selection("*/USDT")}, "not both"),
        ({"symbols": [], "selection": Selection("*/NOTHING")}, "nothing that binance trades"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            world.plan(**changed)
    world.venue.catalogue.append(instrument("ETH/BTC"))
    with pytest.raises(InvalidInput, match="BTC, USDT, whose turnovers do not compare"):
        world.plan(symbols=[], selection=Selection(top=5))
    for pattern, top in (("", None), ("x" * 65, None), ("*", 0), ("*", 1_001)):
        with pytest.raises(InvalidInput):
            Selection(pattern, top)
    with pytest.raises(NotFound, match="no collection plan is named 'first'"):
        world.plan(after=["first"])


def test_a_plan_waits_for_the_plan_that_comes_before_it(world: Collecting) -> None:
    """Symbol by symbol: minutes first, then the hours that are checked against them."""
    world.list_bars(range(130))
    minutes = world.plan(name="minutes")
    hours = world.plan(name="hours", intervals=["1h"], after=["minutes"])
    (first,) = world.service.start(minutes.id)
    (then,) = world.service.start(hours.id)
    assert world.service.run_job(then.id) == "not_claimed"
    waiting = world.job(then.id)
    assert (waiting.state, (waiting.error or {}).get("message")) == (
        "queued",
        "waits until plan minutes has filled BTC/USDT",
    )
    assert world.finish(first.id) == "succeeded"
    assert world.service.run_job(then.id) == "not_claimed", "it looks again after five seconds"
    world.clock.advance(5_000)
    assert world.service.run_job(then.id) != "not_claimed"


def test_bars_of_the_mark_price_are_a_series_of_their_own(world: Collecting) -> None:
    world.list_bars(range(50))
    trades, marks = world.plan(), world.plan(name="marks", kind="mark")
    for plan in (trades, marks):
        (job,) = world.service.start(plan.id)
        assert world.finish(job.id) == "succeeded"
    assert world.stored() == [bar(minute) for minute in range(50)]
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1m", "mark")
        assert series is not None
        found = unit.klines.read_exact(series.id, 0, 2**60)
    assert [row.close for row in found] == [bar(minute).close + 1 for minute in range(50)]
    assert {name for name, _ in world.events.sent if name.startswith("market")} == {
        "market.kline.binance.BTC/USDT.1m",
        "market.mark.binance.BTC/USDT.1m",
    }
    with pytest.raises(InvalidInput, match="binance has no index klines; it has mark, trade"):
        world.plan(name="index", kind="index")
    with pytest.raises(InvalidInput, match="binance has no klines of 8h"):
        world.plan(name="eight", intervals=["8h"])


def test_what_is_collected_from_an_earlier_day_moves_its_plan_though_the_symbol_is_halted(
    world: Collecting,
) -> None:
    """The plan is never deleted to be made anew: the venue would refuse it now."""
    collecting, later = world.service.plans.collecting, START_MS + 5 * M
    world.list_bars(range(10))
    plan = collecting("binance", [SYMBOL], "1m", "trade", later)
    for job in world.service.start(plan.id):
        world.finish(job.id)
    world.venue.catalogue = [instrument(SYMBOL, InstrumentStatus.HALTED), instrument("ETH/USDT")]
    sync_catalogue(world.units, world.venue, world.ids)
    moved = collecting("binance", [SYMBOL], "1m", "trade", START_MS)
    assert (moved.id, moved.since_ts) == (plan.id, START_MS)
    for job in world.service.start(plan.id):
        world.finish(job.id)
    assert world.stored() == world.everything()
    # A later day asks for nothing that it does not keep already.
    assert collecting("binance", [SYMBOL], "1m", "trade", later).since_ts == START_MS
    with pytest.raises(InvalidInput, match="in the future"):
        collecting("binance", [SYMBOL], "1m", "trade", world.market_clock.now + DAY_MS)


def test_many_symbols_are_collected_by_a_plan_for_each_interval_and_kind(
    world: Collecting,
) -> None:
    symbols = [f"COIN{number:02}/USDT" for number in range(9)]
    world.venue.catalogue = [instrument(symbol) for symbol in symbols]
    collecting = world.service.plans.collecting
    wanted = (
        (symbols, "5m", "trade"),
        (symbols, "1h", "trade"),
        (symbols, "1h", "mark"),
        (symbols[:8], "1h", "trade"),
        (symbols[:1], "1h", "trade"),
    )
    plans = [collecting("binance", *each, START_MS) for each in wanted]
    assert len({plan.id for plan in plans}) == 5
    assert [plan.name.split(" COIN")[0] for plan in plans] == [
        "binance 5m",
        "binance 1h",
        "binance mark 1h",
        "binance 1h",
        "binance 1h",
    ]
    again = [collecting("binance", list(reversed(each[0])), *each[1:], START_MS) for each in wanted]
    assert [plan.id for plan in again] == [plan.id for plan in plans]
    assert len(world.service.plans.page(10).rows) == 5


def test_plans_with_the_names_of_earlier_releases_are_taken_for_what_they_collect(
    world: Collecting,
) -> None:
    """Nine symbols cut their interval off: such a name says nothing of it."""
    symbols = [f"COIN{number:02}/USDT" for number in range(9)]
    world.venue.catalogue += [instrument(symbol) for symbol in symbols]
    older = world.plan(name="binance BTC/USDT 1m")
    cut = f"binance {' '.join(symbols)} 5m"[:64]
    five = world.plan(name=cut, symbols=symbols, intervals=["5m"])
    collecting = world.service.plans.collecting
    assert collecting("binance", [SYMBOL], "1m", "trade", START_MS).id == older.id
    assert collecting("binance", symbols, "5m", "trade", START_MS).id == five.id
    hours = collecting("binance", symbols, "1h", "trade", START_MS)
    assert (hours.id != five.id, hours.intervals) == (True, ["1h"])


def test_a_plan_of_ones_own_is_never_taken_for_one_that_was_not_named(world: Collecting) -> None:
    own = world.plan(name="binance 1m BTC/USDT", symbols=["ETH/USDT"])
    made = world.service.plans.collecting("binance", [SYMBOL], "1m", "trade", START_MS)
    assert made.name.startswith("binance 1m BTC/USDT ")
    assert world.service.plans.get(own.id).symbols == ["ETH/USDT"]
    same = world.service.plans.collecting("binance", [SYMBOL], "1m", "trade", START_MS)
    assert same.id == made.id


def test_a_plan_that_can_choose_nothing_now_does_not_keep_a_listing_from_others(
    world: Collecting,
) -> None:
    """Its only market is gone; of another one the turnovers do not compare any more."""
    world.venue.catalogue += [instrument("ETH/BTC"), instrument("SOL/USDC")]
    kept = {
        name: world.plan(name=name, symbols=[], selection=Selection(pattern, top)).symbols
        for name, pattern, top in (("gone", "*/BTC", None), ("two", "SOL/*", 1))
    }
    plan = world.plan(name="other", symbols=[], selection=Selection("*/USDT"))
    world.venue.catalogue = [
        instrument(symbol) for symbol in (SYMBOL, "ETH/USDT", "SOL/USDC", "SOL/USDT")
    ]
    assert world.service.choose_symbols("binance") == {"other": ["SOL/USDT"]}
    assert world.service.plans.get(plan.id).symbols == [SYMBOL, "ETH/USDT", "SOL/USDT"]
    for name, symbols in kept.items():
        row = world.service.plans.named(name)
        assert row is not None
        assert row.symbols == symbols


def test_plans_that_would_wait_for_each_other_are_refused(world: Collecting) -> None:
    """A plan that others are after was deleted, and is added anew behind them."""
    first = world.plan(name="first")
    world.plan(name="second", intervals=["5m"], after=["first"])
    world.plan(name="third", intervals=["1h"], after=["second"])
    world.service.plans.delete(first.id)
    for after in ("second", "third"):
        with pytest.raises(InvalidInput, match=f"first would wait for itself: {after}") as caught:
            world.plan(name="first", after=[after])
        assert caught.value.error_code == "plans-in-a-circle"
    world.plan(name="fourth", after=["third"])
    world.plan(name="first")


def test_what_a_disabled_plan_is_to_collect_is_refused_and_says_how_to_enable_it(
    world: Collecting,
) -> None:
    """A job of it would end as cancelled, and nobody would know why."""
    world.list_bars(range(10))
    plan = world.plan(name="my plan", enabled=False)
    for heal in (False, True):
        with pytest.raises(Conflict, match="tidemark data plans enable 'my plan'") as caught:
            world.service.start(plan.id, heal=heal)
        assert caught.value.error_code == "plan-disabled"
    world.service.plans.enable(plan.id, True)
    (job,) = world.service.start(plan.id)
    world.service.plans.enable(plan.id, False)
    assert world.finish(job.id) == "cancelled"
    jobs = JobService(world.units, world.hints, world.clock, world.ids)
    with pytest.raises(Conflict, match="is disabled; enable my plan to have it collected"):
        jobs.retry(job.id)
    world.service.plans.delete(plan.id)
    with pytest.raises(Conflict, match="is deleted; add one to have it collected"):
        jobs.retry(job.id)


def test_jobs_of_two_plans_ask_for_the_bars_that_both_want_once(world: Collecting) -> None:
    """The second one's turn comes while the first is at work; then nothing is left to ask for."""
    world.list_bars(range(2_500))
    plans = [world.plan(name=name) for name in ("one", "two")]
    (one,), (two,) = (world.service.start(plan.id) for plan in plans)
    turns: list[str] = []
    world.venue.before = lambda: turns.append(world.service.run_job(two.id))
    assert world.finish(one.id) == "succeeded"
    assert set(turns) == {"not_claimed"}
    asked = len(world.venue.asked)
    waiting = world.job(two.id)
    assert waiting.state == "queued"
    assert waiting.error == {
        "code": "waits-for-others",
        "message": f"waits for job {one.id}, which fills the same series",
    }
    world.clock.advance(5_000)
    assert world.finish(two.id) == "succeeded"
    assert (len(world.venue.asked), world.job(two.id).error) == (asked, None)
    assert world.stored() == world.everything()


def test_of_two_jobs_of_a_series_that_are_taken_at_one_instant_one_works(
    world: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers look whether another is at work, each before the other has said that it is."""
    from app.services.collection import jobs as collection_jobs

    world.list_bars(range(2_500))
    plans = [world.plan(name=name) for name in ("one", "two")]
    ids = [world.service.start(plan.id)[0].id for plan in plans]
    looks = collection_jobs._waits_for
    looking, asking = threading.Barrier(2), threading.Barrier(2)

    def meet(barrier: threading.Barrier) -> None:
        # Where one has to wait for the other, they do not meet.
        with suppress(threading.BrokenBarrierError):
            barrier.wait(1)

    def look_together(unit: Unit, job: JobRow) -> str:
        meet(looking)
        return looks(unit, job)

    world.venue.before = lambda: meet(asking)
    monkeypatch.setattr(collection_jobs, "_waits_for", look_together)
    with ThreadPoolExecutor(2) as workers:
        assert "succeeded" in set(workers.map(world.service.run_job, ids))
    assert len(world.venue.asked) == len(set(world.venue.asked)), "nothing was asked for twice"
    assert world.stored() == world.everything()


def test_a_job_that_was_cancelled_half_way_has_no_time_left(world: Collecting) -> None:
    world.list_bars(range(2_500))
    plan = world.plan()
    (job,) = world.service.start(plan.id)

    def disable() -> None:
        if world.stored():
            world.service.plans.enable(plan.id, False)

    world.venue.before = disable
    assert world.finish(job.id) == "cancelled"
    found = world.job(job.id).progress
    assert (found["slices_done"] > 0, found["eta_s"]) == (True, None)
