"""The price process: one day of one symbol as a function of (seed, symbol, day).

Daily log prices are a sum of tents, one per dyadic interval of days, with hashed normal
heights (Lévy's construction of Brownian motion), so the price of any day costs a dozen
hashes and needs no other day. Between two midnights the minutes are a random walk pinned to
both ends, with volatility that clusters over days and minutes, a daily profile, and jumps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.core.market.intervals import DAY_MS, MINUTE_MS
from simulator import noise
from simulator.bars import Bars
from simulator.instruments import UNITS, Spec
from simulator.noise import Floats, Ints

MINUTES: Final = 1440
REFERENCE_DAY: Final = 20_454  # 2026-01-01
# The coarsest of the tents spans 8,192 days: 2014-11-09 to 2037-04-14.
_LEVEL: Final[Ints] = np.arange(1, 14, dtype=np.int64)[:, None]
_LENGTH: Final[Floats] = (1 << _LEVEL).astype(np.float64)
_SHORT: Final = 5  # tents of up to 32 days feel the turbulence
_TURBULENCE_BITS: Final[Ints] = np.array([2, 4, 6], dtype=np.int64)
_MINUTE: Final[Ints] = np.arange(MINUTES, dtype=np.int64)
_COMMON: Final = "common factor"
_JUMP_CHANCE: Final = 0.25  # of a jump in a day
_MIDNIGHTS: Final = 65_536  # kept at once; 180 years of one symbol


def _hump(hours: Floats, centre: float, width: float) -> Floats:
    distance = np.abs(hours - centre)
    distance = np.minimum(distance, 24.0 - distance)
    result: Floats = np.exp(-((distance / width) ** 2))
    return result


def _daily_profile() -> Floats:
    hours = _MINUTE / 60.0
    profile = 0.6 + 0.9 * _hump(hours, 14.5, 3.0) + 0.5 * _hump(hours, 1.0, 2.5)
    result: Floats = profile / profile.mean()
    return result


_PROFILE: Final[Floats] = _daily_profile()
_ACTIVITY: Final[Floats] = np.sqrt(_PROFILE)


@dataclass(frozen=True, slots=True)
class _Day:
    """One day in floating point: log prices at 1,441 minute marks and each minute's sigma."""

    log_price: Floats
    sigma: Floats


class PriceProcess:
    """Every market of one seed.

    Args:
        seed: any integer; equal seeds give equal markets.
        specs: the catalogue by symbol.
    """

    def __init__(self, seed: int, specs: Mapping[str, Spec]) -> None:
        self._seed = seed
        self._specs = specs
        self._keys: dict[str, noise.Words] = {}
        self._midnights: dict[tuple[str, int], float] = {}
        self._levels: dict[str, float] = {}

    def day(self, symbol: str, day: int) -> Bars:
        """The 1,440 one-minute bars of a day (days since 1970-01-01), listed or not."""
        spec = self._specs[symbol]
        path = self._path(spec, day)
        key = noise.key(self._seed, symbol, "day", day)
        marks = _on_tick(np.exp(path.log_price), spec)
        high, low = _extremes(key, path, marks, spec)
        return self._bars(spec, day, key, path, (marks, high, low))

    # -- prices ---------------------------------------------------------------------------

    def _path(self, spec: Spec, day: int) -> _Day:
        if spec.cross_of is not None:
            above, below = (self._path(self._specs[leg], day) for leg in spec.cross_of)
            own = noise.key(self._seed, spec.symbol, "basis", day)
            wobble = 2e-4 * noise.normals(own, np.arange(MINUTES + 1, dtype=np.int64))
            wobble[[0, -1]] = 0.0
            return _Day(
                above.log_price - below.log_price + wobble, np.hypot(above.sigma, below.sigma) / 2
            )
        ends = self._midnight(spec, day), self._midnight(spec, day + 1)
        sigma = self._sigma(spec, day)
        steps = sigma * self._shocks(spec, day)
        walk = np.concatenate([[0.0], np.cumsum(steps)])
        # The correction that pins the walk to the next midnight falls where the market moves.
        clock = np.concatenate([[0.0], np.cumsum(sigma**2)])
        walk += (clock / clock[-1]) * (ends[1] - ends[0] - walk[-1])
        walk += ends[0]
        walk[-1] = ends[1]
        return _Day(walk, sigma)

    def _midnight(self, spec: Spec, day: int) -> float:
        """Log price at the opening of a day.

        Always computed alone, so that the day before and the day itself agree to the last bit.
        """
        found = self._midnights.get((spec.symbol, day))
        if found is None:
            if len(self._midnights) >= _MIDNIGHTS:
                self._midnights.clear()
            level = self._level(spec, day) - self._reference_level(spec)
            found = level + math.log(float(spec.reference_price))
            self._midnights[spec.symbol, day] = found
        return found

    def _reference_level(self, spec: Spec) -> float:
        if spec.symbol not in self._levels:
            self._levels[spec.symbol] = self._level(spec, REFERENCE_DAY)
        return self._levels[spec.symbol]

    def _level(self, spec: Spec, day: int) -> float:
        days = np.array([day], dtype=np.int64)
        share = spec.market_share
        common, own = self._brownian(_COMMON, days), self._brownian(spec.symbol, days)
        return spec.volatility * float((share * common + math.sqrt(1.0 - share**2) * own)[0])

    def _brownian(self, name: str, days: Ints) -> Floats:
        cells = days >> _LEVEL
        share = (days - (cells << _LEVEL)) / _LENGTH
        tents = 1.0 - np.abs(2.0 * share - 1.0)
        heights = noise.normals(self._level_keys(name), cells)
        # Wild weeks move further from day to day, not only within the day.
        centres = (cells[:_SHORT] << _LEVEL[:_SHORT]) + (1 << (_LEVEL[:_SHORT] - 1))
        heights[:_SHORT] *= self._turbulence(name, centres)
        result: Floats = (np.sqrt(_LENGTH) / 2.0 * tents * heights).sum(axis=0)
        return result

    def _level_keys(self, name: str) -> noise.Words:
        keys = self._keys.get(name)
        if keys is None:
            levels = [noise.key(self._seed, name, "tent", level) for level in _LEVEL[:, 0]]
            keys = self._keys[name] = np.array(levels, dtype=np.uint64)[:, None]
        return keys

    def _turbulence(self, name: str, days: Ints) -> Floats:
        """Slow factor of a day's volatility: calm and wild weeks."""
        stacked = np.expand_dims(days, 0)
        bits = _TURBULENCE_BITS.reshape(-1, *[1] * days.ndim)
        key = np.uint64(noise.key(self._seed, name, "turbulence")) ^ bits.astype(np.uint64)
        cell = stacked >> bits
        share = (stacked - (cell << bits)) / (1 << bits)
        blend = (1.0 - np.cos(np.pi * share)) / 2.0
        left, right = noise.normals(key, cell), noise.normals(key, cell + 1)
        result: Floats = np.exp(0.28 * (left + (right - left) * blend).sum(axis=0))
        return result

    def _sigma(self, spec: Spec, day: int) -> Floats:
        key = noise.key(self._seed, spec.symbol, "minute volatility")
        base = spec.volatility / np.sqrt(MINUTES)
        own = self._turbulence(spec.symbol, np.array([day], dtype=np.int64))
        start = day * MINUTES
        burst = 0.35 * noise.smooth(key ^ 5, start, MINUTES, 5)
        burst += 0.25 * noise.smooth(key ^ 8, start, MINUTES, 8)
        result: Floats = base * own * _ACTIVITY * np.exp(burst)
        return result

    def _shocks(self, spec: Spec, day: int) -> Floats:
        share = spec.market_share
        own = noise.normals(noise.key(self._seed, spec.symbol, "shock", day), _MINUTE)
        common = noise.normals(noise.key(self._seed, _COMMON, "shock", day), _MINUTE)
        shocks = share * common + np.sqrt(1.0 - share**2) * own
        draw = noise.uniforms(
            noise.key(self._seed, spec.symbol, "jump", day), np.arange(4, dtype=np.int64)
        )
        if draw[0] < _JUMP_CHANCE:
            size = 6.0 + 10.0 * draw[1]
            shocks[int(draw[2] * MINUTES)] += size if draw[3] < 0.5 else -size
        result: Floats = shocks
        return result

    # -- volumes --------------------------------------------------------------------------

    def _bars(
        self, spec: Spec, day: int, key: int, path: _Day, prices: tuple[Ints, Ints, Ints]
    ) -> Bars:
        marks, high, low = prices
        open_, close = marks[:-1], marks[1:]
        volume = self._volume(spec, day, key, path, is_flat=high == low)
        typical = (open_ + high + low + close) / 4.0 / UNITS
        draw = noise.uniforms(key ^ 3, _MINUTE)
        bought = np.clip(0.25 + 0.5 * draw + 0.2 * np.sign(close - open_), 0.02, 0.98)
        taker = np.floor(volume * bought).astype(np.int64)
        average = spec.daily_quote_volume / 6e5 / np.exp(path.log_price[0]) / float(spec.step)
        turnover = typical * float(spec.step) * 10.0**spec.quote_decimals
        trades = np.ceil(volume / average * (0.5 + noise.uniforms(key ^ 4, _MINUTE)))
        return Bars(
            open_ts=day * DAY_MS + _MINUTE * MINUTE_MS,
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=volume,
            quote_volume=np.round(volume * turnover).astype(np.int64),
            # Four trades touch open, high, low and close, in whatever order.
            trades=np.where(volume > 0, np.maximum(trades, 4), 0).astype(np.int64),
            taker_volume=taker,
            taker_quote_volume=np.round(taker * turnover).astype(np.int64),
            volume_decimals=spec.volume_decimals,
            quote_decimals=spec.quote_decimals,
        )

    def _volume(self, spec: Spec, day: int, key: int, path: _Day, is_flat: np.ndarray) -> Ints:
        ordinary = spec.daily_quote_volume / MINUTES / np.exp(path.log_price[0])
        move = np.abs(np.diff(path.log_price)) / path.sigma
        days = np.array([day], dtype=np.int64)
        busy = self._turbulence(spec.symbol, days) ** 1.5
        noisy = np.exp(0.6 * noise.normals(key ^ 5, _MINUTE) - 0.18)
        amount = ordinary * busy * _PROFILE * noisy * (0.4 + 0.75 * np.minimum(move, 12.0))
        # Steps are powers of ten, so that a count of steps is a count of volume units.
        steps = np.floor(amount / float(spec.step)).astype(np.int64)
        # A bar that moved has traded; a flat one of a thin market may be empty.
        result: Ints = np.maximum(steps, np.where(is_flat, 0, 4))
        return result


def _on_tick(prices: Floats, spec: Spec) -> Ints:
    ticks = np.round(prices * (UNITS / spec.tick_units)).astype(np.int64)
    result: Ints = np.maximum(ticks, 1) * spec.tick_units
    return result


def _extremes(key: int, path: _Day, marks: Ints, spec: Spec) -> tuple[Ints, Ints]:
    """Highest and lowest price of each minute: the extremes of a Brownian bridge."""
    start, end = path.log_price[:-1], path.log_price[1:]
    span = (end - start) ** 2
    reach_up = np.sqrt(span - 2.0 * path.sigma**2 * np.log(noise.uniforms(key ^ 1, _MINUTE)))
    reach_down = np.sqrt(span - 2.0 * path.sigma**2 * np.log(noise.uniforms(key ^ 2, _MINUTE)))
    middle = start + end
    high = _on_tick(np.exp((middle + reach_up) / 2.0), spec)
    low = _on_tick(np.exp((middle - reach_down) / 2.0), spec)
    body_high = np.maximum(marks[:-1], marks[1:])
    body_low = np.minimum(marks[:-1], marks[1:])
    return np.maximum(high, body_high), np.minimum(low, body_low)
