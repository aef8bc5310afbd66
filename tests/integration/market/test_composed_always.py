"""Whatever series are stored over whatever spans: every read is what a brute-force look makes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.adapters.prices import InProcessPriceCache
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import HOUR_MS, interval
from app.core.market.klines import KlineRow
from app.core.market.resampling import resample_rows
from app.repositories.kline_store import KlineStore
from app.repositories.segments import SegmentFiles
from app.repositories.unit import Unit, Units
from app.services.frame_cache import FrameCache
from app.services.kline_pages import KlinePages
from app.services.kline_sources import sources_of
from app.services.market_data import MarketDataService
from tests.support.record import (
    START_MS,
    CountingIds,
    ManualClock,
    ManualMarketClock,
    record,
    units_over,
)

T = START_MS
QUARTER = 900_000
#: Quarters of an hour in two days and a half.
LAST = 240
STORED = ("5m", "15m", "30m", "1h", "2h", "4h", "1d")
WANTED = ("1h", "4h", "12h", "1d")
DEEDS = st.tuples(
    st.sampled_from(STORED), st.integers(0, LAST), st.integers(1, LAST // 2), st.integers(1, 3)
)
Rows = Mapping[str, dict[int, KlineRow]]


class Model:
    """Series in a record, the same in memory, and everyone who reads them."""

    def __init__(self, units: Units, symbol: str, disk: Path) -> None:
        self.units, self.symbol = units, symbol
        self.rows: Rows = {name: {} for name in STORED}
        files = SegmentFiles(disk / symbol.replace("/", "_"), 2**30)
        store = KlineStore(units, files, long=50, tail=20)
        self.market = MarketDataService(
            units,
            store,
            lambda _: None,  # type: ignore[arg-type, return-value]
            ManualMarketClock(),
            InProcessPriceCache(),
            CountingIds(),
        )
        self.cache = FrameCache(self.market)
        self.pages = KlinePages(units, store)
        self.named: dict[tuple[str, str], list[KlineRow]] = {}

    def do(self, name: str, first: int, length: int, price: int) -> None:
        """Store the bars of an interval that open in some quarters; others are revised by that."""
        grid = interval(name)
        opened, stop = grid.ceil(T + first * QUARTER), T + (first + length) * QUARTER
        rows = []
        while opened < stop:
            value = Decimal(price + STORED.index(name) * 10)
            rows.append(KlineRow(opened, value, value + 1, value - 1, value, value))
            opened = grid.next(opened)
        self.rows[name].update({row.open_ts: row for row in rows})

        def work(unit: Unit) -> None:
            series = unit.klines.series("binance", self.symbol, name, T)
            unit.klines.lock_series(series.id)
            unit.klines.store_columns(
                series.id, KlineColumns.of_rows(rows), covered=True, source="test", now_ms=T
            )

        self.units.run(work)

    def check(self) -> None:
        """Each reader gives what is to be read."""
        for name in WANTED:
            if not any(self.rows[each] for each in sources_of(interval(name)) if each in STORED):
                continue
            made = self.expected(name)
            whole = (T - 9 * HOUR_MS, T + 999 * HOUR_MS)
            cut = (T + 7 * HOUR_MS, T + 31 * HOUR_MS + 1)
            self._check_read(name, whole, made)
            self._check_read(name, cut, [row for row in made if cut[0] <= row.open_ts < cut[1]])
            self._check_pages(name, made)

    def expected(self, name: str) -> list[KlineRow]:
        """Each bar of the first series that holds all of its time between its own ends; none of
        the newest two that the interval's own series may still bring."""
        grid = interval(name)
        found = []
        opened = grid.floor(T)
        stop = self._waited_for(name, grid) or T + 4 * LAST * QUARTER
        while opened < stop:
            held = next((each for each in sources_of(grid) if self._holds(each, opened, grid)), "")
            if held:
                parts = self.rows[held]
                inside = [parts[ts] for ts in sorted(parts) if opened <= ts < grid.next(opened)]
                found += inside if held == name else resample_rows(inside, held, name).bars
            opened = grid.next(opened)
        return found

    def _waited_for(self, name: str, grid: Any) -> int | None:
        """Where the newest bars begin that the interval's own series lacks, if two or one."""
        if not self.rows.get(name):
            return None
        behind = grid.next(max(self.rows[name]))
        ends = []
        for each in sources_of(grid):
            if rows := self.rows.get(each):
                end = grid.floor(interval(each).next(max(rows)))
                ends += [end] if grid.ceil(min(rows)) < end else []
        return behind if behind < max(ends, default=0) <= grid.next(grid.next(behind)) else None

    def _holds(self, name: str, opened: int, grid: Any) -> bool:
        rows = self.rows.get(name)
        return bool(rows) and (
            min(rows) <= opened and grid.next(opened) <= interval(name).next(max(rows))
        )

    def _check_read(self, name: str, reach: tuple[int, int], made: list[KlineRow]) -> None:
        asked = ("binance", self.symbol, name, *reach)
        assert self.market.rows(*asked) == made
        for frame in (self.market.frame(*asked), self.cache.frame(*asked)):
            assert frame.open_ts.tolist() == [row.open_ts for row in made]
            assert frame.close.tolist() == [float(row.close) for row in made]
            assert frame.volume.tolist() == [float(row.volume) for row in made]

    def _check_pages(self, name: str, made: list[KlineRow]) -> None:
        position: int | None = T
        rows: list[KlineRow] = []
        while position is not None:
            found = self.pages.find("binance", self.symbol, name, position, None, 7)
            bars = self.pages.exact(found)
            assert self.pages.read(found).open_ts.tolist() == [row.open_ts for row in bars]
            # A name that was given once never comes to mean other bars.
            assert self.named.setdefault((name, found.stamp), bars) == bars
            rows += bars
            position = None if found.page is None else found.page.following
        assert rows == made


def test_every_read_is_made_of_the_first_series_that_holds_each_bar(
    database_url: str, tmp_path: Path
) -> None:
    with record(database_url, local_infile=True) as engine:
        units = units_over(engine, ManualClock())
        numbers = iter(range(10**6))

        @settings(max_examples=12, deadline=None)
        @given(st.lists(DEEDS, min_size=1, max_size=6))
        @example([("5m", 0, 200, 1), ("1h", 150, 40, 2), ("1h", 100, 10, 2), ("1h", 160, 4, 3)])
        @example([("1h", 100, 40, 1), ("15m", 0, 90, 1), ("5m", 60, 200, 1), ("4h", 200, 40, 2)])
        def holds(deeds: list[tuple[str, int, int, int]]) -> None:
            model = Model(units, f"S{next(numbers)}/USDT", tmp_path / "disk")
            for deed in deeds:
                model.do(*deed)
                model.check()

        holds()
