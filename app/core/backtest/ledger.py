"""The record of a backtest's orders, kept alike by both engines.

An engine decides what fills at which price; this log books it at the strategy's desk, keeps
orders and fills for the result and gives every event its id.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from app.core.backtest.orders import BacktestFill, BacktestOrder
from app.core.market.intervals import interval as interval_of
from app.core.money import ZERO
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.desk import Desk
from app.core.strategies.exact import minus, plus, times, to_money
from app.core.strategies.signal import EmittedSignal
from app.core.strategies.updates import OrderUpdate

NOT_OWNED: Final = "sells more than is owned"


class OrderLog:
    """Orders and fills of one run.

    Args:
        fee: part of each fill's value, charged in quote units.
    """

    def __init__(self, desk: Desk, fee: Decimal) -> None:
        self.orders: list[BacktestOrder] = []
        self.fills: list[BacktestFill] = []
        self.unseen: list[OrderUpdate] = []
        self._desk = desk
        self._fee = fee
        self._interval = interval_of(desk.interval)
        self._events = 0
        self._promised = dict.fromkeys(desk.instruments, ZERO)

    def open(self, emitted: EmittedSignal) -> BacktestOrder | None:
        """Write down the order that a signal becomes.

        Returns:
            The order; None if it was rejected at once, because it sells more than is owned
            and not promised to another working sell. Spot has no short side.
        """
        order = BacktestOrder.of(emitted)
        self.orders.append(order)
        if order.side is Side.SELL:
            free = minus(self._desk.positions[order.symbol], self._promised[order.symbol])
            if order.quantity > free:
                self.close(order, OrderStatus.REJECTED, NOT_OWNED, self.moment_of(emitted))
                return None
            self._promise(order.symbol, order.quantity)
        order.status = OrderStatus.ACKNOWLEDGED
        return order

    def moment_of(self, emitted: EmittedSignal) -> int:
        """When a signal was emitted, ms: at the close of its bar."""
        return self._interval.next(emitted.bar_ts)

    def fill(self, order: BacktestOrder, price: Decimal, ts: int) -> None:
        """The whole order has filled at a price."""
        fee = to_money(times(times(order.quantity, price), self._fee))
        self._desk.add_fill(order.symbol, order.side, order.quantity, price, fee)
        self._release(order)
        order.filled_quantity = order.quantity
        order.status, order.closed_ts = OrderStatus.FILLED, ts
        update = self._tell(order, ts, price=price, quantity=order.quantity, fee=fee)
        is_maker = order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        self.fills.append(
            BacktestFill(
                event_id=update.event_id,
                key=order.key,
                symbol=order.symbol,
                side=order.side,
                type=order.type,
                bar_ts=ts,
                price=price,
                quantity=order.quantity,
                fee=fee,
                is_maker=is_maker,
                tag=order.tag,
            )
        )

    def reject(self, order: BacktestOrder, reason: str, ts: int) -> None:
        """The order was not taken."""
        self.close(order, OrderStatus.REJECTED, reason, ts)

    def close(self, order: BacktestOrder, status: OrderStatus, reason: str, ts: int) -> None:
        """The order has ended without a fill."""
        self._release(order)
        order.status, order.reason, order.closed_ts = status, reason, ts
        self._tell(order, ts)

    def take_unseen(self) -> list[OrderUpdate]:
        """What the strategy has not been told yet, oldest first; it counts as told now."""
        unseen, self.unseen = self.unseen, []
        return unseen

    def _promise(self, symbol: str, quantity: Decimal) -> None:
        self._promised[symbol] = plus(self._promised[symbol], quantity)

    def _release(self, order: BacktestOrder) -> None:
        """Give back what a working sell had been promised."""
        if order.side is Side.SELL and order.status is OrderStatus.ACKNOWLEDGED:
            self._promise(order.symbol, order.quantity.copy_negate())

    def _tell(
        self,
        order: BacktestOrder,
        ts: int,
        *,
        price: Decimal | None = None,
        quantity: Decimal = ZERO,
        fee: Decimal = ZERO,
    ) -> OrderUpdate:
        self._desk.working.pop(order.key, None)
        self._events += 1
        update = OrderUpdate(
            event_id=str(self._events),
            key=order.key,
            symbol=order.symbol,
            side=order.side,
            type=order.type,
            status=order.status,
            quantity=order.quantity,
            filled_quantity=order.filled_quantity,
            timestamp=ts,
            price=price,
            last_quantity=quantity,
            fee=fee,
            reason=order.reason,
            tag=order.tag,
        )
        self.unseen.append(update)
        return update
