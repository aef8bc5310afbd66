"""A collection service at a venue that is a table in memory, with clocks moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from app.core.exchanges.errors import VenueRulesRefused, VenueUnreachable
from app.core.market.coverage import CoverageState, Span
from app.core.market.features import MarketFeatures
from app.core.market.files.columns import KlineColumns, stated
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate, OpenInterest
from app.core.market.quotes import MarketData, OrderBook
from app.core.market.resampling import resample_rows
from app.models import CollectionPlanRow, JobRow
from app.services.collection import CollectionService
from app.services.horizon import Horizons
from app.services.quality import QualityService
from tests.support.record import (
    START_MS,
    CountingIds,
    Events,
    Hints,
    ManualClock,
    ManualMarketClock,
    units_over,
)

M = 60_000
SYMBOL = "BTC/USDT"


def bar(minute: int, close: int = 0) -> KlineRow:
    """The bar that opens ``minute`` minutes after the start."""
    price = Decimal(100 + minute % 7)
    last = Decimal(close) if close else price + 1
    return KlineRow(
        START_MS + minute * M,
        price,
        max(price, last) + 1,
        price - 1,
        last,
        Decimal(minute % 5) / 8,
        Decimal(minute),
        minute % 11,
    )


def _higher(row: KlineRow) -> KlineRow:
    prices = {name: getattr(row, name) + 1 for name in ("open", "high", "low", "close")}
    return row._replace(**prices, volume=Decimal(0), quote_volume=None, trade_count=None)


def instrument(symbol: str, status: InstrumentStatus = InstrumentStatus.TRADING) -> Instrument:
    """An instrument with a tick of 0.01."""
    base, _, quote = symbol.partition("/")
    return Instrument(
        "binance",
        symbol,
        base + quote,
        base,
        quote,
        InstrumentType.SPOT,
        status,
        Decimal("0.01"),
        Decimal("0.00001"),
    )


@dataclass
class Venue:
    """A market adapter over bars in memory.

    Attributes:
        bars: by open time; what is not here, the venue does not have.
        asked: (symbol, start, end, limit) of each request for klines.
        failures: raised by the next requests, first come first.
        tamper: changes each answer on its way.
        before: called at each request, before it is answered.
        longer: the venue's own bars of longer intervals, by name.
        periods: how far apart observations of open interest may be; empty where that is not known.
        latest: how many of the latest minutes it gives alone; None where it gives all.
        catalogues: the symbols that each request for the catalogue named; None for all.
    """

    exchange: str = "binance"
    bars: dict[int, KlineRow] = field(default_factory=dict)
    asked: list[tuple[str, int, int, int]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    tamper: Callable[[list[KlineRow]], list[KlineRow]] | None = None
    before: Callable[[], object] | None = None
    catalogue: list[Instrument] = field(
        default_factory=lambda: [instrument(SYMBOL), instrument("ETH/USDT")]
    )
    price: MarketData | None = None
    traded: dict[str, Decimal] = field(default_factory=dict)
    longer: dict[str, list[KlineRow]] = field(default_factory=dict)
    funding: dict[int, FundingRate] = field(default_factory=dict)
    interest: dict[int, OpenInterest] = field(default_factory=dict)
    latest: int | None = None
    has_points: bool = True
    periods: tuple[str, ...] = ()
    list_funding: bool = True

    @property
    def features(self) -> MarketFeatures:
        """Minutes, and the longer intervals that the test set."""
        kinds = frozenset({KlineKind.TRADE, KlineKind.MARK})
        return MarketFeatures(
            frozenset({"1m", "5m", "1h", "1d", *self.longer}),
            page=1_000,
            kinds=kinds,
            has_funding=self.has_points,
            has_open_interest=self.has_points,
            interest_intervals=self.periods,
        )

    def funding_rates(self, symbol: str, start: int, end: int, limit: int) -> list[FundingRate]:
        """The first payments in [start, end)."""
        if not self.list_funding:
            raise VenueUnreachable(self.exchange, f"nothing came of {symbol}")
        return [rate for ts, rate in sorted(self.funding.items()) if start <= ts < end][:limit]

    def open_interest(
        self, symbol: str, interval: str, start: int, end: int, limit: int
    ) -> list[OpenInterest]:
        """The first observations in [start, end)."""
        del symbol, interval
        return [each for ts, each in sorted(self.interest.items()) if start <= ts < end][:limit]

    catalogues: list[list[str] | None] = field(default_factory=list)

    def instruments(self, symbols: Collection[str] | None = None) -> list[Instrument]:
        """The catalogue, or a part of it."""
        self.catalogues.append(None if symbols is None else sorted(symbols))
        if symbols is None:
            return self.catalogue
        found = [each for each in self.catalogue if each.symbol in symbols]
        if len(found) < len(symbols):
            raise VenueRulesRefused(self.exchange, "refused", venue_code="-1121")
        return found

    def klines(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> list[KlineRow]:
        """Bars in [start, end), at most ``limit``; those of the mark price are 1 higher."""
        if kind is KlineKind.MARK:
            trades = [bar for at, bar in sorted(self.bars.items()) if start <= at < end]
            return [_higher(bar) for bar in trades[:limit]]
        if interval in self.longer:
            return [row for row in self.longer[interval] if start <= row.open_ts < end]
        self.asked.append((symbol, start, end, limit))
        if self.before is not None:
            self.before()
        if self.failures:
            raise self.failures.pop(0)
        rows = [self.bars[opened] for opened in sorted(self.bars) if start <= opened < end]
        if self.latest is not None and interval == "1m":
            given = set(sorted(self.bars)[-self.latest :])
            rows = [row for row in rows if row.open_ts in given]
        if interval in ("1h", "1d"):
            rows = resample_rows(rows, "1m", interval).bars
        rows = rows[:limit]
        return rows if self.tamper is None else self.tamper(rows)

    def kline_columns(self, *asked: Any) -> KlineColumns:
        """The same bars as columns."""
        return stated(self.klines(*asked))

    def turnover(self) -> dict[str, Decimal]:
        """Quote units of a day by native id."""
        return self.traded

    def ticker(self, symbol: str) -> MarketData:
        """The price that the test set."""
        if self.failures:
            raise self.failures.pop(0)
        assert self.price is not None, symbol
        return self.price

    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """Nobody asks for it here."""
        raise AssertionError((symbol, depth))

    def server_time_ms(self) -> int:
        """Nobody asks for it here."""
        raise AssertionError


class Collecting:
    """A collection service, its venue, its clocks, and what it sent out."""

    def __init__(self, engine: Engine, minutes: Iterable[int] = ()) -> None:
        self.clock = ManualClock()
        self.market_clock = ManualMarketClock()
        self.hints, self.events = Hints(), Events()
        self.venue = Venue()
        self.ids = CountingIds()
        self.units = units_over(engine, self.clock, self.hints, self.events)
        self.service = self.new_service()
        self.list_bars(minutes)

    def new_service(self) -> CollectionService:
        """As another process would make it."""
        return CollectionService(
            self.units,
            lambda _: self.venue,
            self.market_clock,
            self.ids,
            self.clock,
            grace_ms={"binance": 0},
        )

    @property
    def quality(self) -> QualityService:
        """What is known of the stored bars, by the market's time."""
        horizons = Horizons(self.units, self.market_clock, {"binance": 0})
        return QualityService(self.units, horizons)

    def list_bars(self, minutes: Iterable[int]) -> None:
        """Give the venue these bars and move the market to the close of the last one."""
        for minute in minutes:
            row = bar(minute)
            self.venue.bars[row.open_ts] = row
            self.market_clock.now = max(self.market_clock.now, row.open_ts + M)

    def hours_of(self, minutes: Iterable[int]) -> dict[str, list[KlineRow]]:
        """The hours and days that these minutes make."""
        rows = [self.venue.bars[START_MS + minute * M] for minute in minutes]
        return {name: resample_rows(rows, "1m", name).bars for name in ("1h", "1d")}

    def live_job(self, kind: str) -> JobRow:
        """The one live job of a kind."""
        with self.units.read() as unit:
            (found,) = [job for job in unit.jobs.due(self.clock.now_ms()) if job.kind == kind]
        return found

    def plan(self, **changed: Any) -> CollectionPlanRow:
        """A plan for 1m bars of BTC/USDT from the start."""
        values: dict[str, Any] = {
            "name": "p",
            "exchange": "binance",
            "symbols": [SYMBOL],
            "intervals": ["1m"],
            "since_ms": START_MS,
        }
        return self.service.plans.create(**(values | changed))

    def job(self, job_id: str) -> JobRow:
        """The job as it is in the record."""
        with self.units.read() as unit:
            return unit.jobs.get(job_id)

    def finish(self, job_id: str, limit: int = 50) -> str:
        """Run a job until it has ended."""
        for _ in range(limit):
            state = self.service.run_job(job_id)
            if state not in ("queued", "running"):
                return state
        raise AssertionError("the job did not come to an end")

    def stored(self, symbol: str = SYMBOL) -> list[KlineRow]:
        """Every stored bar."""
        with self.units.read() as unit:
            series = unit.klines.find_series("binance", symbol, "1m")
            return [] if series is None else unit.klines.read_exact(series.id, 0, 2**60)

    def spans(self) -> list[Span]:
        """Coverage of the series."""
        with self.units.read() as unit:
            series = unit.klines.find_series("binance", SYMBOL, "1m")
            return [] if series is None else unit.coverage.spans(series.id)

    def told(self) -> list[tuple[int, int, CoverageState]]:
        """Coverage as (first minute, end minute, state)."""
        return [
            ((span.start - START_MS) // M, (span.end - START_MS) // M, span.state)
            for span in self.spans()
        ]

    def everything(self) -> list[KlineRow]:
        """Every bar that the venue has."""
        return [self.venue.bars[opened] for opened in sorted(self.venue.bars)]
