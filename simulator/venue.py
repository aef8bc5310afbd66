"""The venue: markets, clock and exchange, moved through time together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Final

from app.core.errors import NotFound
from simulator.clock import MarketClock, RunningClock, check_steppable, wall_ms
from simulator.exchange import Exchange, FeeSchedule
from simulator.instruments import Status, with_filters
from simulator.market import Market

# Steps between two turns of the event loop, so that a long advance still answers requests.
_STEPS_PER_TURN: Final = 16
_TICK_SECONDS: Final = 0.25


class Maintenance(StrEnum):
    """What a venue under maintenance still does."""

    NONE = "none"
    #: Data are served and orders can be asked for; nothing is taken, cancelled or matched.
    TRADING = "trading"
    #: Nothing is answered and every socket is closed.
    ALL = "all"


class Venue:
    """One simulated venue.

    Attributes:
        seed: of everything random in it.
        on_step: called after each step of the tape with its start and end in market ms, and
            whether time stands still after it.
        has_audience: whether anybody listens to market streams; if nobody does and no order
            rests, time jumps.
        maintenance: what is out of service. The tape goes on meanwhile.
        on_offline: called when everything goes out of service.
    """

    def __init__(
        self, seed: int, markets: Mapping[str, Market], clock: MarketClock, fees: FeeSchedule
    ) -> None:
        self.seed = seed
        self.markets = markets
        self.clock = clock
        self.exchange = Exchange(markets, fees, clock.now, wall_ms)
        self.by_native = {market.spec.native: market for market in markets.values()}
        self.on_step: list[Callable[[int, int, bool], None]] = []
        self.has_audience: Callable[[], bool] = lambda: False
        self.maintenance = Maintenance.NONE
        self.on_offline: list[Callable[[], None]] = []
        self._moving = asyncio.Lock()

    async def advance(self, to_ms: int) -> int:
        """Process the tape up to ``to_ms`` and leave the clock there.

        Raises:
            Conflict: the clock runs by itself.
            InvalidInput: ``to_ms`` lies in the past.
        """
        check_steppable(self.clock)
        async with self._moving:
            if to_ms < self.clock.now():
                self.clock.move_to(to_ms)
            await self._process(to_ms)
            self.exchange.note_time()
        return self.clock.now()

    def maintain(self, mode: Maintenance) -> None:
        """Go into maintenance, or come back."""
        self.maintenance = mode
        self.exchange.is_suspended = mode is not Maintenance.NONE
        if mode is Maintenance.ALL:
            for listener in self.on_offline:
                listener()

    def change_instrument(
        self, symbol: str, filters: Mapping[str, Decimal], status: Status | None
    ) -> Market:
        """Change what orders for an instrument meet; resting ones stay as they are.

        It lasts until the simulator ends.

        Raises:
            NotFound: the venue does not list the symbol.
            InvalidInput: the filters make no sense.
        """
        market = self.markets.get(symbol)
        if market is None:
            raise NotFound(f"symbol {symbol[:30]!r} is not listed")
        market.spec = with_filters(market.spec, filters)
        market.status = status or market.status
        return market

    async def run(self) -> None:
        """Follow the wall for as long as the clock runs; returns at once for a stepped one."""
        clock = self.clock
        while isinstance(clock, RunningClock):
            async with self._moving:
                await self._process(clock.due())
            await asyncio.sleep(_TICK_SECONDS)

    async def _process(self, to_ms: int) -> None:
        begun, steps = self.clock.now(), 0
        while (now := self.clock.now()) < to_ms:
            stop = self._next_stop(now, to_ms)
            self._match(begun, now, stop, is_last=stop == to_ms)
            self.clock.move_to(stop)
            for listener in self.on_step:
                listener(now, stop, stop == to_ms)
            steps += 1
            if steps % _STEPS_PER_TURN == 0:
                await asyncio.sleep(0)

    def _next_stop(self, now: int, to_ms: int) -> int:
        """The next boundary of a bar that matters, or the end."""
        watched = set(self.markets) if self.has_audience() else self.exchange.active_symbols()
        boundaries = [
            finest.next(finest.floor(now))
            for finest in {self.markets[symbol].tape.finest for symbol in watched}
        ]
        return min([to_ms, *boundaries])

    def _match(self, begun: int, start: int, stop: int, *, is_last: bool) -> None:
        """Match resting orders over each bar, or part of a bar, that ends at ``stop``.

        Everything was matched up to ``begun``; a bar longer than the step waits for its end.
        """
        for symbol in sorted(self.exchange.active_symbols()):
            finest = self.markets[symbol].tape.finest
            opened = finest.floor(start)
            if is_last or finest.next(opened) == stop:
                self.exchange.match(symbol, max(opened, begun), stop)
