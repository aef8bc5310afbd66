"""What the rows ask to be streamed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from app.core.exchanges.streaming_frames import Feed, FeedKind
from app.core.market.klines import KlineKind
from app.repositories.unit import Unit
from app.services.collection.target import kept_by
from app.services.streams.groups import SHARDS, market_group, shard_of

# What bars of other intervals are derived from where they are not collected themselves.
_FINEST: Final = "1m"


@dataclass(slots=True)
class Wanted:
    """Everything that should be streamed now.

    Attributes:
        shards: group name → (exchange, feeds).
        accounts: group name → account id.
    """

    shards: dict[str, tuple[str, frozenset[Feed]]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)


def wanted(
    unit: Unit, venues: frozenset[str], kinds: frozenset[str], shards: int = SHARDS
) -> Wanted:
    """Feeds of enabled plans, running instances and triggers; accounts that may have orders.

    An account that is halted still has orders that may fill; only a disabled one has none.

    Args:
        kinds: of the accounts whose venue can be reached from here.
    """
    feeds = _feeds(unit, venues)
    parted: dict[tuple[str, int], set[Feed]] = defaultdict(set)
    for exchange, feed in feeds:
        parted[exchange, shard_of(feed.symbol, shards)].add(feed)
    return Wanted(
        {
            market_group(exchange, number, shards): (exchange, frozenset(part))
            for (exchange, number), part in sorted(parted.items())
        },
        {
            f"stream:user:{row.id}": row.id
            for row in unit.accounts.all()
            if row.kind in kinds
            and row.status not in ("disabled", "halted")
            and row.exchange in venues
        },
    )


def _feeds(unit: Unit, venues: frozenset[str]) -> set[tuple[str, Feed]]:
    found: set[tuple[str, Feed]] = set()
    kept = {
        (row.exchange, row.symbol, row.interval)
        for row in unit.klines.all_series()
        if row.kind == KlineKind.TRADE
    }
    for plan in unit.plans.enabled():
        planned = kept_by(plan)
        kept |= planned
        found |= {
            (exchange, Feed(FeedKind.KLINE, symbol, name)) for exchange, symbol, name in planned
        }
    for row in unit.instances.running():
        for symbol in row.symbols:
            # Bars that are derived stay so: a series of their own would be preferred to the one
            # that has the past, from its first bar on.
            name = row.interval if (row.exchange, symbol, row.interval) in kept else _FINEST
            if (row.exchange, symbol, name) in kept:
                found.add((row.exchange, Feed(FeedKind.KLINE, symbol, name)))
            found.add((row.exchange, Feed(FeedKind.TICKER, symbol)))
    for trigger in unit.triggers.armed():
        found.add((trigger.exchange, Feed(FeedKind.TICKER, trigger.symbol)))
    found |= {(exchange, Feed(FeedKind.TICKER, feed.symbol)) for exchange, feed in found}
    return {(exchange, feed) for exchange, feed in found if exchange in venues}
