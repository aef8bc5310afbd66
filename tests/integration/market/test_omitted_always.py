"""Whatever is stored, proven to be missing, found after all and rolled up: reads are of now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.market.absences import merged
from app.core.market.coverage import CoverageState, Span, lay
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.klines import KlineRow
from app.core.market.resampling import resample_rows
from app.models import KlineSeriesRow
from app.repositories.unit import Unit
from app.services.frame_cache import FrameCache
from app.services.invariants.rolled import check_rolled
from app.services.kline_pages import KlinePages
from app.services.market_data import MarketDataService
from tests.integration.market.test_roll_ups_always import DEEDS, HOURS, MINUTES, M, Model, T
from tests.support.record import ManualClock, record, units_over

LACKING = st.tuples(st.just("lacking"), HOURS, MINUTES, st.integers(1, 90))


class Omitting(Model):
    """The same series with what is known of its missing minutes, and readers that remember."""

    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self.absent: set[int] = set()
        nobody: Any = None
        self.market = MarketDataService(self.units, self.hosts[1], nobody, nobody, nobody, nobody)
        self.cache = FrameCache(self.market)
        self.pages = KlinePages(self.units, self.hosts[0])
        self.named: dict[tuple[str, str], list[KlineRow]] = {}

    def do(self, deed: tuple[Any, ...]) -> None:
        """One of ``DEEDS``, or ``LACKING``: minutes that are not there are the venue's."""
        if deed[0] == "lacking":
            first = T + (deed[1] * 60 + deed[2]) * M
            found = {first + n * M for n in range(deed[3])} - set(self.rows)
            self.absent |= found
            self._lay(CoverageState.EXCHANGE_SIDE, found)
            return
        before = set(self.rows)
        super().do(deed)
        self.absent -= set(self.rows)
        self._lay(CoverageState.PRESENT, set(self.rows) - before)
        self._lay(CoverageState.PENDING, before - set(self.rows))

    def check(self) -> None:
        """Each read is what the minutes make, those left out that are known to be none."""
        absent = merged((ts, ts + M) for ts in sorted(self.absent))
        minutes = [self.rows[opened] for opened in sorted(self.rows)]
        reach = (T - 5 * DAY_MS, T + 8 * DAY_MS)
        exchange, symbol = "binance", self.series.symbol
        for name in ("5m", "1h", "4h", "1d", "3d"):
            made = resample_rows(minutes, "1m", name, absent=absent).bars
            assert self.market.rows(exchange, symbol, name, *reach) == made
            for frame in (
                self.market.frame(exchange, symbol, name, *reach),
                self.cache.frame(exchange, symbol, name, *reach),
            ):
                assert frame.open_ts.tolist() == [row.open_ts for row in made]
                assert frame.close.tolist() == [float(row.close) for row in made]
                assert frame.volume.tolist() == [float(row.volume) for row in made]
            page = self.pages.find(exchange, symbol, name, T + 20 * HOUR_MS, None, 50)
            bars = self.pages.exact(page)
            # A name that was given once never comes to mean other bars.
            assert self.named.setdefault((name, page.stamp), bars) == bars

    def _lay(self, state: CoverageState, opens: set[int]) -> None:
        if not opens:
            return

        def work(unit: Unit) -> None:
            unit.klines.lock_series(self.series.id)
            before = unit.coverage.spans(self.series.id)
            spans = [Span(*each, state) for each in merged((ts, ts + M) for ts in sorted(opens))]
            unit.coverage.save(self.series.id, before, lay(before, *spans))

        self.units.run(work)


def _numbers() -> Iterator[int]:
    yield from range(10**6)


def test_every_read_is_what_the_minutes_make_and_what_is_known_of_those_that_lack(
    database_url: str, tmp_path: Path
) -> None:
    with record(database_url, local_infile=True) as engine:
        units = units_over(engine, ManualClock())
        numbers = _numbers()

        @settings(max_examples=6, deadline=None)
        @given(st.lists(st.one_of(LACKING, DEEDS), max_size=10))
        @example(
            [
                *[("day", day, 1) for day in range(4)],
                ("gone", 25, 7),
                ("gone hours", 30, 2),
                ("all steps",),
                ("lacking", 25, 7, 1),
                ("lacking", 29, 50, 90),
                ("lacking", 31, 10, 60),
                ("killed",),
                ("all steps",),
                ("minute", 30, 5, 3),
                ("all steps",),
            ]
        )
        def stays_right(deeds: list[tuple[Any, ...]]) -> None:
            model = Omitting(units, f"S{next(numbers)}/USDT", tmp_path / "disk")
            for deed in [("minute", 0, 0, 1), ("hour", 73, 1), *deeds, ("all steps",)]:
                model.do(deed)
                model.check()
            with units.read() as unit:
                minutes = unit.session.get_one(KlineSeriesRow, model.series.id)
                assert list(check_rolled(unit, minutes)) == []

        stays_right()
