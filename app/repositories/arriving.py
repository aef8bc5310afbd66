"""Bars on their way into the table, as rows or as columns: what a bulk load needs of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from app.core.market.files.arrays import arrow_of, text_scalar
from app.core.market.files.columns import KlineColumns
from app.core.market.klines import KlineRow
from app.core.money import canonical

#: Columns of the table in the order of a line, and of ``texts``.
FIELDS = ("series_id", *KlineRow._fields)
_BATCH = 5_000
_NULL = "\\N"


class Arriving(Protocol):
    """Bars of one series that are to be inserted."""

    def __len__(self) -> int: ...

    def write(self, path: Path) -> None:
        """Write them for LOAD DATA: a line each, fields by tabs, ``\\N`` for null."""
        ...

    def batches(self) -> Iterator[list[tuple[Any, ...]]]:
        """The same for executemany, amounts as canonical text."""
        ...


class ArrivingRows:
    """Bars as exact rows."""

    def __init__(self, series_id: int, rows: Sequence[KlineRow]) -> None:
        self._series_id = series_id
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def write(self, path: Path) -> None:
        """See ``Arriving``."""
        lines = (
            "\t".join([str(self._series_id), *(_field(value) for value in row)]) + "\n"
            for row in self._rows
        )
        path.write_text("".join(lines), encoding="ascii")

    def batches(self) -> Iterator[list[tuple[Any, ...]]]:
        """See ``Arriving``."""
        for position in range(0, len(self._rows), _BATCH):
            yield [
                (self._series_id, *map(_value, row))
                for row in self._rows[position : position + _BATCH]
            ]


class ArrivingColumns:
    """Bars as checked columns: no object is made of a bar that is loaded from a file."""

    def __init__(self, series_id: int, columns: KlineColumns) -> None:
        self._series_id = series_id
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns)

    def write(self, path: Path) -> None:
        """See ``Arriving``."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import csv

        *amounts, quote_volume, trade_count = self._columns.arrays()
        counts = pc.cast(trade_count, pa.string())
        series = np.full(len(self), self._series_id)
        table = pa.table(
            [
                arrow_of(series),
                arrow_of(self._columns.open_ts),
                *amounts,
                quote_volume.fill_null(text_scalar(_NULL)),
                counts.fill_null(text_scalar(_NULL)),
            ],
            names=FIELDS,
        )
        # Canonical texts hold nothing to be quoted, and the writer raises if one does.
        how = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
        csv.write_csv(table, path, how)

    def batches(self) -> Iterator[list[tuple[Any, ...]]]:
        """See ``Arriving``."""
        times = self._columns.open_ts.tolist()
        columns = (each.to_pylist() for each in self._columns.arrays())
        lines = zip([self._series_id] * len(times), times, *columns, strict=True)
        while batch := list(islice(lines, _BATCH)):
            yield batch


def _value(value: Decimal | int | None) -> str | int | None:
    return canonical(value) if isinstance(value, Decimal) else value


def _field(value: Decimal | int | None) -> str:
    return _NULL if value is None else str(_value(value))
