"""From what a strategy wants to signals that the instrument's filters accept."""

from __future__ import annotations

from decimal import Decimal

from app.core.errors import InvalidInput
from app.core.market.instruments import Instrument
from app.core.market.rounding import is_multiple, round_price, round_quantity
from app.core.money import ZERO
from app.core.orders.types import OrderType, Side, TimeInForce
from app.core.strategies.desk import Desk
from app.core.strategies.exact import Amount, exact, minus, over, plus, times
from app.core.strategies.signal import Signal, SignalAction


def target_delta(desk: Desk, symbol: str, wanted: Decimal) -> Decimal:
    """Signed quantity that is missing: wanted − own position − own orders on their way.

    A reduction never exceeds what is owned and not promised to another working sell.
    """
    present = plus(desk.held(symbol), desk.on_their_way(symbol))
    delta = minus(wanted, present)
    if delta < 0:
        delta = max(delta, max(desk.sellable(symbol), ZERO).copy_negate())
    return round_quantity(delta, desk.instruments[symbol].step_size)


def quantity_for(desk: Desk, symbol: str, fraction: Decimal, price: Decimal) -> Decimal:
    """Base units that ``fraction`` of sizing equity buys at ``price``, down to the step."""
    if price <= 0:
        raise InvalidInput(f"price was {price}; it must be above 0")
    quantity = over(times(fraction, sizing_equity(desk)), price)
    return round_quantity(quantity, desk.instruments[symbol].step_size)


def sizing_equity(desk: Desk) -> Decimal:
    """Equity that fractions refer to, never below 0.

    Without compounding it is the capital, or what is left of it after losses: gains are not
    put at risk, and money that was lost is not spent again.
    """
    equity = desk.equity()
    return max(equity if desk.compounding else min(desk.capital, equity), ZERO)


def order_signals(
    desk: Desk,
    symbol: str,
    side: Side,
    quantity: Amount,
    type_: OrderType,
    *,
    limit: Amount | None = None,
    stop: Amount | None = None,
    time_in_force: TimeInForce = TimeInForce.GTC,
    tag: str = "",
) -> list[Signal]:
    """One signal, rounded; or none where the instrument's filters would refuse it.

    What is left out is counted in ``desk.dropped`` with its reason, which the report shows.
    """
    instrument = desk.instruments[symbol]
    asked = exact(quantity, "quantity")
    if asked < 0:
        raise InvalidInput(f"quantity was {asked}; it must not be negative")
    size = round_quantity(asked, instrument.step_size)
    if instrument.max_quantity is not None:
        size = min(size, instrument.max_quantity)
    limit_price = _price(limit, "limit", instrument, side)
    stop_price = _price(stop, "stop", instrument, side)
    reason = _refusal(instrument, size, limit_price or stop_price or desk.price(symbol))
    if reason:
        if asked > 0:
            desk.dropped[reason] += 1
        return []
    return [
        Signal(
            symbol=symbol,
            side=side,
            action=_action(desk, symbol, side),
            type=type_,
            quantity=size,
            limit_price=limit_price,
            stop_price=stop_price,
            time_in_force=time_in_force,
            tag=tag,
        )
    ]


def check_signal(desk: Desk, signal: Signal) -> None:
    """Refuse a signal that no venue would take as it stands.

    Raises:
        InvalidInput: an unknown symbol, a quantity off the step, a price off the tick, or an
            attached exit leg.
    """
    instrument = desk.instruments[desk.chosen(signal.symbol)]
    if signal.action is SignalAction.CANCEL:
        return
    if not is_multiple(signal.quantity, instrument.step_size):
        raise InvalidInput(
            f"signal quantity was {signal.quantity}; {signal.symbol} trades in steps of "
            f"{instrument.step_size}"
        )
    for name, price in (("limit", signal.limit_price), ("stop", signal.stop_price)):
        if price is not None and not is_multiple(price, instrument.tick_size):
            raise InvalidInput(
                f"{name} price was {price}; {signal.symbol} is priced in ticks of "
                f"{instrument.tick_size}"
            )
    if signal.oco_group or signal.stop_loss is not None or signal.take_profit is not None:
        raise InvalidInput(
            "stop_loss, take_profit and oco_group are not taken yet; send the stop as an order "
            "of its own from on_order_update"
        )


def _price(price: Amount | None, what: str, instrument: Instrument, side: Side) -> Decimal | None:
    if price is None:
        return None
    value = exact(price, f"{what} price")
    rounded = round_price(value, instrument.tick_size, side)
    if rounded <= 0:
        raise InvalidInput(f"{what} price was {value}, which is below one tick")
    return rounded


def _refusal(instrument: Instrument, quantity: Decimal, price: Decimal) -> str:
    """Why the venue would not take the order; empty if it would."""
    if quantity <= 0:
        return "below one step"
    if quantity < instrument.min_quantity:
        return "below the minimum quantity"
    if times(quantity, price) < instrument.min_notional:
        return "below the minimum notional"
    return ""


def _action(desk: Desk, symbol: str, side: Side) -> SignalAction:
    held = desk.positions[symbol]
    reduces = held < 0 if side is Side.BUY else held >= 0
    return SignalAction.EXIT if reduces else SignalAction.ENTER
