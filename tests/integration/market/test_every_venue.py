"""Each venue as its adapter speaks to it: collected whole, of every kind, and accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import pytest
from sqlalchemy import Engine

from app.adapters.budget import InProcessBudget
from app.adapters.clock import SystemClock
from app.adapters.pacing import Paces
from app.core.exchanges.factory import market_adapter
from app.core.market.coverage import CoverageState
from app.core.market.instruments import InstrumentStatus, InstrumentType
from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.resampling import resample_rows
from app.core.ports import MarketAdapter
from app.models import CollectionPlanRow
from app.repositories.unit import Units
from app.services.collection import CollectionService
from tests.integration.market.venue import NoBans
from tests.support.record import CountingIds, ManualMarketClock, record, units_over
from tests.support.simulator import SimulatorProcess

#: 2026-03-01T00:00Z.
NOW: Final = 1_772_323_200_000
SINCE: Final = NOW - DAY_MS
SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
SERIES: Final = [
    ("binance", SPOT, KlineKind.TRADE),
    ("binanceusdm", SWAP, KlineKind.TRADE),
    ("binanceusdm", SWAP, KlineKind.MARK),
    ("binanceusdm", SWAP, KlineKind.INDEX),
    ("okx", SPOT, KlineKind.TRADE),
    ("okx", SWAP, KlineKind.TRADE),
    ("okx", SWAP, KlineKind.MARK),
    ("bybit", SPOT, KlineKind.TRADE),
    ("bybit", SWAP, KlineKind.TRADE),
    ("bybit", SWAP, KlineKind.INDEX),
]
PERPETUALS: Final = ("binanceusdm", "okx", "bybit")


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        seed=7, start="2026-03-01T00:00:00Z", clock="stepped", weight_limit=0
    ) as process:
        yield process


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with record(database_url, local_infile=True) as opened:
        yield opened


class Collector:
    """A collection service over the real adapters."""

    def __init__(self, engine: Engine, simulator: SimulatorProcess) -> None:
        self.clock = SystemClock()
        self.units: Units = units_over(engine, self.clock)
        self.market_clock = ManualMarketClock(NOW)
        # The simulator limits nothing here, and the clock is real.
        budget = InProcessBudget(self.clock, NoBans(), weights={}, paces=Paces(short={}))
        self.markets = {
            venue: market_adapter(venue, budget, self.clock, base_url=simulator.url)
            for venue in ("binance", *PERPETUALS)
        }
        self.service = CollectionService(
            self.units,
            self.markets.__getitem__,
            self.market_clock,
            CountingIds(),
            self.clock,
            grace_ms=dict.fromkeys(self.markets, 0),
        )

    def collect(self, plan: CollectionPlanRow) -> list[KlineRow]:
        """Everything that the plan's first series has."""
        (job,) = self.service.start(plan.id)
        while (state := self.service.run_job(job.id)) == "queued":
            pass
        assert state == "succeeded"
        with self.units.read() as unit:
            key = (plan.exchange, plan.symbols[0], plan.intervals[0], plan.kind)
            series = unit.klines.find_series(*key)
            assert series is not None
            spans = unit.coverage.spans(series.id)
            assert [(span.state, span.start, span.end) for span in spans] == [
                (CoverageState.PRESENT, plan.since_ts, NOW)
            ]
            return unit.klines.read_exact(series.id, 0, 2**60)


@pytest.fixture
def collector(engine: Engine, simulator: SimulatorProcess) -> Collector:
    return Collector(engine, simulator)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("venue", "symbol", "kind"), SERIES)
def test_a_day_of_minutes_is_whole_and_makes_the_hours_of_the_venue(
    collector: Collector, venue: str, symbol: str, kind: KlineKind
) -> None:
    plans = collector.service.plans
    plan = plans.create(f"{venue} {kind}", venue, [symbol], ["1m"], SINCE, kind=kind)
    rows = collector.collect(plan)
    assert [row.open_ts for row in rows] == list(range(SINCE, NOW, MINUTE_MS))
    if kind is not KlineKind.TRADE:
        assert {row.volume for row in rows} == {Decimal(0)}
    hours = collector.markets[venue].klines(symbol, "1h", SINCE, NOW, 300, kind)
    made = resample_rows(rows, "1m", "1h").bars
    assert [row[:5] for row in hours] == [row[:5] for row in made]
    assert [row.volume for row in hours] == [row.volume for row in made]


@pytest.mark.parametrize("venue", PERPETUALS)
def test_what_trades_is_listed_with_the_size_of_its_contract(
    simulator: SimulatorProcess, venue: str
) -> None:
    listed = {found.symbol: found for found in _market(simulator, venue).instruments()}
    swap = listed[SWAP]
    assert (swap.type, swap.status) == (InstrumentType.SWAP, InstrumentStatus.TRADING)
    assert swap.contract_size == (Decimal("0.01") if venue == "okx" else Decimal(1))
    if venue == "okx":
        # A hundredth of a contract of 0.01 BTC: steps are base units everywhere inside.
        assert swap.step_size == Decimal("0.0001")
    if venue != "binanceusdm":
        assert listed[SPOT].type is InstrumentType.SPOT


@pytest.mark.parametrize("venue", PERPETUALS)
def test_funding_is_paid_every_eight_hours(simulator: SimulatorProcess, venue: str) -> None:
    rates = _market(simulator, venue).funding_rates(SWAP, NOW - 10 * DAY_MS, NOW, 1_000)
    assert len(rates) == 30
    off = [rate.ts % (8 * HOUR_MS) for rate in rates]
    assert max(off) < 1_000, "milliseconds off the hour, at most"
    assert all(abs(rate.rate) < Decimal("0.01") for rate in rates)


@pytest.mark.parametrize("venue", PERPETUALS)
def test_open_interest_has_its_hours(simulator: SimulatorProcess, venue: str) -> None:
    points = _market(simulator, venue).open_interest(SWAP, "1h", NOW - DAY_MS, NOW, 1_000)
    assert [point.ts for point in points] == list(range(NOW - DAY_MS, NOW, HOUR_MS))
    assert all(point.quantity > 0 for point in points)


@pytest.mark.parametrize("venue", ["binance", *PERPETUALS])
def test_prices_books_and_turnover_are_of_the_market(
    simulator: SimulatorProcess, venue: str
) -> None:
    market = _market(simulator, venue)
    symbol = SPOT if venue == "binance" else SWAP
    price = market.ticker(symbol)
    assert price.bid is not None
    assert price.ask is not None
    assert price.bid < price.ask
    book = market.order_book(symbol, 5)
    assert len(book.bids) == len(book.asks) == 5
    assert book.bids[0][0] == price.bid
    native = market.native_id(symbol)  # type: ignore[attr-defined]
    assert market.turnover()[native] > 0


def _market(simulator: SimulatorProcess, venue: str) -> MarketAdapter:
    clock = SystemClock()
    return market_adapter(venue, InProcessBudget(clock, NoBans()), clock, base_url=simulator.url)
