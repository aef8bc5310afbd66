"""Trades as columns, and their bars, exactly: sums of decimals, first and last in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.files.arrays import arrow_of
from app.core.market.files.columns import KlineColumns, Mask, made
from app.core.market.files.exact import decimals, exact, negative, zero
from app.core.market.intervals import Interval
from app.core.market.klines import Times

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False)
class TradeColumns:
    """Trades as columns of equal length.

    Attributes:
        ts: ms.
        price, amount: Arrow string arrays; amounts in base units.
        ids: an Arrow array of whole numbers or texts; None where the source gives none.
    """

    ts: Times
    price: pa.Array
    amount: pa.Array
    ids: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.ts)

    def arrays(self) -> tuple[pa.Array, ...]:
        """Every column but the times."""
        return (self.price, self.amount, *([] if self.ids is None else [self.ids]))

    def kept(self, mask: Mask) -> Self:
        """The trades for which the mask is true."""
        if bool(mask.all()):
            return self
        wanted = arrow_of(mask)
        return type(self)(self.ts[mask], *(each.filter(wanted) for each in self.arrays()))

    def ordered(self) -> Self:
        """The trades by time; those of one time keep their order."""
        if bool(np.all(self.ts[1:] >= self.ts[:-1])):
            return self
        order = np.argsort(self.ts, kind="stable")
        positions = arrow_of(order)
        return type(self)(self.ts[order], *(each.take(positions) for each in self.arrays()))

    @classmethod
    def joined(cls, parts: Sequence[TradeColumns]) -> TradeColumns:
        """The trades of parts, which give ids alike."""
        import pyarrow as pa

        columns = zip(*(part.arrays() for part in parts), strict=True)
        times = np.concatenate([part.ts for part in parts])
        return cls(times, *(pa.concat_arrays(list(each)) for each in columns))


def bars_of(trades: TradeColumns, interval: Interval) -> tuple[KlineColumns, Times, Times]:
    """The bars of trades, which ascend; the times of the first and of the last trade of each.

    What a bar's quote volume was, trades of a file do not say exactly; their number is theirs.
    """
    import pyarrow as pa

    opens = _open_times(trades.ts, interval)
    first = np.flatnonzero(np.concatenate([[True], opens[1:] != opens[:-1]]))
    last = np.concatenate([first[1:], [len(opens)]]) - 1
    table = pa.table({
        "bar": np.repeat(np.arange(len(first)), last - first + 1),
        "price": decimals(trades.price),
        "amount": decimals(trades.amount),
    })  # fmt: skip
    wanted = [("price", "max"), ("price", "min"), ("amount", "sum")]
    found = table.group_by("bar", use_threads=False).aggregate(wanted).sort_by("bar")
    high, low, volume = (_texts(found[f"{name}_{way}"]) for name, way in wanted)
    opened, close = (trades.price.take(arrow_of(each)) for each in (first, last))
    nothing = pa.nulls(len(first), pa.string())
    texts = [opened, high, low, close, volume, nothing]
    bars = made(opens[first], texts, arrow_of(last - first + 1))
    return bars, trades.ts[first], trades.ts[last]


def _open_times(times: Times, interval: Interval) -> Times:
    if interval.is_month:
        return np.array([interval.floor(ts) for ts in times.tolist()], dtype=np.int64)
    found: Times = times - (times - interval.floor(0)) % interval.length_ms
    return found


def sound(chunk: TradeColumns, name: str, seen: int) -> TradeColumns:
    """The trades with canonical texts.

    Args:
        seen: how many trades of the file came before, for the message.

    Raises:
        InvalidInput: one has a price or an amount that no trade can have.
    """
    price, amount = exact(chunk.price), exact(chunk.amount)
    wrong: Mask = np.zeros(len(chunk.ts), np.bool_)
    for column in (price, amount):
        wrong |= negative(column.texts)
        wrong[list(column.faults)] = True
    wrong |= zero(price.texts)
    if wrong.any():
        position = int(np.argmax(wrong))
        raise InvalidInput(
            f"trade {seen + position + 1} of {name} has the price {chunk.price[position]} and the "
            f"amount {chunk.amount[position]}, which no trade can have"
        )
    return TradeColumns(chunk.ts, price.texts, amount.texts, chunk.ids)


def _texts(column: Any) -> pa.Array:
    import pyarrow as pa

    texts = [format(each, "f") for each in column.to_pylist()]
    return pa.array(texts, pa.string())
