"""What a collection plan may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.core.errors import InvalidInput
from app.core.market.features import MarketFeatures
from app.core.market.intervals import interval
from app.services.collection.points import Extra
from app.services.collection.unnamed import NAME_LIMIT

#: Longer bars, and those with months in them, are derived from stored 1d bars; no plan has them.
DERIVED: Final = frozenset({"3d", "1w", "1M"})
#: Series of one plan at most.
SERIES_LIMIT: Final = 5_000


def check(name: str, symbols: Sequence[str], intervals: Sequence[str], since_ms: int) -> None:
    """Refuse a plan that cannot be at any venue.

    Raises:
        InvalidInput: its name, its start, no or too many series, or an interval that is derived.
        UnknownName: no such interval.
    """
    if not 0 < len(name) <= NAME_LIMIT or not name.isprintable():
        raise InvalidInput(f"a plan's name has 1 to {NAME_LIMIT} printable characters")
    if not symbols or not intervals:
        raise InvalidInput("a plan needs at least one symbol and one interval")
    if len(symbols) * len(intervals) > SERIES_LIMIT:
        raise InvalidInput(f"a plan has at most {SERIES_LIMIT} series; make several plans")
    check_start(since_ms)
    for entry in intervals:
        if interval(entry).name in DERIVED:
            raise InvalidInput(f"{entry} is derived from stored 1d bars; collect 1d instead")


def check_start(since_ms: int) -> None:
    """Refuse a start that lies before every market.

    Raises:
        InvalidInput: it is before 1970.
    """
    if since_ms < 0:
        raise InvalidInput("a plan cannot begin before 1970")


def check_venue(
    features: MarketFeatures,
    exchange: str,
    intervals: Sequence[str],
    kind: str,
    extras: Sequence[str],
) -> None:
    """Refuse what a venue does not offer.

    Raises:
        InvalidInput: a kind, an interval, or what is followed beside the bars.
    """
    for text in extras:
        Extra.of(text).check(features, exchange)
    if kind not in features.kinds:
        has = ", ".join(sorted(features.kinds))
        raise InvalidInput(f"{exchange} has no {kind[:20]} klines; it has {has}")
    lacking = [name for name in intervals if name not in features.intervals]
    if lacking:
        raise InvalidInput(
            f"{exchange} has no klines of {', '.join(lacking)}; collect a shorter interval, "
            "from which they derive"
        )
