"""Rows of Bybit's answers: instruments and bars."""

from __future__ import annotations

from typing import Any, Final

from app.core.exchanges.decoding import Reader, price_row
from app.core.exchanges.markets.newest_first import Bar, Series
from app.core.exchanges.symbols import of_bybit
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.klines import KlineKind
from app.core.money import ZERO

_STATUS: Final = {
    "Trading": InstrumentStatus.TRADING,
    "Closed": InstrumentStatus.DELISTED,
    "Delivering": InstrumentStatus.DELISTED,
}


def instrument(exchange: str, reader: Reader, row: dict[str, Any], spot: bool) -> Instrument | None:
    """A spot pair or a linear perpetual; None for what is neither, or not open yet.

    None as well for the few whose name does not follow from their coins: they cannot be asked
    for by their symbol.

    Raises:
        BadVenueAnswer: the row is not what Bybit documents.
    """
    if not spot and row.get("contractType") != "LinearPerpetual":
        return None
    state = reader.text(row, "status")
    base, quote = reader.text(row, "baseCoin"), reader.text(row, "quoteCoin")
    symbol = f"{base}/{quote}" + ("" if spot else f":{reader.text(row, 'settleCoin')}")
    native = reader.text(row, "symbol")
    if state == "PreLaunch" or of_bybit(symbol) != native:
        return None
    lot, price = reader.object(row.get("lotSizeFilter")), reader.object(row.get("priceFilter"))
    # The older of both names is still sent for spot, where it speaks of all orders.
    largest = next((lot[key] for key in ("maxLimitOrderQty", "maxOrderQty") if lot.get(key)), "0")
    notional = lot.get("minOrderAmt" if spot else "minNotionalValue")
    return Instrument(
        exchange=exchange,
        symbol=symbol,
        native_id=native,
        base=base,
        quote=quote,
        type=InstrumentType.SPOT if spot else InstrumentType.SWAP,
        status=_STATUS.get(state, InstrumentStatus.HALTED),
        tick_size=reader.positive(price, "tickSize").normalize() + 0,
        step_size=reader.positive(lot, "basePrecision" if spot else "qtyStep").normalize() + 0,
        min_quantity=reader.not_negative(lot, "minOrderQty"),
        max_quantity=reader.not_negative({"largest": largest}, "largest") or None,
        min_notional=reader.not_negative({"least": notional}, "least") if notional else ZERO,
    )


def bar(reader: Reader, row: Any, series: Series) -> Bar:
    """``[start, o, h, l, c, volume, turnover]``; prices have no volumes.

    The row of the bar that is open now looks like any other.
    """
    columns = 7 if series.kind is KlineKind.TRADE else 5
    if not isinstance(row, list) or len(row) < columns:
        reader.bad(f"a row has fewer than {columns} columns")
    price = price_row(reader, row)
    if series.kind is not KlineKind.TRADE:
        return Bar(price)
    volume, turnover = reader.loose(row[5], "volume"), reader.loose(row[6], "turnover")
    return Bar(price._replace(volume=volume, quote_volume=turnover))
