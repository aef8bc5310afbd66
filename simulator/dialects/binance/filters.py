"""The filters of a symbol: how ``exchangeInfo`` states them and how orders meet them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from app.core.market.rounding import is_multiple
from app.core.orders.types import Side
from simulator.dialects.binance.errors import BinanceError, filter_failure
from simulator.instruments import Spec

MAX_ORDERS: Final = 200
MAX_ALGO_ORDERS: Final = 5
MAX_NOTIONAL: Final = Decimal(9_000_000)
_MAX_PRICE: Final = Decimal(1_000_000)
_BAND: Final = (Decimal("0.2"), Decimal(5))
_PLACES: Final = 8

ORDER_TYPES: Final = (
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The figures of an order that the filters look at.

    Attributes:
        average_price: the market's price, against which bands and notionals are measured.
        open_orders, open_stops: how many the account has on the symbol.
    """

    side: Side
    quantity: Decimal | None
    quote_quantity: Decimal | None
    price: Decimal | None
    stop_price: Decimal | None
    average_price: Decimal
    open_orders: int
    open_stops: int


def eight(value: Decimal) -> str:
    """An amount as the venue prints it, with eight decimals."""
    return format(value.quantize(Decimal("0.00000001")), "f")


def describe(spec: Spec) -> list[dict[str, Any]]:
    """The ``filters`` of ``exchangeInfo``."""
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": eight(spec.tick),
            "maxPrice": eight(_MAX_PRICE),
            "tickSize": eight(spec.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": eight(spec.min_quantity),
            "maxQty": eight(spec.max_quantity),
            "stepSize": eight(spec.step),
        },
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": "0.00000000",
            "maxQty": eight(spec.max_quantity),
            "stepSize": "0.00000000",
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": str(_BAND[1]),
            "bidMultiplierDown": str(_BAND[0]),
            "askMultiplierUp": str(_BAND[1]),
            "askMultiplierDown": str(_BAND[0]),
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": eight(spec.min_notional),
            "applyMinToMarket": True,
            "maxNotional": eight(MAX_NOTIONAL),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": MAX_ORDERS},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": MAX_ALGO_ORDERS},
    ]


def check(spec: Spec, asked: Asked) -> None:
    """Pass an order through every filter, in the venue's order.

    Raises:
        BinanceError: the first filter that refuses it.
    """
    for name in ("quantity", "quote_quantity", "price", "stop_price"):
        _check_precision(name, getattr(asked, name))
    for price in (asked.price, asked.stop_price):
        if price is not None:
            _check_price(spec, asked, price)
    if asked.quantity is not None:
        _check_lot(spec, asked.quantity)
    _check_notional(spec, asked)
    if asked.open_orders >= MAX_ORDERS:
        raise filter_failure("MAX_NUM_ORDERS")
    if asked.stop_price is not None and asked.open_stops >= MAX_ALGO_ORDERS:
        raise filter_failure("MAX_NUM_ALGO_ORDERS")


_PARAMETERS: Final = {
    "quantity": "quantity",
    "quote_quantity": "quoteOrderQty",
    "price": "price",
    "stop_price": "stopPrice",
}


def _check_precision(name: str, value: Decimal | None) -> None:
    if value is None:
        return
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_PLACES:
        raise BinanceError(-1111, f"Parameter '{_PARAMETERS[name]}' has too much precision.")


def _check_price(spec: Spec, asked: Asked, price: Decimal) -> None:
    if price < spec.tick or price > _MAX_PRICE or not is_multiple(price, spec.tick):
        raise filter_failure("PRICE_FILTER")
    low, high = _BAND
    if not asked.average_price * low <= price <= asked.average_price * high:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _check_lot(spec: Spec, quantity: Decimal) -> None:
    in_range = spec.min_quantity <= quantity <= spec.max_quantity
    if not in_range or not is_multiple(quantity, spec.step):
        raise filter_failure("LOT_SIZE")


def _check_notional(spec: Spec, asked: Asked) -> None:
    if asked.quantity is None:
        notional = asked.quote_quantity or Decimal(0)
    else:
        notional = asked.quantity * (asked.price or asked.stop_price or asked.average_price)
    if notional < spec.min_notional:
        raise filter_failure("NOTIONAL")
    if asked.price is not None and notional > MAX_NOTIONAL:
        raise filter_failure("NOTIONAL")
