"""Replaying a file of candles: feather, parquet or CSV becomes a symbol's tape.

Prices and volumes are taken as the shortest decimal text of the file's numbers, exactly.
What the file does not say (turnover, number of trades) is estimated from what it does:
turnover as volume × (open + high + low + close) / 4, one trade for each bar that has volume.
Gaps in the file stay gaps.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from app.core.errors import InvalidInput
from app.core.market.intervals import DAY_MS, INTERVALS, MINUTE_MS, Interval
from simulator.bars import Bar, Bars, grid_floor, no_bars
from simulator.instruments import DECIMALS, UNITS
from simulator.noise import Ints

_TIME_NAMES: Final = ("date", "open_time", "timestamp_ms", "timestamp", "open_ts", "time")
_PRICES: Final = ("open", "high", "low", "close")
_NEEDED: Final = (*_PRICES, "volume")
_OPTIONAL: Final = ("quote_volume", "trades", "trade_count", "count")
_HEADERLESS: Final = ("time", *_NEEDED, "trades")
_MOST_DECIMALS: Final = 18
_LARGEST: Final = 1 << 62
# Below this a bare number is taken for seconds: 10¹¹ s is the year 5138, 10¹¹ ms is 1973.
_SECONDS_BELOW: Final = 100_000_000_000


class ReplayTape:
    """The bars of a file, and what coarser intervals derive from them.

    Attributes:
        bars: all of them.
    """

    end_ts: int | None

    def __init__(self, bars: Bars, finest: Interval, *, omits_quiet: bool = False) -> None:
        self.finest = finest
        self.omits_quiet = omits_quiet
        self.first_ts = int(bars.open_ts[0])
        self.end_ts = finest.next(int(bars.open_ts[-1]))
        traded = bars.volume[bars.volume > 0]
        unit = 10.0**-bars.volume_decimals
        typical = float(np.median(traded)) * unit if len(traded) else 1.0
        self.typical_volume = max(1, int(typical * UNITS * MINUTE_MS / finest.length_ms))
        self.bars = bars
        self._shown = bars.traded() if omits_quiet else bars
        self._derived: dict[str, Bars] = {finest.name: self._shown}

    def between(self, wanted: Interval, start: int, end: int) -> Bars:
        """See ``Tape.between``."""
        if wanted.length_ms < self.finest.length_ms:
            return no_bars()
        if wanted.name not in self._derived:
            self._derived[wanted.name] = self._shown.aggregated(wanted)
        return self._derived[wanted.name].between(start, end)

    def prepare(self, wanted: Interval, start: int, end: int) -> Iterator[None]:
        """See ``Tape.prepare``: a file needs no preparation."""
        del wanted, start, end
        return iter(())

    def bar_at(self, ts: int) -> tuple[Bars, Bar] | None:
        """See ``Tape.bar_at``."""
        opened = self.last_before(ts)
        if opened is None or ts >= self.finest.next(opened):
            return None
        return self.bars, self.bars.bar(int(np.searchsorted(self.bars.open_ts, opened)))

    def last_before(self, ts: int) -> int | None:
        """See ``Tape.last_before``."""
        index = int(np.searchsorted(self.bars.open_ts, ts, side="right")) - 1
        return int(self.bars.open_ts[index]) if index >= 0 else None

    def shown_from(self, ts: int) -> int:
        """See ``Tape.shown_from``."""
        if self.bar_at(ts) is not None:
            return ts
        index = int(np.searchsorted(self.bars.open_ts, ts))
        return int(self.bars.open_ts[index]) if index < len(self.bars) else ts


@dataclass(frozen=True, slots=True)
class Replay:
    """A file as a tape.

    Attributes:
        price_digits, volume_digits: decimals that the file's numbers really use.
    """

    tape: ReplayTape
    price_digits: int
    volume_digits: int


def read_replay(path: Path, *, omits_quiet: bool = False) -> Replay:
    """Read and check a file of candles.

    Args:
        omits_quiet: whether bars without a trade are left out of what the tape shows.

    Raises:
        InvalidInput: unreadable, unknown columns, unsorted, duplicate, off its grid, or bars
            that no market can have made; the message names the file and the row.
    """
    frame = _checked_columns(path, load_frame(path))
    times = times_of(path, frame)
    finest = _grid(path, times)
    prices, price_digits = _units(path, frame, _PRICES, at_least=DECIMALS)
    volumes, volume_digits = _units(path, frame, ("volume",), at_least=0)
    _check_bars(path, prices, volumes[0])
    bars = _bars(frame, times, prices, volumes[0], max(DECIMALS, price_digits), volume_digits)
    return Replay(ReplayTape(bars, finest, omits_quiet=omits_quiet), price_digits, volume_digits)


# -- reading ------------------------------------------------------------------------------


def load_frame(path: Path) -> pd.DataFrame:
    """A file as a table, its columns as it names them.

    Raises:
        InvalidInput: it cannot be read.
    """
    if path.is_dir():
        raise InvalidInput(f"replay file {path} is a directory; name a file of candles")
    if not path.is_file():
        raise InvalidInput(f"replay file {path} does not exist")
    name = path.name.lower()
    try:
        if name.endswith(".feather"):
            return pd.read_feather(path)
        if name.endswith(".parquet"):
            return pd.read_parquet(path)
        if name.endswith((".csv", ".csv.gz")):
            return _load_csv(path)
    except (OSError, EOFError, ValueError, zlib.error, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(f"replay file {path.name} cannot be read: {reason[:120]}") from None
    raise InvalidInput(f"replay file {path.name} is not .feather, .parquet, .csv or .csv.gz")


def _load_csv(path: Path) -> pd.DataFrame:
    # Read as text: Python's float() rounds correctly, which a fast parser need not.
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if len(frame.columns) and str(frame.columns[0])[:1].isdigit():
        width = len(frame.columns)
        if width not in (6, 7):
            raise ValueError(f"{width} columns without a header; expected 6 or 7")
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, header=None)
        frame.columns = pd.Index(list(_HEADERLESS[:width]))
    for name in frame.columns:
        frame[name] = _numbers(frame[name])
    return frame


def _numbers(column: pd.Series[str]) -> pd.Series[Any]:
    """The column as whole numbers or floats where all of it is; else as it stands."""
    texts = column.tolist()
    for convert in (int, float):
        try:
            return pd.Series([convert(text or "nan") for text in texts], dtype=convert)
        except (ValueError, OverflowError):
            continue
    return column


def _time_name(path: Path, frame: pd.DataFrame) -> str:
    names = [str(column) for column in frame.columns]
    found = [name for name in _TIME_NAMES if name in names]
    if not found:
        raise InvalidInput(
            f"replay file {path.name} has no time column; one of {', '.join(_TIME_NAMES)} is needed"
        )
    return found[0]


def _checked_columns(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    names = [str(column) for column in frame.columns]
    known = {_time_name(path, frame), *_NEEDED, *_OPTIONAL}
    for name in names:
        if name not in known:
            raise InvalidInput(f"replay file {path.name} has an unknown column {name[:40]!r}")
    for name in _NEEDED:
        if name not in names:
            raise InvalidInput(f"replay file {path.name} has no column {name!r}")
    return frame


def times_of(path: Path, frame: pd.DataFrame) -> Ints:
    """The times of a table, ms, which ascend strictly.

    Raises:
        InvalidInput: no rows, no time column, or a time that is none.
    """
    column = frame[_time_name(path, frame)]
    if len(frame) == 0:
        raise InvalidInput(f"replay file {path.name} has no rows")
    if column.isna().any():
        raise _bad_row(path, np.asarray(column.isna()), "has no time")
    if pd.api.types.is_integer_dtype(column):
        times = column.to_numpy(dtype=np.int64)
        times = times * 1000 if int(times.max()) < _SECONDS_BELOW else times
    else:
        try:
            with warnings.catch_warnings():
                # That it reads times one by one, for want of a common form.
                warnings.simplefilter("ignore", UserWarning)
                moments = pd.to_datetime(column, utc=True)
        except (ValueError, TypeError):
            raise InvalidInput(
                f"replay file {path.name} has times that are neither dates nor numbers"
            ) from None
        times = moments.to_numpy(dtype="datetime64[ms]").astype(np.int64)
    steps = np.diff(times)
    for wrong, what in ((steps == 0, "repeats the time before it"), (steps < 0, "goes back")):
        if wrong.any():
            raise _bad_row(path, np.r_[False, wrong], what)
    result: Ints = times
    return result


def _grid(path: Path, times: Ints) -> Interval:
    """The coarsest interval on whose grid all of the file's times are."""
    if len(times) < 2:
        raise InvalidInput(f"replay file {path.name} has one row; two show the interval")
    step = int(np.diff(times).min())
    for interval in reversed(INTERVALS.values()):
        if interval.is_month or interval.length_ms > step:
            continue
        if (grid_floor(times, interval) == times).all():
            return interval
    finest = INTERVALS["1m"]
    off = grid_floor(times, finest) != times
    if not off.any():
        off = np.diff(times, prepend=-DAY_MS) < finest.length_ms
    raise _bad_row(path, off, f"is off the {finest} grid")


# -- numbers ------------------------------------------------------------------------------


def _units(
    path: Path, frame: pd.DataFrame, names: tuple[str, ...], *, at_least: int
) -> tuple[list[Ints], int]:
    """Columns as exact integers, and the decimals that the file really uses."""
    columns = [_decimals(path, frame, name) for name in names]
    digits = max(_places(value) for column in columns for value in column)
    decimals = max(at_least, digits)
    if decimals > _MOST_DECIMALS:
        raise InvalidInput(f"replay file {path.name} has numbers with {digits} decimals")
    scaled = [[int(value.scaleb(decimals)) for value in column] for column in columns]
    # Coarser bars sum volumes; whatever they sum is a part of the whole file.
    largest = max(sum(column) if names == ("volume",) else max(column) for column in scaled)
    if largest > _LARGEST:
        raise InvalidInput(f"replay file {path.name} has numbers too large to be replayed")
    return [np.array(column, dtype=np.int64) for column in scaled], digits


def _decimals(path: Path, frame: pd.DataFrame, name: str) -> list[Decimal]:
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column):
        raise InvalidInput(f"replay file {path.name}: column {name!r} holds more than numbers")
    values = column.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise _bad_row(path, ~np.isfinite(values), f"has no finite {name}")
    return [Decimal(repr(value)) for value in values.tolist()]


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _check_bars(path: Path, prices: list[Ints], volume: Ints) -> None:
    open_, high, low, close = prices
    checks = {
        "has a price that is not above 0": low <= 0,
        "has a negative volume": volume < 0,
        "has a high below its open or close": high < np.maximum(open_, close),
        "has a low above its open or close": low > np.minimum(open_, close),
    }
    for what, wrong in checks.items():
        if wrong.any():
            raise _bad_row(path, wrong, what)


def _bad_row(path: Path, wrong: npt.NDArray[np.bool_], what: str) -> InvalidInput:
    return InvalidInput(f"replay file {path.name}: row {int(np.argmax(wrong)) + 1} {what}")


def _bars(
    frame: pd.DataFrame,
    times: Ints,
    prices: list[Ints],
    volume: Ints,
    price_decimals: int,
    volume_decimals: int,
) -> Bars:
    amounts = volume / 10.0**volume_decimals
    typical = sum(column / 10.0**price_decimals for column in prices) / 4.0
    turnover = _given(frame, ("quote_volume",), amounts * typical)
    quote_decimals = _fitting(float(turnover.sum()))
    turnover = turnover * 10.0**quote_decimals
    trades = _given(frame, ("trades", "trade_count", "count"), (volume > 0) * 1.0)
    open_, high, low, close = prices
    return Bars(
        times,
        open_,
        high,
        low,
        close,
        volume,
        np.round(turnover).astype(np.int64),
        trades.astype(np.int64),
        volume // 2,
        np.round(turnover / 2).astype(np.int64),
        price_decimals=price_decimals,
        volume_decimals=volume_decimals,
        quote_decimals=quote_decimals,
    )


def _fitting(total: float) -> int:
    """The most decimals, up to eight, with which a sum fits."""
    fitting = [places for places in range(DECIMALS + 1) if total * 10.0**places < _LARGEST]
    return max(fitting, default=0)


def _given(frame: pd.DataFrame, names: tuple[str, ...], otherwise: Any) -> Any:
    for name in names:
        if name in frame.columns:
            return frame[name].fillna(0).to_numpy(dtype=np.float64)
    return otherwise
