"""Funding rates and open interest: followed beside the bars of a plan, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from app.core.errors import InvalidInput
from app.core.events import body, topic
from app.core.market.features import MarketFeatures
from app.core.market.intervals import MINUTE_MS
from app.core.market.intervals import interval as interval_of
from app.core.ports import Clock, MarketAdapter, MarketClock
from app.repositories.points import Point
from app.repositories.unit import Unit, Units
from app.services.collection.filling import Markets

# A page of the venue that gives the fewest; others answer a thousand.
_PAGE: Final = 200
# Payments are hours apart, and not all venues say how many: looked at so often, the next one is
# known within ten minutes of its time.
_FUNDING_PAUSE_MS: Final = 10 * MINUTE_MS


class PointKind(StrEnum):
    """What the points of a history are."""

    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"


@dataclass(frozen=True, slots=True)
class Extra:
    """A history that a plan follows beside its bars.

    Attributes:
        interval: of observations; empty for funding, whose times the venue chooses.
    """

    kind: PointKind
    interval: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        """From ``funding`` or ``open_interest:1h``.

        Raises:
            InvalidInput: it is neither.
            UnknownName: no such interval.
        """
        kind, _, name = text.partition(":")
        if kind == PointKind.FUNDING and not name:
            return cls(PointKind.FUNDING)
        if kind == PointKind.OPEN_INTEREST and name:
            return cls(PointKind.OPEN_INTEREST, interval_of(name).name)
        raise InvalidInput(
            f"{text[:40]!r} is no history beside the bars; use funding, or open_interest:1h"
        )

    def __str__(self) -> str:
        return f"{self.kind}:{self.interval}" if self.interval else self.kind.value

    @property
    def pause_ms(self) -> int:
        """How long nothing new is to be expected after the last look."""
        return interval_of(self.interval).length_ms if self.interval else _FUNDING_PAUSE_MS

    def check(self, features: MarketFeatures, exchange: str) -> None:
        """Nothing, where the venue has it.

        Raises:
            InvalidInput: it has not.
        """
        has = {
            PointKind.FUNDING: features.has_funding,
            PointKind.OPEN_INTEREST: features.has_open_interest,
        }
        if not has[self.kind]:
            raise InvalidInput(f"{exchange} has no history of {self.kind.replace('_', ' ')}")


class PointCollector:
    """Brings histories up to the present. Safe for threads and for other processes beside it."""

    def __init__(
        self, units: Units, markets: Markets, market_clock: MarketClock, clock: Clock
    ) -> None:
        self._units = units
        self._markets = markets
        self._market_clock = market_clock
        self._clock = clock

    def follow(self, exchange: str, symbol: str, extra: Extra, since: int) -> int:
        """Ask for the next page, if one is due; how many points were new or changed.

        A long history comes page by page, with every call that follows a full one.

        Raises:
            VenueError: the venue could not be asked.
            Unavailable: its market time is not known.
        """
        start = self._due(exchange, symbol, extra, since)
        now = self._market_clock.now_ms(exchange)
        if start is None or start >= now:
            return 0
        points = _asked(self._markets(exchange), symbol, extra, start, now)

        def work(unit: Unit) -> int:
            return self._keep(unit, exchange, symbol, extra, points)

        return self._units.run(work)

    def _due(self, exchange: str, symbol: str, extra: Extra, since: int) -> int | None:
        """Where the next page begins, or None while nothing new is to be expected."""
        with self._units.read() as unit:
            known = unit.points.find_series(exchange, symbol, extra.kind, extra.interval)
        if known is None:
            return since
        waited = abs(self._clock.now_ms() - known.asked_at)
        return max(known.next_ts, since) if waited >= extra.pause_ms else None

    def _keep(
        self, unit: Unit, exchange: str, symbol: str, extra: Extra, points: Sequence[Point]
    ) -> int:
        names = (exchange, symbol, extra.kind.value, extra.interval)
        series = unit.points.lock_series(unit.points.series(*names, unit.now_ms).id)
        stored = unit.points.store(series.id, points, f"rest:{exchange}", unit.now_ms)
        if points:
            series.next_ts = max(series.next_ts, points[-1].ts + 1)
        # Behind a full page there is more: it is asked for with the next call.
        series.asked_at = 0 if len(points) >= _PAGE else unit.now_ms
        if stored:
            tell_points(unit, exchange, symbol, extra, points, stored)
        return stored


def tell_points(
    unit: Unit, exchange: str, symbol: str, extra: Extra, points: Sequence[Point], stored: int
) -> None:
    """Report that of these points, which ascend, so many were new or changed."""
    tell_series(unit, exchange, symbol, extra.kind.value, extra.interval, points, stored)


def tell_series(
    unit: Unit,
    exchange: str,
    symbol: str,
    kind: str,
    interval: str,
    points: Sequence[Point],
    stored: int,
) -> None:
    """As ``tell_points``, of any series; one that is about no symbol has ``-`` in its topic."""
    unit.emit(
        topic("market", kind, exchange, symbol or "-"),
        body(
            "points.v1",
            kind=kind,
            exchange=exchange,
            symbol=symbol,
            interval=interval,
            first=points[0].ts,
            last=points[-1].ts,
            count=stored,
        ),
    )


def _asked(market: MarketAdapter, symbol: str, extra: Extra, start: int, end: int) -> list[Point]:
    if extra.kind is PointKind.FUNDING:
        rates = market.funding_rates(symbol, start, end, _PAGE)
        return [Point(rate.ts, rate.rate, rate.mark_price) for rate in rates]
    found = market.open_interest(symbol, extra.interval, start, end, _PAGE)
    return [Point(each.ts, each.quantity, each.value) for each in found]
