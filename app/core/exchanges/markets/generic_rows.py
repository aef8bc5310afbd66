"""What ccxt's unified calls return, as Tidemark's own types, and what an exchange lacks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from app.core.exchanges.decoding import Reader
from app.core.market.features import MarketFeatures
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.intervals import INTERVALS
from app.core.market.klines import KlineRow
from app.core.money import DECIMALS, ONE, ZERO

#: Bars asked for at once where ccxt states no limit of the exchange: all of them give 100.
DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000
# ccxt's ways of stating a precision; the third, significant digits, is no step.
_DECIMAL_PLACES: Final = 2
_TICK_SIZE: Final = 4
_FINEST: Final = ONE.scaleb(-DECIMALS)
#: Exchanges that give the latest bars of an interval alone, whatever start is asked for.
LATEST_BARS: Final = {"kraken": 720}


def features_of(client: Any) -> MarketFeatures:
    """What an exchange can be asked for, as ccxt describes it."""
    has = client.has
    bars = has.get("fetchOHLCV") is True
    described = client.features or {}
    limit = ((described.get("spot") or {}).get("fetchOHLCV") or {}).get("limit")
    page = min(int(limit), _LARGEST_PAGE) if limit else DEFAULT_PAGE
    funding = has.get("fetchFundingRateHistory") is True
    return MarketFeatures(
        intervals=frozenset(INTERVALS).intersection(client.timeframes or ())
        if bars
        else frozenset(),
        page=max(page, DEFAULT_PAGE),
        has_funding=funding,
        latest_bars=LATEST_BARS.get(client.id),
        lacks=tuple(_lacks(client.id, has, bars, funding)),
    )


def _lacks(exchange: str, has: dict[str, Any], bars: bool, funding: bool) -> list[str]:
    said = ["Accounts cannot trade here, and there are no live streams."]
    if bars:
        said.append("Klines have neither a quote volume nor a number of trades.")
        said.append("There are no klines of the mark or index price.")
        said.append("Numbers that ccxt calculates are rounded to 17 digits.")
    else:
        said.append("There are no klines.")
    if exchange in LATEST_BARS:
        said.append(f"Of each interval the latest {LATEST_BARS[exchange]} klines are given alone.")
    if not funding:
        said.append("There are no funding rates.")
    said.append("There is no open interest.")
    if has.get("fetchTickers") is not True:
        said.append("Instruments cannot be ordered by their turnover.")
    if has.get("fetchTime") is not True:
        said.append("The exchange's clock cannot be asked; this machine's is taken for it.")
    return said


def amount(reader: Reader, value: Any, name: str) -> Decimal:
    """A finite amount from a number as ccxt holds it."""
    return reader.number(_text(value), name)


def optional(reader: Reader, value: Any, name: str) -> Decimal | None:
    """An amount above 0, or None where there is none."""
    if value is None:
        return None
    found = amount(reader, value, name)
    if found < 0:
        reader.bad(f"{name} is negative")
    return found or None


def kline(reader: Reader, row: Any) -> KlineRow:
    """``[time, o, h, l, c, volume]``."""
    if not isinstance(row, list) or len(row) < 6:
        reader.bad("a row has fewer than 6 columns")
    names = ("open", "high", "low", "close", "volume")
    opened, high, low, close, volume = (
        reader.loose(_text(value), name) for name, value in zip(names, row[1:6], strict=True)
    )
    return KlineRow(reader.moment(row[0], "time"), opened, high, low, close, volume)


def instrument(exchange: str, reader: Reader, market: Any, mode: int) -> Instrument | None:
    """A spot pair or a linear perpetual of ccxt's markets; None for what is neither.

    A step that the exchange does not state is the finest that Tidemark can hold.
    """
    row = reader.object(market)
    spot = row.get("spot") is True
    if not spot and not (row.get("swap") is True and row.get("linear") is True):
        return None
    size = ONE if spot else amount(reader, row.get("contractSize"), "contractSize")
    if size <= 0:
        reader.bad("contractSize is not above 0")
    steps, limits = reader.object(row.get("precision")), reader.object(row.get("limits"))
    quantity = limits.get("amount") or {}
    most = optional(reader, quantity.get("max"), "largest amount")
    return Instrument(
        exchange=exchange,
        symbol=reader.text(row, "symbol"),
        native_id=reader.text(row, "id"),
        base=reader.text(row, "base"),
        quote=reader.text(row, "quote"),
        type=InstrumentType.SPOT if spot else InstrumentType.SWAP,
        status=InstrumentStatus.HALTED if row.get("active") is False else InstrumentStatus.TRADING,
        tick_size=_step(reader, steps.get("price"), mode) or _FINEST,
        step_size=_times(reader, _step(reader, steps.get("amount"), mode), size) or _FINEST,
        min_quantity=_times(reader, optional(reader, quantity.get("min"), "least"), size) or ZERO,
        max_quantity=_times(reader, most, size),
        min_notional=optional(reader, (limits.get("cost") or {}).get("min"), "least cost") or ZERO,
        contract_size=size,
    )


def _step(reader: Reader, value: Any, mode: int) -> Decimal | None:
    if value is None or mode not in (_TICK_SIZE, _DECIMAL_PLACES):
        return None
    stated = amount(reader, value, "a step")
    step = stated if mode == _TICK_SIZE else ONE.scaleb(-min(int(stated), DECIMALS))
    return step.normalize() + 0 if step > 0 else None


def _times(reader: Reader, value: Decimal | None, size: Decimal) -> Decimal | None:
    if value is None:
        return None
    return reader.number(f"{(value * size).normalize():f}", "a quantity")


def _text(value: Any) -> Any:
    """A number as the shortest text that means it; anything else as it is."""
    exact = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return str(value) if exact else value
