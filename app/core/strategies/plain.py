"""Dataclasses as JSON and back: for pipes, rows and results.

Decimals travel as text, enumerations as their values, arrays as blobs beside the JSON. What
comes back equals what went in.

A result may hold a hundred thousand orders and fills, so what a type needs is worked out once.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
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
_Reader = Callable[[Any, Sequence[bytes]], Any]
_Writer = Callable[[Any, Blobs], Any]


def to_plain(value: Any, blobs: Blobs) -> Any:
    """JSON form of a value; each array is appended to ``blobs`` and referred to by number."""
    kind: Any = type(value)
    writer = _writer(kind)
    return value if writer is None else writer(value, blobs)


def from_plain(kind: type[T], data: Any, blobs: Sequence[bytes]) -> T:
    """The value of type ``kind`` whose JSON form is ``data``.

    Raises:
        InvalidInput: the data does not have that form.
    """
    wanted: Any = kind
    reader = _reader(wanted)
    try:
        result: T = data if reader is None else reader(data, blobs)
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise InvalidInput(f"not the data of a {kind.__name__}: {error}") from error
    return result


@cache
def _writer(kind: type) -> _Writer | None:  # noqa: PLR0911 - one for each kind of value
    """How values of that type are written; None for those that are JSON already."""
    if is_dataclass(kind):
        return _dataclass_writer(kind)
    if issubclass(kind, np.ndarray):
        return _write_array
    if issubclass(kind, Decimal):
        return lambda value, _: canonical(value)
    if issubclass(kind, Enum):
        return lambda value, _: value.value
    if issubclass(kind, Mapping):
        return lambda value, blobs: {key: to_plain(item, blobs) for key, item in value.items()}
    if issubclass(kind, list | tuple):
        return lambda value, blobs: [to_plain(item, blobs) for item in value]
    return None


def _dataclass_writer(kind: Any) -> _Writer:
    names = tuple(item.name for item in fields(kind))

    def write(value: Any, blobs: Blobs) -> dict[str, Any]:
        return {name: to_plain(getattr(value, name), blobs) for name in names}

    return write


def _write_array(value: Any, blobs: Blobs) -> dict[str, int]:
    blobs.append(np.ascontiguousarray(value).tobytes())
    return {"blob": len(blobs) - 1}


@cache
def _reader(kind: Any) -> _Reader | None:  # noqa: PLR0911 - one for each kind of value
    """How values of that type are read; None for those that are JSON already."""
    kind = _without_aliases(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _optional_reader(next(item for item in arguments if item is not type(None)))
    if origin is np.ndarray:
        (dtype,) = get_args(arguments[1])
        return lambda data, blobs: np.frombuffer(blobs[data["blob"]], dtype=dtype)
    if origin is tuple:
        return _tuple_reader(arguments[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_reader(arguments[1])
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass_reader(kind)
    if isinstance(kind, type) and issubclass(kind, Decimal | Enum):
        return lambda data, _: kind(data)
    return None


def _without_aliases(kind: Any) -> Any:
    """What an alias stands for: since numpy 2.5 ``NDArray[x]`` is one, made by ``type``."""
    while (value := getattr(get_origin(kind), "__value__", None)) is not None:
        kind = value[get_args(kind)]
    return kind


def _optional_reader(kind: Any) -> _Reader | None:
    inner = _reader(kind)
    if inner is None:
        return None
    return lambda data, blobs: None if data is None else inner(data, blobs)


def _tuple_reader(kind: Any) -> _Reader:
    inner = _reader(kind)
    if inner is None:
        return lambda data, _: tuple(data)
    return lambda data, blobs: tuple([inner(item, blobs) for item in data])


def _mapping_reader(kind: Any) -> _Reader:
    inner = _reader(kind)
    if inner is None:
        return lambda data, _: dict(data)
    return lambda data, blobs: {key: inner(item, blobs) for key, item in data.items()}


def _dataclass_reader(kind: Any) -> _Reader:
    readers = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}

    def read(data: Any, blobs: Sequence[bytes]) -> Any:
        values = {}
        for name, item in data.items():
            reader = readers[name]
            values[name] = item if reader is None else reader(item, blobs)
        return kind(**values)

    return read
