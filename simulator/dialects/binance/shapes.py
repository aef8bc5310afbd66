"""The JSON shapes of orders, trades and balances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from app.core.money import ZERO
from app.core.orders.types import Side
from simulator.dialects.binance.filters import eight
from simulator.ledger import Holding
from simulator.market import Market
from simulator.orders import Fill, Kind, Order, State

TYPE_NAMES: Final = {
    Kind.MARKET: "MARKET",
    Kind.LIMIT: "LIMIT",
    Kind.LIMIT_MAKER: "LIMIT_MAKER",
    Kind.STOP: "STOP_LOSS",
    Kind.STOP_LIMIT: "STOP_LOSS_LIMIT",
    Kind.TAKE_PROFIT: "TAKE_PROFIT",
}
STATUS_NAMES: Final = {
    State.NEW: "NEW",
    State.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    State.FILLED: "FILLED",
    State.CANCELED: "CANCELED",
    State.EXPIRED: "EXPIRED",
}
_SELF_TRADE: Final = "EXPIRE_MAKER"


def price_text(value: Decimal) -> str:
    """A price: eight decimals, or more where a replayed file has more."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -8:
        return format(value.normalize(), "f")
    return eight(value)


def units_text(count: int, decimals: int) -> str:
    """A count of 10^-decimals with the venue's eight decimals, or more where it has more."""
    whole, fraction = divmod(count, 10**decimals)
    return f"{whole}.{str(fraction).zfill(decimals)[:decimals].ljust(8, '0')}"


def _core(order: Order, market: Market) -> dict[str, Any]:
    ticket = order.ticket
    return {
        "price": price_text(ticket.price or ZERO),
        "origQty": eight(order.quantity),
        "executedQty": eight(order.executed),
        "origQuoteOrderQty": eight(ticket.quote_quantity or ZERO),
        "cummulativeQuoteQty": eight(order.cost),
        "status": STATUS_NAMES[order.state],
        "timeInForce": ticket.time_in_force.value.upper(),
        "type": TYPE_NAMES[ticket.kind],
        "side": ticket.side.value.upper(),
        "symbol": market.spec.native,
        "orderId": order.id,
        "orderListId": -1,
    }


def acknowledged(order: Order, market: Market) -> dict[str, Any]:
    """Answer to a new order, ``newOrderRespType=ACK``."""
    return {
        "symbol": market.spec.native,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": order.updated,
    }


def result(order: Order, market: Market) -> dict[str, Any]:
    """Answer to a new order, ``newOrderRespType=RESULT``."""
    body = acknowledged(order, market) | _core(order, market)
    body |= _stop(order)
    body |= {"workingTime": order.created, "selfTradePreventionMode": _SELF_TRADE}
    return body


def full(order: Order, market: Market) -> dict[str, Any]:
    """Answer to a new order, ``newOrderRespType=FULL``."""
    return result(order, market) | {"fills": [_short_fill(fill) for fill in order.fills]}


def queried(order: Order, market: Market) -> dict[str, Any]:
    """An order as queries state it."""
    ticket = order.ticket
    return _core(order, market) | {
        "clientOrderId": order.client_id,
        "stopPrice": price_text(ticket.stop_price or ZERO),
        "icebergQty": "0.00000000",
        "time": order.created,
        "updateTime": order.updated,
        "isWorking": order.is_working,
        "workingTime": order.created,
        "selfTradePreventionMode": _SELF_TRADE,
    }


def cancelled(order: Order, market: Market, request_id: str) -> dict[str, Any]:
    """Answer to a cancel."""
    return (
        _core(order, market)
        | _stop(order)
        | {
            "origClientOrderId": order.client_id,
            "clientOrderId": request_id,
            "transactTime": order.updated,
            "selfTradePreventionMode": _SELF_TRADE,
        }
    )


def trade(order: Order, fill: Fill, market: Market) -> dict[str, Any]:
    """One row of ``myTrades``."""
    return {
        "symbol": market.spec.native,
        "id": fill.trade_id,
        "orderId": order.id,
        "orderListId": -1,
        "price": price_text(fill.price),
        "qty": eight(fill.quantity),
        "quoteQty": eight(fill.cost),
        "commission": eight(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.time,
        "isBuyer": order.ticket.side is Side.BUY,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def balances(holdings: Mapping[str, Holding], *, omit_zero: bool) -> list[dict[str, str]]:
    """The ``balances`` of an account."""
    return [
        {"asset": asset, "free": eight(held.free), "locked": eight(held.locked)}
        for asset, held in holdings.items()
        if held.free or held.locked or not omit_zero
    ]


def levels(side: Iterable[tuple[Decimal, Decimal]]) -> list[list[str]]:
    """One side of an order book."""
    return [[price_text(price), eight(quantity)] for price, quantity in side]


def _stop(order: Order) -> dict[str, Any]:
    stop = order.ticket.stop_price
    return {} if stop is None else {"stopPrice": price_text(stop)}


def _short_fill(fill: Fill) -> dict[str, Any]:
    return {
        "price": price_text(fill.price),
        "qty": eight(fill.quantity),
        "commission": eight(fill.fee),
        "commissionAsset": fill.fee_asset,
        "tradeId": fill.trade_id,
    }
