"""Signed endpoints: account, orders, trades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from app.core.market.intervals import DAY_MS
from app.core.money import ZERO
from app.core.orders.types import Side, TimeInForce
from simulator.clock import wall_ms
from simulator.dialects.binance import errors, filters, shapes
from simulator.dialects.binance import params as read
from simulator.dialects.binance.api import Call, Route, Security
from simulator.dialects.binance.errors import BinanceError
from simulator.market import Market
from simulator.orders import Kind, Order, OrderRefused, OrderTicket

_KINDS: Final = {name: kind for kind, name in shapes.TYPE_NAMES.items()}
_PRICED: Final = {Kind.LIMIT, Kind.LIMIT_MAKER, Kind.STOP_LIMIT}
_STOPS: Final = {Kind.STOP, Kind.STOP_LIMIT, Kind.TAKE_PROFIT}
_TIMED: Final = {Kind.LIMIT, Kind.STOP_LIMIT}
_UNSUPPORTED: Final = {
    "TAKE_PROFIT_LIMIT": "Take profit limit orders are not supported for this symbol.",
}


def _account(call: Call) -> Any:
    venue = call.venue
    fees = venue.exchange.fees
    omit = call.params.get("omitZeroBalances", "false") == "true"
    return {
        "makerCommission": int(fees.maker * 10_000),
        "takerCommission": int(fees.taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": filters.eight(fees.maker),
            "taker": filters.eight(fees.taker),
            "buyer": "0.00000000",
            "seller": "0.00000000",
        },
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": call.now,
        "accountType": "SPOT",
        "balances": shapes.balances(venue.exchange.ledger.of(call.owner), omit_zero=omit),
        "permissions": ["SPOT"],
        "uid": int.from_bytes(call.owner.encode()[:6], "big"),
    }


# -- new orders ---------------------------------------------------------------------------


def _new_order(call: Call) -> Any:
    market = call.market()
    ticket = _ticket(call, market)
    style = _response_type(call.params, ticket.kind)
    exchange = call.venue.exchange
    try:
        order = exchange.place(call.owner, ticket)
    except OrderRefused as refused:
        raise errors.refusal(refused.reason) from None
    return style(order, market)


def _test_order(call: Call) -> Any:
    _ticket(call, call.market())
    return {}


def _ticket(call: Call, market: Market) -> OrderTicket:
    side = _side(read.text(call.params, "side"))
    kind = _kind(read.text(call.params, "type"))
    ticket = OrderTicket(
        symbol=market.spec.symbol,
        side=side,
        kind=kind,
        client_id=read.client_id(call.params, "newClientOrderId") or uuid4().hex[:22],
        quantity=_quantity(call.params, kind),
        quote_quantity=_quote_quantity(call.params, kind),
        price=_price(call.params, kind),
        stop_price=_stop_price(call.params, kind),
        time_in_force=_time_in_force(call.params, kind),
    )
    _check_filters(call, market, ticket)
    return ticket


def _check_filters(call: Call, market: Market, ticket: OrderTicket) -> None:
    exchange = call.venue.exchange
    working = exchange.open_orders(call.owner, market.spec.symbol)
    filters.check(
        market.spec,
        filters.Asked(
            side=ticket.side,
            quantity=ticket.quantity,
            quote_quantity=ticket.quote_quantity,
            price=ticket.price,
            stop_price=ticket.stop_price,
            average_price=market.price(call.now) or ZERO,
            open_orders=len(working),
            open_stops=sum(1 for order in working if order.ticket.kind in _STOPS),
        ),
    )


def _side(name: str) -> Side:
    try:
        return Side[name]
    except KeyError:
        raise BinanceError(-1117, "Invalid side.") from None


def _kind(name: str) -> Kind:
    if name in _UNSUPPORTED:
        raise BinanceError(-2010, _UNSUPPORTED[name])
    try:
        return _KINDS[name]
    except KeyError:
        raise BinanceError(-1116, "Invalid orderType.") from None


def _quantity(params: Mapping[str, str], kind: Kind) -> Decimal | None:
    if kind is Kind.MARKET and "quoteOrderQty" in params:
        if "quantity" in params:
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        return None
    return read.needed_amount(params, "quantity")


def _quote_quantity(params: Mapping[str, str], kind: Kind) -> Decimal | None:
    if kind is not Kind.MARKET and "quoteOrderQty" in params:
        raise errors.not_required("quoteOrderQty")
    return read.amount(params, "quoteOrderQty")


def _price(params: Mapping[str, str], kind: Kind) -> Decimal | None:
    if kind in _PRICED:
        return read.needed_amount(params, "price")
    if "price" in params:
        raise errors.not_required("price")
    return None


def _stop_price(params: Mapping[str, str], kind: Kind) -> Decimal | None:
    if kind in _STOPS:
        return read.needed_amount(params, "stopPrice")
    if "stopPrice" in params:
        raise errors.not_required("stopPrice")
    return None


def _time_in_force(params: Mapping[str, str], kind: Kind) -> TimeInForce:
    if kind not in _TIMED:
        if "timeInForce" in params:
            raise errors.not_required("timeInForce")
        return TimeInForce.GTC
    name = read.text(params, "timeInForce")
    try:
        return TimeInForce[name]
    except KeyError:
        raise BinanceError(-1115, "Invalid timeInForce.") from None


_RESPONSES: Final = {
    "ACK": shapes.acknowledged,
    "RESULT": shapes.result,
    "FULL": shapes.full,
}


def _response_type(params: Mapping[str, str], kind: Kind) -> Any:
    default = "FULL" if kind in (Kind.MARKET, Kind.LIMIT) else "ACK"
    name = params.get("newOrderRespType", default)
    if name not in _RESPONSES:
        raise BinanceError(-1100, "Illegal characters found in parameter 'newOrderRespType'.")
    return _RESPONSES[name]


# -- finding, cancelling ------------------------------------------------------------------


def _find(call: Call, missing: tuple[int, str], client_name: str = "origClientOrderId") -> Order:
    """The order that ``orderId`` or the client's id names; the newest if an id was reused."""
    symbol = call.market().spec.symbol
    order_id = read.whole(call.params, "orderId")
    client_id = call.params.get(client_name)
    if order_id is None and client_id is None:
        raise BinanceError(
            -1102,
            f"Param '{client_name}' or 'orderId' must be sent, but both were empty/null!",
        )
    for order in reversed(call.venue.exchange.orders_of(call.owner, symbol)):
        is_it = order.id == order_id if order_id is not None else order.client_id == client_id
        if is_it and _is_visible(order):
            return order
    raise BinanceError(*missing)


def _is_visible(order: Order) -> bool:
    return order.visible_from <= wall_ms()


def _get_order(call: Call) -> Any:
    return shapes.queried(_find(call, errors.NO_SUCH_ORDER), call.market())


def _cancel_order(call: Call) -> Any:
    order = _find(call, errors.UNKNOWN_ORDER)
    if not order.state.is_open:
        raise BinanceError(*errors.UNKNOWN_ORDER)
    request_id = read.client_id(call.params, "newClientOrderId") or uuid4().hex[:22]
    call.venue.exchange.cancel(order, request_id)
    return shapes.cancelled(order, call.market(), request_id)


def _cancel_all(call: Call) -> Any:
    market = call.market()
    found = call.venue.exchange.open_orders(call.owner, market.spec.symbol)
    if not found:
        raise BinanceError(*errors.UNKNOWN_ORDER)
    answers = []
    for order in found:
        request_id = uuid4().hex[:22]
        call.venue.exchange.cancel(order, request_id)
        answers.append(shapes.cancelled(order, market, request_id))
    return answers


def _cancel_replace(call: Call) -> Any:
    """Cancel one order and place another; the second only if the first may go."""
    mode = read.text(call.params, "cancelReplaceMode")
    if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
        raise errors.illegal("cancelReplaceMode", "^(STOP_ON_FAILURE|ALLOW_FAILURE)$")
    renamed = {
        "orderId": call.params.get("cancelOrderId"),
        "origClientOrderId": call.params.get("cancelOrigClientOrderId"),
        "newClientOrderId": call.params.get("cancelNewClientOrderId"),
        "symbol": call.params.get("symbol"),
    }
    cancel = replace(call, params={k: v for k, v in renamed.items() if v is not None})
    gone, cancel_error = _attempt(_cancel_order, cancel)
    if cancel_error is not None and mode == "STOP_ON_FAILURE":
        raise _replace_failure(-2022, "Order cancel-replace failed.", gone, None, 400)
    placed, place_error = _attempt(_new_order, call)
    if cancel_error is not None and place_error is not None:
        raise _replace_failure(-2022, "Order cancel-replace failed.", gone, placed, 400)
    if cancel_error is not None or place_error is not None:
        text = "Order cancel-replace partially failed."
        raise _replace_failure(-2021, text, gone, placed, 409)
    return _replaced(gone, placed)


def _attempt(handler: Any, call: Call) -> tuple[Any, BinanceError | None]:
    try:
        return handler(call), None
    except BinanceError as error:
        return error.body(), error


def _replaced(gone: Any, placed: Any) -> dict[str, Any]:
    def outcome(body: Any) -> str:
        if body is None:
            return "NOT_ATTEMPTED"
        return "FAILURE" if "code" in body else "SUCCESS"

    return {
        "cancelResult": outcome(gone),
        "newOrderResult": outcome(placed),
        "cancelResponse": gone,
        "newOrderResponse": placed,
    }


def _replace_failure(code: int, message: str, gone: Any, placed: Any, status: int) -> BinanceError:
    return BinanceError(code, message, status=status, data=_replaced(gone, placed))


def _open_orders(call: Call) -> Any:
    symbol = call.market().spec.symbol if "symbol" in call.params else None
    found = call.venue.exchange.open_orders(call.owner, symbol)
    markets = call.venue.markets
    return [shapes.queried(o, markets[o.ticket.symbol]) for o in found if _is_visible(o)]


def _all_orders(call: Call) -> Any:
    market = call.market()
    first = read.whole(call.params, "orderId")
    start, end = _span(call.params)
    limit = read.limit(call.params, 500, 1000)
    found = [
        order
        for order in call.venue.exchange.orders_of(call.owner, market.spec.symbol)
        if _is_visible(order)
        and (first is None or order.id >= first)
        and start <= order.created <= end
    ]
    oldest_first = first is not None or "startTime" in call.params
    chosen = found[:limit] if oldest_first else found[-limit:]
    return [shapes.queried(order, market) for order in chosen]


def _my_trades(call: Call) -> Any:
    market = call.market()
    order_id, from_id = read.whole(call.params, "orderId"), read.whole(call.params, "fromId")
    start, end = _span(call.params)
    limit = read.limit(call.params, 500, 1000)
    rows = [
        shapes.trade(order, fill, market)
        for order in call.venue.exchange.orders_of(call.owner, market.spec.symbol)
        if _is_visible(order) and (order_id is None or order.id == order_id)
        for fill in order.fills
        if (from_id is None or fill.trade_id >= from_id) and start <= fill.time <= end
    ]
    rows.sort(key=lambda row: int(row["id"]))
    oldest_first = from_id is not None or "startTime" in call.params
    return rows[:limit] if oldest_first else rows[-limit:]


def _span(params: Mapping[str, str]) -> tuple[int, int]:
    start, end = read.whole(params, "startTime"), read.whole(params, "endTime")
    if start is not None and end is not None and end - start > DAY_MS:
        raise BinanceError(-1127, "More than 24 hours between startTime and endTime.")
    return start or 0, end if end is not None else 1 << 62


def _signed(handler: Any, weight: Any) -> Route:
    return Route(handler, weight, Security.SIGNED)


def _trading(handler: Any, *, is_order: bool = False) -> Route:
    return Route(handler, 1, Security.SIGNED, is_order, trades=True)


def _open_orders_weight(params: Mapping[str, str]) -> int:
    return 6 if "symbol" in params else 80


def _my_trades_weight(params: Mapping[str, str]) -> int:
    return 5 if "orderId" in params else 20


ROUTES: Final = {
    ("GET", "/api/v3/account"): _signed(_account, 20),
    ("POST", "/api/v3/order"): _trading(_new_order, is_order=True),
    ("POST", "/api/v3/order/test"): _trading(_test_order),
    ("GET", "/api/v3/order"): _signed(_get_order, 4),
    ("POST", "/api/v3/order/cancelReplace"): _trading(_cancel_replace, is_order=True),
    ("DELETE", "/api/v3/order"): _trading(_cancel_order),
    ("GET", "/api/v3/openOrders"): _signed(_open_orders, _open_orders_weight),
    ("DELETE", "/api/v3/openOrders"): _trading(_cancel_all),
    ("GET", "/api/v3/allOrders"): _signed(_all_orders, 20),
    ("GET", "/api/v3/myTrades"): _signed(_my_trades, _my_trades_weight),
}
