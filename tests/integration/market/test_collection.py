"""Collection: every bar that the venue has, once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from app.core.exchanges.errors import (
    BadVenueAnswer,
    RateLimited,
    VenueBanned,
    VenueError,
    VenueRejected,
    VenueUnreachable,
)
from app.core.market.coverage import CoverageState
from app.core.market.instruments import InstrumentStatus
from app.core.market.klines import KlineRow
from app.repositories.unit import Unit
from tests.integration.market.collecting import SYMBOL, Collecting, M, bar, instrument
from tests.support.record import START_MS, record

PRESENT, PENDING = CoverageState.PRESENT, CoverageState.PENDING
EXCHANGE_SIDE = CoverageState.EXCHANGE_SIDE
BEFORE_LISTING = CoverageState.BEFORE_LISTING
AFTER_DELISTING = CoverageState.AFTER_DELISTING


# Many cases of what does not depend on the database; one of each kind runs on both.
sqlite_alone = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        yield Collecting(engine)


def start(world: Collecting) -> str:
    """The job of a plan for everything since the start."""
    (job,) = world.service.start(world.plan().id)
    return job.id


def test_a_back_fill_stores_every_bar_and_says_how_it_went(world: Collecting) -> None:
    world.list_bars(range(2_500))
    job_id = start(world)
    assert world.hints.sent == [("collection.run_job", job_id)]
    assert world.service.run_job(job_id) == "succeeded"
    assert world.stored() == world.everything()
    assert world.told() == [(0, 2_500, PRESENT)]
    job = world.job(job_id)
    assert (job.progress["slices_done"], job.progress["slices_total"]) == (3, 3)
    assert (job.progress["rows"], job.progress["eta_s"]) == (2_500, 0)
    assert job.result is not None
    assert (job.result["rows"], job.result["present"], job.result["pending"]) == (2_500, 2_500, 0)
    assert (job.dedupe_key, job.lease_until, job.finished_at) == (None, 0, world.clock.now)
    assert [entry[3] for entry in world.venue.asked] == [1_000] * 3


def test_events_tell_what_was_stored(world: Collecting) -> None:
    world.list_bars(range(1_200))
    world.service.run_job(start(world))
    told = world.events.on("market.kline.binance.BTC/USDT.1m")
    assert [(body["first"], body["last"], body["count"]) for body in told] == [
        (START_MS, START_MS + 999 * M, 1_000),
        (START_MS + 1_000 * M, START_MS + 1_199 * M, 200),
    ]
    assert [body["state"] for body in world.events.on("jobs.")] == ["queued", "succeeded"]


def test_a_slice_ends_in_time_and_the_job_goes_on_by_itself(world: Collecting) -> None:
    world.list_bars(range(4_000))
    job_id = start(world)
    world.venue.before = lambda: world.clock.advance(15_000)  # each request takes 15 s
    states: list[str] = []
    while not states or states[-1] == "queued":
        began = world.clock.now
        states.append(world.service.run_job(job_id))
        assert world.clock.now - began < 60_000
    assert states == ["queued", "succeeded"]
    assert world.hints.sent == [("collection.run_job", job_id)] * 2
    assert world.stored() == world.everything()
    assert world.job(job_id).progress["rows_per_s"] == 67


def test_progress_foretells_the_rest(world: Collecting) -> None:
    world.list_bars(range(8_000))
    job_id = start(world)
    world.venue.before = lambda: world.clock.advance(21_000)
    world.service.run_job(job_id)
    progress = world.job(job_id).progress
    assert (progress["slices_done"], progress["slices_total"]) == (2, 8)
    assert progress["eta_s"] == 6 * 21.0


class Killed(BaseException):
    """The process is gone; nothing after it runs."""


@sqlite_alone
@pytest.mark.parametrize("at", range(1, 7))
def test_killed_at_any_request_and_run_again_it_ends_in_the_same(
    world: Collecting, at: int
) -> None:
    world.list_bars([*range(1_500), *range(1_510, 4_000)])
    job_id = start(world)
    asked = iter(range(1, 100))

    def kill() -> None:
        if next(asked) == at:
            raise Killed

    world.venue.before = kill
    state = ""
    try:
        state = world.service.run_job(job_id)
    except Killed:
        assert world.service.run_job(job_id) == "not_claimed"  # the lease is still the dead's
        world.clock.advance(90_000)
        state = world.new_service().run_job(job_id)
    assert state == "succeeded"
    assert world.stored() == world.everything()
    assert world.told() == [(0, 1_500, PRESENT), (1_500, 1_510, PENDING), (1_510, 4_000, PRESENT)]
    assert sum(body["count"] for body in world.events.on("market.")) == 3_990


def test_killed_between_store_and_commit_nothing_is_half_there(
    world: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.list_bars(range(1_500))
    job_id = start(world)
    close = Unit.close

    def killed(unit: Unit) -> None:
        close(unit)
        raise Killed

    monkeypatch.setattr(Unit, "close", killed)
    with pytest.raises(Killed):
        world.service.run_job(job_id)
    monkeypatch.undo()
    assert (world.stored(), world.spans()) == ([], [])
    world.clock.advance(90_000)
    assert world.service.run_job(job_id) == "succeeded"
    assert world.stored() == world.everything()


def test_delivered_twice_at_once_the_second_does_nothing(world: Collecting) -> None:
    world.list_bars(range(2_500))
    job_id = start(world)
    twin = world.new_service()
    seen: list[str] = []
    world.venue.before = lambda: seen.append(twin.run_job(job_id))
    assert world.service.run_job(job_id) == "succeeded"
    assert seen == ["not_claimed"] * 3
    assert world.service.run_job(job_id) == "not_claimed"
    assert world.stored() == world.everything()
    assert sum(body["count"] for body in world.events.on("market.")) == 2_500


def test_a_worker_that_slept_past_its_lease_writes_nothing_more(world: Collecting) -> None:
    world.list_bars(range(2_500))
    job_id = start(world)
    states: list[str] = []

    def oversleep() -> None:
        world.venue.before = None
        world.clock.advance(90_001)
        states.append(world.new_service().run_job(job_id))

    world.venue.before = oversleep
    assert world.service.run_job(job_id) == "lost"
    assert states == ["succeeded"]
    assert world.job(job_id).state == "succeeded"
    assert sum(body["count"] for body in world.events.on("market.")) == 2_500


def test_a_plan_started_twice_has_one_job(world: Collecting) -> None:
    world.list_bars(range(10))
    plan = world.plan(symbols=[SYMBOL, "ETH/USDT"])
    first = world.service.start(plan.id)
    assert [job.id for job in world.service.start(plan.id)] == [job.id for job in first]
    assert len(first) == 2
    for job in first:
        world.finish(job.id)
    assert world.service.start(plan.id) == []


def test_a_gap_is_pending_until_it_was_looked_at_three_times_over_an_hour(
    world: Collecting,
) -> None:
    world.list_bars([*range(700), *range(720, 1_500)])
    plan = world.plan()
    states = []
    for minutes in (0, 1, 1, 30, 30):
        world.clock.advance(minutes * M)
        for job in world.service.start(plan.id):
            assert world.finish(job.id) == "succeeded"
        states.append(world.told()[1])
    assert states == [(700, 720, PENDING)] * 4 + [(700, 720, EXCHANGE_SIDE)]
    assert world.service.start(plan.id) == []
    proof = world.spans()[1].proof
    assert proof["last"] - proof["first"] >= 60 * M


def test_a_late_bar_heals_the_gap(world: Collecting) -> None:
    world.list_bars([*range(700), *range(701, 1_500)])
    plan = world.plan()
    world.finish(world.service.start(plan.id)[0].id)
    world.list_bars([700])
    world.finish(world.service.start(plan.id)[0].id)
    assert world.told() == [(0, 1_500, PRESENT)]
    assert world.stored() == world.everything()


def test_only_missing_ranges_are_asked_for(world: Collecting) -> None:
    world.list_bars([*range(50), *range(53, 3_000), *range(3_005, 4_000)])
    plan = world.plan()
    world.finish(world.service.start(plan.id)[0].id)
    world.venue.asked.clear()
    world.finish(world.service.start(plan.id)[0].id)
    minutes = [((ask[1] - START_MS) // M, (ask[2] - START_MS) // M) for ask in world.venue.asked]
    assert minutes == [(49, 54), (2_999, 3_006)]


def test_what_was_before_the_listing_is_known_by_the_first_bar_of_all(world: Collecting) -> None:
    world.list_bars(range(400, 1_900))
    world.finish(start(world))
    assert world.told() == [(0, 400, BEFORE_LISTING), (400, 1_900, PRESENT)]
    assert world.spans()[0].proof["earliest"] == START_MS + 400 * M


def test_a_venue_that_hides_its_first_bars_does_not_pass_for_a_late_listing(
    world: Collecting,
) -> None:
    world.list_bars(range(1_500))
    world.venue.tamper = lambda rows: rows[100:] if len(rows) > 100 else rows
    world.finish(start(world))
    assert world.told()[0] == (0, 100, PENDING)


def test_after_the_delisting_nothing_is_waited_for(world: Collecting) -> None:
    world.list_bars(range(1_200))
    plan = world.plan()
    world.finish(world.service.start(plan.id)[0].id)
    world.market_clock.now += 500 * M
    gone = [instrument(SYMBOL, InstrumentStatus.DELISTED)]
    world.units.run(
        lambda unit: unit.instruments.refresh("binance", gone, world.ids.new, unit.now_ms)
    )
    world.finish(world.service.start(plan.id)[0].id)
    assert world.told() == [(0, 1_200, PRESENT), (1_200, 1_700, AFTER_DELISTING)]


@sqlite_alone
@pytest.mark.parametrize(
    ("error", "wait_ms"),
    [
        (RateLimited("binance", "slow down", retry_after_ms=7_000), 7_000),
        (VenueBanned("binance", "banned", until_ms=0, retry_after_ms=120_000), 120_000),
        (VenueUnreachable("binance", "no whole answer came"), 4_000),
        (BadVenueAnswer("binance", "the answer is not JSON"), 4_000),
    ],
)
def test_trouble_at_the_venue_puts_the_job_off_and_loses_nothing(
    world: Collecting, error: VenueError, wait_ms: int
) -> None:
    world.list_bars(range(2_500))
    job_id = start(world)
    world.venue.failures = [error]
    assert world.service.run_job(job_id) == "queued"
    job = world.job(job_id)
    assert job.not_before == world.clock.now + wait_ms
    assert job.error == {"code": error.error_code, "message": error.message}
    assert world.service.run_job(job_id) == "not_claimed"
    world.clock.advance(wait_ms)
    assert world.service.run_job(job_id) == "succeeded"
    assert world.job(job_id).error is None
    assert world.stored() == world.everything()


def test_an_outage_is_waited_for_longer_and_longer_up_to_a_quarter_of_an_hour(
    world: Collecting,
) -> None:
    world.list_bars(range(10))
    job_id = start(world)
    world.venue.failures = [VenueUnreachable("binance", "gone") for _ in range(12)]
    waits = []
    while world.venue.failures:
        world.service.run_job(job_id)
        wait = world.job(job_id).not_before - world.clock.now
        waits.append(wait // 1000)
        world.clock.advance(wait)
    assert waits[:5] == [4, 8, 16, 32, 64]
    assert waits[-1] == 900
    assert world.service.run_job(job_id) == "succeeded"


def test_a_request_that_can_never_pass_ends_the_job(world: Collecting) -> None:
    world.list_bars(range(10))
    job_id = start(world)
    world.venue.failures = [VenueRejected("binance", "refused", venue_code="-1121")]
    assert world.service.run_job(job_id) == "failed"
    job = world.job(job_id)
    assert job.error is not None
    assert job.error["code"] == "venue-rejected"
    assert job.dedupe_key is None


@sqlite_alone
@pytest.mark.parametrize("how", ["cancel", "disable", "delete"])
def test_a_job_ends_when_it_or_its_plan_is_called_off(world: Collecting, how: str) -> None:
    world.list_bars(range(3_000))
    plan = world.plan()
    job_id = world.service.start(plan.id)[0].id

    def call_off() -> None:
        world.venue.before = None
        if how == "disable":
            world.service.plans.enable(plan.id, False)
        elif how == "delete":
            world.service.plans.delete(plan.id)
        else:
            with world.units.write() as unit:
                unit.jobs.lock(job_id).cancel_requested = True

    world.venue.before = call_off
    assert world.service.run_job(job_id) == "cancelled"
    assert len(world.stored()) == 1_000  # what had come is kept
    reasons = {
        "cancel": None,
        "disable": {"code": "unwanted", "message": f"plan {plan.name} was disabled"},
        "delete": {"code": "unwanted", "message": "its plan was deleted"},
    }
    assert world.job(job_id).error == reasons[how]


def bad(minute: int) -> KlineRow:
    """A bar whose price is no number."""
    return bar(minute)._replace(close=Decimal("NaN"))


def test_a_bad_bar_goes_to_quarantine_and_the_rest_is_stored(world: Collecting) -> None:
    world.list_bars(range(1_500))
    good = world.venue.bars[START_MS + 600 * M]
    world.venue.bars[START_MS + 600 * M] = bad(600)
    plan = world.plan()
    for _ in range(2):
        world.finish(world.service.start(plan.id)[0].id)
    assert world.told() == [(0, 600, PRESENT), (600, 601, PENDING), (601, 1_500, PRESENT)]
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1m")
        assert series is not None
        (kept,) = unit.klines.quarantined(series.id)
    assert (kept.open_ts, kept.row[4]) == (START_MS + 600 * M, "NaN")
    world.venue.bars[START_MS + 600 * M] = good
    world.finish(world.service.start(plan.id)[0].id)
    assert world.told() == [(0, 1_500, PRESENT)]


TAMPERED: dict[str, Callable[[list[KlineRow]], list[KlineRow]]] = {
    "turned round": lambda rows: rows[::-1],
    "all twice": lambda rows: [row for row in rows for _ in range(2)],
    "shifted by an hour": lambda rows: [
        row._replace(open_ts=row.open_ts + 90 * 24 * 60 * M) for row in rows
    ],
    "off the grid": lambda rows: [row._replace(open_ts=row.open_ts + 1) for row in rows],
    "negative": lambda rows: [row._replace(low=-row.low) for row in rows],
    "too large": lambda rows: [row._replace(high=Decimal("1e308")) for row in rows],
    "high below low": lambda rows: [row._replace(high=row.low, low=row.high) for row in rows],
    "infinite volume": lambda rows: [row._replace(volume=Decimal("Infinity")) for row in rows],
    "nothing": lambda _: [],
    "somebody else's": lambda rows: [row._replace(open_ts=row.open_ts % 7) for row in rows],
}


@sqlite_alone
@pytest.mark.parametrize("how", TAMPERED)
def test_hostile_rows_never_reach_the_store(world: Collecting, how: str) -> None:
    world.list_bars(range(1_100))
    world.venue.tamper = TAMPERED[how]
    plan = world.plan()
    world.finish(world.service.start(plan.id)[0].id)
    true = set(world.everything())
    assert set(world.stored()) <= true
    assert all(span.state in (PRESENT, PENDING) for span in world.spans())
    world.venue.tamper = None
    world.clock.advance(31 * M)
    for job in world.service.start(plan.id):
        world.finish(job.id)
    assert world.stored() == world.everything()
    assert world.told() == [(0, 1_100, PRESENT)]


def test_a_bar_stated_differently_later_is_revised(world: Collecting) -> None:
    world.list_bars([*range(600), *range(601, 700)])
    plan = world.plan()
    world.finish(world.service.start(plan.id)[0].id)
    world.venue.bars[START_MS + 599 * M] = bar(599, close=107)
    world.finish(world.service.start(plan.id)[0].id)  # asks for 600 and its neighbours
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1m")
        assert series is not None
        (revision,) = unit.klines.revisions(series.id)
    assert (revision.new["close"], revision.source) == ("107", "rest:binance")
    assert world.stored()[599].close == 107
