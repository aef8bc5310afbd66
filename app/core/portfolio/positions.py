"""Positions and PnL by average cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Final

from app.core.money import DECIMALS, ZERO
from app.core.orders.types import Side

_QUANTUM: Final = Decimal(1).scaleb(-DECIMALS)
_WIDE: Final = Context(prec=80)


@dataclass(frozen=True, slots=True)
class PositionState:
    """Own holding of one instrument and what it earned.

    Attributes:
        quantity: base units; fills minus fees paid in base.
        average_price: average price of the fills that opened it, before fees; None when flat.
        realized_pnl: quote units, before fees.
        fees: quote units; a fee in base counts at the price of its fill.
        cash_flow: quote received minus quote paid, fees in quote included.
    """

    quantity: Decimal = ZERO
    average_price: Decimal | None = None
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    cash_flow: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class TradeEffect:
    """One fill as it concerns a position.

    Attributes:
        fee_base: fee charged in base units.
        fee_quote: fee charged in quote units.
        fee_other: quote worth of a fee charged in a third asset.
    """

    side: Side
    price: Decimal
    quantity: Decimal
    fee_base: Decimal = ZERO
    fee_quote: Decimal = ZERO
    fee_other: Decimal = ZERO


def apply_trade(state: PositionState, trade: TradeEffect) -> PositionState:
    """The position after a fill.

    Spot and one-way: a sell reduces a long and may cross zero into a short, whose average
    price is then the fill's.
    """
    signed = trade.quantity * trade.side.sign
    notional = exact_product(trade.price, trade.quantity)
    fees = trade.fee_quote + trade.fee_other + exact_product(trade.price, trade.fee_base)
    after = replace(
        state,
        fees=state.fees + fees,
        cash_flow=state.cash_flow - notional * trade.side.sign - trade.fee_quote,
    )
    quantity = state.quantity + signed
    average: Decimal | None
    if state.quantity * signed >= 0:
        average = blended_price(
            state.average_price, abs(state.quantity), trade.price, trade.quantity
        )
        realized = ZERO
    else:
        closed = min(abs(state.quantity), trade.quantity)
        entry = state.average_price or trade.price
        direction = 1 if state.quantity > 0 else -1
        realized = exact_product(trade.price - entry, closed) * direction
        crossed = abs(signed) > abs(state.quantity)
        average = trade.price if crossed else state.average_price
    # A fee in base takes from the holding; it is a cost, not a sale.
    quantity -= trade.fee_base
    return replace(
        after,
        quantity=quantity,
        average_price=None if quantity == 0 else average,
        realized_pnl=state.realized_pnl + realized,
    )


def unrealized_pnl(state: PositionState, price: Decimal) -> Decimal:
    """Quote worth of the open position over its average price, before fees."""
    if state.quantity == 0 or state.average_price is None:
        return ZERO
    return exact_product(price - state.average_price, state.quantity)


def exact_product(left: Decimal, right: Decimal) -> Decimal:
    """Product at 18 decimals, half even; 36 digits never overflow the working precision."""
    return _WIDE.multiply(left, right).quantize(_QUANTUM, context=_WIDE).normalize(_WIDE)


def blended_price(
    average: Decimal | None, held: Decimal, price: Decimal, quantity: Decimal
) -> Decimal:
    """Average price of ``held`` units at ``average`` and ``quantity`` units at ``price``."""
    if held == 0 or average is None:
        return price
    cost = _WIDE.add(_WIDE.multiply(average, held), _WIDE.multiply(price, quantity))
    return _WIDE.divide(cost, held + quantity).quantize(_QUANTUM, context=_WIDE).normalize(_WIDE)
