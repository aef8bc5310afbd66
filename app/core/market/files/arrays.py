"""Between Arrow's arrays and numpy's without pandas.

``pyarrow.array``, ``pyarrow.scalar`` and ``Array.to_numpy`` import pandas, to see whether they
were given any of it: 0.7 s at the first page that an API serves, and 45 MB of each process. These
look at the buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa


def numbers_of(array: pa.Array) -> npt.NDArray[Any]:
    """The values of whole or floating numbers, of which none is null; nothing is copied.

    Raises:
        ValueError: one is null, or they are no such numbers.
    """
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if array.null_count:
        raise ValueError(f"{array.null_count} of {len(array)} numbers are null")
    if not pa.types.is_integer(array.type) and not pa.types.is_floating(array.type):
        raise ValueError(f"{array.type} is no type of numbers")
    return _values(array, np.dtype(array.type.to_pandas_dtype()))


def mask_of(array: pa.Array) -> npt.NDArray[np.bool_]:
    """True where a boolean array is; null is not."""
    if array.null_count:
        return _truths(array) & _truths(array.is_valid())
    return _truths(array)


def arrow_of(values: npt.NDArray[Any]) -> pa.Array:
    """An Arrow array of a numpy array of whole or floating numbers or of truths."""
    import pyarrow as pa

    if values.dtype == np.bool_:
        bits = pa.py_buffer(np.packbits(values, bitorder="little").tobytes())
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])
    kept = np.ascontiguousarray(values)
    type_ = pa.from_numpy_dtype(kept.dtype)
    return pa.Array.from_buffers(type_, len(kept), [None, pa.py_buffer(kept)])


def texts_of(values: Sequence[str | None]) -> pa.Array:
    """An Arrow array of texts; None is null, and half a character, as JSON can state it, is "?"."""
    import pyarrow as pa

    known = [text or "" for text in values] if None in values else values
    joined = "".join(known)  # type: ignore[arg-type]
    content = joined.encode(errors="replace")
    if len(content) == len(joined):
        lengths = map(len, known)  # type: ignore[arg-type]
    else:
        lengths = (len(text.encode(errors="replace")) for text in known)  # type: ignore[union-attr, assignment]
    ends = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter(lengths, np.int64, len(values)), out=ends[1:])
    if len(content) >= 2**31:
        raise ValueError("the texts of one array have more than 2 GB")
    buffers = [_validity(values), pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def whole_of(values: Sequence[int | None]) -> pa.Array:
    """An Arrow array of whole numbers in 64 bits; None is null.

    Raises:
        OverflowError: one does not fit.
    """
    import pyarrow as pa

    known = [number or 0 for number in values] if None in values else values
    content = pa.py_buffer(np.array(known, np.int64))
    return pa.Array.from_buffers(pa.int64(), len(values), [_validity(values), content])


@cache
def text_scalar(text: str) -> pa.Scalar:
    """One text, to compare a column with or to fill it."""
    import pyarrow as pa

    content = text.encode()
    ends = pa.py_buffer(np.array([0, len(content)], np.int32).tobytes())
    return pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(content)])[0]


def number_scalar(number: float, like: pa.Array) -> pa.Scalar:
    """One number of a column's type."""
    return arrow_of(np.array([number], np.dtype(like.type.to_pandas_dtype())))[0]


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    import pyarrow as pa

    if None not in values:
        return None
    is_known = np.fromiter((value is not None for value in values), np.bool_, len(values))
    return pa.py_buffer(np.packbits(is_known, bitorder="little").tobytes())


def _truths(array: pa.Array) -> npt.NDArray[np.bool_]:
    import pyarrow as pa

    return _values(array.cast(pa.uint8()), np.dtype(np.uint8)).astype(np.bool_)


def _values(array: pa.Array, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)
