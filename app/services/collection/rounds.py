"""One round over some plans: what was known when it began, and what it did."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from app.core.market.instruments import InstrumentStatus
from app.core.market.intervals import SECOND_MS
from app.core.ports import MarketClock
from app.models import PointSeriesRow
from app.repositories.outlines import Outline, SeriesKey
from app.repositories.unit import Units
from app.services.collection.skipping import Idle
from app.services.collection.target import Target
from app.services.streams.groups import MARKETS, HeldShards

# A bar that a living stream is about to bring is left to it for so long after its close: a
# socket that is dead is found within 15 s, and a round is 10 s. A gap is to be closed within two
# intervals and 30 s, of which this leaves more than half.
_STREAM_GRACE_MS: Final = 25 * SECOND_MS


@dataclass(slots=True)
class Followed:
    """What following one plan, or all of them, did.

    Attributes:
        rows: bars stored or revised.
        points: funding rates and the like, stored or revised.
        jobs: ids of the jobs that now fill what was more than one page.
        errors: series that could not be followed this time, with the reason.
    """

    rows: int = 0
    points: int = 0
    jobs: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Times:
    """Market time of each venue, read once for as long as nobody waits for a venue."""

    clock: MarketClock
    known: dict[str, int] = field(default_factory=dict)

    def now_ms(self, exchange: str) -> int:
        """Market time of a venue, ms.

        Raises:
            Unavailable: it is not known.
        """
        if exchange not in self.known:
            self.known[exchange] = self.clock.now_ms(exchange)
        return self.known[exchange]


@dataclass
class Round:
    """One round over some plans, and what was known when it began.

    Attributes:
        now_ms: wall time of the look.
        marks: ids of plans by the market time up to which all of theirs was asked for.
    """

    units: Units
    times: Times
    outlines: dict[SeriesKey, Outline]
    now_ms: int
    idle: Idle
    trusts_streams: bool
    followed: Followed = field(default_factory=Followed)
    marks: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    points: dict[str, dict[tuple[str, str, str], PointSeriesRow]] = field(default_factory=dict)

    @cached_property
    def shards(self) -> HeldShards:
        """What some process streams; asked for by the first series that depends on it."""
        with self.units.read() as unit:
            return HeldShards(row.name for row in unit.system.leases(MARKETS, unit.now_ms))

    def is_skipped(self, target: Target) -> bool:
        """Whether the symbol does not trade, and nothing is left to be asked for.

        Of a delisted one whose bars are stored, what it traded last; it then says that it ended.
        """
        status = self.idle.get((target.exchange, target.symbol))
        if status is InstrumentStatus.DELISTED:
            return self._outline(target) is None or self.is_over(target)
        return status is not None

    def is_over(self, target: Target) -> bool:
        """Whether the venue was asked after the delisting of the symbol, and gave nothing more."""
        outline = self._outline(target)
        return outline is not None and outline.is_over

    def is_back(self, target: Target) -> bool:
        """Whether the symbol trades again after its delisting."""
        return (target.exchange, target.symbol) not in self.idle and self.is_over(target)

    def is_whole(self, target: Target, end: int) -> bool:
        """Whether nothing before ``end`` is to be asked for."""
        outline = self._outline(target)
        return outline is not None and not outline.lacks(target.since, end, self.now_ms)

    def is_streams(self, target: Target, end: int, market_ts: int) -> bool:
        """Whether a stream that lives brought the bar before, and has time left to bring this.

        What is stored says that the feed itself works: a lease may be held by a process whom the
        venue refuses its sockets. Such a bar is late once, and the next ones are asked for.
        """
        outline = self._outline(target)
        newest = target.interval.floor(end - 1)
        return (
            self.trusts_streams
            and outline is not None
            and market_ts - end < _STREAM_GRACE_MS
            and outline.streamed_ts == target.interval.floor(newest - 1)
            and self.is_whole(target, newest)
            and self.shards.has(target.exchange, target.symbol)
        )

    def points_of(self, exchange: str) -> dict[tuple[str, str, str], PointSeriesRow]:
        """What is beside the bars of a venue, by symbol, kind and interval: read once."""
        if exchange not in self.points:
            with self.units.read() as unit:
                self.points[exchange] = {
                    (row.symbol, row.kind, row.interval): row
                    for row in unit.points.series_of(exchange)
                }
        return self.points[exchange]

    def _outline(self, target: Target) -> Outline | None:
        exchange, symbol, name, kind = target.key
        return self.outlines.get((exchange, symbol, name, kind.value))
