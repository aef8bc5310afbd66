"""Files of bars, of trades and of funding rates, as chunks of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.core.errors import InvalidInput
from app.core.market.files.arrays import texts_of
from app.core.market.files.columns import AMOUNTS, CHUNK, KlineColumns, made, rechunked
from app.core.market.files.endings import UnendedLine
from app.core.market.files.mapping import positions
from app.core.market.files.naming import BARS, ENDINGS, FUNDING, TRADES, FileName
from app.core.market.files.tables import Table, open_table
from app.core.market.files.tape import Tape
from app.core.market.files.times import TimeReader
from app.core.market.files.trades import TradeColumns
from app.core.market.klines import Times
from app.core.market.points import FundingRate
from app.core.money import DECIMALS

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS: Final = tuple(dict.fromkeys(ENDINGS.values()))
# Every number of so many digits reads back from a float64 as it was.
_FLOAT64: Final = Context(prec=15)


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a file; what is left away is found out from its name and its beginning.

    Attributes:
        format: one of ``FORMATS``.
        holds: ``bars``, ``trades`` or ``funding``.
        layout: ``binance`` or ``freqtrade``, for files without a header.
        columns: see ``mapping.columns_of``.
        time_unit, utc_offset_ms: see ``TimeReader``.
        is_whole: the last line of a text counts, though no line end follows it.
    """

    format: str
    holds: str = BARS
    layout: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    time_unit: str = ""
    utc_offset_ms: int | None = None
    is_whole: bool = False


def reading_of(name: FileName, path: Path, format_: str = "") -> Reading:
    """How a file is read by its name.

    Raises:
        InvalidInput: there is no such format, or neither the name nor ``format_`` says one.
    """
    known = format_ or name.format
    if format_ and format_ not in FORMATS:
        raise InvalidInput(f"--format was {format_[:40]!r}; use one of {', '.join(FORMATS)}")
    if known not in FORMATS:
        raise InvalidInput(
            f"{path.name} has a name that does not say its format; say it with --format, one of "
            f"{', '.join(FORMATS)}"
        )
    is_aggregated = name.layout == "binance" and "-aggTrades-" in path.name
    return Reading(known, name.holds, f"{name.layout}-aggregated" if is_aggregated else name.layout)


def read_bars(path: Path, how: Reading, tape: Tape, most: int = CHUNK) -> Iterator[KlineColumns]:
    """The bars of a file as it states them, in its order, ``most`` at a time.

    Args:
        tape: that makes bars of trades; bars are not looked at.
        most: rows of a chunk.

    Raises:
        InvalidInput: the file cannot be read; the message names it and says what to do.
    """
    if how.holds == FUNDING:
        raise InvalidInput(f"{path.name} holds funding rates, not bars")
    with open_table(path, how.format, is_whole=how.is_whole) as table:
        times = TimeReader(path.name, how.time_unit, how.utc_offset_ms)
        if how.holds == TRADES:
            _require_end(path.name, table)
            bars = tape.bars(_trades(path.name, table, how, times))
        else:
            bars = _bars(path.name, table, how, times)
        yield from rechunked(bars, most)


def rows_of(path: Path, how: Reading) -> int:
    """About how many rows a file has, by its beginning and its size.

    Raises:
        InvalidInput: as ``read_bars``.
    """
    with open_table(path, how.format, is_whole=how.is_whole) as table:
        return table.rows()


def goes_on(path: Path, how: Reading, tape: Tape) -> bool:
    """Whether a file of trades goes on with what its tape carries; read as far as that takes.

    Raises:
        InvalidInput: as ``read_bars``.
    """
    with open_table(path, how.format, is_whole=how.is_whole) as table:
        times = TimeReader(path.name, how.time_unit, how.utc_offset_ms)
        trades = _trades(path.name, table, how, times)
        for chunk in trades:
            # Who wants no bars of it wants to know how it begins.
            next(tape.bars([chunk]), None)
            if tape.goes_on is not None:
                break
    return tape.goes_on is not False


def read_times(path: Path, how: Reading) -> Iterator[Times]:
    """The open times of a file of bars, ms, in its order, some at a time; nothing else is parsed.

    Raises:
        InvalidInput: as ``read_bars``.
    """
    with open_table(path, how.format, is_whole=how.is_whole) as table:
        times = TimeReader(path.name, how.time_unit, how.utc_offset_ms)
        where = positions(path.name, BARS, table.header, table.width, how.columns)
        for (ts,) in table.batches([where["ts"]]):
            yield times.milliseconds(ts)


def read_last(path: Path, how: Reading) -> tuple[UnendedLine, KlineColumns | None] | None:
    """A last line of bars that may be cut, which ``read_bars`` leaves out; None where none is.

    Returns:
        The line, and its bar, where it has a time and all of the columns.

    Raises:
        InvalidInput: as ``read_bars``.
    """
    if how.holds != BARS:
        return None
    with open_table(path, how.format, is_whole=how.is_whole) as table:
        if table.unended is None:
            return None
        if len(table.last) != table.width:
            return table.unended, None
        alone = replace(table, batches=_batches_of(table.last))
        times = TimeReader(path.name, how.time_unit, how.utc_offset_ms)
        try:
            (bar,) = _bars(path.name, alone, how, times)
        except InvalidInput:
            return table.unended, None
        return table.unended, bar


def read_funding(path: Path, how: Reading) -> Iterator[FundingRate]:
    """The funding rates of a file, in its order. Their times are as stated, off any grid.

    A rate of more than 18 decimals is rounded to the 15 digits that a float64 holds.

    Raises:
        InvalidInput: as ``read_bars``.
    """
    with open_table(path, how.format, is_whole=how.is_whole) as table:
        times = TimeReader(path.name, how.time_unit, how.utc_offset_ms)
        _require_end(path.name, table)
        where = positions(path.name, FUNDING, table.header, table.width, how.columns, how.layout)
        for ts, rate in table.batches([where["ts"], where["rate"]]):
            rates = as_texts(rate).to_pylist()
            for moment, text in zip(times.milliseconds(ts, floor=True), rates, strict=True):
                yield FundingRate(int(moment), _rate(path.name, text))


def as_texts(column: pa.Array) -> pa.Array:
    """A column of numbers as text: the shortest that reads back to the same float64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        return column
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return pc.cast(column, pa.string())
    if pa.types.is_decimal(column.type):
        # Arrow writes small decimals with an exponent.
        texts = [None if each is None else format(each, "f") for each in column.to_pylist()]
        return pa.array(texts, pa.string())
    return pc.cast(column, pa.string())


def _batches_of(cells: Sequence[str]) -> Callable[[Sequence[int]], Iterator[list[pa.Array]]]:
    """One row as batches of a table."""

    def batches(wanted: Sequence[int]) -> Iterator[list[pa.Array]]:
        yield [texts_of([cells[position] or None]) for position in wanted]

    return batches


def _require_end(name: str, table: Table) -> None:
    """Nothing, where the last line is whole: without it a bar lacks a trade, or a payment lacks."""
    if table.unended is not None:
        raise InvalidInput(
            f"line {table.unended.number} of {name}, its last, has no line end and may be cut; if "
            "the file is whole, say --whole, else fetch it again"
        )


def _bars(name: str, table: Table, how: Reading, times: TimeReader) -> Iterator[KlineColumns]:
    where = positions(name, BARS, table.header, table.width, how.columns)
    fields = [each for each in ("ts", *AMOUNTS, "quote_volume", "trade_count") if each in where]
    for batch in table.batches([where[each] for each in fields]):
        columns = dict(zip(fields, batch, strict=True))
        count = len(batch[0])
        texts = [as_texts(columns[each]) for each in AMOUNTS]
        texts.append(_optional(columns.get("quote_volume"), count))
        counts = _counts(name, columns.get("trade_count"), count)
        yield made(times.milliseconds(columns["ts"]), texts, counts)


def _trades(name: str, table: Table, how: Reading, times: TimeReader) -> Iterator[TradeColumns]:
    where = positions(name, TRADES, table.header, table.width, how.columns, how.layout)
    fields = [each for each in ("ts", "price", "amount", "id") if each in where]
    for ts, price, amount, *ids in table.batches([where[each] for each in fields]):
        stated = as_texts(price), as_texts(amount), *map(as_texts, ids)
        yield TradeColumns(times.milliseconds(ts, floor=True), *stated)


def _optional(column: pa.Array | None, count: int) -> pa.Array:
    import pyarrow as pa

    return pa.nulls(count, pa.string()) if column is None else as_texts(column)


def _counts(name: str, column: pa.Array | None, count: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column is None:
        return pa.nulls(count, pa.int64())
    try:
        return pc.cast(column, pa.int64())
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"{name} has a trade count that is no whole number: {reason}") from None


def _rate(name: str, text: str | None) -> Decimal:
    try:
        rate = Decimal(text or "")
    except ArithmeticError:
        rate = Decimal("NaN")
    if not rate.is_finite():
        raise InvalidInput(f"{name} has the funding rate {text!r}, which is no number")
    exponent = rate.as_tuple().exponent
    # No venue states so many decimals: they are what a float64 was printed with.
    is_noise = isinstance(exponent, int) and -exponent > DECIMALS
    return _FLOAT64.plus(rate) if is_noise else rate
