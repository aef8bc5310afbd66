"""Every real file served by a simulated venue and collected: the report is the file's truth.

One simulator serves all files, each as a symbol of its own; the collector's clock stands at the
end of the file that is collected. Of Kraken's three months four days are served: each of the
gaps is asked for three times before it counts as the venue's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from app.adapters.budget import InProcessBudget
from app.core.exchanges.factory import market_adapter
from app.core.market.coverage import CoverageState, Span
from app.core.market.files.writing import write_bars
from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineRow
from app.repositories.points import Point
from app.services.collection import CollectionService
from app.services.collection.points import Extra, PointKind
from app.services.collection.target import target
from app.services.points import PointQueries
from tests.integration.market.importing import Importing
from tests.integration.market.truths import D, gaps_in, idle_in, rows_of
from tests.integration.market.venue import NoBans
from tests.support.record import (
    CountingIds,
    Events,
    Hints,
    ManualClock,
    ManualMarketClock,
    record,
    shared_data,
    units_over,
)
from tests.support.simulator import SimulatorProcess

pytestmark = pytest.mark.skipif(shared_data() is None, reason="no ../shared/data with real klines")

FUNDING: Final = "XRP_USDT_USDT-8h-funding.feather"
TRADES: Final = "XRP_ETH-trades-2019.feather"
KRAKEN: Final = "kraken_BTCUSDC-1m-2023Q1.csv"
SHIFTED: Final = "ETH_BTC-1m-201801-shifted_minus_1h.csv.gz"
PART_MS: Final = 4 * DAY_MS
#: As which symbol a file is served; a symbol that a perpetual follows would replay that as well.
SYMBOLS: Final = {
    "BTC_USDT-1m.feather": "BTCM/USDT",
    "ETH_USDT-1m.feather": "ETHM/USDT",
    "BTC_USDT-5m.feather": "BTCF/USDT",
    "ETH_USDT-5m.feather": "ETHF/USDT",
    "BTC_USDT-1h-2017-2024.feather": "BTCH/USDT",
    "binanceus_BTCUSDC-1m-2023-03.csv": "BTCU/USDC",
    KRAKEN: "BTCK/USDC",
    "XRP_ETH-1m-2019.feather": "XRP/ETH",
    TRADES: "XRPT/ETH",
    "XRP_USDT_USDT-5m.feather": "XRPF/USDT",
    SHIFTED: "ETHS/BTC",
    "MEME_BTC-1m-201802-sparse.csv.gz": "MEME/BTC",
}


@dataclass(frozen=True)
class Truth:
    """What the README of the data says of a file, and what its venue is.

    Of a file that it calls sparse or shifted, rows and missing bars are those that were counted.

    Attributes:
        missing: bars.
        gaps, longest: where the README says them.
        idle: bars without volume; None where it says nothing.
    """

    interval: str
    rows: int
    character: str
    missing: int = 0
    gaps: int | None = None
    longest: int | None = None
    idle: int | None = 0


README: Final = {
    "BTC_USDT-1m.feather": Truth("1m", 43_199, "trades_always"),
    "ETH_USDT-1m.feather": Truth("1m", 43_199, "trades_always"),
    "BTC_USDT-5m.feather": Truth("5m", 2_751, "trades_always"),
    "ETH_USDT-5m.feather": Truth("5m", 2_751, "trades_always"),
    "BTC_USDT-1h-2017-2024.feather": Truth(
        "1h", 58_419, "trades_always", missing=128, gaps=28, longest=33, idle=4
    ),
    "binanceus_BTCUSDC-1m-2023-03.csv": Truth("1m", 30_240, "fills", idle=12_971),
    "XRP_ETH-1m-2019.feather": Truth("1m", 2_469, "omits", missing=1_091),
    # Less the two minutes within which the trades begin and end.
    TRADES: Truth("1m", 2_467, "omits", missing=1_091),
    "XRP_USDT_USDT-5m.feather": Truth("5m", 1_999, "trades_always", idle=None),
    SHIFTED: Truth("1m", 14_397, "trades_always", missing=1),
    "MEME_BTC-1m-201802-sparse.csv.gz": Truth("1m", 4_993, "omits", missing=9_390),
}


def klines(name: str) -> Path:
    folder = shared_data()
    assert folder is not None
    return folder / "klines" / name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files as the simulator reads them: bars of the trades, and the part of Kraken's."""
    folder = tmp_path_factory.mktemp("files")
    found = {name: klines(name) for name in SYMBOLS}
    with record(f"sqlite:///{folder / 'trades.db'}") as engine:
        here = Importing(engine, folder)
        here.result(klines(TRADES), "XRP/ETH", "1m", trades=True)
        with here.units.read() as unit:
            series = unit.klines.find_series("binance", "XRP/ETH", "1m")
            assert series is not None
            columns = unit.klines.read_exact_columns(series.id, 0, 1 << 62)
    found[TRADES] = folder / "trades.csv"
    write_bars(found[TRADES], "csv", [columns])
    lines = klines(KRAKEN).read_text().splitlines()
    until = (int(lines[0].split(",")[0]) * 1000 + PART_MS) // 1000
    part = [line for line in lines if int(line.split(",")[0]) < until]
    found[KRAKEN] = folder / KRAKEN
    found[KRAKEN].write_text("\n".join(part) + "\n")
    return found


@pytest.fixture(scope="module")
def simulator(files: dict[str, Path]) -> Iterator[SimulatorProcess]:
    options: dict[str, Any] = {
        "replay": {symbol: files[name] for name, symbol in SYMBOLS.items()},
        "funding": {"BTC/USDT:USDT": klines(FUNDING)},
        "start": "2026-04-25T00:00:00Z",
        "weight_limit": 0,
        "usdm_weight_limit": 0,
    }
    with SimulatorProcess(**options) as process:
        yield process


class Venue:
    """A collection service at the simulator, whose clocks stand where the test puts them."""

    def __init__(self, engine: Engine, url: str, exchange: str = "binance") -> None:
        self.engine, self.exchange = engine, exchange
        self.clock, self.market_clock = ManualClock(), ManualMarketClock()
        self.events = Events()
        self.units = units_over(engine, self.clock, Hints(), self.events)
        budget = InProcessBudget(self.clock, NoBans(), sleep=lambda seconds: self.clock.advance(
            max(1, round(seconds * 1000))
        ))  # fmt: skip
        market = market_adapter(exchange, budget, self.clock, base_url=url)
        self.service = CollectionService(
            self.units,
            lambda _: market,
            self.market_clock,
            CountingIds(),
            self.clock,
            grace_ms={exchange: 0},
        )

    def collect(self, symbol: str, interval: str, rows: list[KlineRow]) -> dict[str, Any]:
        """Collect a series up to its last bar, until its gaps are proven; the last report."""
        self.market_clock.now = interval_of(interval).next(rows[-1].open_ts)
        plan = self.service.plans.create(
            name=symbol,
            exchange=self.exchange,
            symbols=[symbol],
            intervals=[interval],
            since_ms=rows[0].open_ts,
        )
        report = self.fill(plan.id)
        first = report
        # A gap is the venue's after three looks over an hour; the first time that it is asked for
        # is none where a page begins with it, for the bar before it came with another page.
        for _ in range(3):
            self.clock.advance(31 * MINUTE_MS)
            report = self.fill(plan.id) or report
        told = ("gaps", "zero_volume", "duplicates", "off_grid")
        assert {name: report[name] for name in told} == {name: first[name] for name in told}
        return report

    def fill(self, plan_id: str) -> dict[str, Any]:
        """Run the one job of a plan; its result, {} where there is nothing to do."""
        result: dict[str, Any] = {}
        for job in self.service.start(plan_id):
            state = "queued"
            while state == "queued":
                state = self.service.run_job(job.id)
            with self.units.read() as unit:
                done = unit.jobs.get(job.id)
            assert (state, done.error) == ("succeeded", None)
            result = dict(done.result or {})
        return result

    def stored(self, symbol: str, interval: str) -> list[KlineRow]:
        """Every stored bar, by its prices and its volume."""
        with self.units.read() as unit:
            series = unit.klines.find_series(self.exchange, symbol, interval)
            assert series is not None
            return [KlineRow(*row[:6]) for row in unit.klines.read_exact(series.id, 0, 1 << 62)]


@pytest.fixture
def venue(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[Venue]:
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        yield Venue(engine, simulator.url)


@pytest.mark.parametrize("name", sorted(README))
def test_what_is_collected_is_the_file_and_the_report_its_truth(
    venue: Venue, files: dict[str, Path], name: str
) -> None:
    truth, rows = README[name], rows_of(files[name])
    length = interval_of(truth.interval).length_ms
    symbol = SYMBOLS[name]
    report = venue.collect(symbol, truth.interval, rows)
    assert venue.stored(symbol, truth.interval) == rows
    assert report["gaps"] == gaps_in(rows, length).told()
    assert report["zero_volume"] == idle_in(rows, length).told()
    assert (report["duplicates"], report["off_grid"]) == (0, 0)
    assert (len(rows), report["gaps"]["bars"]) == (truth.rows, truth.missing)
    assert report["exchange_side"] == truth.missing
    assert report["pending"] == 0
    if truth.gaps is not None:
        assert (report["gaps"]["count"], report["gaps"]["longest"]) == (truth.gaps, truth.longest)
    if truth.idle is not None:
        assert report["zero_volume"]["bars"] == truth.idle
    assert (report["character"], report["is_dead"]) == (truth.character, False)


def test_minutes_that_a_venue_leaves_out_are_told_from_outages_by_what_lies_around(
    venue: Venue, files: dict[str, Path]
) -> None:
    """Kraken over four days: of every ten minutes more than five are not there."""
    rows = rows_of(files[KRAKEN])
    report = venue.collect("BTCK/USDC", "1m", rows)
    assert venue.stored("BTCK/USDC", "1m") == rows
    assert report["gaps"] == gaps_in(rows, MINUTE_MS).told()
    assert report["gaps"]["bars"] > len(rows)
    assert report["exchange_side"] == report["gaps"]["bars"]
    assert (report["character"], report["zero_volume"]["bars"]) == ("omits", 0)


def test_it_is_so_on_both_databases(
    database_url: str, simulator: SimulatorProcess, files: dict[str, Path]
) -> None:
    name = "XRP_ETH-1m-2019.feather"
    rows = rows_of(files[name])
    with record(database_url, local_infile=True) as engine:
        venue = Venue(engine, simulator.url)
        report = venue.collect("XRP/ETH", "1m", rows)
        assert venue.stored("XRP/ETH", "1m") == rows
    assert report["gaps"] == gaps_in(rows, MINUTE_MS).told()
    assert (report["character"], report["gaps"]["bars"]) == ("omits", 1_091)


def test_a_shifted_series_is_told_by_the_comparison_with_the_venue(
    venue: Venue, files: dict[str, Path], tmp_path: Path
) -> None:
    """The venue serves the file as it is. Stored is the reference: the same bars an hour later,
    where they belong, made of the file itself, for no other series of that market is at hand."""
    rows = rows_of(files[SHIFTED])
    right = tmp_path / "right.csv"
    lines = [",".join(map(str, [row.open_ts + HOUR_MS, *row[1:6]])) for row in rows]
    right.write_text("ts,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    importing = Importing(venue.engine, tmp_path)
    importing.result(right, "ETHS/BTC", "1m")
    stored = venue.stored("ETHS/BTC", "1m")
    venue.market_clock.now = rows[-1].open_ts + MINUTE_MS + HOUR_MS
    job = venue.service.verify(target("binance", "ETHS/BTC", "1m", 0), 2)
    assert venue.service.run_verification(job.id) == "failed"
    with venue.units.read() as unit:
        error = unit.jobs.get(job.id).error or {}
    assert error["code"] == "shifted"
    assert "lie 1 h ahead of the same bars of binance" in error["message"]
    assert venue.stored("ETHS/BTC", "1m") == stored
    (alarm,) = venue.events.on("risk.alert.warning")
    assert (alarm["kind"], alarm["shift_ms"]) == ("series-shifted", HOUR_MS)
    # Told that the venue is right, its bars take the place of those stored; both are kept.
    job = venue.service.verify(target("binance", "ETHS/BTC", "1m", 0), 2, despite_shift=True)
    assert venue.service.run_verification(job.id) == "succeeded"
    known = {row.open_ts: row for row in rows}
    day = venue.market_clock.now - venue.market_clock.now % DAY_MS - DAY_MS
    revised = [row for row in venue.stored("ETHS/BTC", "1m") if day <= row.open_ts < day + DAY_MS]
    assert len(revised) >= 1_439
    assert all(known[row.open_ts] == row for row in revised if row.open_ts in known)


def test_funding_rates_are_collected_at_the_venues_own_times(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    symbol = "BTC/USDT:USDT"
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        importing = Importing(engine, tmp_path)
        words = {"exchange": "file", "new_exchange": True, "despite_name": True}
        importing.result(klines(FUNDING), symbol, funding=True, **words)
        venue = Venue(engine, simulator.url, "binanceusdm")
        points = PointQueries(venue.units)
        extra = Extra(PointKind.FUNDING)
        told, _ = points.page("file", symbol, extra, None, None, 1_000)
        venue.market_clock.now = told[-1].ts + MINUTE_MS
        plan = venue.service.plans.create(
            name="funding",
            exchange="binanceusdm",
            symbols=[symbol],
            intervals=["1d"],
            since_ms=told[0].ts - DAY_MS,
            extras=["funding"],
        )
        assert venue.service.follow(plan.id).points == 91
        found, _ = points.page("binanceusdm", symbol, extra, None, None, 1_000)
    # A venue states eight decimals; the file's float64 has one that ends in other digits.
    assert [(point.ts, point.value) for point in found] == [
        (point.ts, point.value.quantize(D("1e-8")).normalize()) for point in told
    ]
    assert all(isinstance(point, Point) and point.second for point in found)
    assert sum(point.ts % HOUR_MS != 0 for point in found) == 59


def test_gaps_of_the_venue_are_ranges_of_its_side(venue: Venue, files: dict[str, Path]) -> None:
    """Each gap of a market in which few trade lies in coverage as the file has it."""
    rows = rows_of(files["XRP_ETH-1m-2019.feather"])
    venue.collect("XRP/ETH", "1m", rows)
    with venue.units.read() as unit:
        series = unit.klines.find_series("binance", "XRP/ETH", "1m")
        assert series is not None
        spans: list[Span] = unit.coverage.spans(series.id)
    absent = [each for each in spans if each.state is CoverageState.EXCHANGE_SIDE]
    times = {row.open_ts for row in rows}
    every = range(rows[0].open_ts, rows[-1].open_ts, MINUTE_MS)
    lacking = [ts for ts in every if ts not in times]
    assert [ts for each in absent for ts in range(each.start, each.end, MINUTE_MS)] == lacking
    assert {each.state for each in spans} == {CoverageState.PRESENT, CoverageState.EXCHANGE_SIDE}
