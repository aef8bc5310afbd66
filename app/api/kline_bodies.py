"""Klines as a body: columns in JSON, rows in CSV, a stream of Arrow's."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from fastapi import Request, Response

from app.core.market.klines import KlineFrame, KlineRow
from app.core.money import canonical

FIELDS: Final = ("open", "high", "low", "close", "volume")
# Below it the head of a compressed body costs what it saves.
_WORTH_ZIPPING: Final = 2_048
# Of 1,000 bars: 1 ms and a third of the bytes; the highest level takes ten times as long for
# a tenth less.
_LEVEL: Final = 1
#: Numbers of a frame, or exact amounts as texts.
Column = list[Any] | npt.NDArray[Any]


class KlineFormat(StrEnum):
    """How klines are written."""

    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


def columns_of(frame: KlineFrame) -> dict[str, Column]:
    """Arrays by name."""
    return {"open_ts": frame.open_ts, **dict(zip(FIELDS, frame.columns(), strict=True))}


def exact_columns(rows: Sequence[KlineRow]) -> dict[str, Column]:
    """Decimals as texts, by name."""
    columns: dict[str, Column] = {"open_ts": [row.open_ts for row in rows]}
    for name in FIELDS:
        columns[name] = [canonical(getattr(row, name)) for row in rows]
    return columns


def extra_columns(
    rows: Sequence[KlineRow], names: Sequence[str], *, exact: bool
) -> dict[str, Column]:
    """What not every venue says, by name; None where it does not."""
    number = canonical if exact else float
    columns: dict[str, Column] = {}
    for name in names:
        values = [getattr(row, name) for row in rows]
        is_count = name == "trade_count"
        columns[name] = [value if value is None or is_count else number(value) for value in values]
    return columns


def as_json(body: Mapping[str, Any]) -> bytes:
    """The body with its columns; a number is the repr of its float64."""
    import orjson

    # Called for what it does not write itself: an array whose values lie apart.
    return orjson.dumps(body, np.ndarray.tolist, orjson.OPT_SERIALIZE_NUMPY)


def as_csv(columns: Mapping[str, Column]) -> bytes:
    """A line of names and a line for each bar; numbers as their repr, so that they read back.

    What is not known is an empty cell.
    """
    lists = [each if isinstance(each, list) else each.tolist() for each in columns.values()]
    lines = [",".join(columns)]
    lines += [",".join(map(_cell, row)) for row in zip(*lists, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def as_arrow(columns: Mapping[str, Column], *, exact: bool = False) -> bytes:
    """An Arrow IPC stream of one batch; exact amounts are text."""
    import pyarrow as pa

    # Of a column without a value nothing else says its type.
    stated = {"quote_volume": pa.string() if exact else pa.float64(), "trade_count": pa.int64()}
    sink = pa.BufferOutputStream()
    batch = pa.table({name: pa.array(each, stated.get(name)) for name, each in columns.items()})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_table(batch)
    return bytes(sink.getvalue())


MEDIA: Final = {
    KlineFormat.JSON: "application/json",
    KlineFormat.CSV: "text/csv; charset=utf-8",
    KlineFormat.ARROW: "application/vnd.apache.arrow.stream",
}


def tagged(*parts: object) -> str:
    """A weak entity tag: the same bars, whatever compression they travel in."""
    return f'W/"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"'


def answer(
    request: Request,
    tag: str,
    form: KlineFormat,
    headers: Mapping[str, str],
    body: Callable[[], bytes],
) -> Response:
    """304 where the client has these bars, else the body, compressed where the client takes it.

    Args:
        body: called only where it is sent.
    """
    all_headers = {
        # Asked again each time, for a bar may be healed or revised.
        "Cache-Control": "private, no-cache",
        "ETag": tag,
        "Vary": "Accept-Encoding, Authorization",
        **headers,
    }
    known = request.headers.get("if-none-match", "")
    if tag in (each.strip() for each in known.split(",")) or known.strip() == "*":
        return Response(status_code=304, headers=all_headers)
    content = body()
    if len(content) >= _WORTH_ZIPPING and _takes_gzip(request):
        content = gzip.compress(content, _LEVEL, mtime=0)
        all_headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=MEDIA[form], headers=all_headers)


def _takes_gzip(request: Request) -> bool:
    for part in request.headers.get("accept-encoding", "").split(","):
        name, _, quality = part.strip().partition(";")
        if name.strip().lower() == "gzip":
            return quality.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
