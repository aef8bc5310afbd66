"""Exact bars as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidInput
from app.core.market.files.arrays import arrow_of, texts_of, whole_of
from app.core.market.klines import KlineRow, Times
from app.core.money import canonical

if TYPE_CHECKING:
    import pyarrow as pa

#: Bars of one chunk: 5 MB of columns, and one transaction of a quarter of a second. With 100,000
#: an import took 310 MB in all, of which Python with its libraries is 150.
CHUNK: Final = 50_000
AMOUNTS: Final = ("open", "high", "low", "close", "volume")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class KlineColumns:
    """Bars of one series as columns of equal length.

    As a reader made them, amounts are text as the file states it, in any order of time. As
    ``check_columns`` let them pass, they are canonical text (see ``app.core.money``), so that
    equal amounts have equal texts, and the open times ascend strictly.

    Attributes:
        open_ts: open times in ms, int64.
        open, high, low, close, volume: Arrow string arrays.
        quote_volume: an Arrow string array; null where the source does not say.
        trade_count: an Arrow int64 array; null where the source does not say.
    """

    open_ts: Times
    open: pa.Array
    high: pa.Array
    low: pa.Array
    close: pa.Array
    volume: pa.Array
    quote_volume: pa.Array
    trade_count: pa.Array

    def __post_init__(self) -> None:
        lengths = {len(self.open_ts), *map(len, self.arrays())}
        if len(lengths) != 1:
            raise InvalidInput(f"kline columns had different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.open_ts)

    def arrays(self) -> tuple[pa.Array, ...]:
        """Every column but the open times, in the order of ``KlineRow``."""
        amounts = (self.open, self.high, self.low, self.close, self.volume)
        return (*amounts, self.quote_volume, self.trade_count)

    def slice(self, start: int, stop: int) -> Self:
        """Bars by position, [start, stop); nothing is copied."""
        count = max(0, stop - start)
        return type(self)(
            self.open_ts[start:stop], *(each.slice(start, count) for each in self.arrays())
        )

    def kept(self, mask: Mask) -> Self:
        """The bars for which the mask is true."""

        if bool(mask.all()):
            return self
        wanted = arrow_of(mask)
        return type(self)(self.open_ts[mask], *(each.filter(wanted) for each in self.arrays()))

    def ordered(self) -> Self:
        """The bars by time; those of one time keep their order."""
        if bool(np.all(self.open_ts[1:] >= self.open_ts[:-1])):
            return self

        order = np.argsort(self.open_ts, kind="stable")
        positions = arrow_of(order)
        return type(self)(self.open_ts[order], *(each.take(positions) for each in self.arrays()))

    def texts(self, position: int) -> list[str | int | None]:
        """One bar as JSON holds it exactly, in the order of ``KlineRow``."""
        stated = (each[position].as_py() for each in self.arrays())
        return [int(self.open_ts[position]), *stated]

    def rows(self) -> Iterator[KlineRow]:
        """Bars as exact rows; only of columns that were checked."""
        columns = [each.to_pylist() for each in self.arrays()]
        for opened, *amounts, quote, count in zip(self.open_ts.tolist(), *columns, strict=True):
            exact = [*map(Decimal, amounts), None if quote is None else Decimal(quote), count]
            yield KlineRow._make([opened, *exact])

    @classmethod
    def of_rows(cls, rows: Iterable[KlineRow]) -> KlineColumns:
        """Columns of exact rows, amounts as canonical text.

        Raises:
            InvalidInput: an amount does not fit DECIMAL(36,18).
        """
        listed = list(rows)
        texts = [
            [None if row[field] is None else canonical(row[field]) for row in listed]  # type: ignore[arg-type]
            for field in range(1, 7)
        ]
        return made(
            np.array([row.open_ts for row in listed], dtype=np.int64),
            texts,
            [row.trade_count for row in listed],
        )

    @classmethod
    def joined(cls, parts: Sequence[KlineColumns]) -> KlineColumns:
        """The bars of parts that follow each other."""
        import pyarrow as pa

        if not parts:
            none = [*[pa.nulls(0, pa.string())] * 6, pa.nulls(0, pa.int64())]
            return cls(np.empty(0, np.int64), *none)
        if len(parts) == 1:
            return parts[0]
        columns = zip(*(part.arrays() for part in parts), strict=True)
        times = np.concatenate([part.open_ts for part in parts])
        return cls(times, *(pa.concat_arrays(list(each)) for each in columns))


def made(times: Times, texts: Sequence[Any], counts: Any) -> KlineColumns:
    """Columns of lists or arrays: open, high, low, close, volume, quote volume; trade counts."""
    import pyarrow as pa

    def of(values: Any, of_list: Callable[[Any], pa.Array]) -> pa.Array:
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        return values if isinstance(values, pa.Array) else of_list(values)

    columns = [*(of(each, texts_of) for each in texts), of(counts, whole_of)]
    return KlineColumns(times, *columns)


def stated(rows: Sequence[KlineRow]) -> KlineColumns:
    """Columns of rows as they came, before anything was checked: also of what is no amount."""
    texts = [
        [None if row[field] is None else str(row[field]) for row in rows] for field in range(1, 7)
    ]
    times = np.array([row.open_ts for row in rows], dtype=np.int64)
    return made(times, texts, [row.trade_count for row in rows])


def rechunked(parts: Iterable[KlineColumns], most: int = CHUNK) -> Iterator[KlineColumns]:
    """The same bars in chunks of ``most``, the last one shorter."""
    waiting: list[KlineColumns] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        while size >= most:
            whole = KlineColumns.joined(waiting)
            yield whole.slice(0, most)
            waiting = [whole.slice(most, len(whole))]
            size -= most
    if size:
        yield KlineColumns.joined(waiting)
