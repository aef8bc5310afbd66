"""Between Arrow's arrays and numpy's without pandas.

``pyarrow.array``, ``pyarrow.scalar`` and ``Array.to_numpy`` import pandas, to see whether they
were given any of it: 0.7 s at the first page that an API serves, and 45 MB of each process. These
look at the buffers.
"""

from __future__ import annotations

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


def _truths(array: pa.Array) -> npt.NDArray[np.bool_]:
    import pyarrow as pa

    return _values(array.cast(pa.uint8()), np.dtype(np.uint8)).astype(np.bool_)


def _values(array: pa.Array, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)
