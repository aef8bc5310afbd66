"""Which longer bars are kept beside minutes, and which days of them are to be made.

Hours and days of trades are rolled up of minutes, exactly. A roll-up is a series of its own kind,
so nobody takes it for what the venue stated. It follows its minutes in whole UTC days: the days
before ``rolled_to`` are made but for those that are marked, and what is not made is derived from
the minutes when it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.core.market.intervals import DAY_MS, INTERVALS, MINUTE_MS, Interval
from app.core.market.klines import KlineKind, Times

#: Kind of a series that was rolled up. No venue has it, and no plan can ask for it.
ROLLED: Final = "rolled"
#: What is rolled up, and into what; each one is made of the one before it.
MINUTES: Final = "1m"
ROLL_UPS: Final = ("1h", "1d")
# Three days of minutes are read in 5 ms: below that a roll-up saves nothing that is noticed.
_LONG_ENOUGH_MS: Final = 3 * DAY_MS


def is_rolled_up(kind: str, interval: str, offset_ms: int) -> bool:
    """Whether roll-ups are kept of a series: minutes of trades on the grid of UTC."""
    return kind == KlineKind.TRADE and interval == MINUTES and not offset_ms


def roll_up_of(wanted: Interval) -> str | None:
    """The roll-up that an interval's bars are made of, the longest that fits; None for none."""
    for name in reversed(ROLL_UPS):
        if wanted.is_month or not wanted.length_ms % INTERVALS[name].length_ms:
            return name
    return None


def day_of(ts: int) -> int:
    """00:00 UTC of the day that holds ``ts``."""
    return ts - ts % DAY_MS


def is_long_enough(first: int, newest: int) -> bool:
    """Whether roll-ups are kept of minutes from ``first`` to ``newest``, both included."""
    return newest + MINUTE_MS - first >= _LONG_ENOUGH_MS


def days_to_make(rolled_to: int | None, first: int, newest: int, changed: Times) -> list[int]:
    """Days that roll-ups lack since minutes changed, ascending; the days behind are one entry.

    Args:
        rolled_to: end of the days that are made; None where no roll-up was begun.
        first, newest: open times of the series' first and last minute, after the change.
        changed: open times of minutes that were inserted, revised or deleted.
    """
    if rolled_to is None:
        return [day_of(first)] if is_long_enough(first, newest) else []
    past = np.unique(changed[changed < rolled_to] // DAY_MS) * DAY_MS
    is_day_over = day_of(newest + MINUTE_MS) > rolled_to
    return [*past.tolist(), *([rolled_to] if is_day_over else [])]


def runs_of(days: Sequence[int]) -> list[tuple[int, int]]:
    """Days that ascend as half-open ranges of days that follow each other."""
    runs: list[tuple[int, int]] = []
    for day in days:
        if runs and runs[-1][1] == day:
            runs[-1] = (runs[-1][0], day + DAY_MS)
        else:
            runs.append((day, day + DAY_MS))
    return runs
