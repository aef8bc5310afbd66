"""One shard of a market: its feeds over one socket, watched feed by feed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

import structlog

from app.core.errors import TidemarkError
from app.core.exchanges.errors import BadVenueAnswer
from app.core.exchanges.streaming import StreamClosed
from app.core.exchanges.streaming_frames import Feed, FeedKind, MarketFrame, StreamedKline
from app.services.collection.arrivals import ArrivedKline
from app.services.streams.klines import KlineWriter
from app.services.streams.leases import Lease
from app.services.streams.lines import Tools, keep_open, race
from app.services.streams.ports import MarketLine, VenueStreams
from app.services.streams.prices import PriceWriter
from app.services.streams.probing import Print, Probe, print_of

_log = structlog.get_logger(__name__)
# Silent feeds looked at in one round; each costs a request of weight 2 to 4.
_PROBES: Final = 5
# A feed that fell silent so often on one socket takes the socket with it.
_STRIKES: Final = 2


class MarketShard:
    """Streams one shard while its lease holds.

    Args:
        exchange: venue id.
    """

    def __init__(
        self,
        exchange: str,
        lease: Lease,
        streams: VenueStreams,
        tools: Tools,
        klines: KlineWriter,
        prices: PriceWriter,
        probe: Probe,
    ) -> None:
        self.lease = lease
        self._exchange = exchange
        self._streams = streams
        self._tools = tools
        self._klines = klines
        self._prices = prices
        self._probe = probe
        self._wanted: frozenset[Feed] = frozenset()
        self._changed = asyncio.Event()
        self._held: set[Feed] = set()
        # Subscribed but not confirmed: what they missed is asked for by REST once they are.
        self._fresh: set[Feed] = set()
        # When each feed last spoke, or was last found to have nothing to say.
        self._heard: dict[Feed, float] = {}
        self._spoke_at: float | None = None
        self._prints: dict[Feed, Print | None] = {}
        self._strikes: Counter[Feed] = Counter()

    def want(self, feeds: frozenset[Feed]) -> None:
        """Stream these feeds from now on."""
        if feeds != self._wanted:
            self._wanted = feeds
            self._changed.set()

    async def run(self) -> None:
        """Stream until cancelled, or until the lease has run out."""
        await keep_open(
            self._tools,
            self.lease,
            self._exchange,
            self._streams.market,
            self._serve,
            self._failed,
        )

    async def _serve(self, line: MarketLine) -> None:
        self._held, self._fresh = set(), set()
        self._heard, self._prints = {}, {}
        self._spoke_at = None
        self._strikes.clear()
        self._changed.set()
        try:
            await race(self._read(line), self._adjust(line), self._watch(line))
        finally:
            self._held = set()

    @property
    def is_streaming(self) -> bool:
        """Whether the venue has confirmed every feed that is wanted."""
        return bool(self._held) and self._held == self._wanted and not self._fresh

    async def _failed(self, error: TidemarkError) -> None:
        """Nothing to tell: the sweeps collect by REST meanwhile, and prices go stale."""

    # -- reading ------------------------------------------------------------------------

    async def _read(self, line: MarketLine) -> None:
        while True:
            try:
                frame = await line.receive()
            except BadVenueAnswer as error:
                # Whatever it was to say, REST will say it.
                _log.warning("stream_frame_refused", group=self.lease.name, why=error.message)
                self._catch_up(self._held)
                continue
            if not self.lease.is_valid(self._tools.now()):
                return
            if frame is not None:
                self._take(frame)
            elif not line.unanswered and self._fresh:
                self._catch_up(self._fresh)
                self._fresh = set()

    def _take(self, frame: MarketFrame) -> None:
        feed = frame.feed
        self._heard[feed] = self._spoke_at = self._tools.now()
        said = print_of(frame)
        if said is not None:
            self._prints[feed] = said
        if not isinstance(frame, StreamedKline):
            self._prices.put(frame.price, self.lease)
        elif frame.is_closed:
            bar = ArrivedKline(
                self._exchange, feed.symbol, feed.interval, frame.row, frame.event_ts
            )
            self._klines.put(bar, self.lease)

    def _catch_up(self, feeds: set[Feed]) -> None:
        series = {
            (self._exchange, feed.symbol, feed.interval)
            for feed in feeds
            if feed.kind is FeedKind.KLINE
        }
        self._klines.catch_up(series)

    # -- subscribing --------------------------------------------------------------------

    async def _adjust(self, line: MarketLine) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            more, less = set(self._wanted) - self._held, self._held - self._wanted
            now = self._tools.now()
            if less:
                self._held -= less
                for feed in less:
                    self._heard.pop(feed, None)
                await line.unsubscribe(less)
            if more:
                self._held |= more
                self._fresh |= more
                self._heard |= dict.fromkeys(more, now)
                await line.subscribe(more)

    # -- watching -----------------------------------------------------------------------

    async def _watch(self, line: MarketLine) -> None:
        """Judge by what arrives, not by pings, which a socket without data answers as well.

        Raises:
            StreamClosed: the socket is dead.
        """
        silence = self._tools.timing.silence_s
        unconfirmed_since: float | None = None
        while True:
            await asyncio.sleep(silence / 4)
            now = self._tools.now()
            if not line.unanswered:
                unconfirmed_since = None
            elif unconfirmed_since is None:
                unconfirmed_since = now
            elif now - unconfirmed_since > silence:
                raise StreamClosed(self._exchange, "a subscription was not confirmed")
            silent = sorted(
                (feed for feed, heard in self._heard.items() if now - heard >= silence),
                key=lambda feed: self._heard[feed],
            )
            for feed in silent[:_PROBES]:
                await self._examine(line, feed)

    async def _examine(self, line: MarketLine, feed: Feed) -> None:
        heard = self._heard.get(feed)
        try:
            stated = await self._tools.blocking(self._probe.look, self._exchange, feed)
        except TidemarkError as error:
            _log.warning("stream_not_probed", group=self.lease.name, why=error.message)
            return  # a venue that does not answer proves nothing; the next round asks again
        if self._heard.get(feed) != heard:
            return  # it has spoken meanwhile, or is no longer wanted
        if feed not in self._prints or self._prints[feed] == stated:
            # Quiet, as far as can be known; a feed that never spoke is measured from here.
            self._prints[feed] = stated
            self._heard[feed] = self._tools.now()
            return
        # What REST shows may still be on its way.
        await asyncio.sleep(self._tools.timing.silence_s / 8)
        if self._heard.get(feed) == heard:
            await self._revive(line, feed)

    async def _revive(self, line: MarketLine, feed: Feed) -> None:
        """Subscribe a dead feed anew; the second time, or if all are silent, open a new socket.

        Raises:
            StreamClosed: a new socket is due.
        """
        now, silence = self._tools.now(), self._tools.timing.silence_s
        self._strikes[feed] += 1
        alone = self._spoke_at is not None and now - self._spoke_at < silence
        _log.warning("stream_silent", group=self.lease.name, feed=str(feed), alone=alone)
        if not alone or self._strikes[feed] >= _STRIKES:
            raise StreamClosed(self._exchange, f"{feed.symbol} {feed.kind} fell silent")
        self._heard[feed] = now
        self._prints.pop(feed, None)
        self._fresh.add(feed)
        await line.unsubscribe([feed])
        await line.subscribe([feed])
