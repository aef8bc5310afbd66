"""Whatever is stored, healed, revised and deleted, and whoever dies: reads are of this moment."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import DAY_MS, HOUR_MS, interval
from app.core.market.klines import KlineFrame, KlineRow
from app.core.market.resampling import resample_rows
from app.models import KlineSeriesRow
from app.repositories.kline_store import KlineStore
from app.repositories.segments import SegmentFiles
from app.repositories.unit import Unit, Units
from app.services.collection.rolling import _step
from app.services.invariants.rolled import check_rolled
from app.services.kline_sources import read_frame, read_rows
from tests.support.record import START_MS, ManualClock, record, units_over

T = START_MS
M = 60_000
D = Decimal
DAY = 1_440
NAMES = ("1h", "1d")
HOURS = st.integers(0, 6 * 24 - 1)
MINUTES = st.integers(0, 59)
PRICES = st.integers(1, 3)
DEEDS = st.one_of(
    st.tuples(st.just("hour"), HOURS, PRICES),
    st.tuples(st.just("day"), st.integers(0, 5), PRICES),
    st.tuples(st.just("minute"), HOURS, MINUTES, PRICES),
    st.tuples(st.just("gone"), HOURS, MINUTES),
    st.tuples(st.just("gone hours"), HOURS, st.integers(1, 30)),
    st.tuples(st.just("step")),
    st.tuples(st.just("killed")),
    st.tuples(st.just("all steps")),
)


class KilledError(Exception):
    """The worker dies before its commit."""


class Model:
    """A series of minutes in a record, the same in memory, and two hosts that read it."""

    def __init__(self, units: Units, symbol: str, disk: Path) -> None:
        self.units = units
        self.rows: dict[int, KlineRow] = {}
        self.series = units.run(lambda unit: unit.klines.series("binance", symbol, "1m", T))
        files = SegmentFiles(disk / symbol.replace("/", "_"), 2**30)
        self.hosts = [KlineStore(units, None), KlineStore(units, files, long=100, tail=20)]

    def do(self, deed: tuple[Any, ...]) -> None:
        """One of ``DEEDS``."""
        name, *how = deed
        if name == "hour":
            self._store(how[0] * 60, 60, how[1])
        elif name == "day":
            self._store(how[0] * DAY, DAY, how[1])
        elif name == "minute":
            self._store(how[0] * 60 + how[1], 1, how[2])
        elif name == "gone":
            self._remove(how[0] * 60 + how[1], 1)
        elif name == "gone hours":
            self._remove(how[0] * 60, how[1] * 60)
        elif name == "all steps":
            while self._step():
                pass
        else:
            self._step(killed=name == "killed")

    def check(self) -> None:
        """Each read is what the minutes make that are stored at this moment."""
        minutes = [self.rows[opened] for opened in sorted(self.rows)]
        hours = resample_rows(minutes, "1m", "1h").bars
        days = resample_rows(hours, "1h", "1d").bars
        expected = {
            "1h": hours,
            "1d": days,
            "4h": resample_rows(hours, "1h", "4h").bars,
            "3d": resample_rows(days, "1d", "3d").bars,
        }
        start, end = T - 5 * DAY_MS, T + 8 * DAY_MS
        with self.units.read() as unit:
            series = unit.session.get_one(KlineSeriesRow, self.series.id)
            for name, made in expected.items():
                wanted = interval(name)
                if name in NAMES:
                    assert read_rows(unit, series, wanted, start, end) == made
                frame = KlineFrame.from_rows("", "", name, made)
                for host in self.hosts:
                    found = read_frame(unit, host, series, wanted, start, end)
                    assert found.open_ts.tolist() == frame.open_ts.tolist()
                    for one, other in zip(found.columns(), frame.columns(), strict=True):
                        assert one.tolist() == other.tolist()
            cut = (T + 30 * HOUR_MS, T + 77 * HOUR_MS + 5)
            inside = [row for row in hours if cut[0] <= row.open_ts < cut[1]]
            assert read_rows(unit, series, interval("1h"), *cut) == inside

    def _store(self, first: int, count: int, price: int) -> None:
        rows = [_minute(number, price) for number in range(first, first + count)]
        # What a bar does not say is as it was.
        self.rows |= {
            row.open_ts: row.completed_by(self.rows.get(row.open_ts, row)) for row in rows
        }

        def work(unit: Unit) -> None:
            unit.klines.lock_series(self.series.id)
            how: dict[str, Any] = {"covered": True, "source": "test", "now_ms": T}
            if price == 1:
                unit.klines.store_columns(self.series.id, KlineColumns.of_rows(rows), **how)
            else:
                unit.klines.store(self.series.id, rows, **how)

        self.units.run(work)

    def _remove(self, first: int, count: int) -> None:
        start, end = T + first * M, T + (first + count) * M
        self.rows = {key: row for key, row in self.rows.items() if not start <= key < end}

        def work(unit: Unit) -> None:
            unit.klines.lock_series(self.series.id)
            unit.klines.replace(self.series.id, start, end, KlineColumns.joined([]), now_ms=T)

        self.units.run(work)

    def _step(self, *, killed: bool = False) -> bool:
        def work(unit: Unit) -> bool:
            more = _step(unit, self.series.id) is not None
            if killed:
                raise KilledError
            return more

        try:
            return self.units.run(work)
        except KilledError:
            return False


def test_every_read_is_what_the_minutes_make_whatever_happens(
    database_url: str, tmp_path: Path
) -> None:
    with record(database_url, local_infile=True) as engine:
        units = units_over(engine, ManualClock())
        numbers = iter(range(10**6))

        @settings(max_examples=6, deadline=None)
        @given(st.lists(DEEDS, max_size=10))
        @example([("day", 0, 2), ("day", 1, 2), ("hour", 100, 2), ("all steps",), ("gone", 25, 7)])
        @example([("hour", 0, 1), ("hour", 0, 3)])
        @example(
            [
                *[("day", day, 1) for day in range(5)],
                ("all steps",),
                ("gone hours", 90, 30),
                ("all steps",),
                ("hour", 91, 2),
                ("killed",),
                ("minute", 30, 5, 3),
                ("step",),
            ]
        )
        def stays_right(deeds: list[tuple[Any, ...]]) -> None:
            model = Model(units, f"S{next(numbers)}/USDT", tmp_path / "disk")
            # Long enough to be rolled up from the first deed on.
            for deed in [("minute", 0, 0, 1), ("hour", 73, 1), *deeds]:
                model.do(deed)
                model.check()
            model.do(("all steps",))
            model.check()
            with units.read() as unit:
                assert unit.rolls.first(model.series.id, 1) == []
                minutes = unit.session.get_one(KlineSeriesRow, model.series.id)
                assert list(check_rolled(unit, minutes)) == []

        stays_right()


def _minute(number: int, price: int) -> KlineRow:
    """A bar whose amounts are no float64 and add up to none."""
    low = D(100 + number % 7) / 10
    high = low + price
    volume = D(number % 13 * price) / 1_000 + D("0.1")
    quote = None if number % 240 == 7 and price == 3 else volume * high
    return KlineRow(T + number * M, low, high, low, high, volume, quote, number % 5)
