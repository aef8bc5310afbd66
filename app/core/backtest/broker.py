"""The backtest's broker: spot cash, proportional fees, orders matched bar by bar.

Order of one bar, which is backtrader's:

1. cash check of the orders emitted on the bar before. They are executed in thought, one after
   the other, at the price they were created with (a market order: the close of the bar it
   was emitted on), fee included; an order after which cash is below 0 is rejected. As in
   backtrader, what a rejected order would have cost stays counted for those behind it.
2. working orders against the bar, first submitted first (``app.core.matching.bars``). A buy
   that turns out to cost more than the cash at hand is rejected then.
3. the strategy is told.

A sell beyond what is owned and not promised to another sell is rejected when it is emitted:
spot has no short side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from app.core.backtest.ledger import OrderLog
from app.core.backtest.orders import BacktestOrder
from app.core.matching import bars
from app.core.matching.orders import WorkingOrder
from app.core.orders.types import OrderStatus, Side, TimeInForce
from app.core.strategies.bar_view import Columns
from app.core.strategies.desk import Desk
from app.core.strategies.exact import exact
from app.core.strategies.signal import EmittedSignal, SignalAction
from app.core.strategies.updates import OrderUpdate

NO_CASH: Final = "not enough cash"


@dataclass(slots=True)
class _Resting:
    """An order at the broker, as float64 for the loop."""

    order: BacktestOrder
    working: WorkingOrder[float]
    size: float
    created_price: float
    time_in_force: TimeInForce


class BarBroker:
    """Takes signals, matches orders, keeps cash; books every fill at the strategy's desk.

    Args:
        cash: quote units at the start.
        fee: part of each fill's value.

    Attributes:
        cash: quote units at hand.
        busy: whether there is an order to match or an event to tell.
    """

    def __init__(
        self, desk: Desk, columns: Mapping[str, Columns], cash: Decimal, fee: Decimal
    ) -> None:
        self.cash = float(cash)
        self.busy = False
        self.log = OrderLog(desk, fee)
        self._columns = columns
        self._fee = float(fee)
        self._submitted: list[_Resting] = []
        self._pending: list[_Resting] = []

    def take(self, emitted: Iterable[EmittedSignal], price_at: Mapping[str, int]) -> None:
        """Take the signals of one hook call, in order.

        Args:
            price_at: symbol → index of its latest closed bar.
        """
        self.busy = True
        for item in emitted:
            signal = item.signal
            if signal.action is SignalAction.CANCEL:
                self._cancel(signal.cancels or "", self.log.moment_of(item))
                continue
            order = self.log.open(item)
            if order is None:
                continue
            close = self._columns[signal.symbol].close[price_at[signal.symbol]]
            self._submitted.append(_resting(order, close, signal.time_in_force))

    def match(self, closed: Mapping[str, int]) -> list[OrderUpdate]:
        """Steps 1 and 2 for the bars of one time: symbol → index of its bar.

        Returns:
            What the strategy is to be told, in the order it happened.
        """
        if self._submitted:
            self._check_cash(closed)
        still: list[_Resting] = []
        for resting in self._pending:
            index = closed.get(resting.order.symbol)
            columns = self._columns[resting.order.symbol]
            if index is None or self._match_one(resting, columns, index):
                still.append(resting)
        self._pending = still
        self.busy = bool(still)
        return self.log.take_unseen()

    def _check_cash(self, closed: Mapping[str, int]) -> None:
        cash = self.cash
        for resting in self._submitted:
            value = resting.size * resting.created_price
            fee = resting.size * self._fee * resting.created_price
            cash += value - fee if resting.order.side is Side.SELL else -value - fee
            if cash < 0.0:
                self.log.reject(resting.order, NO_CASH, self._now(closed))
                continue
            self._pending.append(resting)
        self._submitted = []

    def _match_one(self, resting: _Resting, columns: Columns, index: int) -> bool:
        """Match one order against its bar; True while it goes on working."""
        working = resting.working
        price = bars.bar_fill_price(
            working,
            columns.open[index],
            columns.high[index],
            columns.low[index],
            columns.close[index],
        )
        ts = columns.open_ts[index]
        if price is not None:
            self._fill(resting, price, ts)
            return False
        if resting.time_in_force is not TimeInForce.GTC:
            self.log.close(resting.order, OrderStatus.EXPIRED, "not filled at once", ts)
            return False
        return True

    def _fill(self, resting: _Resting, price: float, ts: int) -> None:
        value, fee = resting.size * price, resting.size * self._fee * price
        if resting.order.side is Side.BUY:
            left = self.cash - value - fee
            if left < 0.0:
                self.log.reject(resting.order, NO_CASH, ts)
                return
            self.cash = left
        else:
            self.cash += value - fee
        self.log.fill(resting.order, exact(price), ts)

    def _cancel(self, key: str, ts: int) -> None:
        for orders in (self._submitted, self._pending):
            for resting in orders:
                if resting.order.key == key:
                    orders.remove(resting)
                    self.log.close(resting.order, OrderStatus.CANCELLED, "by the strategy", ts)
                    return

    def _now(self, closed: Mapping[str, int]) -> int:
        return max(self._columns[symbol].open_ts[index] for symbol, index in closed.items())


def _resting(order: BacktestOrder, close: float, time_in_force: TimeInForce) -> _Resting:
    limit = None if order.limit_price is None else float(order.limit_price)
    stop = None if order.stop_price is None else float(order.stop_price)
    size = float(order.quantity)
    working = WorkingOrder(order.key, order.side, order.type, size, limit, stop, time_in_force)
    created = stop if stop is not None else limit if limit is not None else close
    return _Resting(order, working, size, created, time_in_force)
