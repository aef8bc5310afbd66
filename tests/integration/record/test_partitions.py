"""Bars in monthly partitions: made and undone while others work, read by month, dropped whole."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, event, func, inspect, select, text

from app.core.errors import Conflict, InvalidInput
from app.core.market.coverage import CoverageState, lay_apart, present_runs
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineRow
from app.models import Base, KlineRecord
from app.repositories import partitioning
from app.repositories.database import open_engine
from app.repositories.migrating import current_revision, downgrade, take_back, upgrade
from app.repositories.partitions import KlinePartitions, Partition
from app.repositories.unit import Unit, Units
from app.services.invariants.market import check_market
from app.services.partitioning import PartitioningService
from app.services.retention import RetentionService
from tests.support.record import (
    START_MS,
    CountingIds,
    Events,
    ManualClock,
    ManualMarketClock,
    record,
    units_over,
)
from tests.support.servers import Databases
from tests.support.waiting import until

T = START_MS
# 2025-12-01, three months of 31, 31 and 28 days before the test's present, 2026-03-01.
FIRST = T - 90 * DAY_MS
AHEAD = ["p202603", "p202604", "p202605", "p202606", "p_later"]
MONTHS = ["p202512", "p202601", "p202602", *AHEAD]


def month(year: int, number: int) -> int:
    return int(datetime(year, number, 1, tzinfo=UTC).timestamp()) * 1000


def bar(ts: int, price: int = 5) -> KlineRow:
    amount = Decimal(price)
    return KlineRow(ts, amount, amount + 1, amount, amount, Decimal(1))


class Here:
    """A record with clocks at 2026-03-01, and what stores bars in it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clock, self.market_clock = ManualClock(), ManualMarketClock()
        self.events = Events()
        self.units: Units = units_over(engine, self.clock, events=self.events)
        self.partitions = KlinePartitions(engine)
        self.service = PartitioningService(self.partitions, self.clock)
        self.retention = RetentionService(
            self.units, self.partitions, self.market_clock, self.clock, CountingIds()
        )

    def store(self, symbol: str, rows: list[KlineRow], kind: str = "trade") -> int:
        """Store hours as every bar is stored; the id of their series."""

        def work(unit: Unit) -> int:
            series = unit.klines.series("binance", symbol, "1h", unit.now_ms, kind=kind)
            unit.klines.lock_series(series.id)
            how: dict[str, Any] = {"covered": True, "source": "test", "now_ms": unit.now_ms}
            unit.klines.store(series.id, rows, **how)
            before = unit.coverage.spans(series.id)
            runs = present_runs([row.open_ts for row in rows], interval_of("1h"))
            unit.coverage.save(series.id, before, lay_apart(before, runs))
            return series.id

        return self.units.run(work)

    def hours(self, symbol: str, start: int, end: int) -> int:
        """Store every hour that opens in [start, end)."""
        return self.store(symbol, [bar(ts) for ts in range(start, end, HOUR_MS)])

    def bars(self, series_id: int) -> list[KlineRow]:
        """All stored bars of a series."""
        with self.units.read() as unit:
            return unit.klines.read_exact(series_id, 0, 2**60)

    def names(self) -> list[str]:
        """The partitions' names."""
        return [part.name for part in self.partitions.all()]

    def count_in(self, name: str) -> int:
        """Bars that a partition holds."""
        with self.engine.connect() as connection:
            return int(
                connection.exec_driver_sql(
                    f"SELECT COUNT(*) FROM klines PARTITION ({name})"  # noqa: S608 - our names
                ).scalar_one()
            )

    def breaches(self) -> list[Any]:
        """What must hold of bars and does not."""
        with self.units.read() as unit:
            return check_market(unit, self.market_clock.now_ms)


@pytest.fixture
def here(databases: Databases) -> Iterator[Here]:
    name = f"partitions_{uuid.uuid4().hex}"
    with record(databases.create_database(name), local_infile=True) as engine:
        yield Here(engine)
    databases.drop_database(name)


def test_sqlite_says_that_it_has_none_and_goes_on(tmp_path: Any) -> None:
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        here = Here(engine)
        for change in (here.service.enable, here.service.disable):
            with pytest.raises(InvalidInput, match="SQLite has no partitions"):
                change()
        assert not here.service.status().are_possible
        assert here.service.maintain() == []


# -- made, and undone --------------------------------------------------------------------------


def test_bars_are_put_into_their_months_and_back(here: Here) -> None:
    ids = [here.hours("BTC/USDT", FIRST, T), here.hours("ETH/USDT", T - 20 * DAY_MS, T)]
    before = [here.bars(each) for each in ids]
    assert here.names() == []
    assert here.service.enable() == 110 * 24
    assert here.names() == MONTHS
    assert [here.bars(each) for each in ids] == before
    counts = [here.count_in(name) for name in MONTHS]
    assert counts == [31 * 24, 31 * 24, 48 * 24, 0, 0, 0, 0, 0]
    with pytest.raises(Conflict, match="already"):
        here.service.enable()
    standing = here.service.status()
    assert sum(each.rows for each in standing.partitions) > 0
    assert standing.rows > 0
    assert standing.bytes > 0
    assert here.service.disable() == 110 * 24
    assert here.names() == []
    assert [here.bars(each) for each in ids] == before
    with pytest.raises(Conflict, match="one table already"):
        here.service.disable()


def test_an_empty_table_begins_with_the_present_month(here: Here) -> None:
    assert here.service.enable() == 0
    assert here.names() == AHEAD


def test_what_comes_changes_and_goes_while_bars_are_copied_is_all_there(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two chunks: a bar at the end, one that is healed, one revised, a new symbol."""
    btc = here.store(
        "BTC/USDT", [bar(ts) for ts in range(FIRST, T, HOUR_MS) if ts != FIRST + HOUR_MS]
    )
    eth = here.hours("ETH/USDT", T - 40 * DAY_MS, T)
    monkeypatch.setattr(partitioning, "_CHUNK", 500)
    chunks = 0

    def meanwhile(_bars: int) -> None:
        nonlocal chunks
        chunks += 1
        if chunks == 3:
            here.store("BTC/USDT", [bar(T)])
            here.store("BTC/USDT", [bar(FIRST + HOUR_MS)])
            here.store("SOL/USDT", [bar(T - HOUR_MS)])
        if chunks == 5:
            here.store("BTC/USDT", [bar(FIRST, price=7), bar(T + HOUR_MS)])
        if chunks == 6:
            here.retention.set("*", "ETH/USDT", "1h", 20)
            assert here.retention.apply().bars == 20 * 24

    here.service.enable(meanwhile)
    assert chunks > 6
    assert here.names() == MONTHS
    assert [row.open_ts for row in here.bars(btc)] == list(range(FIRST, T + 2 * HOUR_MS, HOUR_MS))
    assert here.bars(btc)[0].open == 7
    assert [row.open_ts for row in here.bars(eth)] == list(range(T - 20 * DAY_MS, T, HOUR_MS))
    with here.units.read() as unit:
        sol = unit.klines.find_series("binance", "SOL/USDT", "1h")
        assert sol is not None
    assert [row.open_ts for row in here.bars(sol.id)] == [T - HOUR_MS]
    assert set(inspect(here.engine).get_table_names()) == set(Base.metadata.tables)


def test_readers_and_a_writer_go_on_while_bars_are_put_into_months(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    btc = here.hours("BTC/USDT", FIRST, T)
    monkeypatch.setattr(partitioning, "_CHUNK", 50)
    over = threading.Event()
    failures: list[BaseException] = []
    written, reads = [0], [0]

    def writer() -> None:
        while not over.is_set():
            here.store("BTC/USDT", [bar(T + written[0] * HOUR_MS)])
            written[0] += 1

    def reader() -> None:
        while not over.is_set():
            found = len(here.bars(btc))
            assert found >= 90 * 24
            reads[0] += 1

    def kept(work: Any) -> Any:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                failures.append(error)

        return run

    threads = [threading.Thread(target=kept(work)) for work in (writer, reader)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: written[0] and reads[0], what="both have begun")
        here.service.enable()
        made = (written[0], reads[0])
        until(lambda: written[0] > made[0] and reads[0] > made[1], what="both go on afterwards")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    times = [row.open_ts for row in here.bars(btc)]
    assert times == list(range(FIRST, T + written[0] * HOUR_MS, HOUR_MS))
    assert here.names() == MONTHS


def test_one_that_was_killed_half_way_is_begun_anew(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.hours("BTC/USDT", FIRST, T)
    monkeypatch.setattr(partitioning, "_CHUNK", 500)

    class Killed(Exception):
        pass

    def kill(_bars: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        here.service.enable(kill)
    assert here.names() == []
    assert here.service.enable() == 90 * 24
    assert here.names() == MONTHS


# -- used --------------------------------------------------------------------------------------


def test_a_range_read_opens_the_months_that_it_spans_and_no_other(here: Here) -> None:
    btc = here.hours("BTC/USDT", FIRST, T)
    here.service.enable()
    ranges = {
        (month(2026, 1), month(2026, 1) + DAY_MS): "p202601",
        (month(2026, 1) - DAY_MS, month(2026, 1) + DAY_MS): "p202512,p202601",
        (month(2026, 2), month(2026, 3)): "p202602",
    }
    for (start, end), months in ranges.items():
        with here.units.read() as unit:
            read = lambda: unit.klines.read_exact(btc, start, end)  # noqa: B023, E731
            assert explained(unit.session.connection(), read) == [months]
            few = lambda: unit.klines.count(btc, start, end)  # noqa: B023, E731
            assert explained(unit.session.connection(), few) == [months]


def explained(connection: Connection, work: Any) -> list[str]:
    """The partitions that each SELECT of ``work`` opens, as the server says."""
    said: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    work()
    event.remove(connection, "before_cursor_execute", note)
    is_mariadb = connection.dialect.is_mariadb  # type: ignore[attr-defined]
    # MySQL 9 explains as a tree unless it is asked for the table.
    word = "EXPLAIN PARTITIONS" if is_mariadb else "EXPLAIN FORMAT=TRADITIONAL"
    found = []
    for statement, parameters in said:
        plan = connection.exec_driver_sql(f"{word} {statement}", parameters).mappings().one()
        found.append(plan["partitions"])
    return found


def test_bars_are_loaded_healed_and_revised_in_months_as_in_one_table(here: Here) -> None:
    """Many at once: through a file, and through a temporary table beside stored ones."""
    here.service.enable()
    lacking = {ts for ts in range(FIRST, T, HOUR_MS) if ts % (5 * HOUR_MS) == 0}
    rows = [bar(ts) for ts in range(FIRST, T, HOUR_MS) if ts not in lacking]
    btc = here.store("BTC/USDT", rows)
    here.store("BTC/USDT", [bar(ts) for ts in sorted(lacking)])
    here.store("BTC/USDT", [bar(FIRST, price=9)])
    assert [row.open_ts for row in here.bars(btc)] == list(range(FIRST, T, HOUR_MS))
    assert here.bars(btc)[0].open == 9
    assert here.breaches() == []


def test_months_are_made_ahead_and_for_bars_that_are_older_than_the_first(here: Here) -> None:
    here.hours("BTC/USDT", month(2026, 2), T)
    here.service.enable()
    assert here.names() == ["p202602", *AHEAD]
    assert here.service.maintain() == []
    here.clock.now = month(2026, 5)
    assert here.service.maintain() == ["p202607", "p202608"]
    # A back-fill of the year before lands in the first one, until it is split.
    here.hours("BTC/USDT", month(2025, 11), month(2025, 11) + DAY_MS)
    assert here.count_in("p202602") == 28 * 24 + 24
    assert here.service.maintain() == ["p202511", "p202512", "p202601"]
    assert here.names()[:4] == ["p202511", "p202512", "p202601", "p202602"]
    assert (here.count_in("p202511"), here.count_in("p202602")) == (24, 28 * 24)
    assert here.service.maintain() == []


def test_bars_behind_the_last_month_wait_in_the_last_partition_for_theirs(here: Here) -> None:
    """A beat that was away for a quarter, or a market clock that is ahead."""
    here.hours("BTC/USDT", T - DAY_MS, T)
    here.service.enable()
    late = month(2026, 8)
    btc = here.hours("BTC/USDT", late, late + DAY_MS)
    assert here.count_in("p_later") == 24
    here.clock.now = late
    assert here.service.maintain() == ["p202607", "p202608", "p202609", "p202610", "p202611"]
    assert (here.count_in("p202608"), here.count_in("p_later")) == (24, 0)
    assert len(here.bars(btc)) == 48


# -- retention ---------------------------------------------------------------------------------


def test_a_month_that_no_series_keeps_is_dropped_and_the_rest_goes_by_rows(here: Here) -> None:
    """Forty days are kept: December goes whole, of January the first days go by rows."""
    btc, eth = here.hours("BTC/USDT", FIRST, T), here.hours("ETH/USDT", FIRST + 9 * DAY_MS, T)
    here.service.enable()
    here.retention.set("*", "*", "1h", 40)
    assert sum(each.bars for each in here.retention.preview()) == (50 + 41) * 24
    removed = here.retention.apply()
    assert (removed.partitions, removed.bars) == (["p202512"], 2 * 19 * 24)
    assert here.names() == MONTHS[1:]
    kept = list(range(T - 40 * DAY_MS, T, HOUR_MS))
    assert [[row.open_ts for row in here.bars(each)] for each in (btc, eth)] == [kept, kept]
    assert here.breaches() == []
    assert here.retention.apply().bars == 0
    with here.units.read() as unit:
        spans = unit.coverage.spans(btc)
    assert [(each.start, each.end, each.state) for each in spans] == [
        (FIRST, T - 40 * DAY_MS, CoverageState.RETIRED),
        (T - 40 * DAY_MS, T, CoverageState.PRESENT),
    ]
    told = here.events.on("market.retired.binance.BTC/USDT")
    assert sum(each["count"] for each in told) == 50 * 24


@pytest.mark.parametrize("kind", ["trade", "rolled"])
def test_a_month_with_bars_that_another_series_keeps_loses_rows_only(here: Here, kind: str) -> None:
    """Be it a symbol with a longer rule, or what was rolled up of the bars that go."""
    btc = here.hours("BTC/USDT", FIRST, T)
    other = here.store("ETH/USDT" if kind == "trade" else "BTC/USDT", [bar(FIRST)], kind)
    here.service.enable()
    here.retention.set("*", "BTC/*", "1h", 40)
    removed = here.retention.apply()
    assert (removed.partitions, removed.bars) == ([], 50 * 24)
    assert here.names() == MONTHS
    assert len(here.bars(btc)) == 40 * 24
    assert len(here.bars(other)) == 1


def test_a_crash_before_a_month_is_dropped_leaves_bars_and_no_lie(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    btc = here.hours("BTC/USDT", FIRST, T)
    here.service.enable()
    here.retention.set("*", "*", "1h", 40)

    class Crashed(Exception):
        pass

    def crash(_self: KlinePartitions, _part: Partition) -> None:
        raise Crashed

    with monkeypatch.context() as patched:
        patched.setattr(KlinePartitions, "drop", crash)
        with pytest.raises(Crashed):
            here.retention.apply()
    assert len(here.bars(btc)) == 90 * 24
    with here.units.read() as unit:
        (gone, *_) = unit.coverage.spans(btc)
    assert gone.state is CoverageState.RETIRED
    assert here.retention.apply().partitions == ["p202512"]
    assert len(here.bars(btc)) == 40 * 24
    assert here.breaches() == []


def test_a_bar_imported_while_a_month_is_retired_keeps_the_month(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there and said to be there until the next application."""
    btc = here.hours("BTC/USDT", FIRST, T)
    here.service.enable()
    here.retention.set("*", "*", "1h", 40)
    lock = KlinePartitions.all_series_locked
    imported: list[int] = []

    def imports_first(self: KlinePartitions) -> Any:
        if not imported:
            imported.append(here.store("BTC/USDT", [bar(FIRST, price=8)]))
        return lock(self)

    monkeypatch.setattr(KlinePartitions, "all_series_locked", imports_first)
    removed = here.retention.apply()
    assert removed.partitions == []
    assert removed.bars == 50 * 24, "by rows, in the same call"
    assert here.breaches() == []
    assert len(here.bars(btc)) == 40 * 24


def test_nobody_stores_a_bar_of_any_series_known_or_new_while_a_month_is_dropped(
    here: Here,
) -> None:
    here.hours("BTC/USDT", FIRST, T)
    done: list[str] = []

    def store(symbol: str) -> None:
        here.hours(symbol, T, T + HOUR_MS)
        done.append(symbol)

    threads = [threading.Thread(target=store, args=(each,)) for each in ("BTC/USDT", "NEW/USDT")]
    try:
        with here.partitions.all_series_locked():
            for thread in threads:
                thread.start()
            until(lambda: waiting(here.engine) == 2, what="both wait")
            assert done == []
    finally:
        for thread in threads:
            thread.join()
    assert sorted(done) == ["BTC/USDT", "NEW/USDT"]


def waiting(engine: Engine) -> int:
    """Transactions that wait for a lock. ``innodb_trx`` would show one who asks often what was."""
    with engine.connect() as connection:
        found = connection.execute(
            text("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        ).one()
        return int(found[1])


# -- the schema --------------------------------------------------------------------------------


def test_migrations_go_down_and_up_with_partitions(databases: Databases) -> None:
    name = f"migrated_{uuid.uuid4().hex}"
    engine = open_engine(databases.create_database(name), local_infile=True)
    try:
        upgrade(engine)
        here = Here(engine)
        here.hours("BTC/USDT", FIRST, T)
        here.service.enable()
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []
        # The release before cannot load into partitions: it gets its one table again.
        take_back(engine, "0015")
        assert here.names() == []
        with engine.connect() as connection:
            assert connection.scalar(select(func.count()).select_from(KlineRecord)) == 90 * 24
        upgrade(engine)
        here.service.enable()
        assert here.names() == MONTHS
        downgrade(engine, "base")
        upgrade(engine)
        assert current_revision(engine) is not None
        assert here.names() == []
    finally:
        engine.dispose()
        databases.drop_database(name)
