"""Bars from trades, exactly: sums of decimals, first and last in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    """

    ts: Times
    price: pa.Array
    amount: pa.Array


def bars_of_trades(
    chunks: Iterable[TradeColumns], interval: Interval, name: str
) -> Iterator[KlineColumns]:
    """Bars of the interval; one in which nothing was traded is left out.

    Trades of one time keep the order of the file. What a bar's quote volume was, trades of a
    file do not say exactly; the number of trades is theirs.

    Raises:
        InvalidInput: trades go back in time beyond a bar that has ended, or one has a price or
            an amount that no trade can have.
    """
    waiting: TradeColumns | None = None
    seen = 0
    for chunk in chunks:
        if not len(chunk.ts):
            continue
        trades = _sound(chunk, name, seen)
        seen += len(chunk.ts)
        trades = _ordered(trades if waiting is None else _joined(waiting, trades))
        if waiting is not None and trades.ts[0] < interval.floor(int(waiting.ts[0])):
            raise InvalidInput(f"the trades of {name} are not in the order of their times; sort it")
        # Trades of the last bar may go on in the next chunk.
        last_open = interval.floor(int(trades.ts[-1]))
        cut = int(np.searchsorted(trades.ts, last_open))
        if cut:
            yield _bars(_slice(trades, 0, cut), interval)
        waiting = _slice(trades, cut, len(trades.ts))
    if waiting is not None:
        yield _bars(waiting, interval)


def _bars(trades: TradeColumns, interval: Interval) -> KlineColumns:
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
    return made(opens[first], texts, arrow_of(last - first + 1))


def _open_times(times: Times, interval: Interval) -> Times:
    if interval.is_month:
        return np.array([interval.floor(ts) for ts in times.tolist()], dtype=np.int64)
    found: Times = times - (times - interval.floor(0)) % interval.length_ms
    return found


def _sound(chunk: TradeColumns, name: str, seen: int) -> TradeColumns:
    """The trades with canonical texts."""
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
    return TradeColumns(chunk.ts, price.texts, amount.texts)


def _joined(one: TradeColumns, other: TradeColumns) -> TradeColumns:
    import pyarrow as pa

    return TradeColumns(
        np.concatenate([one.ts, other.ts]),
        pa.concat_arrays([one.price, other.price]),
        pa.concat_arrays([one.amount, other.amount]),
    )


def _ordered(trades: TradeColumns) -> TradeColumns:
    if bool(np.all(trades.ts[1:] >= trades.ts[:-1])):
        return trades

    order = np.argsort(trades.ts, kind="stable")
    positions = arrow_of(order)
    return TradeColumns(
        trades.ts[order], trades.price.take(positions), trades.amount.take(positions)
    )


def _slice(trades: TradeColumns, start: int, stop: int) -> TradeColumns:
    return TradeColumns(
        trades.ts[start:stop],
        trades.price.slice(start, stop - start),
        trades.amount.slice(start, stop - start),
    )


def _texts(column: Any) -> pa.Array:
    import pyarrow as pa

    texts = [format(each, "f") for each in column.to_pylist()]
    return pa.array(texts, pa.string())
