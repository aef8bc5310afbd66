"""What a perpetual is worth above its index: a small premium, and the funding that follows it.

The premium is value noise over market time, so it is a function of seed, symbol and time like
everything else here: mostly within ±0.15 %, moving over hours, with a wobble from minute to
minute that the traded price has and the mark price has not.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import numpy as np

from app.core.market.intervals import HOUR_MS, MINUTE_MS
from simulator import noise
from simulator.noise import Floats, Ints

FUNDING_MS: Final = 8 * HOUR_MS
# (standard deviation, log2 of the minutes between two heights): 17 hours and 2 hours.
_LAYERS: Final = ((5e-4, 10), (2e-4, 7))
_WOBBLE: Final = 5e-5
_SAMPLE_MS: Final = 5 * MINUTE_MS
_INTEREST: Final = 1e-4  # of eight hours, as the venues state it
_DEAD_BAND: Final = 5e-4
_HIGHEST_RATE: Final = 0.003
#: The decimals that a venue states of a rate.
RATE: Final = Decimal("0.00000001")
# How far a venue's settlement runs behind the hour; real data show 0 to about 15 ms.
_LATENESS_MS: Final = 16


class Premium:
    """The premium of one perpetual."""

    def __init__(self, seed: int, symbol: str) -> None:
        self._key = noise.key(seed, symbol, "premium")
        self._late_key = noise.key(seed, symbol, "funding lateness")

    def slow(self, times: Ints) -> Floats:
        """The part that the mark price has, as a fraction, at ascending times."""
        minutes = times // MINUTE_MS
        total = np.zeros(len(minutes))
        for size, bits in _LAYERS:
            total += size * _smooth(self._key ^ bits, minutes, bits)
        return total

    def traded(self, times: Ints) -> Floats:
        """The whole of it, as the traded price has it."""
        wobble = noise.normals(self._key ^ 1, times // MINUTE_MS)
        return self.slow(times) + _WOBBLE * wobble

    def rates(self, dues: list[int]) -> list[Decimal]:
        """Funding rates of the eight hours that end at each ascending ``due``, eight decimals.

        The venues' formula: the mean premium, pulled towards the interest rate by at most
        0.05 %, and capped.
        """
        offsets = np.arange(-FUNDING_MS, 0, _SAMPLE_MS, dtype=np.int64)
        samples = np.array(dues, dtype=np.int64)[:, None] + offsets
        means = self.slow(samples.ravel()).reshape(samples.shape).mean(axis=1)
        return [self._rated(float(mean)) for mean in means]

    def predicted(self, now: int) -> Decimal:
        """The rate of the present eight hours by what is known of them."""
        begun = now - now % FUNDING_MS
        samples = np.arange(begun, now + 1, _SAMPLE_MS, dtype=np.int64)
        return self._rated(float(self.slow(samples).mean()))

    def lateness(self, due: int) -> int:
        """Milliseconds by which the settlement at ``due`` is stamped behind it."""
        return int(noise.uniform(self._late_key, due // FUNDING_MS) * _LATENESS_MS)

    @staticmethod
    def _rated(mean: float) -> Decimal:
        pull = min(max(_INTEREST - mean, -_DEAD_BAND), _DEAD_BAND)
        rate = min(max(mean + pull, -_HIGHEST_RATE), _HIGHEST_RATE)
        return Decimal(repr(rate)).quantize(RATE)


class OpenInterest:
    """Base units that are open in one perpetual, as a function of time.

    Args:
        ordinary: base units of an ordinary day.
    """

    def __init__(self, seed: int, symbol: str, ordinary: float) -> None:
        self._key = noise.key(seed, symbol, "open interest")
        self._ordinary = ordinary

    def at(self, times: Ints) -> list[Decimal]:
        """With three decimals, at ascending times."""
        minutes = times // MINUTE_MS
        level = 0.15 * _smooth(self._key ^ 13, minutes, 13)
        level += 0.02 * _smooth(self._key ^ 8, minutes, 8)
        units = np.round(self._ordinary * 1000.0 * np.exp(level)).astype(np.int64)
        return [Decimal(int(count)).scaleb(-3) for count in units]


def _smooth(key: int, minutes: Ints, bits: int) -> Floats:
    """Normal numbers at every 2^bits-th minute, cosine-blended in between."""
    if len(minutes) == 0:
        return np.zeros(0)
    cells = minutes >> bits
    first = int(cells[0])
    heights = noise.normals(key, np.arange(first, int(cells[-1]) + 2, dtype=np.int64))
    share = (minutes - (cells << bits)) / (1 << bits)
    blend = (1.0 - np.cos(np.pi * share)) / 2.0
    left, right = heights[cells - first], heights[cells - first + 1]
    result: Floats = left + (right - left) * blend
    return result
