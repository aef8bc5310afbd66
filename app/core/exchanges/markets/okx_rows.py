"""Rows of OKX's answers: instruments, bars, open interest."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from app.core.exchanges.decoding import Reader, price_row
from app.core.exchanges.markets.newest_first import Bar, Series
from app.core.exchanges.symbols import is_swap
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.klines import KlineKind
from app.core.market.points import OpenInterest
from app.core.money import ONE, ZERO

_STATUS: Final = {"live": InstrumentStatus.TRADING, "expired": InstrumentStatus.DELISTED}
# Rows of these are still incomplete, or no instruments at all.
_NOT_YET: Final = frozenset({"preopen", "test"})


def instrument(exchange: str, reader: Reader, row: dict[str, Any]) -> Instrument | None:
    """A spot pair or a linear perpetual; None for what is neither, or not open yet.

    Raises:
        BadVenueAnswer: the row is not what OKX documents.
    """
    kind, state = reader.text(row, "instType"), reader.text(row, "state")
    if state in _NOT_YET or kind not in ("SPOT", "SWAP"):
        return None
    if kind == "SWAP" and row.get("ctType") != "linear":
        return None
    swap = kind == "SWAP"
    base, quote = _pair(reader, row, "-SWAP" if swap else "")
    size = contract_size(reader, row) if swap else ONE
    largest = reader.not_negative(row, "maxLmtSz") if row.get("maxLmtSz") else None
    return Instrument(
        exchange=exchange,
        symbol=f"{base}/{quote}" + (f":{reader.text(row, 'settleCcy')}" if swap else ""),
        native_id=reader.text(row, "instId"),
        base=base,
        quote=quote,
        type=InstrumentType.SWAP if swap else InstrumentType.SPOT,
        status=_STATUS.get(state, InstrumentStatus.HALTED),
        tick_size=plain(reader, reader.positive(row, "tickSz"), "tickSz"),
        step_size=plain(reader, reader.positive(row, "lotSz") * size, "lotSz"),
        min_quantity=plain(reader, reader.not_negative(row, "minSz") * size, "minSz"),
        max_quantity=plain(reader, largest * size, "maxLmtSz") if largest else None,
        contract_size=size,
    )


def contract_size(reader: Reader, row: dict[str, Any]) -> Decimal:
    """Base units of one contract of a linear perpetual."""
    size = reader.positive(row, "ctVal") * reader.positive(row, "ctMult")
    return plain(reader, size, "ctVal")


def _pair(reader: Reader, row: dict[str, Any], suffix: str) -> tuple[str, str]:
    """Base and quote, which the name of the instrument states."""
    name = reader.text(row, "instId")
    base, dash, quote = name.removesuffix(suffix).partition("-")
    if not (dash and base and quote and name.endswith(suffix)) or "-" in quote:
        reader.bad(f"{name} is not named as its type is")
    return base, quote


def plain(reader: Reader, value: Decimal, name: str) -> Decimal:
    """A product of two amounts, which must be an amount too, without trailing zeros."""
    return reader.number(f"{value.normalize():f}", name)


def data_of(reader: Reader, answer: Any) -> list[Any]:
    """What an answer holds, out of its envelope."""
    envelope = reader.object(answer)
    if str(envelope.get("code")) != "0":
        reader.bad("the answer has no code")
    return reader.list(envelope.get("data"))


def side(reader: Reader, row: dict[str, Any], key: str) -> Decimal | None:
    """The best price of a side; the venue writes nothing, or 0, for an empty one."""
    return reader.not_negative(row, key) or None if row.get(key) != "" else None


def bar(reader: Reader, row: Any, series: Series) -> Bar:
    """``[ts, o, h, l, c, vol, volCcy, volCcyQuote, confirm]``; prices have no volumes."""
    columns = 9 if series.kind is KlineKind.TRADE else 6
    if not isinstance(row, list) or len(row) < columns:
        reader.bad(f"a row has fewer than {columns} columns")
    confirm = row[columns - 1]
    if confirm not in ("0", "1"):
        reader.bad("a row does not say whether its bar has closed")
    price = price_row(reader, row)
    if series.kind is not KlineKind.TRADE:
        return Bar(price, confirm == "1")
    volume = reader.loose(row[6 if is_swap(series.symbol) else 5], "volume")
    quote_volume = reader.loose(row[7], "quote volume")
    traded = price._replace(volume=volume, quote_volume=quote_volume)
    return Bar(traded, confirm == "1")


def interest(reader: Reader, row: Any) -> OpenInterest:
    """``[ts, contracts, base units, USD]``."""
    if not isinstance(row, list) or len(row) < 3:
        reader.bad("a row has fewer than 3 columns")
    quantity = reader.number(row[2], "open interest")
    if quantity < ZERO:
        reader.bad("open interest is negative")
    return OpenInterest(reader.moment(row[0], "time"), quantity)
