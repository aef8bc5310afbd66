"""How Binance USD-M prints numbers, bars and instruments."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from app.core.market.intervals import Interval
from simulator.bars import Bars
from simulator.dialects.binance.klines import close_times
from simulator.dialects.table import Field, rows
from simulator.instruments import Spec, Status
from simulator.listings import Perpetual

# The venue prints prices of these contracts with two decimals, whatever their tick.
PRICE_PLACES: Final = 2
QUANTITY_PLACES: Final = 3
_MARK_PLACES: Final = 8
_NEVER: Final = 4_133_404_800_000  # delivery of a perpetual: 2100-12-25


def price(value: Decimal) -> str:
    """A traded price; more decimals where a replayed file has more."""
    exponent = value.normalize().as_tuple().exponent
    finer = -exponent if isinstance(exponent, int) else 0
    return format(value, f".{max(PRICE_PLACES, finer)}f")


def quantity(value: Decimal) -> str:
    """A quantity in base units."""
    return format(value, f".{QUANTITY_PLACES}f")


def mark(value: Decimal) -> str:
    """A mark or index price, or a rate."""
    return format(value, f".{_MARK_PLACES}f")


def klines(bars: Bars, interval: Interval, spec: Spec) -> bytes:
    """The rows of ``klines``."""
    if len(bars) == 0:
        return b"[]"
    exponent = spec.tick.normalize().as_tuple().exponent
    tick_places = -exponent if isinstance(exponent, int) else 0
    places = max(PRICE_PLACES, tick_places)
    volume, quote = bars.volume_decimals, bars.quote_decimals
    fields = [
        Field(b",[", bars.open_ts, 0, b""),
        *(Field(b',"', each, bars.price_decimals, b'"', places=places) for each in bars.prices()),
        Field(b',"', bars.volume, volume, b'"', places=max(volume, QUANTITY_PLACES)),
        Field(b",", close_times(bars, interval), 0, b""),
        Field(b',"', bars.quote_volume, quote, b'"', places=max(quote, 5)),
        Field(b",", bars.trades, 0, b""),
        Field(b',"', bars.taker_volume, volume, b'"', places=max(volume, QUANTITY_PLACES)),
        Field(b',"', bars.taker_quote_volume, quote, b'","0"]', places=max(quote, 5)),
    ]
    return rows(fields, len(bars))


def mark_klines(bars: Bars, interval: Interval) -> bytes:
    """The rows of ``markPriceKlines`` and ``indexPriceKlines``: prices without volumes."""
    if len(bars) == 0:
        return b"[]"
    decimals = bars.price_decimals
    fields = [
        Field(b",[", bars.open_ts, 0, b""),
        *(Field(b',"', each, decimals, b'"', places=_MARK_PLACES) for each in bars.prices()),
        Field(b',"0",', close_times(bars, interval), 0, b',"0"'),
        Field(b",", bars.trades, 0, b',"0","0","0"]'),
    ]
    return rows(fields, len(bars))


def symbol(perpetual: Perpetual, now: int, *, is_up: bool) -> dict[str, Any]:
    """One entry of ``exchangeInfo``."""
    spec, market = perpetual.spec, perpetual.market
    trades = is_up and market.status(now) is Status.TRADING
    ends = market.delisted_ms if market.is_delisted(now) else None
    return {
        "symbol": spec.native,
        "pair": spec.native,
        "contractType": "PERPETUAL",
        "deliveryDate": _NEVER if ends is None else ends,
        "onboardDate": market.tape.first_ts,
        "status": "TRADING" if trades else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": spec.base,
        "quoteAsset": spec.quote,
        "marginAsset": spec.quote,
        "pricePrecision": PRICE_PLACES,
        "quantityPrecision": QUANTITY_PLACES,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if spec.base == "BTC" else ["Layer-1"],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _filters(spec),
        "orderTypes": [
            "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }  # fmt: skip


def _filters(spec: Spec) -> list[dict[str, Any]]:
    lot = {
        "stepSize": quantity(spec.step),
        "maxQty": format(spec.max_quantity.normalize(), "f"),
        "minQty": quantity(spec.min_quantity),
    }
    return [
        {
            "minPrice": price(spec.tick),
            "maxPrice": "1000000",
            "filterType": "PRICE_FILTER",
            "tickSize": price(spec.tick),
        },
        {**lot, "filterType": "LOT_SIZE"},
        {**lot, "filterType": "MARKET_LOT_SIZE"},
        {"limit": 200, "filterType": "MAX_NUM_ORDERS"},
        {"limit": 10, "filterType": "MAX_NUM_ALGO_ORDERS"},
        {"notional": format(spec.min_notional.normalize(), "f"), "filterType": "MIN_NOTIONAL"},
        {
            "multiplierDown": "0.9500",
            "multiplierUp": "1.0500",
            "multiplierDecimal": "4",
            "filterType": "PERCENT_PRICE",
        },
    ]
