"""The live streams of one process. Imported where they are built: ccxt.pro takes seconds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from app.core.exchanges.factory import TRADED
from app.core.exchanges.streaming import market_streams
from app.services.streams.ports import AccountKeys
from app.services.streams.service import StreamParts, StreamService

if TYPE_CHECKING:
    from app.wiring.trading import TradingParts


def build_streams(container: TradingParts) -> StreamService:
    """The stream service over the parts of a container, which may open exchange keys."""

    def keys(account_id: str) -> AccountKeys:
        with container.units.read() as unit:
            account = unit.accounts.get(account_id)
        opened = container.vault.open(account_id, account.sealed_credentials)
        clock = container.venue_clock(account.exchange)
        clock.look()
        offset_ms = clock.now_ms() - container.clock.now_ms()
        return AccountKeys(account.exchange, opened, offset_ms)

    base_url = container.settings.simulator_url or None
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
            venues={exchange: market_streams(exchange, base_url) for exchange in TRADED},
            keys=keys,
            on_prices=container.triggers.watch,
            owner=container.owner,
            uniform=random.SystemRandom().uniform,
        ),
        container.stream_timing,
    )
