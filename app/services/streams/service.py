"""The streams of one process: what the rows want against what it holds, twice a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from app.core.errors import TidemarkError
from app.core.market.quotes import MarketData
from app.core.ports import Clock, Ids, MarketAdapter, MarketClock, PriceCache, Queue, RequestBudget
from app.repositories.unit import Units
from app.services.collection.arrivals import Arrivals
from app.services.streams.groups import SHARDS
from app.services.streams.klines import KlineWriter
from app.services.streams.leases import Lease, Leases
from app.services.streams.lines import ConnectGate, Tools
from app.services.streams.market import MarketShard
from app.services.streams.ports import Keys, StreamTiming, VenueStreams
from app.services.streams.prices import PriceWriter
from app.services.streams.probing import Probe
from app.services.streams.reports import OrderReports
from app.services.streams.user import UserStream
from app.services.streams.wanted import Wanted, wanted

_log = structlog.get_logger(__name__)
# Most of them wait for the database; its pool has ten connections.
_THREADS: Final = 6


@dataclass(frozen=True, slots=True)
class StreamParts:
    """What the service is made of.

    Attributes:
        arrivals: where bars are stored.
        venues: where sockets are opened, by exchange.
        account_kinds: kinds of accounts that have a user data stream here.
        keys: opens an account's keys.
        on_prices: is told of new prices; blocks.
        owner: name of this process, different after each start.
        uniform: a random number between two bounds.
    """

    units: Units
    arrivals: Arrivals
    queue: Queue
    prices: PriceCache
    budget: RequestBudget
    clock: Clock
    market_clock: MarketClock
    ids: Ids
    markets: Callable[[str], MarketAdapter]
    venues: Mapping[str, VenueStreams]
    account_kinds: frozenset[str]
    keys: Keys
    on_prices: Callable[[Sequence[MarketData]], object]
    owner: str
    uniform: Callable[[float, float], float]


@dataclass(slots=True)
class _Running:
    stream: MarketShard | UserStream
    task: asyncio.Task[None]


class StreamService:
    """Streams this process's part of what is wanted, until told to stop."""

    def __init__(
        self, parts: StreamParts, timing: StreamTiming | None = None, *, shards: int = SHARDS
    ) -> None:
        self._parts = parts
        self._timing = timing or StreamTiming()
        self._shards = shards
        self._running: dict[str, _Running] = {}
        self._leases = Leases(
            parts.units,
            parts.clock,
            parts.owner,
            lease_s=self._timing.lease_s,
            renew_s=self._timing.renew_s,
        )

    @property
    def held(self) -> list[str]:
        """Groups that are streamed by this process, by name."""
        return sorted(self._running)

    async def run(self, stop: asyncio.Event) -> None:
        """Stream until ``stop`` is set; then write what has arrived, and give the leases back."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="streams") as executor:
            tools = self._tools(executor)
            self._klines = KlineWriter(self._parts.arrivals, tools)
            self._prices = PriceWriter(self._parts.prices, tools, self._parts.on_prices)
            self._reports = OrderReports(self._parts.units, self._parts.ids)
            self._probe = Probe(self._parts.markets, self._parts.market_clock)
            writers = [asyncio.create_task(each.run()) for each in (self._klines, self._prices)]
            try:
                while not stop.is_set():
                    await self._look(tools)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), self._timing.look_s)
            finally:
                await self._stop(tools, writers)

    def _tools(self, executor: ThreadPoolExecutor) -> Tools:
        parts = self._parts
        return Tools(
            parts.units,
            parts.queue,
            parts.clock,
            parts.budget,
            ConnectGate(self._timing.connects, parts.clock),
            self._timing,
            executor,
            parts.uniform,
        )

    async def _look(self, tools: Tools) -> None:
        """Bring what runs in line with what is wanted and held."""
        try:
            now_wanted, leases = await tools.blocking(self._ask)
        except Exception as error:  # noqa: BLE001 - the database is away; leases run out by time
            why = error.message if isinstance(error, TidemarkError) else type(error).__name__
            _log.warning("streams_not_compared", why=why)
            self._leases.lapse()
            await self._end(
                [name for name, each in self._running.items() if each.stream.lease.lost]
            )
            return
        stale = [
            name
            for name, each in self._running.items()
            if leases.get(name) is not each.stream.lease or each.task.done()
        ]
        await self._end(stale)
        for name, lease in leases.items():
            if name not in self._running:
                self._start(tools, now_wanted, name, lease)
        for name, (_, feeds) in now_wanted.shards.items():
            running = self._running.get(name)
            if running is not None and isinstance(running.stream, MarketShard):
                running.stream.want(feeds)

    def _ask(self) -> tuple[Wanted, dict[str, Lease]]:
        with self._parts.units.read() as unit:
            found = wanted(
                unit, frozenset(self._parts.venues), self._parts.account_kinds, self._shards
            )
        return found, self._leases.update([*found.shards, *found.accounts])

    def _start(self, tools: Tools, now_wanted: Wanted, name: str, lease: Lease) -> None:
        parts = self._parts
        stream: MarketShard | UserStream
        if name in now_wanted.shards:
            exchange, feeds = now_wanted.shards[name]
            stream = MarketShard(
                exchange,
                lease,
                parts.venues[exchange],
                tools,
                self._klines,
                self._prices,
                self._probe,
            )
            stream.want(feeds)
        else:
            stream = UserStream(
                now_wanted.accounts[name],
                lease,
                dict(parts.venues),
                parts.keys,
                tools,
                self._reports,
            )
        _log.info("stream_started", group=name)
        self._running[name] = _Running(stream, asyncio.create_task(stream.run()))

    async def _end(self, names: Sequence[str]) -> None:
        ended = [self._running.pop(name) for name in names]
        for each in ended:
            each.task.cancel()
        outcomes = await asyncio.gather(*(each.task for each in ended), return_exceptions=True)
        for name, outcome in zip(names, outcomes, strict=True):
            if isinstance(outcome, Exception):
                # It starts again at the next look.
                _log.error("stream_failed", group=name, exc_info=outcome)

    async def _stop(self, tools: Tools, writers: Sequence[asyncio.Task[None]]) -> None:
        try:
            async with asyncio.timeout(self._timing.drain_s):
                users = [
                    e.stream for e in self._running.values() if isinstance(e.stream, UserStream)
                ]
                await asyncio.gather(self._klines.drained(), *(user.drained() for user in users))
        except TimeoutError:
            _log.warning("streams_not_drained")  # REST sweeps find what is lost here
        await self._end(list(self._running))
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        try:
            await tools.blocking(self._leases.release)
        except Exception as error:  # noqa: BLE001 - they run out by themselves
            _log.warning("leases_not_released", why=type(error).__name__)
