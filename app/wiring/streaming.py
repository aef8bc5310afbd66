"""The live streams of one process. Imported where they are built: ccxt.pro takes seconds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.core.exchanges.factory import TRADED
from app.core.exchanges.streaming import market_streams
from app.services.streams.ports import AccountKeys, MarketLine, UserLine, VenueStreams
from app.services.streams.service import StreamParts, StreamService
from app.services.worlds import RecordWorld

if TYPE_CHECKING:
    from app.wiring.trading import TradingParts


class OwnWorldStreams:
    """Streams of a venue that are opened only where the record is of this process's world."""

    def __init__(self, world: RecordWorld, inner: VenueStreams) -> None:
        self._world = world
        self._inner = inner

    async def market(self) -> MarketLine:
        """A socket for market feeds.

        Raises:
            WrongWorld: the record holds the market of the other world.
            VenueError: none could be opened.
        """
        await asyncio.to_thread(self._world.require)
        return await self._inner.market()

    async def user(self, credentials: Mapping[str, str], offset_ms: int) -> UserLine:
        """A socket with the user data of one account, which ``keys`` has admitted.

        Raises:
            VenueError: none could be opened, or the keys were refused.
        """
        return await self._inner.user(credentials, offset_ms)


def build_streams(container: TradingParts) -> StreamService:
    """The stream service over the parts of a container, which may open exchange keys."""

    def keys(account_id: str) -> AccountKeys:
        with container.units.read() as unit:
            account = unit.accounts.get(account_id)
        container.world.admit(account)
        opened = container.vault.open(account_id, account.sealed_credentials)
        clock = container.venue_clock(account.exchange)
        clock.look()
        offset_ms = clock.now_ms() - container.clock.now_ms()
        return AccountKeys(account.exchange, opened, offset_ms)

    base_url = container.settings.simulator_url or None
    venues = {
        exchange: OwnWorldStreams(container.world, market_streams(exchange, base_url))
        for exchange in TRADED
    }
    return StreamService(
        StreamParts(
            units=container.units,
            arrivals=container.collection.arrivals,
            queue=container.queue,
            prices=container.prices,
            budget=container.budget,
            clock=container.clock,
            market_clock=container.market_clock,
            ids=container.ids,
            markets=container.market,
            venues=venues,
            account_kinds=container.world.account_kinds,
            keys=keys,
            on_prices=container.triggers.watch,
            owner=container.owner,
            uniform=random.SystemRandom().uniform,
        ),
        container.stream_timing,
    )
