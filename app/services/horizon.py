"""Where the bars of a series are expected to begin and to end.

What is known of a series begins with the first bar that came and ends with the last one. What
never came lies outside of that: the days before the first bar that a plan wants, and those since
its workers went down. So the plans say where a series begins, and the venue's market time where
it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.core.errors import Unavailable, UnknownName
from app.core.exchanges.errors import VenueError
from app.core.market.expected import Range
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineKind
from app.core.market.retention import KeepRule
from app.core.ports import MarketClock
from app.repositories.unit import Units
from app.services.collection.target import GRACE_MS, Target, closed_end, keeps, kept, target

#: Exchange, symbol, interval, kind.
SeriesName = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where the bars of a series are expected.

    Attributes:
        start: open time of the first bar that a plan wants and retention keeps, ms; None where
            no plan wants any, or where retention goes by a market time that is not known.
        end: end of the bars that are final by the venue's market time, ms; None where no plan
            keeps the series or that time is not known.
        is_kept: whether an enabled plan keeps the series.
        unknown: why the market time is not known; "" where it is, or is not needed.
    """

    start: int | None = None
    end: int | None = None
    is_kept: bool = False
    unknown: str = ""

    def planned(self, known_to: int) -> Range | None:
        """The bars that a plan wants and that are final, [start, end), which may be none yet; None
        where no plan wants any.

        Args:
            known_to: where the last known bar ends: so far is counted where the market time is
                not known.
        """
        end = known_to if self.end is None else self.end
        return None if self.start is None else (self.start, max(self.start, end))


class Horizons:
    """Looks up where series are expected; changes nothing.

    Args:
        grace_ms: by venue, how long after its close a bar is final; 3,000 where not listed.
    """

    def __init__(
        self, units: Units, market_clock: MarketClock, grace_ms: Mapping[str, int] | None = None
    ) -> None:
        self._units = units
        self._market_clock = market_clock
        self._grace_ms = grace_ms or {}

    def of(self, exchange: str, symbol: str, interval: str, kind: str) -> Horizon:
        """Where the bars of a series are expected. Asks the venue's clock: open no transaction.

        Raises:
            UnknownName: no such interval.
        """
        length = interval_of(interval)
        names = (exchange, symbol, length.name, kind)
        with self._units.read() as unit:
            plans = [plan for plan in unit.plans.enabled() if keeps(plan, *names)]
            rules = unit.retention.rules() if plans else []
        wanted = [target(exchange, symbol, length.name, plan.since_ts, kind) for plan in plans]
        if not wanted:
            return Horizon()
        market_ms, unknown = market_time(self._market_clock, exchange)
        if market_ms is None:
            since = None if rules else min(each.since for each in wanted)
            return Horizon(since, None, is_kept=True, unknown=unknown)
        end = closed_end(length, market_ms, self._grace_ms.get(exchange, GRACE_MS))
        return Horizon(_since(wanted, rules, market_ms), end, is_kept=True)

    def names(self, exchange: str | None = None) -> list[SeriesName]:
        """Every series that is stored or that an enabled plan keeps, ascending."""
        with self._units.read() as unit:
            rows, plans = unit.klines.all_series(exchange), unit.plans.enabled()
        kinds = set(KlineKind)
        found = {
            (row.exchange, row.symbol, row.interval, row.kind) for row in rows if row.kind in kinds
        }
        for plan in plans:
            if exchange in (None, plan.exchange):
                found |= {
                    (plan.exchange, symbol, name, plan.kind)
                    for symbol in plan.symbols
                    for name in plan.intervals
                }
        return sorted(found, key=lambda name: (*name[:2], interval_of(name[2]).length_ms, name[3]))


def market_time(market_clock: MarketClock, exchange: str) -> tuple[int | None, str]:
    """A venue's market time for an account of the record, ms; None, and why it is not known."""
    try:
        return market_clock.now_ms(exchange), ""
    except (Unavailable, UnknownName, VenueError) as error:
        return None, error.message


def _since(wanted: Sequence[Target], rules: Sequence[KeepRule], market_ms: int) -> int:
    return min(kept(each, rules, market_ms).since for each in wanted)
