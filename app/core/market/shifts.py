"""Whether bars lie whole hours away from where the same market has them, told by their returns.

A file in another zone's time has the right prices at the wrong hours. Prices need not be equal:
two venues, or a file that another program rounded, move together all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from app.core.market.files.arrays import numbers_of
from app.core.market.intervals import HOUR_MS, Interval
from app.core.market.klines import Floats, Times

if TYPE_CHECKING:
    from app.core.market.files.columns import KlineColumns

#: Zones lie from 12 hours behind UTC to 14 ahead of it; a day is a date that was taken for another.
MOST_HOURS: Final = 24
REACH_MS: Final = MOST_HOURS * HOUR_MS
# Returns in common. Of 60 random ones the highest of 48 correlations is about 0.4.
_ENOUGH: Final = 60
# Returns other than 0, on either side: where the price hardly moves, nothing can be told.
_MOVES: Final = 30
_SAME: Final = 0.9
# Above the correlation without a shift: markets that trend in steps correlate with themselves.
_CLEARLY: Final = 0.3
# One crash in both series must not speak for all returns: they are cut at so many medians.
_CUT: Final = 5.0
_ALIKE: Final = 1e-6
# So many bars that differ from those stored, and more than agree, are no correction.
_SUSPICIOUS: Final = 20


def is_suspect(differing: int, agreeing: int) -> bool:
    """Whether so many bars differ from the stored ones that a shift is to be looked for."""
    return differing >= _SUSPICIOUS and differing > agreeing


def found_shift(arriving: KlineColumns, stored: KlineColumns, interval: Interval) -> int | None:
    """By how much the arriving bars are ahead of the stored ones, ms; None where they are not.

    Args:
        stored: bars of the arriving range and of ``REACH_MS`` around it.
    """
    one, other = closes_of(arriving), closes_of(stored)
    return best_lag(arriving.open_ts, one, stored.open_ts, other, interval)


def best_lag(
    times: Times, closes: Floats, other_times: Times, other_closes: Floats, interval: Interval
) -> int | None:
    """The whole hours by which the first series is ahead of the second, ms; None for none.

    Both ascend by time. Too little in common, too few moves or no clear best says None.
    """
    if not len(times) or not len(other_times):
        return None
    still = _correlation(times, closes, other_times, other_closes, 0)
    if still is not None and still >= _SAME:
        return None
    found = []
    for hours in range(1, MOST_HOURS + 1):
        for lag in (hours * HOUR_MS, -hours * HOUR_MS):
            if lag % interval.length_ms:
                continue
            alike = _correlation(times, closes, other_times, other_closes, lag)
            if alike is not None:
                found.append((alike, lag))
    alike, lag = max(found, default=(0.0, 0))
    is_clear = alike >= _SAME and alike - (still or 0.0) >= _CLEARLY
    return lag if is_clear else None


def closes_of(columns: KlineColumns) -> Floats:
    """The closes of checked bars as float64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return numbers_of(pc.cast(columns.close, pa.float64()))


def _correlation(
    times: Times, closes: Floats, other_times: Times, other_closes: Floats, lag: int
) -> float | None:
    """Of the returns between common bars, the first series moved back by ``lag``."""
    wanted = times - lag
    places = np.minimum(np.searchsorted(other_times, wanted), len(other_times) - 1)
    common = other_times[places] == wanted
    if int(common.sum()) <= _ENOUGH:
        return None
    one, other = _returns(closes[common]), _returns(other_closes[places[common]])
    if one is None or other is None:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _returns(closes: Floats) -> Floats | None:
    """Logarithmic returns, the extreme ones cut; None where too few are moves."""
    returns: Floats = np.diff(np.log(closes))
    moves = np.abs(returns[returns != 0])
    if len(moves) < _MOVES:
        return None
    most = _CUT * float(np.median(moves))
    cut: Floats = np.clip(returns, -most, most)
    # Returns that are all alike fit at every hour.
    return cut if float(cut.std()) > _ALIKE * most else None
