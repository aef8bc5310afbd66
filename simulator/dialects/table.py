"""Tables of numbers as JSON text, written digit by digit with numpy.

A thousand rows of twelve fields cost about a millisecond this way; ``json.dumps`` of the
same rows costs several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from simulator.noise import Ints

_Bytes = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]
# Digits are written four at a time, from a table of the texts 0000 to 9999.
_FOUR: Final = 10_000
_TEXTS: Final = np.frombuffer(
    "".join(f"{number:04d}" for number in range(_FOUR)).encode(), dtype=np.uint32
)


class Field:
    """One column, with the constant text around its digits.

    Args:
        values: non-negative counts of 10^-``decimals``, at least one.
        places: decimals to print; None for those of the unit. Fewer than the unit's cut the
            digits behind them, more are zeros.
        trims: whether zeros at the end of the fraction are left out, as in ``24344.5``.

    Attributes:
        template: the text of a row, with room for the widest number.
    """

    def __init__(
        self,
        before: bytes,
        values: Ints,
        decimals: int,
        after: bytes,
        *,
        places: int | None = None,
        trims: bool = False,
    ) -> None:
        places = max(decimals, 0) if places is None else places
        self._values, self._decimals = _in_units_of(values, decimals, places)
        self._start = len(before)
        self._width = max(len(str(int(self._values.max()))) - self._decimals, 1)
        self._trims = trims and self._decimals > 0
        shown = self._decimals if trims else places
        self._fraction = shown
        fraction = b"." + b"0" * shown if shown else b""
        self.template = before + b"0" * self._width + fraction + after

    def write(self, text: _Bytes, keep: _Mask, offset: int) -> None:
        """Put the digits into the rows and mask the zeros that are not shown."""
        digits = _digits(self._values, self._width + self._decimals)
        begin = offset + self._start
        end = begin + self._width
        text[:, begin:end] = digits[:, : self._width]
        if self._decimals:
            text[:, end + 1 : end + 1 + self._decimals] = digits[:, self._width :]
        if self._width > 1:
            self._mask_leading(keep, begin, end)
        if self._trims:
            self._mask_trailing(keep, end, digits)

    def _mask_leading(self, keep: _Mask, begin: int, end: int) -> None:
        bounds = [10 ** (n + self._decimals) for n in range(1, self._width)]
        if int(self._values.min()) >= bounds[-1]:
            return  # as prices of a page mostly do, all have the same width
        shown = np.searchsorted(np.array(bounds, dtype=np.int64), self._values, side="right") + 1
        places = np.arange(self._width, 0, -1)
        keep[:, begin:end] = shown[:, None] >= places

    def _mask_trailing(self, keep: _Mask, dot: int, digits: _Bytes) -> None:
        """Keep a place where anything but zeros stands at it or behind it."""
        backwards = digits[:, : self._width - 1 : -1] != ord("0")
        kept = np.logical_or.accumulate(backwards, axis=1)[:, ::-1]
        keep[:, dot + 1 : dot + 1 + self._decimals] = kept
        keep[:, dot] = kept[:, 0]


def rows(fields: Sequence[Field], count: int) -> bytes:
    """The JSON array of ``count`` rows; the first field starts with ``,[``, the last ends ``]``."""
    template = b"".join(field.template for field in fields)
    text = np.empty((count, len(template)), dtype=np.uint8)
    text[:] = np.frombuffer(template, dtype=np.uint8)
    keep = np.ones(text.shape, dtype=np.bool_)
    offset = 0
    for field in fields:
        field.write(text, keep, offset)
        offset += len(field.template)
    written: bytes = text[keep].tobytes()
    return b"[" + written[1:] + b"]"


def _in_units_of(values: Ints, decimals: int, places: int) -> tuple[Ints, int]:
    """The values in counts of at most ``places`` decimals, and how many those are."""
    if decimals < 0:
        return values * 10**-decimals, 0
    if decimals > places:
        return values // 10 ** (decimals - places), places
    return values, decimals


def _digits(values: Ints, width: int) -> _Bytes:
    """The decimal digits of non-negative integers, with leading zeros, as ASCII."""
    groups = -(-width // 4)
    packed = np.empty((len(values), groups), dtype=np.uint32)
    rest = values
    for group in range(groups - 1, 0, -1):
        quotient = rest // _FOUR
        packed[:, group] = _TEXTS.take(rest - quotient * _FOUR)
        rest = quotient
    packed[:, 0] = _TEXTS.take(rest)
    digits: _Bytes = packed.view(np.uint8)
    return digits[:, groups * 4 - width :]
