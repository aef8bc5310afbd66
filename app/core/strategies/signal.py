"""Signals: what a strategy intends, already sized and rounded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.core.errors import InvalidInput
from app.core.money import ZERO
from app.core.orders.types import OrderType, Side, TimeInForce


class SignalAction(StrEnum):
    """What the intent does to the instance's own position."""

    ENTER = "enter"
    EXIT = "exit"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Signal:
    """An intent of a strategy.

    Attributes:
        symbol: unified symbol.
        quantity: base units, a multiple of the instrument's step; 0 for CANCEL.
        limit_price: for LIMIT and STOP_LIMIT, on the tick.
        stop_price: for STOP and STOP_LIMIT, on the tick.
        valid_until: ms of market time after which the intent may no longer be sent; None
            means the close of its bar + 1 interval.
        cancels: for CANCEL, the key of the own working order to take back.
        oco_group: orders of one group cancel each other.
        stop_loss, take_profit: prices of attached exit legs.
        tag: the author's word for the reason; it follows the order into the trade list.
    """

    symbol: str
    side: Side
    action: SignalAction
    type: OrderType = OrderType.MARKET
    quantity: Decimal = ZERO
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    valid_until: int | None = None
    cancels: str | None = None
    oco_group: str | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    tag: str = ""

    def __post_init__(self) -> None:
        if self.action is SignalAction.CANCEL:
            if self.cancels is None:
                raise InvalidInput("a cancel signal must name the order that it cancels")
            return
        if self.quantity <= 0:
            raise InvalidInput(f"signal quantity was {self.quantity}; it must be above 0")
        needs_limit = self.type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        needs_stop = self.type in (OrderType.STOP, OrderType.STOP_LIMIT)
        for name, price, needed in (
            ("limit_price", self.limit_price, needs_limit),
            ("stop_price", self.stop_price, needs_stop),
        ):
            if needed != (price is not None):
                raise InvalidInput(
                    f"a {self.type} signal {'needs' if needed else 'takes no'} {name}"
                )
            if price is not None and price <= 0:
                raise InvalidInput(f"{name} was {price}; it must be above 0")


@dataclass(frozen=True, slots=True)
class EmittedSignal:
    """A signal with the identity that makes it unique for one instance.

    Attributes:
        interval: the interval that the strategy runs on.
        cause: what made the strategy speak: ``bar:<open ms>``, ``fill:<id>``,
            ``trig:<leg>`` or ``tick:<seq>``.
        leg: position among the signals of one cause and symbol, from 0.
        bar_ts: open time of the bar that was the latest when it was emitted, ms.
        valid_until: ms of market time, resolved.
    """

    signal: Signal
    interval: str
    cause: str
    leg: int
    bar_ts: int
    valid_until: int

    @property
    def key(self) -> str:
        """``symbol|interval|cause|leg``: the own name of the order that it becomes."""
        return f"{self.signal.symbol}|{self.interval}|{self.cause}|{self.leg}"
