"""What a venue can be asked for, as its adapter declares it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.core.market.klines import KlineKind


class QuietBars(StrEnum):
    """How a venue states an interval in which nothing was traded.

    Both are right. What differs is whether an expected bar that does not come is a gap.
    """

    FILLED = "filled"  # a flat bar without volume
    OMITTED = "omitted"  # no bar at all
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MarketFeatures:
    """What one venue has and how it gives it.

    Attributes:
        intervals: kline intervals of its own, by name.
        kinds: kinds of klines.
        page: most bars in one answer, for each kind.
        quiet_bars: what it does about intervals without trades.
        has_funding, has_open_interest: whether it has these histories.
        interest_intervals: how far apart observations of open interest may be, by name; empty
            where nothing is known of it.
        latest_bars: how many of the latest bars of an interval it gives alone, whatever start is
            asked for; None where it gives all that it has, or nothing is known of it.
        lacks: a sentence for each thing that Tidemark collects elsewhere and cannot here.
    """

    intervals: frozenset[str]
    page: int
    kinds: frozenset[KlineKind] = frozenset({KlineKind.TRADE})
    quiet_bars: QuietBars = QuietBars.UNKNOWN
    has_funding: bool = False
    has_open_interest: bool = False
    interest_intervals: tuple[str, ...] = ()
    latest_bars: int | None = None
    lacks: tuple[str, ...] = ()
