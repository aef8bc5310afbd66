"""Days that are over are compared with the venue, repaired, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pytest

from app.core.errors import Conflict, InvalidInput
from app.core.exchanges.errors import BudgetExhausted, VenueRulesRefused
from app.core.market.coverage import CoverageState
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.klines import KlineRow
from app.core.market.validation import as_text
from app.repositories.unit import Unit
from app.services.collection.rolling import RollUps
from app.services.collection.target import target
from app.services.invariants.market import check_market
from tests.integration.market.collecting import SYMBOL, Collecting, M, bar
from tests.integration.market.verified import MINUTES, figures, minutes, quarantined, verify
from tests.support.record import START_MS, record


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    """Two days of minutes, collected; the third has begun."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, range(2 * MINUTES + 60))
        world.finish(world.service.start(world.plan().id)[0].id)
        yield world


def test_a_day_that_is_right_says_so(world: Collecting) -> None:
    (day,) = verify(world)
    assert START_MS % DAY_MS == 0
    assert day.day_ts == START_MS + DAY_MS
    assert (day.expected, day.present, day.pending, day.exchange_side) == (MINUTES, MINUTES, 0, 0)
    assert (day.compared, day.differed, day.missed) == (MINUTES, 0, 0)
    assert day.quiet == sum(bar(minute).volume == 0 for minute in range(MINUTES, 2 * MINUTES))


def test_what_the_venue_states_otherwise_is_revised_and_what_was_missed_is_stored(
    world: Collecting,
) -> None:
    """Three bars revised on the second day; one comes on the first that was not there."""
    for minute in (1_500, 2_000, 2_879):
        world.venue.bars[START_MS + minute * M] = bar(minute, close=150)
    world.venue.bars[START_MS + 77 * M] = bar(77)
    first, second = verify(world, days=2)
    assert (second.compared, second.differed, second.missed) == (MINUTES, 3, 0)
    assert (first.compared, first.differed, first.missed) == (MINUTES, 0, 0)
    stored = {row.open_ts: row for row in world.stored()}
    assert stored[START_MS + 2_000 * M].close == Decimal(150)
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1m")
        assert series is not None
        found = unit.klines.revisions(series.id)
    assert {row.open_ts for row in found} == {START_MS + n * M for n in (1_500, 2_000, 2_879)}
    assert {row.source for row in found} == {"verify:binance"}
    # Once more, and all is right by now: the figures still say how right it was at first.
    assert [day.differed for day in verify(world, days=2)] == [0, 3]


def test_a_bar_that_was_lost_is_found_and_stored(database_url: str) -> None:
    """Its minute was asked for and given up as missing at the venue; now the venue has it."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, [n for n in range(MINUTES + 60) if n != 700])
        world.finish(world.service.start(world.plan().id)[0].id)
        world.list_bars([700])
        (day,) = verify(world)
        assert (day.expected, day.present, day.compared, day.missed) == (1_440, 1_440, 1_439, 1)
        assert len(world.stored()) == MINUTES + 60


def test_hours_and_the_day_of_the_venue_are_compared_with_those_of_the_minutes(
    world: Collecting,
) -> None:
    whole = world.hours_of(range(MINUTES, 2 * MINUTES))
    world.venue.longer = whole
    (day,) = verify(world)
    assert (day.derived_compared, day.derived_differed) == (25, 0)
    wrong = whole["1h"][5]
    whole["1h"][5] = wrong._replace(high=wrong.high + 1)
    (day,) = verify(world)
    assert (day.derived_compared, day.derived_differed) == (25, 1)


def test_a_series_an_hour_off_is_told_and_left_alone_until_one_says_otherwise(
    database_url: str,
) -> None:
    """The venue's minutes of the first two days, stored as if they had opened an hour earlier."""
    hour = 60
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, range(2 * MINUTES + hour))
        walk = np.random.default_rng(7).integers(-9, 10, 2 * MINUTES + hour).cumsum() + 5_000
        prices = [Decimal(int(price)) for price in walk]
        for minute, price in enumerate(prices):
            ts = START_MS + minute * M
            world.venue.bars[ts] = bar(minute)._replace(
                open=price, high=price, low=price, close=price, open_ts=ts
            )
        right = dict(world.venue.bars)
        world.venue.bars = {
            ts - hour * M: row._replace(open_ts=ts - hour * M) for ts, row in right.items()
        }
        world.finish(world.service.start(world.plan().id)[0].id)
        stored = world.stored()
        world.venue.bars = right
        job = world.service.verify(minutes(), 1)
        assert world.service.run_verification(job.id) == "failed"
        error = world.job(job.id).error or {}
        assert error["code"] == "shifted"
        assert "lie 1 h behind the same bars of binance, and were not changed" in error["message"]
        assert world.stored() == stored
        (alarm,) = world.events.on("risk.alert.warning")
        assert (alarm["kind"], alarm["shift_ms"]) == ("series-shifted", -hour * M)
        job = world.service.verify(minutes(), 1, despite_shift=True)
        assert world.service.run_verification(job.id) == "succeeded"
        mended = [row for row in world.stored() if row.open_ts >= START_MS + DAY_MS]
        assert mended[:MINUTES] == [right[row.open_ts] for row in mended[:MINUTES]]


def test_minutes_at_fault_are_asked_for_once_more_and_their_hour_is_right_then(
    world: Collecting,
) -> None:
    """An answer of the venue's is old: its hour says otherwise, so its minutes are asked for."""
    whole = world.hours_of(range(MINUTES, 2 * MINUTES))
    world.venue.longer = whole
    stale = {START_MS + n * M: bar(n, close=150) for n in (2_000, 2_001)}
    answers = iter([stale, stale])

    def old(rows: list[KlineRow]) -> list[KlineRow]:
        before = next(answers, {})
        return [before.get(row.open_ts, row) for row in rows]

    world.venue.tamper = old
    world.venue.asked.clear()
    (day,) = verify(world)
    assert (day.derived_compared, day.derived_differed) == (25, 0)
    # Revised by the old answer, and back again by the next one.
    assert (day.differed, day.missed, day.compared) == (4, 0, MINUTES)
    hour = START_MS + 33 * HOUR_MS
    around = (hour - M, hour + HOUR_MS + M)
    assert [asked[1:3] for asked in world.venue.asked[2:]] == [around]
    assert {row.open_ts: row for row in world.stored()}[START_MS + 2_000 * M] == bar(2_000)


def test_a_roll_up_that_is_wrong_is_found_by_the_venues_hours_and_made_anew(
    database_url: str,
) -> None:
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, range(4 * MINUTES + 60))
        world.finish(world.service.start(world.plan().id)[0].id)
        rolls = RollUps(world.units, world.hints, world.clock)
        with world.units.read() as unit:
            series = unit.klines.find_series("binance", SYMBOL, "1m")
            assert series is not None
        assert rolls.roll_up(series.id) == 100
        lied = START_MS + 80 * HOUR_MS

        def lie(unit: Unit) -> None:
            hours = unit.klines.roll_ups(series)["1h"]
            (row,) = unit.klines.read_exact(hours.id, lied, lied + 1)
            wrong = KlineColumns.of_rows([row._replace(high=row.high + 1)])
            unit.klines.replace(hours.id, lied, lied + 1, wrong, now_ms=unit.now_ms)

        world.units.run(lie)
        world.hints.sent.clear()
        (day,) = verify(world)
        assert (day.derived_compared, day.derived_differed, day.differed) == (25, 0, 0)
        assert ("collection.roll_up", str(series.id)) in world.hints.sent
        assert rolls.roll_up(series.id) == 1


def test_yesterday_is_verified_once_by_itself(world: Collecting) -> None:
    assert world.service.verify_yesterday() == 1
    job = world.live_job("verification")
    assert world.service.verify_yesterday() == 1, "the job is not doubled"
    assert world.live_job("verification").id == job.id
    assert world.service.run_verification(job.id) == "succeeded"
    assert world.job(job.id).result == {
        "slices_done": 1,
        "slices_total": 1,
        "compared": MINUTES,
        "differed": 0,
        "missed": 0,
        "surplus": 0,
        "uncompared": 0,
        "derived_compared": 25,
        "derived_differed": 0,
    }
    assert world.service.verify_yesterday() == 0


def test_a_verification_foretells_the_rest_and_counts_the_minutes_that_its_budget_takes(
    world: Collecting,
) -> None:
    """Two days of as many questions each, and a minute's budget that ends with the first one."""
    asked: list[float] = []

    def slow() -> None:
        asked.append(21.0)
        world.clock.advance(21_000)

    job = world.service.verify(minutes(), 2)
    world.venue.before = slow
    assert world.service.run_verification(job.id) == "queued"
    progress = world.job(job.id).progress
    assert (progress["slices_done"], progress["slices_total"]) == (1, 2)
    assert progress["eta_s"] == sum(asked)
    used_up = BudgetExhausted("binance", "used up", retry_at=0, retry_after_ms=50_000)
    world.venue.failures.append(used_up)
    assert world.service.run_verification(job.id) == "queued"
    waiting = world.job(job.id)
    assert waiting.not_before == world.clock.now_ms() + 50_000
    assert waiting.progress["eta_s"] == progress["eta_s"], (
        "of the day that is left, no further wait"
    )


def test_a_stored_bar_that_the_venue_has_not_is_taken_away_and_kept_as_it_was(
    world: Collecting,
) -> None:
    """It was restated as no bar at all: twice asked, the venue gives those around it alone."""
    gone = [START_MS + minute * M for minute in (1_500, 1_501, 2_000)]
    for ts in gone:
        del world.venue.bars[ts]
    (day,) = verify(world)
    assert (day.compared, day.surplus, day.differed, day.missed) == (MINUTES - 3, 3, 0, 0)
    assert (day.present, day.pending) == (MINUTES - 3, 3)
    assert world.stored() == world.everything()
    found = quarantined(world)
    assert sorted(row.open_ts or 0 for row in found) == gone
    assert {(row.reason, row.source) for row in found} == {
        ("the venue has no such bar", "verify:binance")
    }
    assert [as_text(bar(1_500))] == [row.row for row in found if row.open_ts == gone[0]]
    (alarm,) = world.events.on("risk.alert.warning")
    assert (alarm["kind"], alarm["bars"], alarm["first"]) == ("surplus-bars", 3, gone[0])
    # From here on they are gaps like any other: proven after an hour, or healed.
    world.venue.bars[gone[2]] = bar(2_000)
    for _ in range(3):
        world.clock.advance(31 * M)
        for job in world.service.start(world.service.plans.page(1).rows[0].id):
            world.finish(job.id)
    assert world.told() == [
        (0, 1_500, CoverageState.PRESENT),
        (1_500, 1_502, CoverageState.EXCHANGE_SIDE),
        (1_502, 2 * MINUTES + 60, CoverageState.PRESENT),
    ]
    with world.units.read() as unit:
        assert check_market(unit, world.market_clock.now_ms) == []


def test_a_bar_that_one_answer_forgot_stays(world: Collecting) -> None:
    missing = START_MS + 2_000 * M
    answers = iter([True])

    def forgetful(rows: list[KlineRow]) -> list[KlineRow]:
        if any(row.open_ts == missing for row in rows) and next(answers, False):
            return [row for row in rows if row.open_ts != missing]
        return rows

    world.venue.tamper = forgetful
    (day,) = verify(world)
    assert (day.surplus, day.present) == (0, MINUTES)
    assert (len(world.stored()), quarantined(world)) == (2 * MINUTES + 60, [])


def test_bars_beyond_those_that_a_venue_gives_are_not_taken_away(world: Collecting) -> None:
    """It gives the latest 700 minutes alone: what is older it may have had."""
    world.venue.latest = 700
    (day,) = verify(world)
    assert (day.compared, day.surplus, day.present) == (640, 0, MINUTES)
    assert len(world.stored()) == 2 * MINUTES + 60
    # Nobody knows whether those are right, and it is said so.
    assert day.uncompared == MINUTES - 640
    (alarm,) = world.events.on("risk.alert.warning")
    assert (alarm["kind"], alarm["bars"]) == ("bars-not-compared", 800)
    found = world.quality.quality("binance", SYMBOL, "1m", 0, 2**60)
    assert (found.uncompared, found.accuracy) == (800, 640 / MINUTES)


def test_where_a_venue_lacks_most_of_the_stored_bars_a_person_decides(world: Collecting) -> None:
    """Nine of ten minutes are missing: the answer is short, or the bars are another market's."""
    for minute in range(MINUTES, 2 * MINUTES):
        if minute % 10:
            del world.venue.bars[START_MS + minute * M]
    (day,) = verify(world)
    assert day.surplus > 1_000
    assert (day.present, len(world.stored()), quarantined(world)) == (MINUTES, 2 * MINUTES + 60, [])
    alarms = world.events.on("risk.alert.warning")
    assert {alarm["kind"] for alarm in alarms} == {"surplus-bars"}
    assert "none was taken away" in alarms[0]["text"]


def test_a_day_is_asked_for_with_the_bars_around_it_and_keeps_none_that_no_plan_wants(
    database_url: str,
) -> None:
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, range(3 * MINUTES + 60))
        world.finish(world.service.start(world.plan(since_ms=START_MS + DAY_MS).id)[0].id)
        verify(world, days=2)
        assert world.stored()[0].open_ts == START_MS + DAY_MS


def test_days_without_workers_are_verified_once_they_are_back(database_url: str) -> None:
    """The first day was verified; then nothing ran for five days, and all is collected now."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, range(MINUTES + 60))
        plan = world.plan()
        world.finish(world.service.start(plan.id)[0].id)
        assert world.service.verify_yesterday() == 1
        world.service.run_verification(world.live_job("verification").id)
        world.list_bars(range(MINUTES + 60, 6 * MINUTES + 60))
        world.finish(world.service.start(plan.id)[0].id)
        world.venue.bars[START_MS + 2_000 * M] = bar(2_000, close=150)
        assert world.service.verify_yesterday() == 1
        job = world.live_job("verification")
        assert (job.params["first_day"], job.params["days"]) == (START_MS + DAY_MS, 5)
        while world.service.run_verification(job.id) == "queued":
            pass
        assert [day.differed for day in figures(world)] == [0, 1, 0, 0, 0, 0]
        assert world.service.verify_yesterday() == 0


def test_at_most_thirty_days_are_owed_and_one_that_is_refused_keeps_no_later_one_from_it(
    database_url: str,
) -> None:
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, range(MINUTES + 60))
        plan = world.plan()
        world.finish(world.service.start(plan.id)[0].id)
        world.service.verify_yesterday()
        world.service.run_verification(world.live_job("verification").id)
        world.market_clock.now += 99 * DAY_MS
        assert world.service.verify_yesterday() == 1
        job = world.live_job("verification")
        last = START_MS + 99 * DAY_MS
        assert (job.params["first_day"], job.params["days"]) == (last - 29 * DAY_MS, 30)
        world.venue.failures = [VenueRulesRefused("binance", "refused")] * 9
        assert world.service.run_verification(job.id) == "failed"
        world.venue.failures = []
        # Days are taken from the latest one on.
        assert world.service.verify_yesterday() == 1
        again = world.live_job("verification")
        world.venue.before = lambda: world.clock.advance(50_000)
        world.service.run_verification(again.id)
        assert [day.day_ts for day in figures(world)][-1] == last


def test_a_series_of_trades_and_one_of_the_mark_price_are_both_verified(world: Collecting) -> None:
    plan = world.plan(name="marks", kind="mark")
    for job in world.service.start(plan.id):
        world.finish(job.id)
    assert world.service.verify_yesterday() == 2


def test_what_cannot_be_verified_is_refused(world: Collecting) -> None:
    with pytest.raises(InvalidInput, match="collect it first"):
        world.service.verify(target("binance", "ETH/USDT", "1m", 0), 1)
    for days in (0, 5_000):
        with pytest.raises(InvalidInput, match="days at once"):
            world.service.verify(minutes(), days)


def test_healing_asks_at_once_for_what_was_asked_for_in_vain(database_url: str) -> None:
    """Three looks, and the next is due in an hour only; but the venue has mended its gap."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, [n for n in range(300) if not 100 <= n < 110])
        plan = world.plan()
        for _ in range(3):
            world.finish(world.service.start(plan.id)[0].id)
            world.clock.advance(M)
        assert world.service.start(plan.id) == []
        world.list_bars(range(100, 110))
        assert world.service.start(plan.id) == []
        (job,) = world.service.start(plan.id, heal=True)
        assert world.finish(job.id) == "succeeded"
        assert len(world.stored()) == 300
        assert world.service.start(plan.id, heal=True) == []


def test_a_verification_for_other_days_is_not_taken_for_the_one_that_is_asked_for(
    world: Collecting,
) -> None:
    """One day was to be compared; who asks for two, or in spite of a shift, is told so."""
    one = world.service.verify(minutes(), 1)
    assert world.service.verify(minutes(), 1).id == one.id
    for days, despite in ((2, False), (1, True)):
        with pytest.raises(Conflict, match="is under way, for 1 days up to 2026-03-") as caught:
            world.service.verify(minutes(), days, despite_shift=despite)
        assert caught.value.error_code == "verification-under-way"
        assert f"tidemark job cancel {one.id}" in caught.value.message
    assert world.service.run_verification(one.id) == "succeeded"
    assert world.service.verify(minutes(), 2).params["days"] == 2
    # The last of two days is one of them.
    assert world.service.verify(minutes(), 1).params["days"] == 2


def test_a_series_that_holds_nothing_and_that_nobody_wants_is_not_verified(
    world: Collecting,
) -> None:
    """Verified, a day of the venue's bars would be stored, and each count as missed."""
    world.units.run(lambda unit: unit.klines.series("binance", SYMBOL, "5m", unit.now_ms))
    with pytest.raises(InvalidInput, match="nothing of BTC/USDT 5m is stored; collect it first"):
        world.service.verify(target("binance", SYMBOL, "5m", 0), 1)
