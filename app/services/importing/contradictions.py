"""Whether the bars of a file are those of the series that they are imported into."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.files.arrays import mask_of, numbers_of
from app.core.market.files.columns import KlineColumns, Mask
from app.core.market.files.naming import BARS
from app.core.market.files.reading import read_times
from app.core.market.klines import Floats
from app.repositories.kline_changes import compared
from app.repositories.unit import Unit
from app.services.importing.order import ImportFile

# Fewer bars that differ, and more than agree, are a correction, such as of a last bar that had not
# closed; unless their prices lie elsewhere, which no correction does.
_MANY: Final = 5
_ELSEWHERE: Final = 0.05


def is_to_be_foreseen(unit: Unit, file: ImportFile, path: Path, most: int) -> bool:
    """Whether a file of bars has more than one chunk, and may meet stored bars in a later one.

    Args:
        most: rows of a chunk.

    Raises:
        InvalidInput: its times cannot be read.
    """
    exchange, symbol, name, kind = file.series
    series = unit.klines.find_series(exchange, symbol, name, kind)
    bounds = None if series is None else unit.klines.bounds(series.id)
    if bounds is None or file.reading.holds != BARS:
        return False
    rows, first, last = 0, bounds[1] + 1, bounds[0] - 1
    for times in filter(len, read_times(path, file.reading)):
        rows += len(times)
        first, last = min(first, int(times.min())), max(last, int(times.max()))
    return rows > most and first <= bounds[1] and last >= bounds[0]


def meets_stored(unit: Unit, file: ImportFile, bars: KlineColumns) -> bool:
    """Whether any bar is stored from the first to the last of these."""
    exchange, symbol, name, kind = file.series
    series = unit.klines.find_series(exchange, symbol, name, kind)
    if series is None or not len(bars):
        return False
    return unit.klines.count(series.id, int(bars.open_ts[0]), int(bars.open_ts[-1]) + 1) > 0


def require_agreement(unit: Unit, file: ImportFile, bars: KlineColumns) -> None:
    """Nothing, where bars of a file correct what is stored; many may, if more agree with it.

    Args:
        bars: of the file, checked, ascending.

    Raises:
        InvalidInput: they contradict most bars that are stored of their time, as those of another
            market or another source do.
    """
    exchange, symbol, name, kind = file.series
    series = unit.klines.find_series(exchange, symbol, name, kind)
    if series is None:
        return
    first, last = int(bars.open_ts[0]), int(bars.open_ts[-1])
    stored = unit.klines.read_exact_columns(series.id, first, last + 1)
    found = compared(stored, bars, complete=True)
    against = _contradicted(found.old, found.revised)
    old, new = found.old.kept(against), found.revised.kept(against)
    both = len(bars) - len(found.new)
    if len(new) * 2 <= both:
        return
    closes = _apart(old.close, new.close)
    if len(new) < _MANY and closes < _ELSEWHERE:
        return
    volumes = _apart(old.volume, new.volume)
    how = "their quote volumes or trade counts"
    if closes or volumes:
        how = f"their closes by {closes:.3%} and their volumes by {volumes:.3%} at the median"
    raise InvalidInput(
        f"{file.name} contradicts {len(new):,} of the {both:,} bars of {symbol} {name} that are "
        f"stored of its times, {how}, and replaced none of them; if it is of that market and what "
        "is stored is wrong, say --revise",
        code="contradicted",
    )


def _contradicted(one: KlineColumns, other: KlineColumns) -> Mask:
    """Where two statements of bars differ; what one of them does not say is no difference."""
    import pyarrow.compute as pc

    found: Mask = np.zeros(len(one), np.bool_)
    for left, right in zip(one.arrays(), other.arrays(), strict=True):
        found |= mask_of(pc.not_equal(left, right))
    return found


def _apart(old: object, new: object) -> float:
    """By how much two columns of amounts differ at the median, as a part of the older."""
    import pyarrow as pa
    import pyarrow.compute as pc

    one, other = (numbers_of(pc.cast(each, pa.float64())) for each in (old, new))
    sizes: Floats = np.where(one == 0, 1.0, one)
    return float(np.median(np.abs(other - one) / sizes))
