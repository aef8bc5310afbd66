"""Dataclasses as JSON and back: for pipes, rows and results.

Decimals travel as text, enumerations as their values, arrays as blobs beside the JSON. What
comes back equals what went in.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from app.core.errors import InvalidInput
from app.core.money import canonical

T = TypeVar("T")
Blobs = list[bytes]


def to_plain(value: Any, blobs: Blobs) -> Any:  # noqa: PLR0911 - one for each kind of value
    """JSON form of a value; each array is appended to ``blobs`` and referred to by number."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name), blobs) for item in fields(value)}
    if isinstance(value, np.ndarray):
        blobs.append(np.ascontiguousarray(value).tobytes())
        return {"blob": len(blobs) - 1}
    if isinstance(value, Decimal):
        return canonical(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: to_plain(item, blobs) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, blobs) for item in value]
    return value


def from_plain(kind: type[T], data: Any, blobs: Sequence[bytes]) -> T:
    """The value of type ``kind`` whose JSON form is ``data``.

    Raises:
        InvalidInput: the data does not have that form.
    """
    try:
        result: T = _read(kind, data, blobs)
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise InvalidInput(f"not the data of a {kind.__name__}: {error}") from error
    return result


def _read(kind: Any, data: Any, blobs: Sequence[bytes]) -> Any:  # noqa: PLR0911 - as above
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = next(option for option in get_args(kind) if option is not type(None))
        return None if data is None else _read(inner, data, blobs)
    if origin is np.ndarray:
        dtype = get_args(get_args(kind)[1])[0]
        return np.frombuffer(blobs[data["blob"]], dtype=dtype)
    if origin is tuple:
        return tuple(_read(get_args(kind)[0], item, blobs) for item in data)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        inner = get_args(kind)[1]
        return {key: _read(inner, item, blobs) for key, item in data.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _read(hints[name], item, blobs) for name, item in data.items()})
    if isinstance(kind, type) and issubclass(kind, Decimal | Enum):
        return kind(data)
    return data


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
