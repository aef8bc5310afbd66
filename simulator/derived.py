"""Markets made from other markets: a perpetual and its mark from the spot bars, quiet markets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from app.core.market.intervals import Interval
from simulator import noise
from simulator.bars import Bars, from_columns, made_like
from simulator.instruments import DECIMALS
from simulator.noise import Floats, Ints

_MOST_STRETCHES: Final = 64
# Perpetuals trade about this many times the spot market's volume.
_VOLUME: Final = 2.5
# Turnover has the decimals of a quantity and of a price with two.
_QUOTE_DECIMALS: Final = 2
_MARKS_PER_MINUTE: Final = 60


class Days(Protocol):
    """Markets by the day."""

    def day(self, symbol: str, day: int, /) -> Bars:
        """The finest bars of a day (days since 1970-01-01)."""
        ...


@dataclass(frozen=True, slots=True)
class Above:
    """Bars above others by a premium.

    Args:
        premium: fraction at ascending times.
        step_decimals: decimals of a quantity; None for a price that nobody trades at, which has
            no volume and a count of 60 a minute.
        tick: in units of 10^-8.
    """

    premium: Callable[[Ints], Floats]
    tick: int
    step_decimals: int | None

    def bars(self, below: Bars, finest: Interval) -> Bars:
        """What becomes of bars of the finest interval."""
        before, after = self._factors(below.open_ts, finest)
        tick = self.tick * 10 ** (below.price_decimals - DECIMALS)
        prices = (
            _on_tick(below.open * before, tick),
            _on_tick(below.high * np.maximum(before, after), tick),
            _on_tick(below.low * np.minimum(before, after), tick),
            _on_tick(below.close * after, tick),
        )
        return (
            self._marked(below, prices)
            if self.step_decimals is None
            else self._traded(below, prices, self.step_decimals)
        )

    def _factors(self, opens: Ints, finest: Interval) -> tuple[Floats, Floats]:
        """Price above the price below when each bar opens and when it ends."""
        if len(opens) == 0:
            return np.zeros(0), np.zeros(0)
        if finest.is_month:
            ends = np.array([finest.next(int(ts)) for ts in opens], dtype=np.int64)
        else:
            ends = opens + finest.length_ms
        if (ends[:-1] == opens[1:]).all():
            # Without a gap each end is the next opening; half the work.
            marks = 1.0 + self.premium(np.append(opens, ends[-1]))
            return marks[:-1], marks[1:]
        return 1.0 + self.premium(opens), 1.0 + self.premium(ends)

    @staticmethod
    def _marked(below: Bars, prices: tuple[Ints, ...]) -> Bars:
        nothing = np.zeros(len(below), dtype=np.int64)
        count = np.full(len(below), _MARKS_PER_MINUTE, dtype=np.int64)
        columns = [below.open_ts, *prices, nothing, nothing, count, nothing, nothing]
        return from_columns(columns, price_decimals=below.price_decimals)

    @staticmethod
    def _traded(below: Bars, prices: tuple[Ints, ...], decimals: int) -> Bars:
        amounts = below.volume * (_VOLUME * 10.0 ** (decimals - below.volume_decimals))
        steps = np.where(below.volume > 0, np.maximum(np.floor(amounts), 4), 0).astype(np.int64)
        share = below.taker_volume / np.maximum(below.volume, 1)
        taker = np.floor(steps * share).astype(np.int64)
        quote = min(DECIMALS, decimals + _QUOTE_DECIMALS)
        typical = sum(prices) / 4.0 * 10.0 ** (quote - decimals - below.price_decimals)
        turnover = np.round(steps * typical).astype(np.int64)
        taken = np.round(taker * typical).astype(np.int64)
        return from_columns(
            [below.open_ts, *prices, steps, turnover, below.trades * 2, taker, taken],
            price_decimals=below.price_decimals,
            volume_decimals=decimals,
            quote_decimals=quote,
        )


class DerivedDays:
    """Days of a generated market that follows another one."""

    def __init__(self, source: Days, followed: str, made: Above, finest: Interval) -> None:
        self._source = source
        self._followed = followed
        self._made = made
        self._finest = finest

    def day(self, _: str, day: int, /) -> Bars:
        """See ``Days.day``."""
        return self._made.bars(self._source.day(self._followed, day), self._finest)


class QuietDays:
    """Days of a market with long stretches without trades.

    A quiet bar is flat at the last traded close. Stretches begin after the day's first minute
    and end with the day, so that no day needs the one before it.
    """

    def __init__(self, source: Days, seed: int) -> None:
        self._source = source
        self._seed = seed

    def day(self, symbol: str, day: int) -> Bars:
        """See ``Days.day``."""
        bars = self._source.day(symbol, day)
        quiet = _stretches(noise.key(self._seed, symbol, "quiet", day), len(bars))
        last = np.maximum.accumulate(np.where(quiet, 0, np.arange(len(bars))))
        flat = bars.close[last]
        columns = bars.columns()
        prices = [np.where(quiet, flat, column) for column in bars.prices()]
        rest = [np.where(quiet, 0, column) for column in columns[5:]]
        return made_like(bars, [bars.open_ts, *prices, *rest])


def _stretches(key: int, count: int) -> np.ndarray:
    """Which bars of a day are quiet: 10 to 120 minutes in turn with 1 to 30 lively ones."""
    quiet = np.zeros(count, dtype=np.bool_)
    draws = noise.uniforms(key, np.arange(2 * _MOST_STRETCHES, dtype=np.int64))
    position = 1
    for lively, silent in draws.reshape(-1, 2):
        position += int(30 * lively)
        end = position + 10 + int(111 * silent)
        quiet[position:end] = True
        position = end + 1
        if position >= count:
            break
    return quiet


def _on_tick(prices: Any, tick: int) -> Ints:
    ticks = np.round(prices / tick).astype(np.int64)
    result: Ints = np.maximum(ticks, 1) * tick
    return result
