"""The public trades inside a bar: as many as the bar says, adding up to its volume."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from simulator import noise
from simulator.bars import Bar
from simulator.market import Market
from simulator.noise import Ints

# Trade ids are (minute of the bar) × 100,000 + position: unique and ascending, with holes.
_IDS_PER_BAR: Final = 100_000
_SLOT_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """One trade of the tape.

    Attributes:
        buyer_is_maker: whether the aggressor sold.
    """

    id: int
    time: int
    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool


def trades_between(market: Market, start: int, end: int) -> list[PublicTrade]:
    """Trades in [start, end), oldest first."""
    finest = market.tape.finest
    found: list[PublicTrade] = []
    opened = finest.floor(start)
    while opened < end:
        found += [t for t in bar_trades(market, opened) if start <= t.time < end]
        opened = finest.next(opened)
    return found


def latest_trades(market: Market, now: int, limit: int) -> list[PublicTrade]:
    """The last trades before ``now``, oldest first; none older than a day's worth of bars."""
    finest = market.tape.finest
    found: list[PublicTrade] = []
    opened = finest.floor(now)
    for _ in range(1440):
        found = [t for t in bar_trades(market, opened) if t.time < now] + found
        if len(found) >= limit or opened <= market.tape.first_ts:
            break
        opened -= finest.length_ms
    return found[-limit:]


def trades_from(market: Market, from_id: int, now: int, limit: int) -> list[PublicTrade]:
    """Trades from an id on, oldest first."""
    finest = market.tape.finest
    opened = max(finest.floor(from_id // _IDS_PER_BAR * _SLOT_MS), market.tape.first_ts)
    found: list[PublicTrade] = []
    while len(found) < limit and opened < now:
        found += [t for t in bar_trades(market, opened) if t.id >= from_id and t.time < now]
        opened = finest.next(opened)
    return found[:limit]


def bar_trades(market: Market, opened: int) -> list[PublicTrade]:
    """Every trade of the finest bar that opens at ``opened``; empty in a gap."""
    found = market.tape.bar_at(opened)
    if found is None:
        return []
    bars, bar = found
    step = max(1, int(market.spec.step.scaleb(bars.volume_decimals)))
    # A replayed volume may be no multiple of the step; the last trade carries the rest.
    steps, rest = divmod(bar.volume, step)
    count = min(max(bar.trades, 4), steps, _IDS_PER_BAR)
    if count == 0:
        return []
    key = noise.key(market.spec.symbol, "trades", opened)
    times = _times(market, bar, key, count)
    sizes = _sizes(key, steps, count) * step
    sizes[-1] += rest
    sells = noise.uniforms(key ^ 3, np.arange(count, dtype=np.int64)) < 0.5
    first_id = opened // _SLOT_MS * _IDS_PER_BAR
    return [
        PublicTrade(
            id=first_id + index,
            time=int(time),
            price=bars.price(market.price_units(bars, bar, int(time))),
            quantity=Decimal(int(size)).scaleb(-bars.volume_decimals),
            buyer_is_maker=bool(sells[index]),
        )
        for index, (time, size) in enumerate(zip(times, sizes, strict=True))
    ]


def _times(market: Market, bar: Bar, key: int, count: int) -> Ints:
    """When they happen: at the bar's open, its turning points and its end, and in between."""
    length = market.tape.finest.length_ms
    spread = noise.uniforms(key ^ 1, np.arange(count, dtype=np.int64)) * (length - 1)
    times = bar.open_ts + spread.astype(np.int64)
    turning = np.array(market.turning_points(bar), dtype=np.int64)
    shown = min(count, len(turning))
    times[:shown] = turning[:shown]
    result: Ints = np.sort(times)
    return result


def _sizes(key: int, steps: int, count: int) -> Ints:
    """Whole steps that add up exactly, each at least one."""
    weights = np.exp(noise.normals(key ^ 2, np.arange(count, dtype=np.int64)))
    marks = np.floor(np.cumsum(weights) / weights.sum() * (steps - count)).astype(np.int64)
    marks[-1] = steps - count
    result: Ints = np.diff(marks, prepend=0) + 1
    return result
