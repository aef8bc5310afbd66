"""Times of files as milliseconds UTC: units told apart by size, zones never guessed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidInput
from app.core.market.files.arrays import mask_of, numbers_of
from app.core.market.intervals import HOUR_MS, MINUTE_MS
from app.core.market.klines import Times

if TYPE_CHECKING:
    import pyarrow as pa

#: Units of bare numbers: how many make a second.
UNITS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
#: What ``time_unit`` may say.
TIME_UNITS: Final = (*UNITS, "iso")
# 2001-09-09 to 2286-11-20 in seconds: in this range no number is a time in two units.
_EARLIEST_S: Final = 1_000_000_000
_LATEST_S: Final = 10_000_000_000
# What an int64 holds: of no unit is a moment of this era beyond it.
_MOST: Final = (1 << 63) - 1
_NONE: Final = (
    "which cannot be read; times are written as 2026-03-01T00:00:00Z or as whole numbers, all of "
    "them alike"
)
_QUOTED: Final = re.compile(r"'[^']*'")
_OFFSET: Final = re.compile(r"([+-]?)(\d{1,2})(?::?(\d{2}))?", re.ASCII)


class TimeReader:
    """Turns the time column of one file into milliseconds.

    Args:
        name: of the file, for messages.
        unit: one of ``TIME_UNITS``; "" finds it out from the first chunk.
        utc_offset_ms: how far the file's times are ahead of UTC; None where nobody said so, and
            then a time without a zone is refused. 0 says that the times are UTC.
    """

    def __init__(self, name: str, unit: str = "", utc_offset_ms: int | None = None) -> None:
        if unit and unit not in TIME_UNITS:
            raise InvalidInput(
                f"time unit {unit[:20]!r} is not known; use one of {', '.join(TIME_UNITS)}"
            )
        self._name = name
        self._unit = unit
        self._offset_ms = utc_offset_ms

    def milliseconds(self, column: pa.Array, *, floor: bool = False) -> Times:
        """The column in ms UTC.

        Args:
            floor: cut what is finer than a millisecond, as of trades; else it is refused.

        Raises:
            InvalidInput: a time is missing, is none, or cannot be told apart from another.
        """
        import pyarrow as pa

        if column.null_count:
            position = int(np.argmax(mask_of(column.is_null())))
            raise InvalidInput(f"{self._name} has no time in row {position + 1} of a chunk")
        if pa.types.is_timestamp(column.type):
            return self._moments(column, is_zoned=column.type.tz is not None, floor=floor)
        if pa.types.is_date(column.type):
            return self._moments(column.cast(pa.timestamp("ms")), is_zoned=False, floor=floor)
        if pa.types.is_floating(column.type):
            column = self._cast(column, pa.int64())
        if pa.types.is_integer(column.type):
            return self._numbers(column, floor=floor)
        return self._texts(column.cast(pa.string()), floor=floor)

    def _texts(self, column: pa.Array, *, floor: bool) -> Times:
        import pyarrow as pa
        import pyarrow.compute as pc

        is_whole = pc.match_substring_regex(column, r"^-?\d+$")
        if pc.all(is_whole).as_py():
            return self._numbers(self._cast(column, pa.int64()), floor=floor)
        if pc.any(is_whole).as_py():
            raise self._mixed(column, mask_of(is_whole))
        if self._unit not in ("", "iso"):
            raise InvalidInput(f"{self._name} has times that are no whole numbers of {self._unit}")
        self._unit = "iso"
        if pc.any(pc.match_substring_regex(column, r"\d(Z|[+-]\d\d(:?\d\d)?)$")).as_py() and (
            not pc.any(pc.match_substring_regex(column, r"^\d{4}-\d\d(-\d\d)?$")).as_py()
        ):
            return self._moments(
                self._cast(column, pa.timestamp("us", "UTC")), is_zoned=True, floor=floor
            )
        return self._moments(self._cast(column, pa.timestamp("us")), is_zoned=False, floor=floor)

    def _mixed(self, column: pa.Array, is_whole: npt.NDArray[np.bool_]) -> InvalidInput:
        """Of times some of which are whole numbers and some are not, the first of the fewer."""
        odd = ~is_whole if 2 * is_whole.sum() >= len(is_whole) else is_whole
        text = column[int(np.argmax(odd))].as_py()
        return InvalidInput(
            f"{self._name} has the time {text[:40]!r} among others that are not written so; a file "
            "that was joined of several may have a header in its middle: take that line out"
        )

    def _numbers(self, column: pa.Array, *, floor: bool) -> Times:
        values = numbers_of(column)
        if len(values) and int(values.max()) > _MOST:
            raise InvalidInput(f"{self._name} has the time {int(values.max())}, {_NONE}")
        values = values.astype(np.int64, copy=False)
        if not len(values):
            return values
        if not self._unit:
            self._unit = self._guessed(int(values.min()), int(values.max()))
        if self._unit == "iso":
            raise InvalidInput(f"{self._name} has times that are bare numbers, not ISO 8601")
        per_ms = UNITS[self._unit] // 1_000
        times = values * 1_000 if self._unit == "s" else self._whole(values, per_ms, floor)
        return times - (self._offset_ms or 0)

    def _guessed(self, first: int, last: int) -> str:
        if first < 0:
            raise InvalidInput(
                f"{self._name} has the time {first}, which lies before 1970; if that is what it "
                f"means, say its unit with --time-unit, one of {', '.join(TIME_UNITS)}"
            )
        for unit, per_s in UNITS.items():
            if _EARLIEST_S * per_s <= first and last < _LATEST_S * per_s:
                return unit
        raise InvalidInput(
            f"{self._name} has times from {first} to {last}, which may be of any unit; say which "
            f"with --time-unit, one of {', '.join(TIME_UNITS)}"
        )

    def _moments(self, column: pa.Array, *, is_zoned: bool, floor: bool) -> Times:
        if is_zoned and self._offset_ms:
            raise InvalidInput(
                f"the times of {self._name} state their zone; leave --utc-offset away"
            )
        if not is_zoned and self._offset_ms is None:
            raise InvalidInput(
                f"the times of {self._name} state no zone; say how far they are ahead of UTC with "
                "--utc-offset, 0 for UTC"
            )
        per_ms = max(1, UNITS[column.type.unit] // 1_000)
        values = numbers_of(column.cast("int64"))
        times = values * 1_000 if column.type.unit == "s" else self._whole(values, per_ms, floor)
        return times - (self._offset_ms or 0)

    def _whole(self, values: Times, per_ms: int, floor: bool) -> Times:
        times = values // per_ms
        if not floor and bool((times * per_ms != values).any()):
            position = int(np.argmax(times * per_ms != values))
            raise InvalidInput(
                f"{self._name} has the time {int(values[position])}, which is no whole millisecond"
            )
        return np.asarray(times, dtype=np.int64)

    def _cast(self, column: pa.Array, to: pa.DataType) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            return pc.cast(column, to)
        except pa.ArrowInvalid as error:
            raise InvalidInput(f"{self._name} has the time {_value_of(error)}, {_NONE}") from None


def _value_of(error: Exception) -> str:
    """The value that Arrow's sentence quotes; the sentence, where it quotes none."""
    found = _QUOTED.search(str(error))
    return found[0][:60] if found else str(error).splitlines()[0]


def utc_offset(text: str) -> int:
    """Milliseconds of ``+08:00``, ``-5`` or ``0``.

    Raises:
        InvalidInput: it is none of these, or beyond 14 hours.
    """
    found = _OFFSET.fullmatch(text.strip())
    if found is not None:
        sign, hours, minutes = found.groups()
        offset = int(hours) * HOUR_MS + int(minutes or 0) * MINUTE_MS
        if offset <= 14 * HOUR_MS and int(minutes or 0) < 60:
            return -offset if sign == "-" else offset
    raise InvalidInput(f"UTC offset was {text[:20]!r}; write it as +08:00, -5 or 0")
