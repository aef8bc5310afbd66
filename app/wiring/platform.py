"""What every process runs on: the record, what passes between processes, and what runs by time."""

from __future__ import annotations

import os
import random
import secrets
import socket
from functools import cached_property

from sqlalchemy import Engine

from app.adapters.addresses import AddressPool
from app.adapters.clock import SystemClock
from app.adapters.ids import Uuid7
from app.config import Settings
from app.core.exchanges.factory import VENUES
from app.core.ports import Bus, Queue, RequestBudget
from app.repositories.database import open_engine, open_probe
from app.repositories.unit import Units
from app.services.dead_letters import DeadLetterService
from app.services.job_venues import JobVenues
from app.services.jobs import JobService
from app.services.outbox import OutboxPublisher, OutboxRelay
from app.services.queries import Queries
from app.services.schedule import Schedule, ScheduleWatch
from app.services.tokens import TokenService
from app.services.worlds import RecordWorld
from app.wiring.addresses import make_addresses
from app.wiring.bans import Bans
from app.wiring.messaging import LivePrices, make_budget, make_bus, make_dead_letters, make_prices


class PlatformParts:
    """Parts that know nothing of markets, strategies and orders."""

    def __init__(self, settings: Settings, queue: Queue) -> None:
        self.settings = settings
        self.queue = queue
        self.clock = SystemClock()
        self.ids = Uuid7(self.clock, random.SystemRandom().getrandbits)
        # Names one process among many hosts; a restarted one is another owner.
        self.owner = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(3)}"

    # -- record --------------------------------------------------------------------------

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

    @cached_property
    def world(self) -> RecordWorld:
        """Whose market the record holds, asked before any venue is."""
        return RecordWorld(self.units, simulated=bool(self.settings.simulator_url))

    # -- between processes ---------------------------------------------------------------

    @cached_property
    def bus(self) -> Bus:
        """Events."""
        return make_bus(self.settings)

    @cached_property
    def publisher(self) -> OutboxPublisher:
        """Sends events of committed units."""
        return OutboxPublisher(self.bus)

    @cached_property
    def relay(self) -> OutboxRelay:
        """Sends overdue events."""
        return OutboxRelay(self.units, self.bus, self.clock, self.owner)

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

    # -- work, and who asks for it -------------------------------------------------------

    @cached_property
    def schedule(self) -> Schedule:
        """Decides who runs a tick."""
        return Schedule(self.units, self.clock, self.owner)

    @cached_property
    def schedule_watch(self) -> ScheduleWatch:
        """Says when periodic work stops."""
        return ScheduleWatch(self.units, self.clock)

    @cached_property
    def jobs(self) -> JobService:
        """Jobs."""
        keep_days = self.settings.keep_jobs_days
        return JobService(self.units, self.queue, self.clock, self.ids, keep_days=keep_days)

    @cached_property
    def job_venues(self) -> JobVenues:
        """How the venues of jobs stand."""
        return JobVenues(self.budget, self.addresses.all, self.clock)

    @cached_property
    def tokens(self) -> TokenService:
        """API tokens."""
        return TokenService(self.units, self.ids, self.clock)

    @cached_property
    def queries(self) -> Queries:
        """Listings."""
        return Queries(self.units)
