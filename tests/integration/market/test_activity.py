"""What is traded is counted by the day, right after every change; a dead series is told once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.market.activity import DEAD_AFTER_DAYS
from app.core.market.coverage import present_runs
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineRow
from app.repositories.unit import Unit, Units
from app.services import activity
from app.services.activity import ActivityService
from app.services.horizon import Horizons
from app.services.quality import Quality, QualityService
from tests.integration.market.collecting import SYMBOL, Collecting
from tests.support.activity import activity_of_bars
from tests.support.record import START_MS, ManualClock, ManualMarketClock, record, units_over

T = START_MS
M = MINUTE_MS
ETH = "ETH/USDT"


def bar(ts: int, volume: int, price: int = 5) -> KlineRow:
    """A bar; without volume it is flat."""
    high = Decimal(price + (1 if volume else 0))
    amount = Decimal(price)
    return KlineRow(ts, amount, high, amount, amount, Decimal(volume))


def store(units: Units, symbol: str, interval: str, rows: list[KlineRow]) -> int:
    """Store bars as a venue's answer is; the id of their series."""
    length = interval_of(interval)

    def work(unit: Unit) -> int:
        series = unit.klines.series("binance", symbol, interval, unit.now_ms)
        unit.klines.lock_series(series.id)
        how = {"covered": True, "source": "test", "now_ms": unit.now_ms}
        unit.klines.store(series.id, rows, **how)  # type: ignore[arg-type]
        before = unit.coverage.spans(series.id)
        known = {ts for span in before for ts in range(span.start, span.end, length.length_ms)}
        times = sorted(known | {row.open_ts for row in rows})
        unit.coverage.save(series.id, before, present_runs(times, length))
        return series.id

    return units.run(work)


def hours(days: range, volume: int) -> list[KlineRow]:
    return [bar(T + day * DAY_MS + hour * HOUR_MS, volume) for day in days for hour in range(24)]


def quality(units: Units, symbol: str, interval: str) -> Quality:
    horizons = Horizons(units, ManualMarketClock())
    return QualityService(units, horizons).quality("binance", symbol, interval, None, None)


@pytest.fixture
def units(database_url: str) -> Iterator[Units]:
    with record(database_url, local_infile=True) as engine:
        yield units_over(engine, ManualClock())


# -- counting ---------------------------------------------------------------------------------


def test_days_are_counted_as_bars_come_are_healed_and_revised(units: Units) -> None:
    """Three days of hours; on the second, five hours come late, of which two have trades."""
    service = ActivityService(units)
    late = [bar(T + DAY_MS + hour * HOUR_MS, hour % 2) for hour in range(4, 9)]
    rows = [row for row in hours(range(3), 7) if row.open_ts not in {each.open_ts for each in late}]
    series_id = store(units, SYMBOL, "1h", rows)
    service.count(series_id)
    profile = quality(units, SYMBOL, "1h").profile
    assert profile is not None
    assert (profile.activity.bars, profile.activity.idle, profile.gaps.bars) == (67, 0, 5)
    store(units, SYMBOL, "1h", late)
    service.count(series_id)
    profile = quality(units, SYMBOL, "1h").profile
    assert profile is not None
    assert (profile.activity.bars, profile.activity.idle, profile.activity.runs) == (72, 3, 3)
    assert (profile.gaps.count, profile.uncounted) == (0, 0)
    # The venue states later that nothing was traded in one hour more.
    store(units, SYMBOL, "1h", [bar(T + DAY_MS + 5 * HOUR_MS, 0)])
    service.count(series_id)
    profile = quality(units, SYMBOL, "1h").profile
    assert profile is not None
    assert (profile.activity.idle, profile.activity.runs, profile.activity.longest) == (4, 2, 3)


def test_today_is_counted_by_a_job_and_left_for_later_by_the_clock(units: Units) -> None:
    service = ActivityService(units)
    series_id = store(units, SYMBOL, "1h", [*hours(range(2), 7), bar(T + 2 * DAY_MS, 7)])
    service.count_all()
    profile = quality(units, SYMBOL, "1h").profile
    assert profile is not None
    assert (profile.activity.bars, profile.uncounted) == (48, 1)
    service.count(series_id)
    profile = quality(units, SYMBOL, "1h").profile
    assert profile is not None
    assert (profile.activity.bars, profile.uncounted) == (49, 0)


_NUMBERS = itertools.count()
#: Hours of four days with a volume each, in any order, and counts in between: with today or not.
STEPS = st.lists(
    st.one_of(
        st.booleans(),
        st.lists(
            st.tuples(st.integers(0, 95), st.integers(0, 1)), min_size=1, max_size=40,
            unique_by=lambda each: each[0],
        ),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def one_record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Units]:
    folder = tmp_path_factory.mktemp("activity")
    with record(f"sqlite:///{folder / 'tidemark.db'}") as engine:
        yield units_over(engine, ManualClock())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_whatever_is_stored_in_whatever_order_days_are_what_the_bars_are(
    one_record: Units, steps: list[list[tuple[int, int]] | bool]
) -> None:
    service = ActivityService(one_record)
    symbol = f"S{next(_NUMBERS)}/USDT"
    known: dict[int, KlineRow] = {}
    series_id = 0
    for step in steps:
        if isinstance(step, bool):
            if known:
                service.count(series_id, with_today=step)
            continue
        rows = [bar(T + hour * HOUR_MS, volume) for hour, volume in sorted(step)]
        known |= {row.open_ts: row for row in rows}
        series_id = store(one_record, symbol, "1h", rows)
    if not known:
        return
    service.count(series_id)
    columns = KlineColumns.of_rows(known[ts] for ts in sorted(known))
    with one_record.read() as unit:
        counted = unit.activity.of_series(series_id, 0, 1 << 62)
    assert counted == activity_of_bars(columns, interval_of("1h"))


# -- dead series ------------------------------------------------------------------------------


def test_a_market_that_is_silent_for_a_week_is_flagged_and_a_trade_lifts_the_flag(
    database_url: str,
) -> None:
    """As FTT was filled for years. Its venue's other market is traded, and it is collected on."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine)
        silent = range((DEAD_AFTER_DAYS - 1) * 1_440)
        world.venue.bars = {T + n * M: bar(T + n * M, 0) for n in silent}
        world.venue.bars[T - M] = bar(T - M, 7)
        plan = world.plan(since_ms=T - M)
        store(world.units, ETH, "1h", hours(range(9), 7))

        def collected_to(minute: int) -> None:
            world.market_clock.now = T + minute * M
            for job in world.service.start(plan.id):
                assert world.finish(job.id) == "succeeded"
            world.service.activity.count_all()

        collected_to(silent.stop)
        assert world.events.on("risk.alert") == []
        for n in range(silent.stop, DEAD_AFTER_DAYS * 1_440 + 60):
            world.venue.bars[T + n * M] = bar(T + n * M, 0)
        collected_to(DEAD_AFTER_DAYS * 1_440 + 60)
        (told,) = world.events.on("risk.alert.warning")
        assert (told["kind"], told["symbol"], told["days"]) == ("series-dead", SYMBOL, 7)
        assert "for 7 days its bars are flat at 5 without volume" in told["text"]
        found = quality(world.units, SYMBOL, "1m").profile
        assert found is not None
        assert found.is_dead
        assert found.silence is not None
        assert (found.silence.since, found.silence.days) == (T, 7)
        world.service.activity.count_all()
        assert len(world.events.on("risk.alert")) == 1
        # It goes on to be followed, minute by minute, until somebody trades.
        for n, volume in ((60, 0), (61, 3)):
            ts = T + (DEAD_AFTER_DAYS * 1_440 + n) * M
            world.venue.bars[ts] = bar(ts, volume)
            world.market_clock.now = ts + M
            assert world.service.follow(plan.id).rows == 1
            world.service.activity.count_all()
            assert len(world.events.on("risk.alert.info")) == (1 if volume else 0)
        assert world.events.on("risk.alert.info")[0]["kind"] == "series-alive"
        found = quality(world.units, SYMBOL, "1m").profile
        assert found is not None
        assert (found.is_dead, found.silence) == (False, None)


@pytest.mark.parametrize("other", ["nothing", "silent", "another venue's", "before it", "traded"])
def test_silence_alone_is_no_death(units: Units, other: str) -> None:
    """Where nothing of the venue is traded, it is the venue or the line that is silent."""
    store(units, SYMBOL, "1h", [*hours(range(1), 7), *hours(range(1, 10), 0)])
    if other == "silent":
        store(units, ETH, "1h", hours(range(10), 0))
    if other == "before it":
        store(units, ETH, "1h", hours(range(1), 7))
    if other == "traded":
        store(units, ETH, "1h", hours(range(4, 5), 7))
    if other == "another venue's":
        with units.write() as unit:
            series = unit.klines.series("okx", ETH, "1h", 1)
            how = {"covered": False, "source": "test", "now_ms": 1}
            unit.klines.store(series.id, hours(range(10), 7), **how)  # type: ignore[arg-type]
    service = ActivityService(units)
    with units.read() as unit:
        every = [row.id for row in unit.klines.all_series()]
    for _ in range(2):  # a series is judged by what was counted of the others before
        for series_id in every:
            service.count(series_id)
    found = quality(units, SYMBOL, "1h").profile
    assert found is not None
    assert found.silence is not None
    assert (found.silence.days, found.is_dead) == (9, other == "traded")


def test_a_hole_or_a_move_of_the_price_ends_the_silence(units: Units) -> None:
    store(units, ETH, "1h", hours(range(10), 7))
    rows = hours(range(9), 0)
    del rows[5 * 24 + 3]
    hole = store(units, SYMBOL, "1h", rows)
    moved = store(units, "XRP/USDT", "1h", [
        bar(row.open_ts, 0, price=5 + row.open_ts // (4 * DAY_MS) % 2) for row in hours(range(9), 0)
    ])  # fmt: skip
    service = ActivityService(units)
    for series_id in (hole, moved):
        service.count(series_id)
    for symbol in (SYMBOL, "XRP/USDT"):
        found = quality(units, symbol, "1h").profile
        assert found is not None
        assert found.silence is not None
        assert found.silence.days < DEAD_AFTER_DAYS
        assert not found.is_dead


def test_what_is_more_than_one_call_can_take_the_next_ones_do(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade years of bars are not counted yet."""
    monkeypatch.setattr(activity, "_STEP_BARS", 24)
    monkeypatch.setattr(activity, "_STEPS_OF_A_CALL", 3)
    for symbol in (SYMBOL, ETH):
        store(units, symbol, "1h", hours(range(6), 7))
    service = ActivityService(units)
    found = []
    for _ in range(5):
        service.count_all()
        with units.read() as unit:
            every = unit.klines.all_series()
            found.append([len(unit.activity.of_series(row.id, 0, 1 << 62)) for row in every])
    # Five days of each are over; the sixth is that of the last bar.
    assert found[0] == [3, 0]
    assert found[-1] == [5, 5]
    assert all(sum(after) - sum(before) <= 3 for before, after in pairwise(found))
