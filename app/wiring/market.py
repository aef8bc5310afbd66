"""Market data: venues and their clocks, history in and out, and what is kept of it."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from app.adapters.market_clock import SimulatorTime, VenueClocks, VenueTime, WallTime
from app.adapters.simulator import SimulatorControl
from app.adapters.venue_clock import MeasuredClock
from app.config import Settings
from app.core.exchanges.factory import VENUES, market_adapter
from app.core.ports import MarketAdapter, Queue, Skew
from app.repositories.kline_store import KlineStore
from app.repositories.partitions import KlinePartitions
from app.repositories.segments import SegmentFiles
from app.services.catalogue import CatalogueRefresher
from app.services.collection import CollectionService
from app.services.collection.rolling import RollUps
from app.services.exporting import Exporter
from app.services.horizon import Horizons
from app.services.importing import ImportJobs
from app.services.kline_pages import KlinePages
from app.services.market_data import MarketDataService
from app.services.partitioning import PartitioningService
from app.services.quality import QualityService
from app.services.retention import RetentionService
from app.services.sources import SourceCatalogue, SourceRunner
from app.wiring.platform import PlatformParts

if TYPE_CHECKING:
    from app.adapters.source_runtime import HostedSources


class MarketParts(PlatformParts):
    """Parts that bring market data in, keep them and give them out."""

    def __init__(self, settings: Settings, queue: Queue) -> None:
        super().__init__(settings, queue)
        self._markets: dict[str, MarketAdapter] = {}
        self._venue_clocks: dict[str, MeasuredClock] = {}
        self._lock = threading.Lock()

    # -- venues --------------------------------------------------------------------------

    @cached_property
    def simulator(self) -> SimulatorControl:
        """The simulated exchange's control."""
        return SimulatorControl(self.settings.simulator_url)

    def market(self, exchange: str) -> MarketAdapter:
        """Public data of a venue.

        Raises:
            UnknownName: there is no adapter for it.
            WrongWorld: the record holds the market of the other world.
        """
        self.world.require()
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

    def _skews(self) -> dict[str, Skew]:
        with self._lock:
            known = dict(self._venue_clocks)
        found = {exchange: clock.skew() for exchange, clock in known.items()}
        return {exchange: skew for exchange, skew in found.items() if skew is not None}

    @cached_property
    def catalogue_refresher(self) -> CatalogueRefresher:
        """Keeps the venues' catalogues up to date."""
        return CatalogueRefresher(self.units, self.market, self.ids, self.clock, self.owner)

    # -- stored klines -------------------------------------------------------------------

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

    # -- history in and out --------------------------------------------------------------

    @cached_property
    def collection(self) -> CollectionService:
        """Plans and their jobs."""
        return CollectionService(
            self.bulk_units,
            self.market,
            self.market_clock,
            self.ids,
            self.clock,
            grace_ms=self._grace_ms(),
        )

    @cached_property
    def quality(self) -> QualityService:
        """How complete and how right stored klines are."""
        return QualityService(self.units, Horizons(self.units, self.market_clock, self._grace_ms()))

    def _grace_ms(self) -> dict[str, int]:
        """By venue, how long after its close a bar is final; the simulator's bars are at once."""
        return dict.fromkeys(VENUES, 0) if self.settings.simulator_url else {}

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
    def exporting(self) -> Exporter:
        """Market history into files."""
        return Exporter(self.units)

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
