"""Hours and days are kept beside minutes, right after every change, and never read stale."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import delete

from app.core.errors import NotFound
from app.core.market.files.columns import KlineColumns
from app.core.market.files.writing import write_bars
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.klines import KlineRow
from app.core.market.resampling import resample_rows
from app.core.market.rolling import ROLLED
from app.models import KlineRecord
from app.repositories.kline_changes import revise
from app.repositories.kline_store import KlineStore
from app.repositories.unit import Unit
from app.services import kline_sources
from app.services.collection.arrivals import ArrivedKline
from app.services.collection.rolling import TASK, RollUps
from app.services.collection.target import target
from app.services.exporting import Exporter
from app.services.kline_pages import KlinePages
from tests.integration.market.collecting import SYMBOL, M, bar
from tests.integration.market.importing import Importing
from tests.integration.market.rolling import NAMES, Rolling
from tests.support.record import START_MS, ManualClock, record

T = START_MS
D = Decimal
DAY = 1_440


@pytest.fixture
def world(database_url: str) -> Iterator[Rolling]:
    """Four days of minutes and ten hours, collected and rolled up."""
    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, range(4 * DAY + 600))
        world.collect()
        world.roll_up()
        yield world


@pytest.fixture
def gapped(database_url: str) -> Iterator[Rolling]:
    """The same, but the venue has not brought 10:30 of the second day."""
    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, [n for n in range(4 * DAY + 600) if n != DAY + 630])
        world.collect()
        world.roll_up()
        yield world


def opens(rows: Sequence[KlineRow]) -> set[int]:
    return {row.open_ts for row in rows}


#: Minutes of the second day; every other one opens, stays and closes at 100, with 0.01.
TABLE = """
time    open    high    low    close    volume
10:00   100     101     99     100      1
10:17   100     130     100    110      2.5
10:30   110     112     109    110      0.3
10:59   110     111     90     95       0.1
23:59   100     100     97     97       0.2
"""


def told(text: str) -> dict[int, KlineRow]:
    """The rows of a table by minute of the day."""
    found = {}
    for line in text.strip().splitlines()[1:]:
        time, *amounts = line.split()
        hour, minute = map(int, time.split(":"))
        at = 60 * hour + minute
        opened, high, low, close, volume = map(D, amounts)
        found[at] = KlineRow(T + DAY_MS + at * M, opened, high, low, close, volume)
    return found


def second_day() -> dict[int, KlineRow]:
    """Its minutes by minute of the day."""
    flat = (D(100), D(100), D(100), D(100), D("0.01"))
    return {at: KlineRow(T + DAY_MS + at * M, *flat) for at in range(DAY)} | told(TABLE)


# -- stories -------------------------------------------------------------------------------------


def test_whole_days_are_kept_as_their_minutes_make_them(world: Rolling) -> None:
    assert world.minutes().rolled_to == T + 4 * DAY_MS
    assert len(world.kept("1h")) == 96
    assert len(world.kept("1d")) == 4
    world.check()
    # The ten hours of the day that is not over come from the minutes.
    assert len(world.read("1h")) == 106
    assert world.roll_up() == 0


def test_an_hour_with_a_gap_is_left_out_and_is_there_right_after_the_heal(
    database_url: str,
) -> None:
    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, range(4 * DAY + 600))
        for at, row in second_day().items():
            world.venue.bars[T + DAY_MS + at * M] = row
        missing = world.venue.bars.pop(T + DAY_MS + 630 * M)
        world.collect()
        world.roll_up()
        ten = T + DAY_MS + 10 * HOUR_MS
        assert ten not in opens(world.kept("1h"))
        assert T + DAY_MS not in opens(world.kept("1d"))
        assert len(world.kept("1h")) == 95

        world.venue.bars[missing.open_ts] = missing
        world.hints.sent.clear()
        world.heal()
        hour = KlineRow(ten, D(100), D(130), D(90), D(95), D("4.46"))
        day = KlineRow(T + DAY_MS, D(100), D(130), D(90), D(97), D("18.45"))
        # Read at once, though nothing was rolled up since.
        assert hour in world.read("1h")
        assert day in world.read("1d")
        assert hour not in world.kept("1h")

        assert world.hinted() == [(TASK, str(world.minutes().id))]
        assert world.rolls.roll_up(world.minutes().id) == 2
        assert hour in world.kept("1h")
        assert day in world.kept("1d")
        world.check()


def test_a_revised_high_changes_its_hour_and_its_day_and_no_other(world: Rolling) -> None:
    before = {name: world.kept(name) for name in NAMES}
    at = 2 * DAY + 7 * 60 + 11
    revised = bar(at)._replace(high=D(500))
    world.venue.bars[revised.open_ts] = revised
    world.hints.sent.clear()
    job = world.service.verify(target("binance", SYMBOL, "1m", 0), 2)
    assert world.service.run_verification(job.id) == "succeeded"
    assert world.hinted() == [(TASK, str(world.minutes().id))]
    assert [row.high for row in world.read("1d")].count(D(500)) == 1
    assert world.rolls.roll_up(world.minutes().id) == 2
    for name, length in (("1h", HOUR_MS), ("1d", DAY_MS)):
        opened = revised.open_ts - revised.open_ts % length
        assert world.kept(name) == [
            row._replace(high=D(500)) if row.open_ts == opened else row for row in before[name]
        ]
    world.check()
    with world.units.read() as unit:  # the minute's revision says it all
        assert len(unit.klines.revisions(world.minutes().id)) == 1
        for series in unit.klines.roll_ups(world.minutes()).values():
            assert unit.klines.revisions(series.id) == []


def test_a_lost_hint_is_found_by_the_sweep(gapped: Rolling) -> None:
    gapped.heal(DAY + 630)
    gapped.hints.sent.clear()
    assert gapped.rolls.sweep() == 1
    assert gapped.hinted() == [(TASK, str(gapped.minutes().id))]
    assert gapped.rolls.sweep() == 0, "not each second again"
    gapped.clock.advance(2_000)
    assert gapped.rolls.sweep() == 1
    assert gapped.rolls.roll_up(gapped.minutes().id) == 2
    assert gapped.rolls.sweep() == 0
    gapped.check()


def test_older_history_is_rolled_up_as_it_comes(world: Rolling) -> None:
    """A plan that begins earlier: its pages end within days, and before the first bar."""
    for minute in range(-3 * DAY - 100, 0):
        row = bar(minute)._replace(quote_volume=D(-minute))
        world.venue.bars[row.open_ts] = row
    plan = world.plan(name="earlier", since_ms=T - 3 * DAY_MS - 100 * M)
    (job,) = world.service.start(plan.id)
    while world.service.run_job(job.id) == "queued":
        world.roll_up()
    world.roll_up()
    assert world.kept("1d")[0].open_ts == T - 3 * DAY_MS
    world.check()


def test_the_bar_of_an_hour_is_read_as_soon_as_its_last_minute_is_there(world: Rolling) -> None:
    """By a stream, minute after minute; nothing is rolled up meanwhile."""
    late = 5 * DAY - 130
    world.list_bars(range(4 * DAY + 600, late))
    world.service.follow_all()
    world.hints.sent.clear()
    for minute in range(late, 5 * DAY):
        row = bar(minute)
        arrived = ArrivedKline("binance", SYMBOL, "1m", row, row.open_ts + M)
        world.service.arrivals.store([arrived], lambda _: None)
        is_last = minute % 60 == 59
        opened = row.open_ts - row.open_ts % HOUR_MS
        rows = world.market().rows("binance", SYMBOL, "1h", opened, opened + HOUR_MS)
        assert [each.open_ts for each in rows] == ([opened] if is_last else [])
        # A minute costs a roll-up nothing until the day is over.
        assert bool(world.hinted()) == (minute == 5 * DAY - 1)
    assert world.rolls.roll_up(world.minutes().id) == 25
    world.list_bars(range(late, 5 * DAY))
    world.check()


def test_a_series_of_less_than_three_days_is_read_from_its_minutes(database_url: str) -> None:
    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, range(3 * DAY - 1))
        world.collect()
        assert world.roll_up() == 0
        assert world.minutes().rolled_to is None
        assert world.read("1h") == resample_rows(world.stored(), "1m", "1h").bars
        world.list_bars([3 * DAY - 1])
        world.service.follow_all()
        assert world.hinted() == [(TASK, str(world.minutes().id))]
        world.roll_up()
        world.check()


def test_prices_that_are_no_trades_are_not_rolled_up(database_url: str) -> None:
    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, range(4 * DAY))
        plan = world.plan(kind="mark")
        world.finish(world.service.start(plan.id)[0].id)
        assert world.rolls.sweep() == 0
        with world.units.read() as unit:
            assert len(unit.klines.all_series(rolled=True)) == 1


def test_a_record_of_before_is_rolled_up_once_it_is_looked_at(
    world: Rolling, database_url: str
) -> None:
    """A migration marks each series of minutes; a short one is let go again."""

    def forget(unit: Unit) -> None:
        rows = unit.klines.roll_ups(unit.klines.lock_series(minutes.id))
        for each in rows.values():
            unit.session.execute(delete(KlineRecord).where(KlineRecord.series_id == each.id))
            unit.session.delete(unit.klines.lock_series(each.id))
        unit.klines.lock_series(minutes.id).rolled_to = None
        unit.rolls.mark(minutes.id, [0])
        unit.rolls.mark(short.id, [0])

    minutes = world.minutes()
    short = world.units.run(lambda unit: unit.klines.series("okx", SYMBOL, "1m", T))
    world.units.run(forget)
    assert world.roll_up() == 100
    assert world.rolls.sweep() == 0
    world.check()


def test_what_a_release_before_roll_ups_changes_is_read_at_once_and_made_anew(
    world: Rolling,
) -> None:
    """It runs beside this one during an upgrade: it counts a change of the past and marks none."""
    before = bar(DAY + 7)

    def change(unit: Unit) -> None:
        series = unit.klines.lock_series(world.minutes().id)
        after = before._replace(high=D(500))
        revise(unit.session, series.id, [(before, after)], "rest:binance", T)
        series.past_version += 1

    world.units.run(change)
    assert D(500) in [row.high for row in world.read("1d")]
    assert world.breaches() == []
    world.list_bars([4 * DAY + 600])
    world.service.follow_all()
    assert world.roll_up() == 2
    assert world.minutes().rolled_to == T + 4 * DAY_MS
    world.check()


def test_where_many_days_are_marked_minutes_are_read_throughout(
    world: Rolling, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.read("1h")
    world.units.run(lambda unit: unit.rolls.mark(world.minutes().id, [T + DAY_MS, T + 3 * DAY_MS]))
    assert world.read("1h") == made
    monkeypatch.setattr(kline_sources, "_MOST_PARTS", 3)
    assert world.read("1h") == made


def test_long_histories_are_made_in_slices_that_end(world: Rolling) -> None:
    world.heal(*range(4 * DAY + 600, 22 * DAY))
    world.hints.sent.clear()
    world.clock.cost_s = 30.0
    assert world.rolls.roll_up(world.minutes().id) == 2 * 6 * 25
    assert world.hinted() == [(TASK, str(world.minutes().id))]
    world.clock.cost_s = 0.0
    assert world.rolls.roll_up(world.minutes().id) == 6 * 25
    world.check()


def test_files_bring_minutes_that_are_rolled_up(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    write_bars(path, "csv", iter([KlineColumns.of_rows([bar(n) for n in range(4 * DAY)])]))
    with record(database_url, local_infile=True) as engine:
        importing = Importing(engine, tmp_path)
        importing.result(path, SYMBOL, "1m")
        world = Rolling(engine)
        world.market_clock.now = T + 4 * DAY_MS
        assert world.roll_up() == 100
        world.check()


def test_two_workers_take_turns(world: Rolling) -> None:
    world.heal(*range(4 * DAY + 600, 12 * DAY))
    changed: list[int] = []
    series_id = world.minutes().id

    def work() -> None:
        changed.append(RollUps(world.units, world.hints, ManualClock()).roll_up(series_id))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(changed) == 8 * 25
    world.check()


def test_nobody_takes_a_roll_up_for_the_venues_own(world: Rolling, tmp_path: Path) -> None:
    with world.units.read() as unit:
        assert [row.interval for row in unit.klines.all_series()] == ["1m"]
        kinds = {row.kind for row in unit.klines.all_series("binance", rolled=True)}
        assert kinds == {"trade", ROLLED}
        assert unit.klines.sources("binance", SYMBOL, NAMES) == {}
    assert world.market().coverage("binance", SYMBOL, "1d", T, T + 5 * DAY_MS).source == "1m"
    with pytest.raises(NotFound, match="no klines"):
        Exporter(world.units).export(tmp_path / "x.csv", "binance", SYMBOL, "1h")


def test_a_plan_for_hours_is_read_beside_the_roll_up_which_goes_on(world: Rolling) -> None:
    """The venue's own hours are read as hours; four hours still come from the minutes."""
    whole = world.hours_of(range(4 * DAY + 600))["1h"]
    world.venue.longer["1h"] = [row._replace(volume=row.volume + 1) for row in whole]
    plan = world.plan(name="hours", intervals=["1h"])
    world.finish(world.service.start(plan.id)[0].id)
    assert world.read("1h") == world.venue.longer["1h"]
    assert world.read("4h") == resample_rows(world.stored(), "1m", "4h").bars
    assert world.kept("1h") == whole[:96]
    assert world.breaches() == []


def test_a_page_has_one_name_before_and_after_its_days_are_rolled_up(gapped: Rolling) -> None:
    pages = KlinePages(gapped.units, KlineStore(gapped.units, None))

    def found() -> tuple[str, list[KlineRow], list[float]]:
        page = pages.find("binance", SYMBOL, "1h", T, T + 4 * DAY_MS, 500)
        return page.stamp, pages.exact(page), pages.read(page).volume.tolist()

    before = found()
    gapped.heal(DAY + 630)
    healed = found()
    assert healed[0] != before[0]
    assert len(healed[1]) == len(before[1]) + 1
    gapped.roll_up()
    assert found() == healed


def test_a_roll_up_that_lies_is_found_by_the_checker(world: Rolling) -> None:
    def lie(unit: Unit) -> None:
        rows = unit.klines.roll_ups(world.minutes())
        wrong = KlineColumns.of_rows([world.kept("1h")[30]._replace(volume=D(7))])
        start = world.kept("1h")[30].open_ts
        unit.klines.replace(rows["1h"].id, start, start + 1, wrong, now_ms=T)

    world.units.run(lie)
    assert world.breaches() == ["D13"]
    world.units.run(lambda unit: unit.rolls.mark(world.minutes().id, [T + DAY_MS]))
    assert world.breaches() == [], "a marked day is read from its minutes"
    world.roll_up()
    world.check()
