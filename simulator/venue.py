"""The venue: markets, clock and exchange, moved through time together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import chain
from typing import Final

from app.core.errors import InvalidInput, NotFound
from simulator.clock import MarketClock, RunningClock, check_steppable, wall_ms
from simulator.exchange import Exchange
from simulator.fees import FeeSchedule
from simulator.instruments import Status, with_filters
from simulator.listings import BINANCE, Listing
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


@dataclass(frozen=True, slots=True)
class Change:
    """What a venue changes about an instrument.

    Attributes:
        filters: what orders meet from now on, by name.
        status: whether it trades, from ``from_ms`` on (None: from now on). Resting orders are
            matched, or not, by the bar: by its status when the bar opens.
        listed_ms: from when on the venue knows it, with no bar before that.
        delisted_ms: from when on it is off the list, with no bar after that.
    """

    filters: Mapping[str, Decimal] = field(default_factory=dict)
    status: Status | None = None
    from_ms: int | None = None
    listed_ms: int | None = None
    delisted_ms: int | None = None


class Venue:
    """One simulated venue, and the public markets of others beside it.

    Attributes:
        seed: of everything random in it.
        markets: what can be traded, by symbol; Binance spot's.
        listings: what the other venues list, by the venue's name.
        on_step: called after each step of the tape with its start and end in market ms, and
            whether time stands still after it.
        audiences: each says whether anybody listens to its streams; if nobody does and no order
            rests, time jumps.
        maintenance: what is out of service. The tape goes on meanwhile.
        on_offline: called when everything goes out of service.
    """

    def __init__(
        self,
        seed: int,
        markets: Mapping[str, Market],
        clock: MarketClock,
        fees: FeeSchedule,
        listings: Iterable[Listing] = (),
    ) -> None:
        self.seed = seed
        self.markets = markets
        self.listings = {listing.venue: listing for listing in listings}
        self.clock = clock
        self.exchange = Exchange(markets, fees, clock.now, wall_ms)
        self.by_native = {market.spec.native: market for market in markets.values()}
        self.on_step: list[Callable[[int, int, bool], None]] = []
        self.audiences: list[Callable[[], bool]] = []
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

    def change_instrument(self, symbol: str, change: Change, venue: str = BINANCE) -> Market:
        """Change what orders for an instrument meet; resting ones stay as they are.

        It lasts until the simulator ends.

        Raises:
            NotFound: there is no such venue, or it does not list the symbol.
            InvalidInput: the filters or times make no sense.
        """
        market = self.listed(symbol, venue)
        if change.from_ms is not None and change.status is None:
            raise InvalidInput("from_ms says from when on a status holds; give the status too")
        self._check_span(market, change)
        market.spec = with_filters(market.spec, change.filters)
        if change.status is not None:
            now = self.clock.now()
            market.set_status(change.status, now if change.from_ms is None else change.from_ms)
        if change.listed_ms is not None or change.delisted_ms is not None:
            mark = None if venue == BINANCE else self.listings[venue].mark(symbol)
            for each in (market, mark):
                if each is not None:
                    each.list_between(change.listed_ms, change.delisted_ms)
        return market

    def listed(self, symbol: str, venue: str = BINANCE) -> Market:
        """The market of a symbol at a venue.

        Raises:
            NotFound: there is no such venue, or it does not list the symbol.
        """
        if venue != BINANCE and venue not in self.listings:
            known = ", ".join((BINANCE, *self.listings))
            raise NotFound(f"venue {venue[:30]!r} is not simulated; simulated are {known}")
        found = (
            self.markets.get(symbol) if venue == BINANCE else self.listings[venue].market(symbol)
        )
        if found is None:
            raise NotFound(f"symbol {symbol[:30]!r} is not listed at {venue}")
        return found

    @staticmethod
    def _check_span(market: Market, change: Change) -> None:
        listed = market.tape.first_ts if change.listed_ms is None else change.listed_ms
        delisted = market.delisted_ms if change.delisted_ms is None else change.delisted_ms
        if delisted is not None and delisted <= listed:
            raise InvalidInput(f"delisted_ms was {delisted}; it must be after the listing {listed}")

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
        active = [self.markets[symbol] for symbol in self.exchange.active_symbols()]
        watched = self._all_markets() if any(is_there() for is_there in self.audiences) else active
        boundaries = {finest.next(finest.floor(now)) for finest in {m.tape.finest for m in watched}}
        return min([to_ms, *boundaries])

    def _all_markets(self) -> list[Market]:
        others = (listing.markets() for listing in self.listings.values())
        return [*self.markets.values(), *chain.from_iterable(others)]

    def _match(self, begun: int, start: int, stop: int, *, is_last: bool) -> None:
        """Match resting orders over each bar, or part of a bar, that ends at ``stop``.

        Everything was matched up to ``begun``; a bar longer than the step waits for its end.
        """
        for symbol in sorted(self.exchange.active_symbols()):
            finest = self.markets[symbol].tape.finest
            opened = finest.floor(start)
            if is_last or finest.next(opened) == stop:
                self.exchange.match(symbol, max(opened, begun), stop)
