"""The only composition root: builds every part from the settings and hands them in.

A part is built when it is first asked for and kept for the life of its container. One process
holds one container; nothing here is a module-level singleton.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Engine

from app import __version__
from app.adapters.addresses import AddressPool
from app.adapters.clock import SystemClock
from app.adapters.ids import Uuid7
from app.adapters.market_clock import SimulatorTime, VenueClocks, VenueTime, WallTime
from app.adapters.simulator import SimulatorControl
from app.adapters.venue_clock import MeasuredClock
from app.config import Settings
from app.core.exchanges.factory import VENUES, market_adapter
from app.core.ports import Bus, MarketAdapter, Queue, RequestBudget, Skew
from app.core.security.vault import SealedVault
from app.repositories.database import open_engine, open_probe
from app.repositories.kline_store import KlineStore
from app.repositories.partitions import KlinePartitions
from app.repositories.segments import SegmentFiles
from app.repositories.unit import Units
from app.services.accounts import AccountService
from app.services.backtests import BacktestService
from app.services.catalogue import CatalogueRefresher
from app.services.clocks import ClockWatch
from app.services.collection import CollectionService
from app.services.collection.rolling import RollUps
from app.services.dead_letters import DeadLetterService
from app.services.exporting import Exporter
from app.services.frame_cache import FrameCache
from app.services.importing import ImportJobs
from app.services.invariants import Invariants
from app.services.job_venues import JobVenues
from app.services.jobs import JobService
from app.services.kline_pages import KlinePages
from app.services.market_data import MarketDataService
from app.services.opening import AccountOpener
from app.services.orders.cancelling import OrderCanceller
from app.services.orders.intake import OrderIntake
from app.services.orders.locking import InstrumentLocks
from app.services.orders.ports import Checkpoint, OrderTiming, no_checkpoint
from app.services.orders.resolving import OrderResolver
from app.services.orders.sending import OrderSender
from app.services.orders.sweeper import OrderSweeper
from app.services.orders.sync import AccountSync
from app.services.orders.triggers import OrderTriggers
from app.services.orders.trust import TradingGate
from app.services.outbox import OutboxPublisher, OutboxRelay
from app.services.partitioning import PartitioningService
from app.services.queries import Queries
from app.services.restoring import RestoredRecord
from app.services.retention import RetentionService
from app.services.risk import RiskService
from app.services.schedule import Schedule, ScheduleWatch
from app.services.sources import SourceCatalogue, SourceRunner
from app.services.strategies.catalogue import StrategyCatalogue
from app.services.strategies.evaluation import Evaluator
from app.services.strategies.instances import InstanceService
from app.services.tokens import TokenService
from app.wiring.addresses import make_addresses
from app.wiring.bans import Bans
from app.wiring.desks import Desks
from app.wiring.messaging import LivePrices, make_budget, make_bus, make_dead_letters, make_prices
from app.wiring.vault import open_vault

if TYPE_CHECKING:
    from app.adapters.source_runtime import HostedSources
    from app.adapters.strategy_runtime import HostedRuntime
    from app.core.strategies.registry import StrategyRegistry
    from app.services.streams.ports import StreamTiming
    from app.services.streams.service import StreamService


_log = structlog.get_logger(__name__)
_MARK_S = 0.5
# Every 5 s.
_MARKS_PER_LOOK = 10
# Parts that hold threads, children or connections, in the order of their end.
_CLOSED = ("runtime", "bus", "prices", "budget")
# Built before the threads that share them; a cached_property takes no lock.
_SHARED = (
    "bus",
    "publisher",
    "prices",
    "units",
    "bulk_units",
    "budget",
    "addresses",
    "market_clock",
    "vault",
    "desks",
    "runtime",
    "collection",
    "roll_ups",
    "importing",
    "source_runner",
    "evaluator",
    "backtests",
    "accounts",
)


class Container:
    """Every part of one process.

    Args:
        queue: where hints go.
        can_read_keys: whether this process may open exchange keys: the worker of queue orders
            and streams may, the API and the other workers may not.
        checkpoint: called between the steps of the order protocol, for rehearsing faults.
    """

    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        *,
        can_read_keys: bool = True,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self.settings = settings
        self.queue = queue
        self._can_read_keys = can_read_keys
        self._checkpoint = checkpoint
        self._markets: dict[str, MarketAdapter] = {}
        self._venue_clocks: dict[str, MeasuredClock] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.clock = SystemClock()
        self.ids = Uuid7(self.clock, random.SystemRandom().getrandbits)
        # Names one process among many hosts; a restarted one is another owner.
        self.owner = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(3)}"

    # -- record ------------------------------------------------------------------------

    @cached_property
    def engine(self) -> Engine:
        """The record."""
        return open_engine(self.settings.sqlalchemy_url, pool_size=self.settings.database_pool_size)

    @cached_property
    def probe_engine(self) -> Engine:
        """For asking whether the database is well, which may not take long."""
        return open_probe(self.settings.sqlalchemy_url)

    @cached_property
    def bulk_engine(self) -> Engine:
        """The one engine that may load files into the database."""
        return open_engine(self.settings.sqlalchemy_url, pool_size=4, local_infile=True)

    @cached_property
    def units(self) -> Units:
        """Transactions on the record."""
        return Units(self.engine, self.clock, self.queue, self.publisher)

    @cached_property
    def bulk_units(self) -> Units:
        """Transactions that store klines."""
        return Units(self.bulk_engine, self.clock, self.queue, self.publisher)

    # -- between processes -------------------------------------------------------------

    @cached_property
    def bus(self) -> Bus:
        """Events."""
        return make_bus(self.settings)

    @cached_property
    def publisher(self) -> OutboxPublisher:
        """Sends events of committed units."""
        return OutboxPublisher(self.bus)

    @cached_property
    def prices(self) -> LivePrices:
        """Live prices: the latest of each symbol, and ticks as they come."""
        return make_prices(self.settings)

    @cached_property
    def budget(self) -> RequestBudget:
        """Request weight of each venue and address, shared by all that talk to it."""
        return make_budget(self.settings, self.clock, Bans(self.units), VENUES)

    @cached_property
    def addresses(self) -> AddressPool:
        """By which public market data are asked for."""
        return make_addresses(self.settings, self.clock, self.units)

    @cached_property
    def dead_letters(self) -> DeadLetterService:
        """Hints that no worker could take."""
        return DeadLetterService(make_dead_letters(self.settings))

    # -- venues ------------------------------------------------------------------------

    @cached_property
    def simulator(self) -> SimulatorControl:
        """The simulated exchange's control."""
        return SimulatorControl(self.settings.simulator_url)

    def market(self, exchange: str) -> MarketAdapter:
        """Public data of a venue.

        Raises:
            UnknownName: there is no adapter for it.
        """
        with self._lock:
            known = self._markets.get(exchange)
            if known is None:
                known = self._markets[exchange] = market_adapter(
                    exchange,
                    self.budget,
                    self.clock,
                    base_url=self.settings.simulator_url or None,
                    timeout_s=self.settings.venue_timeout_s,
                    addresses=self.addresses,
                )
        return known

    @cached_property
    def market_clock(self) -> VenueClocks:
        """Market time of each venue."""
        return VenueClocks({}, self._venue_time)

    def _venue_time(self, exchange: str) -> VenueTime:
        if self.settings.simulator_url:
            return SimulatorTime(self.settings.simulator_url, self.clock)
        return WallTime(self.venue_clock(exchange))

    def venue_clock(self, exchange: str) -> MeasuredClock:
        """The wall clock of a venue, by which requests are signed."""
        with self._lock:
            known = self._venue_clocks.get(exchange)
            if known is None:
                known = self._venue_clocks[exchange] = MeasuredClock(
                    exchange, self.clock, lambda: self.market(exchange).server_time_ms()
                )
        return known

    @cached_property
    def vault(self) -> SealedVault:
        """Seals exchange keys, and opens them where this process may."""
        return open_vault(self.settings.vault_key_path, can_read=self._can_read_keys)

    @cached_property
    def desks(self) -> Desks:
        """Gateways of accounts."""
        return Desks(self)

    # -- services ----------------------------------------------------------------------

    @cached_property
    def timing(self) -> OrderTiming:
        """Windows and deadlines of the order protocol."""
        return OrderTiming(
            recv_window_ms=self.settings.order_recv_window_ms,
            settle_ms=self.settings.order_settle_ms,
            # A sender past its venue timeout has given up; until then the claim is its own.
            reply_deadline_ms=int(self.settings.venue_timeout_s * 1000) + 1_000,
        )

    @cached_property
    def kline_store(self) -> KlineStore:
        """Long reads of stored klines."""
        room = self.settings.segments_mb * 1_000_000
        files = SegmentFiles(self.settings.segments_path, room) if room else None
        return KlineStore(self.units, files)

    @cached_property
    def kline_pages(self) -> KlinePages:
        """Pages of klines for the API."""
        return KlinePages(self.units, self.kline_store)

    @cached_property
    def market_data(self) -> MarketDataService:
        """Klines, coverage, prices, instruments."""
        return MarketDataService(
            self.units,
            self.kline_store,
            self.market,
            self.market_clock,
            self.prices,
            self.ids,
            stale_after_ms=self.settings.max_price_age_ms,
        )

    @cached_property
    def catalogue_refresher(self) -> CatalogueRefresher:
        """Keeps the venues' catalogues up to date."""
        return CatalogueRefresher(self.units, self.market, self.ids, self.clock, self.owner)

    @cached_property
    def collection(self) -> CollectionService:
        """Plans and their jobs."""
        grace = dict.fromkeys(VENUES, 0) if self.settings.simulator_url else {}
        return CollectionService(
            self.bulk_units,
            self.market,
            self.market_clock,
            self.ids,
            self.clock,
            grace_ms=grace,
        )

    @cached_property
    def retention(self) -> RetentionService:
        """How long bars are kept."""
        return RetentionService(
            self.bulk_units,
            KlinePartitions(self.bulk_engine),
            self.market_clock,
            self.clock,
            self.ids,
        )

    @cached_property
    def partitioning(self) -> PartitioningService:
        """Months of bars on MySQL."""
        return PartitioningService(KlinePartitions(self.engine), self.clock)

    @cached_property
    def roll_ups(self) -> RollUps:
        """Hours and days made of minutes."""
        return RollUps(self.bulk_units, self.queue, self.clock)

    @cached_property
    def importing(self) -> ImportJobs:
        """Market history from files."""
        from app.adapters.downloads import Downloads

        settings = self.settings
        return ImportJobs(
            self.bulk_units,
            self.market_clock if settings.simulator_url else None,
            Downloads(loopback_only=bool(settings.simulator_url)),
            self.ids,
            self.clock,
            settings.data_dir / "imports",
        )

    @cached_property
    def source_runtime(self) -> HostedSources:
        """Where data sources run."""
        from app.wiring.sources import make_source_runtime

        return make_source_runtime(self.settings)

    @cached_property
    def sources(self) -> SourceCatalogue:
        """Data sources."""
        return SourceCatalogue(self.units, self.ids, self.source_runtime)

    @cached_property
    def source_runner(self) -> SourceRunner:
        """Runs of data sources."""
        return SourceRunner(self.units, self.source_runtime, self.queue, self.clock, self.ids)

    @cached_property
    def exporting(self) -> Exporter:
        """Market history into files."""
        return Exporter(self.units)

    @cached_property
    def runtime(self) -> HostedRuntime:
        """Where strategy code runs."""
        from app.adapters.strategy_runtime import HostedRuntime

        return HostedRuntime(
            self.registry,
            evaluate_timeout_s=self.settings.strategy_timeout_s,
            backtest_timeout_s=self.settings.backtest_timeout_s,
        )

    @cached_property
    def registry(self) -> StrategyRegistry:
        """Built-in strategies."""
        from app.core.strategies.builtin import STRATEGIES

        return STRATEGIES

    @cached_property
    def catalogue(self) -> StrategyCatalogue:
        """Strategies and versions."""
        return StrategyCatalogue(
            self.units, self.ids, self.registry, self.runtime, __version__, _talib_version()
        )

    @cached_property
    def instances(self) -> InstanceService:
        """Strategy instances."""
        return InstanceService(
            self.units, self.ids, self.market_clock, self.catalogue, self.runtime
        )

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluation of instances."""
        return Evaluator(
            self.units,
            self.ids,
            self.market_clock,
            FrameCache(self.market_data),
            self.runtime,
            self.settings.max_signals_per_bar,
        )

    @cached_property
    def backtests(self) -> BacktestService:
        """Backtests."""
        return BacktestService(
            self.units,
            self.ids,
            self.clock,
            self.catalogue,
            self.market_data,
            self.runtime,
        )

    @cached_property
    def accounts(self) -> AccountService:
        """Accounts."""
        return AccountService(
            self.units,
            self.ids,
            self.vault,
            self.market_data,
            self.market_clock,
            self.simulator,
            self.settings.reporting_currency,
            time.sleep,
        )

    @cached_property
    def opener(self) -> AccountOpener:
        """Opens new accounts; needs a vault that may read."""
        return AccountOpener(self.units, self.ids, self.desks, self.market_clock)

    @cached_property
    def risk(self) -> RiskService:
        """Halts and limits."""
        return RiskService(self.units, self.ids)

    @cached_property
    def jobs(self) -> JobService:
        """Jobs."""
        return JobService(self.units, self.queue, self.clock, self.ids)

    @cached_property
    def job_venues(self) -> JobVenues:
        """How the venues of jobs stand."""
        return JobVenues(self.budget, self.addresses.all, self.clock)

    @cached_property
    def tokens(self) -> TokenService:
        """API tokens."""
        return TokenService(self.units, self.ids)

    @cached_property
    def intake(self) -> OrderIntake:
        """The way to the risk gate."""
        return OrderIntake(self.units, self.market_data, self.market_clock, self.ids, self.timing)

    @cached_property
    def sender(self) -> OrderSender:
        """Sends orders."""
        return OrderSender(
            self.units,
            self.desks,
            self.clock,
            self.market_clock,
            self.ids,
            self.timing,
            self.owner,
            self._checkpoint,
        )

    @cached_property
    def resolver(self) -> OrderResolver:
        """Finds out about unknown orders."""
        return OrderResolver(
            self.units, self.desks, self.clock, self.market_clock, self.ids, self.timing
        )

    @cached_property
    def canceller(self) -> OrderCanceller:
        """Cancels orders."""
        return OrderCanceller(self.units, self.desks, self.clock, self.ids, self.timing)

    @cached_property
    def account_sync(self) -> AccountSync:
        """Compares accounts with their venues."""
        return AccountSync(self.units, self.desks, self.market_clock, self.ids, self.timing)

    @cached_property
    def gate(self) -> TradingGate:
        """Holds back new orders until accounts were compared."""
        return TradingGate(self.units)

    @cached_property
    def restored_record(self) -> RestoredRecord:
        """Fences a restored record."""
        return RestoredRecord(self.units, self.gate, self.risk)

    @cached_property
    def locks(self) -> InstrumentLocks:
        """Instruments that differed."""
        return InstrumentLocks(self.units)

    @cached_property
    def triggers(self) -> OrderTriggers:
        """Exit legs that rest here."""
        return OrderTriggers(
            self.units, self.ids, self.market_clock, self.settings.max_price_age_ms
        )

    @cached_property
    def streams(self) -> StreamService:
        """Live streams of this process."""
        from app.wiring.streaming import build_streams

        return build_streams(self)

    @property
    def stream_timing(self) -> StreamTiming:
        """How long streams wait."""
        from app.services.streams.ports import StreamTiming

        return StreamTiming()

    @cached_property
    def sweeper(self) -> OrderSweeper:
        """Drives on what waits."""
        return OrderSweeper(self.units, self.queue, self.clock)

    @cached_property
    def queries(self) -> Queries:
        """Listings."""
        return Queries(self.units)

    @cached_property
    def invariants(self) -> Invariants:
        """What must always hold."""
        return Invariants(self.units, self.market_clock)

    @cached_property
    def relay(self) -> OutboxRelay:
        """Sends overdue events."""
        return OutboxRelay(self.units, self.bus, self.clock, self.owner)

    @cached_property
    def schedule(self) -> Schedule:
        """Decides who runs a tick."""
        return Schedule(self.units, self.clock, self.owner)

    @cached_property
    def schedule_watch(self) -> ScheduleWatch:
        """Says when periodic work stops."""
        return ScheduleWatch(self.units, self.clock)

    @cached_property
    def clock_watch(self) -> ClockWatch:
        """Looks after this machine's clock."""
        return ClockWatch(
            self.units,
            self.clock,
            self._skews,
            socket.gethostname()[:64],
            self.timing.reply_deadline_ms,
        )

    def _skews(self) -> dict[str, Skew]:
        with self._lock:
            known = dict(self._venue_clocks)
        found = {exchange: clock.skew() for exchange, clock in known.items()}
        return {exchange: skew for exchange, skew in found.items() if skew is not None}

    def interrupt(self) -> None:
        """End what may run for minutes, so that the process can stop; its rows bring it back."""
        for name in ("runtime", "source_runtime"):
            runtime = self.__dict__.get(name)
            if runtime is not None:
                runtime.interrupt()

    def start_background(self) -> None:
        """Start what runs beside the tasks: marking sent events, twice a second, and watching
        the clock and whether periodic work is done."""
        for name in _SHARED:
            getattr(self, name)

        def mark() -> None:
            turns = 0
            while not self._stopping.wait(_MARK_S):
                self._mark_sent()
                turns += 1
                if turns % _MARKS_PER_LOOK == 0:
                    self._look_around()

        threading.Thread(target=mark, name="outbox-marks", daemon=True).start()

    def _look_around(self) -> None:
        for watch in (self.clock_watch, self.schedule_watch):
            try:
                watch.look()
            except Exception:  # noqa: BLE001 - while the database is down it looks in vain
                _log.warning("not_watched", watch=type(watch).__name__, exc_info=True)

    def _mark_sent(self) -> None:
        try:
            self.publisher.flush(self.units)
        except Exception:  # noqa: BLE001 - the relay sends again what could not be marked
            _log.warning("events_not_marked", exc_info=True)

    def close(self) -> None:
        """Let go of threads, child processes and connections."""
        self._stopping.set()
        # The bus first: what it still sends is marked after it.
        for part in (*(self.__dict__.get(name) for name in _CLOSED), self.queue):
            close = getattr(part, "close", None)
            if close is not None:
                close()
        if "publisher" in self.__dict__ and self.publisher.pending():
            self._mark_sent()
        for name in ("engine", "probe_engine", "bulk_engine"):
            if name in self.__dict__:
                self.__dict__[name].dispose()


def _talib_version() -> str:
    from importlib.metadata import version

    return version("ta-lib")
