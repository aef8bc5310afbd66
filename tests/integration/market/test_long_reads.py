"""Long reads come from mapped files, and are never older than the last commit of anyone."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, event

from app.core.errors import Unavailable
from app.core.market.intervals import interval
from app.core.market.klines import KlineFrame, KlineRow
from app.models import KlineSeriesRow
from app.repositories import columns
from app.repositories.database import is_mysql, reading_engine
from app.repositories.kline_store import KlineStore
from app.repositories.segments import SegmentFiles, period_after, period_of
from app.repositories.unit import Unit, Units
from tests.support.record import ManualClock, record, units_over

HALF_HOUR = 30 * 60_000
#: 2026-01-20T00:00Z: the series begins within a month.
T = 1_768_867_200_000
MONTHS = 4 * 31 * 48


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with record(database_url, local_infile=True) as opened:
        yield opened


@pytest.fixture
def units(engine: Engine) -> Units:
    return units_over(engine, ManualClock())


@pytest.fixture
def series(units: Units) -> KlineSeriesRow:
    return units.run(lambda unit: unit.klines.series("binance", "BTC/USDT", "30m", T))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Of a host; SQLite has its file beside it."""
    return tmp_path / "disk"


@pytest.fixture
def selected(engine: Engine) -> Iterator[list[str]]:
    """Statements that read bars of the table."""
    seen: list[str] = []

    def note(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        if "GROUP_CONCAT" in statement:
            seen.append(statement)

    event.listen(reader_of(engine), "before_cursor_execute", note)
    yield seen
    event.remove(reader_of(engine), "before_cursor_execute", note)


def reader_of(engine: Engine) -> Engine:
    """The engine by which units that read ask; events of SQLite's are those of the engine."""
    return reading_engine(engine) if is_mysql(engine) else engine


def bar(number: int, close: int = 100) -> KlineRow:
    price = Decimal(close)
    return KlineRow(T + number * HALF_HOUR, price, price + 1, price - 1, price, Decimal(number))


def put(units: Units, series: KlineSeriesRow, rows: list[KlineRow]) -> None:
    def work(unit: Unit) -> None:
        unit.klines.lock_series(series.id)
        unit.klines.store(series.id, rows, covered=True, source="test", now_ms=T)

    units.run(work)


def store_over(units: Units, root: Path, **options: Any) -> KlineStore:
    """A host's store; ``root`` is its disk."""
    return KlineStore(units, SegmentFiles(root, 2**30), **{"long": 100, "tail": 50, **options})


def of_table(units: Units, series: KlineSeriesRow, start: int, end: int) -> KlineFrame:
    with units.read() as unit:
        return unit.klines.read(series, start, end)


def assert_same(found: KlineFrame, expected: KlineFrame) -> None:
    assert np.array_equal(found.open_ts, expected.open_ts)
    for one, other in zip(found.columns(), expected.columns(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("bars", [200, 5_001])
def test_a_text_that_the_server_cuts_short_is_refused(
    units: Units, series: KlineSeriesRow, monkeypatch: pytest.MonkeyPatch, bars: int
) -> None:
    """Wherever within a line it is cut; a page, and more than a page, which Arrow reads."""
    put(units, series, [bar(n) for n in range(bars)])
    whole = columns._SELECT
    with units.read() as unit:
        line = len(",".join(map(str, unit.klines.read_exact(series.id, T, T + 1)[0][:6])))
        for length in range(1_000, 1_000 + 5 * line):
            cut = whole.replace(
                "GROUP_CONCAT({bar})", f"SUBSTR(GROUP_CONCAT({{bar}}), 1, {length})"
            )
            monkeypatch.setattr(columns, "_SELECT", cut)
            with pytest.raises(Unavailable, match="the database gave"):
                unit.klines.read(series, T, T + bars * HALF_HOUR)


def test_the_second_read_of_months_asks_the_table_for_no_bar(
    units: Units, series: KlineSeriesRow, disk: Path, selected: list[str]
) -> None:
    put(units, series, [bar(n) for n in range(MONTHS)])
    store = store_over(units, disk)
    first = store.read(series, 0, 2**60)
    assert len(first) == MONTHS
    selected.clear()
    assert_same(store.read(series, 0, 2**60), first)
    assert_same(store_over(units, disk).read(series, 0, 2**60), first)  # another process
    assert selected == []
    # A month alone is a view of its file: nothing is copied.
    march = period_of(interval("30m"), T + 50 * 48 * HALF_HOUR)
    month = store.read(series, march, period_after(interval("30m"), march))
    assert len(month) == 31 * 48
    assert month.close.base is not None
    assert not month.close.flags.writeable


def test_a_page_makes_no_file_and_uses_one_that_is_there(
    units: Units, series: KlineSeriesRow, disk: Path, selected: list[str]
) -> None:
    put(units, series, [bar(n) for n in range(MONTHS)])
    store = store_over(units, disk, long=1_000)
    page = store.read(series, T + 5 * HALF_HOUR, T + 305 * HALF_HOUR)
    assert list(page.volume) == list(range(5, 305))
    assert not disk.exists()
    store.read(series, 0, 2**60)
    selected.clear()
    assert_same(store.read(series, T + 5 * HALF_HOUR, T + 305 * HALF_HOUR), page)
    assert selected == []


@pytest.mark.parametrize("seed", range(6))
def test_two_hosts_read_what_is_stored_whatever_anyone_stores(
    units: Units, series: KlineSeriesRow, disk: Path, seed: int
) -> None:
    """Appended, healed, revised and read in any order: each read equals the table."""
    dice = random.Random(seed)
    hosts = [store_over(units, disk / name, tail=dice.choice((5, 50, 500))) for name in "ab"]
    newest = 0
    for _ in range(40):
        deed = dice.random()
        if deed < 0.35 or newest == 0:  # more bars, sometimes with a hole before them
            begin = newest + dice.choice((0, 0, 0, 7, 900))
            newest = begin + dice.randrange(1, 700)
            put(units, series, [bar(n) for n in range(begin, newest)])
        elif deed < 0.6:  # a hole is healed, or a bar is revised
            number = dice.randrange(newest)
            rows = [bar(n, dice.randrange(100, 999)) for n in range(number, number + 3)]
            put(units, series, rows[: max(1, newest - number)])
        else:
            begin = dice.randrange(-10, newest)
            start = T + begin * HALF_HOUR + dice.choice((0, 1))
            end = start + dice.randrange(1, 4_000) * HALF_HOUR
            for host in hosts:
                assert_same(host.read(series, start, end), of_table(units, series, start, end))


def test_a_bar_that_changes_while_its_month_is_read_is_not_lost(
    units: Units, engine: Engine, series: KlineSeriesRow, disk: Path, database_url: str
) -> None:
    """The month is read again, for its version is another one after the reading."""
    if database_url.startswith("sqlite"):
        pytest.skip("a read of SQLite is of one moment")
    put(units, series, [bar(n) for n in range(MONTHS)])
    changes = iter([777, 888])

    def change(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        if "GROUP_CONCAT" in statement and (close := next(changes, None)):
            put(units, series, [bar(20, close)])

    event.listen(reader_of(engine), "after_cursor_execute", change)
    try:
        store = store_over(units, disk)
        store.read(series, 0, 2**60)
    finally:
        event.remove(reader_of(engine), "after_cursor_execute", change)
    assert next(changes, None) is None
    assert store.read(series, 0, 2**60).close[20] == 888


def test_files_that_lie_are_made_anew(units: Units, series: KlineSeriesRow, disk: Path) -> None:
    put(units, series, [bar(n) for n in range(MONTHS)])
    expected = store_over(units, disk).read(series, 0, 2**60)
    files = sorted(disk.glob("*/*"))
    assert len(files) == 5
    with files[0].open("r+b") as file:
        file.seek(9_000)
        file.write(b"rot")
    os.truncate(files[1], 5_000)
    files[2].write_bytes(b"")
    files[3].write_bytes(b"TDMSEG1\n{}")
    assert_same(store_over(units, disk).read(series, 0, 2**60), expected)
    assert sorted(disk.glob("*/*")) == files


def test_disk_and_a_full_disk_are_bounded(
    units: Units, series: KlineSeriesRow, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(units, series, [bar(n) for n in range(MONTHS)])
    expected = of_table(units, series, 0, 2**60)
    files = SegmentFiles(disk, 200_000)
    assert_same(KlineStore(units, files, long=100).read(series, 0, 2**60), expected)
    assert sum(path.stat().st_size for path in disk.glob("*/*")) <= 200_000

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    other = KlineStore(units, SegmentFiles(disk / "full", 2**30), long=100)
    assert_same(other.read(series, 0, 2**60), expected)
    assert list(disk.glob("full/*/*")) == []


def test_numbers_of_another_database_are_other_series(
    units: Units, disk: Path, database_url: str
) -> None:
    """A new installation in an old directory: its series 1 is not that of before."""
    before = units.run(lambda unit: unit.klines.series("binance", "ETH/USDT", "30m", T))
    put(units, before, [bar(n) for n in range(300)])
    store_over(units, disk).read(before, 0, 2**60)
    again = KlineSeriesRow(
        id=before.id, exchange="okx", symbol="SOL/USDT", interval="30m", created_at=T + 1
    )
    put(units, before, [bar(n, 555) for n in range(300)])
    assert set(store_over(units, disk).read(again, 0, 2**60).close) == {555.0}
