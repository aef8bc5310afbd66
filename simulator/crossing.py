"""How an order meets the levels of the book: what it takes at once, and as what it rests."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, TypeAlias

from app.core.market.rounding import floor_to
from app.core.matching.book import take
from app.core.matching.orders import Execution, WorkingOrder
from app.core.money import ZERO
from app.core.orders.types import OrderType, TimeInForce
from simulator.ledger import EXACT
from simulator.orders import Kind, Order, OrderRefused, OrderTicket, Refusal, needed

#: (price, quantity), best first.
Levels: TypeAlias = list[tuple[Decimal, Decimal]]
_CORE_TYPES: Final = {
    Kind.MARKET: OrderType.MARKET,
    Kind.LIMIT: OrderType.LIMIT,
    Kind.LIMIT_MAKER: OrderType.LIMIT,
    Kind.STOP: OrderType.STOP,
    Kind.STOP_LIMIT: OrderType.STOP_LIMIT,
    # A target above the market sells as a limit there would: at the target, or at a better
    # open. It is charged as a taker.
    Kind.TAKE_PROFIT: OrderType.LIMIT,
}


def affordable(ticket: OrderTicket, levels: Levels, step: Decimal) -> Decimal:
    """Base quantity that an amount of quote buys or that must be sold for it."""
    left = needed(ticket.quote_quantity)
    quantity = ZERO
    for price, available in levels:
        part = min(available, floor_to(EXACT.divide(left, price), step))
        quantity += part
        left -= part * price
        if part < available:
            break
    return quantity


def refuse_if_crossing(ticket: OrderTicket, levels: Levels) -> None:
    """See that an order that must wait would wait.

    Raises:
        OrderRefused: it would take at once, or its stop would be triggered at once.
    """
    if not levels:
        return
    best, sign = levels[0][0], ticket.side.sign
    if ticket.kind is Kind.LIMIT_MAKER and sign * (needed(ticket.price) - best) >= 0:
        raise OrderRefused(Refusal.WOULD_TAKE)
    if ticket.stop_price is None:
        return
    # A stop buys above the market, a target below it; sells the other way round.
    direction = -sign if ticket.kind is Kind.TAKE_PROFIT else sign
    if direction * (best - ticket.stop_price) >= 0:
        raise OrderRefused(Refusal.WOULD_TRIGGER)


def taken(order: Order, levels: Levels) -> list[Execution[Decimal]]:
    """What a new order takes from the levels; nothing where it must be filled whole and is not."""
    if order.ticket.kind not in (Kind.MARKET, Kind.LIMIT):
        return []
    executions = take(working_order(order), levels)
    filled = sum((e.quantity for e in executions), ZERO)
    is_fok = order.ticket.time_in_force is TimeInForce.FOK
    return [] if is_fok and filled < order.quantity else executions


def working_order(order: Order) -> WorkingOrder[Decimal]:
    """An order as the matching core knows it, by what of it remains."""
    ticket = order.ticket
    is_target = ticket.kind is Kind.TAKE_PROFIT
    return WorkingOrder(
        key=str(order.id),
        side=ticket.side,
        type=_CORE_TYPES[ticket.kind],
        remaining=order.remaining,
        limit_price=ticket.stop_price if is_target else ticket.price,
        stop_price=None if is_target else ticket.stop_price,
        time_in_force=ticket.time_in_force,
        triggered=order.triggered,
    )
