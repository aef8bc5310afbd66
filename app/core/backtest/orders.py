"""Orders and fills of a backtest, as its result lists them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.core.money import ZERO
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.signal import EmittedSignal


@dataclass(frozen=True, slots=True)
class BacktestFill:
    """One fill.

    Attributes:
        event_id: the id under which the strategy was told of it.
        bar_ts: open time of the bar in which it filled, ms.
        price: quote units per base unit.
        fee: quote units.
    """

    event_id: str
    key: str
    symbol: str
    side: Side
    type: OrderType
    bar_ts: int
    price: Decimal
    quantity: Decimal
    fee: Decimal
    is_maker: bool
    tag: str = ""


@dataclass(slots=True)
class BacktestOrder:
    """One order from its signal to its end.

    Attributes:
        key: the signal's key.
        created_ts: open time of the bar it was emitted on, ms.
        status: ACKNOWLEDGED while it works, then its end.
        closed_ts: ms; the open of the bar that filled or rejected it, or the close of the bar
            on which it was cancelled or refused at once. None while it works.
        reason: why it was rejected, cancelled or expired.
    """

    key: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    tag: str
    created_ts: int
    status: OrderStatus = OrderStatus.NEW
    filled_quantity: Decimal = ZERO
    closed_ts: int | None = None
    reason: str = ""

    @classmethod
    def of(cls, emitted: EmittedSignal) -> BacktestOrder:
        """The order that a signal becomes."""
        signal = emitted.signal
        return cls(
            key=emitted.key,
            symbol=signal.symbol,
            side=signal.side,
            type=signal.type,
            quantity=signal.quantity,
            limit_price=signal.limit_price,
            stop_price=signal.stop_price,
            tag=signal.tag,
            created_ts=emitted.bar_ts,
        )
