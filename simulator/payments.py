"""Replaying a file of funding rates: what a perpetual paid, at the times that the file states.

The file is feather, parquet or CSV with a time column and the rate in ``rate``, ``fundingRate`` or,
as freqtrade keeps it, in ``open``. Times lie on the hour or some milliseconds behind it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.intervals import HOUR_MS, MINUTE_MS
from simulator.premium import RATE
from simulator.replay import load_frame, times_of

_RATES: Final = ("rate", "fundingRate", "open")


@dataclass(frozen=True, slots=True)
class Payments:
    """What was paid, ascending.

    Attributes:
        stamps: when the venue says it was, ms.
        rates: fractions of the position's value, eight decimals.
    """

    stamps: list[int]
    rates: list[Decimal]

    def between(self, start: int, end: int) -> list[tuple[int, int, Decimal]]:
        """The full hour, the stamp and the rate of payments stamped in [start, end]."""
        first, stop = bisect_left(self.stamps, start), bisect_right(self.stamps, end)
        return [
            (stamp - stamp % HOUR_MS, stamp, rate)
            for stamp, rate in zip(self.stamps[first:stop], self.rates[first:stop], strict=True)
        ]


def read_payments(path: Path) -> Payments:
    """Read and check a file of funding rates.

    Raises:
        InvalidInput: unreadable, without a time or a rate, not ascending, or off the hour; the
            message names the file and the row.
    """
    frame = load_frame(path)
    times = times_of(path, frame)
    names = [name for name in _RATES if name in frame.columns]
    if not names:
        raise InvalidInput(
            f"replay file {path.name} has no rate; one of {', '.join(_RATES)} is needed"
        )
    values = np.asarray(frame[names[0]], dtype=np.float64)
    wrong = ~np.isfinite(values) | (np.abs(values) >= 1) | (times % HOUR_MS >= MINUTE_MS)
    if wrong.any():
        raise InvalidInput(
            f"replay file {path.name}: row {int(np.argmax(wrong)) + 1} is no payment of funding "
            "within a minute of the full hour"
        )
    rates = [Decimal(repr(value)).quantize(RATE) for value in values.tolist()]
    return Payments(times.tolist(), rates)
