"""A little of a longer interval beside a long history that derives: nothing becomes unreadable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.core.market.coverage import CoverageState
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.klines import KlineRow
from app.core.market.resampling import resample_rows
from app.repositories.kline_store import KlineStore
from app.repositories.segments import SegmentFiles
from app.repositories.unit import Unit
from app.services.exporting import Exporter
from app.services.frame_cache import FrameCache
from app.services.kline_pages import KlinePages
from app.services.listings import Listings
from tests.integration.market.collecting import SYMBOL, M
from tests.integration.market.rolling import Rolling
from tests.support.record import START_MS, record

T = START_MS
DAY = 1_440
#: Minutes were collected for four days and ten hours, and hours since the last whole day.
MINUTES = range(4 * DAY + 600)
SEAM = T + 3 * DAY_MS
END = T + 4 * DAY_MS + 10 * HOUR_MS
HOURS = (T, END)


@pytest.fixture
def world(database_url: str) -> Iterator[Rolling]:
    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, MINUTES)
        # The venue's own hours can be told from those that minutes make.
        world.venue.longer["1h"] = [
            row._replace(volume=row.volume + 1) for row in world.hours_of(MINUTES)["1h"]
        ]
        world.collect()
        yield world


def collect_hours(world: Rolling, since: int = SEAM) -> list[KlineRow]:
    """Collect the venue's own hours from a day on; what is to be read then."""
    plan = world.plan(name=f"hours {since}", intervals=["1h"], since_ms=since)
    for job in world.service.start(plan.id):
        assert world.finish(job.id) == "succeeded"
    return expected(world, since)


def expected(world: Rolling, since: int, until: int = END) -> list[KlineRow]:
    """Hours of minutes, but for the venue's own between two times."""
    made = resample_rows(world.stored(), "1m", "1h").bars
    own = {row.open_ts: row for row in world.venue.longer["1h"] if since <= row.open_ts < until}
    return [own.get(row.open_ts, row) for row in made]


def keep(world: Rolling, name: str, rows: Sequence[KlineRow], kind: str = "trade") -> None:
    """Store bars of an interval as a file brings them."""

    def work(unit: Unit) -> None:
        series = unit.klines.series("binance", SYMBOL, name, T, kind=kind)
        unit.klines.lock_series(series.id)
        columns = KlineColumns.of_rows(list(rows))
        unit.klines.store_columns(series.id, columns, covered=True, source="test", now_ms=T)

    world.units.run(work)


def opens(rows: Sequence[KlineRow]) -> list[int]:
    return [row.open_ts for row in rows]


def test_hours_collected_since_yesterday_hide_no_older_hour(world: Rolling) -> None:
    before = world.read("1h")
    assert len(before) == 106
    wanted = collect_hours(world)
    assert world.read("1h") == wanted
    assert opens(wanted) == opens(before)
    frame = world.market().frame("binance", SYMBOL, "1h", *HOURS)
    assert frame.open_ts.tolist() == opens(wanted)
    assert frame.volume.tolist() == [float(row.volume) for row in wanted]


def test_four_hours_still_derive_from_all_minutes(world: Rolling) -> None:
    before = world.read("4h")
    collect_hours(world)
    assert world.read("4h") == before
    assert len(before) == 26


def test_without_minutes_four_hours_derive_from_short_hours_and_from_what_is_finer_before(
    world: Rolling,
) -> None:
    """Hours since 02:00 make the four hours from 04:00 on; those before come of five minutes."""
    fives = resample_rows(world.everything(), "1m", "5m").bars
    since = SEAM + 2 * HOUR_MS
    own = [row for row in world.venue.longer["1h"] if row.open_ts >= since]

    def retire(unit: Unit) -> None:
        minutes = unit.klines.lock_series(world.minutes().id)
        empty = KlineColumns.joined([])
        unit.klines.replace(minutes.id, T, END, empty, now_ms=T)

    world.units.run(retire)
    keep(world, "5m", fives)
    before = world.read("4h")
    keep(world, "1h", own)
    found = world.read("4h")
    assert opens(found) == opens(before)
    seam = SEAM + 4 * HOUR_MS
    assert [row for row in found if row.open_ts < seam] == [
        row for row in before if row.open_ts < seam
    ]
    assert [row for row in found if row.open_ts >= seam] == [
        row for row in resample_rows(own, "1h", "4h").bars if row.open_ts >= seam
    ]


def test_hours_that_are_collected_no_more_go_on_by_minutes(world: Rolling) -> None:
    keep(world, "1h", world.venue.longer["1h"][30:50])
    seams = (T + 30 * HOUR_MS, T + 50 * HOUR_MS)
    assert world.read("1h") == expected(world, *seams)
    inside = world.market().rows("binance", SYMBOL, "1h", T + 40 * HOUR_MS, T + 60 * HOUR_MS)
    assert inside == expected(world, *seams)[40:60]


@pytest.mark.parametrize(("behind", "is_derived"), [(1, False), (2, False), (3, True)])
def test_the_newest_hour_is_the_venues_own_where_it_comes_soon(
    world: Rolling, behind: int, is_derived: bool
) -> None:
    """Minutes are whole at the hour's close, some moments before its own bar: a strategy must not
    be told of the one and backtested on the other."""
    own = expected(world, SEAM, END - behind * HOUR_MS)
    keep(world, "1h", [row for row in own if row.open_ts >= SEAM][: 34 - behind])
    assert world.read("1h") == (own if is_derived else own[:-behind])
    keep(world, "1h", expected(world, SEAM)[-behind:])
    assert world.read("1h") == expected(world, SEAM)


def test_a_hole_in_hours_stays_one_though_minutes_have_it(world: Rolling) -> None:
    own = world.venue.longer["1h"][30:50]
    keep(world, "1h", [*own[:5], *own[6:]])
    assert own[5].open_ts not in opens(world.read("1h"))


def test_bars_of_the_mark_price_are_never_part_of_trades(world: Rolling) -> None:
    keep(world, "1h", world.venue.longer["1h"][:50], kind="mark")
    assert world.read("1h") == resample_rows(world.stored(), "1m", "1h").bars
    marks = world.market().rows("binance", SYMBOL, "1h", *HOURS, kind="mark")
    assert marks == world.venue.longer["1h"][:50]


def test_roll_ups_are_read_before_the_seam(world: Rolling) -> None:
    world.roll_up()
    assert world.kept("1h")
    assert world.read("1h") == resample_rows(world.stored(), "1m", "1h").bars
    wanted = collect_hours(world)
    assert world.read("1h") == wanted


def test_a_listing_and_coverage_tell_of_all_parts(world: Rolling) -> None:
    collect_hours(world)
    stored = Listings(world.units).stored_range("binance", SYMBOL, "1h")
    assert stored == (T, END)
    report = world.market().coverage("binance", SYMBOL, "1h", *HOURS)
    assert report.parts == ((T, SEAM, "1m"), (SEAM, END, "1h"))
    assert (report.source, report.expected) == ("1h", 106)
    assert report.counts[CoverageState.PRESENT] == 106
    assert report.gaps == ()


def test_a_hole_before_the_seam_is_one_of_the_minutes(database_url: str) -> None:
    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, [n for n in MINUTES if n != 90])
        world.collect()
        keep(world, "1h", world.hours_of([*range(3 * DAY, 4 * DAY)])["1h"])
        # Nobody asked for hours by a plan: theirs is not known where none is stored.
        report = world.market().coverage("binance", SYMBOL, "1h", T, SEAM)
        assert [(gap.start, gap.end, gap.state) for gap in report.gaps] == [
            (T + HOUR_MS, T + 2 * HOUR_MS, CoverageState.PENDING)
        ]
        assert T + HOUR_MS not in opens(world.read("1h"))


def page_of(world: Rolling, start: int | None, limit: int = 500) -> tuple[str, list[int]]:
    """The name and the bars of a page; columns and exact rows agree."""
    pages = KlinePages(world.units, KlineStore(world.units, None))
    found = pages.find("binance", SYMBOL, "1h", start, None, limit)
    frame, rows = pages.read(found), pages.exact(found)
    assert frame.open_ts.tolist() == opens(rows)
    assert frame.volume.tolist() == [float(row.volume) for row in rows]
    return found.stamp, opens(rows)


def test_pages_go_on_over_the_seam(world: Rolling) -> None:
    wanted = collect_hours(world)
    pages = KlinePages(world.units, KlineStore(world.units, None))
    rows: list[KlineRow] = []
    position: int | None = T
    while position is not None:
        found = pages.find("binance", SYMBOL, "1h", position, None, 25)
        rows += pages.exact(found)
        position = None if found.page is None else found.page.following
    assert rows == wanted
    assert page_of(world, None, 40)[1] == opens(wanted)[-40:]


def test_the_name_of_a_page_changes_with_any_part_and_with_the_seam(world: Rolling) -> None:
    seen = {page_of(world, T)[0]}
    collect_hours(world)
    seen.add(page_of(world, T)[0])
    assert page_of(world, T)[0] in seen, "nothing changed"
    own = world.venue.longer["1h"]
    # The seam moves: an older hour of the venue's own.
    keep(world, "1h", own[71:72])
    seen.add(page_of(world, T)[0])
    # The venue states an hour otherwise.
    keep(world, "1h", [own[80]._replace(volume=Decimal(9))])
    seen.add(page_of(world, T)[0])
    # And a minute of the part before.
    keep(world, "1m", [world.stored()[7]._replace(volume=Decimal(9))])
    seen.add(page_of(world, T)[0])
    assert len(seen) == 5
    before = page_of(world, SEAM)[0]
    keep(world, "1m", [world.stored()[9]._replace(volume=Decimal(9))])
    assert page_of(world, SEAM)[0] == before, "a page of other bars stays as it is"


def test_a_running_strategy_never_keeps_a_bar_that_is_another_one_since(world: Rolling) -> None:
    market = world.market()
    cache = FrameCache(market)
    own = world.venue.longer["1h"]

    def check() -> None:
        fresh = market.frame("binance", SYMBOL, "1h", *HOURS)
        kept = cache.frame("binance", SYMBOL, "1h", *HOURS)
        assert kept.open_ts.tolist() == fresh.open_ts.tolist()
        assert kept.volume.tolist() == fresh.volume.tolist()
        assert len(fresh) == 106

    check()
    for rows in (own[90:91], own[91:95], own[85:90], [own[87]._replace(volume=Decimal(3))]):
        keep(world, "1h", rows)
        check()
    for minute in (5, 100 * 60):  # one of each part of minutes
        keep(world, "1m", [world.stored()[minute]._replace(volume=Decimal(77))])
        check()
    keep(world, "1h", own[95:])
    check()


def statements(world: Rolling, work: Any) -> list[str]:
    """What was asked of the database meanwhile."""
    seen: list[str] = []

    def note(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        if statement != "BEGIN":
            seen.append(statement)

    engine = world.units._reading
    event.listen(engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return seen


def test_an_evaluation_asks_two_questions_for_a_bar(world: Rolling) -> None:
    """One for the series and their ends, one for the bar; also where several series hold some."""
    market = world.market()
    own = world.venue.longer["1h"]
    keep(world, "1h", own[72:104])
    start = T
    for name, last in (("1m", END - M), ("1h", T + 103 * HOUR_MS)):
        cache = FrameCache(market)
        cache.frame("binance", SYMBOL, name, start, last)
        step = M if name == "1m" else HOUR_MS
        seen = statements(
            world, lambda c=cache, n=name, e=last + step: c.frame("binance", SYMBOL, n, start, e)
        )
        assert len(seen) == 2, (name, seen)


def test_a_long_read_of_one_series_is_not_copied(world: Rolling, tmp_path: Path) -> None:
    fives = resample_rows(world.everything(), "1m", "5m").bars
    own = [row._replace(volume=Decimal(9)) for row in fives if row.open_ts >= SEAM]
    keep(world, "5m", own)
    store = KlineStore(world.units, SegmentFiles(tmp_path / "disk", 2**30), long=100, tail=5)
    market = world.market()
    market._store = store
    late = market.frame("binance", SYMBOL, "5m", SEAM, END)
    assert late.open_ts.tolist() == opens(own)
    assert not late.volume.flags.writeable, "it is the mapped file itself"
    whole = market.frame("binance", SYMBOL, "5m", T, END)
    assert whole.open_ts.tolist() == opens(fives)
    assert whole.volume.tolist() == [
        9.0 if row.open_ts >= SEAM else float(row.volume) for row in fives
    ]


def test_an_export_says_what_it_leaves_to_others(world: Rolling, tmp_path: Path) -> None:
    collect_hours(world)
    exporter = Exporter(world.units)
    found = exporter.export(tmp_path / "x.csv", "binance", SYMBOL, "1h")
    assert (found.bars, found.first, found.derived_of) == (34, SEAM, ("1m",))
    later = exporter.export(tmp_path / "x.csv", "binance", SYMBOL, "1h", start=SEAM)
    assert (later.bars, later.derived_of) == (34, ())


def test_a_grid_of_its_own_is_that_of_what_lies_before(world: Rolling) -> None:
    """Days that open at 16:00: those that minutes make before them open then, too."""
    offset = 16 * HOUR_MS
    world.roll_up()
    made = resample_rows(world.stored(), "1m", "1d", offset_ms=offset).bars
    assert len(made) == 3

    def work(unit: Unit) -> None:
        series = unit.klines.series("binance", SYMBOL, "1d", T, grid_offset_ms=offset)
        unit.klines.lock_series(series.id)
        rows = [made[-1]._replace(volume=Decimal(5))]
        unit.klines.store(series.id, rows, covered=False, source="test", now_ms=T)

    world.units.run(work)
    found = world.read("1d")
    assert found[:-1] == made[:-1]
    assert (found[-1].open_ts, found[-1].volume) == (made[-1].open_ts, Decimal(5))
    pages = KlinePages(world.units, KlineStore(world.units, None))
    page = pages.find("binance", SYMBOL, "1d", None, None, 10)
    assert pages.exact(page) == found
