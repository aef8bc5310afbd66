"""backtrader as a second, independent engine. The only file that imports it.

Strategy, indicator arrays, signals and the spot rule are Tidemark's; matching, cash and fees
are backtrader's own. Where both engines agree fill by fill, neither has invented a rule.

The agreement profile: spot cash, market, limit, stop and stop-limit orders good till
cancelled, a proportional fee, and the same bars for every symbol.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from app.core.backtest.broker import NO_CASH
from app.core.backtest.ledger import OrderLog
from app.core.backtest.orders import BacktestOrder
from app.core.errors import InvalidInput
from app.core.orders.types import OrderStatus, OrderType, Side, TimeInForce
from app.core.strategies.bar_view import Columns
from app.core.strategies.exact import exact
from app.core.strategies.signal import EmittedSignal, SignalAction

with warnings.catch_warnings():
    # Its sources hold escape sequences that newer Pythons warn about.
    warnings.simplefilter("ignore")
    import backtrader as bt

if TYPE_CHECKING:
    from app.core.backtest.engine import Prepared, Progress

# Days of backtrader's own numbering, one minute per bar: dates serve it to order bars, and
# these are exact where converted milliseconds would not be.
_FIRST_DAY: Final = 730_000.0
_MINUTE: Final = 1.0 / 1440.0
_CHUNK: Final = 4_096  # bars between two progress calls
_TYPES: Final = {
    OrderType.MARKET: bt.Order.Market,
    OrderType.LIMIT: bt.Order.Limit,
    OrderType.STOP: bt.Order.Stop,
    OrderType.STOP_LIMIT: bt.Order.StopLimit,
}


def run_on_backtrader(prepared: Prepared, progress: Progress | None) -> OrderLog:
    """Run a prepared backtest on backtrader.

    Raises:
        InvalidInput: the run is outside the agreement profile.
    """
    spec, runner = prepared.spec, prepared.runner
    log = OrderLog(runner.desk, spec.fee)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker.setcash(float(spec.cash))
    cerebro.broker.setcommission(commission=float(spec.fee))
    for symbol, columns in runner.columns.items():
        index = runner.slices.index[symbol][prepared.first : prepared.stop]
        if bool((index < 0).any()):
            raise InvalidInput(
                f"backtrader needs a bar of every symbol at every time, and {symbol} has none at "
                "some; use the tidemark engine"
            )
        cerebro.adddata(_Feed(columns=columns, bars=range(int(index[0]), int(index[-1]) + 1)))
    cerebro.addstrategy(_Seat, prepared=prepared, log=log, progress=progress)
    cerebro.run()
    return log


class _Feed(bt.feed.DataBase):  # type: ignore[misc]
    """One symbol's bars."""

    params = (("columns", None), ("bars", None))

    def start(self) -> None:
        super().start()
        self._bars = iter(enumerate(self.p.bars))

    def _load(self) -> bool:
        step, index = next(self._bars, (None, 0))
        if step is None:
            return False
        columns: Columns = self.p.columns
        self.lines.datetime[0] = _FIRST_DAY + step * _MINUTE
        self.lines.open[0] = columns.open[index]
        self.lines.high[0] = columns.high[index]
        self.lines.low[0] = columns.low[index]
        self.lines.close[0] = columns.close[index]
        self.lines.volume[0] = columns.volume[index]
        self.lines.openinterest[0] = 0.0
        return True


class _Seat(bt.Strategy):  # type: ignore[misc]
    """Hands bars and events to Tidemark's runner and its signals to backtrader's broker.

    Attributes are long and public because backtrader's own class keeps short private ones.
    """

    params = (("prepared", None), ("log", None), ("progress", None))

    def __init__(self) -> None:
        prepared: Prepared = self.p.prepared
        self.runner = prepared.runner
        self.order_log: OrderLog = self.p.log
        self.first_bar, self.bar_count = prepared.first, prepared.stop - prepared.first
        self.by_ref: dict[int, BacktestOrder] = {}  # by backtrader's reference
        self.sent_orders: dict[str, Any] = {}  # backtrader's order by our key
        self.outbox: dict[str, BacktestOrder] = {}  # to be sent at the end of this bar
        self.feed_of: Mapping[str, Any] = dict(zip(self.runner.columns, self.datas, strict=True))

    @property
    def _ts(self) -> int:
        return int(self.runner.slices.times[self.first_bar + len(self) - 1])

    def notify_order(self, order: Any) -> None:
        """Book what backtrader's broker decided; it hands out copies, so go by reference.

        backtrader adds positions up as floats. Where the sum misses 0 by 1e-15, it takes the
        next order for a reversal, and leaves as much of it unfilled: that order is complete.
        """
        ours = self.by_ref[order.ref]
        is_all_but_dust = abs(order.executed.size) > 0.5 * float(ours.quantity)
        if order.status == order.Partial and is_all_but_dust:
            self.broker.cancel(self.sent_orders[ours.key])
        if order.status == order.Completed or (order.status == order.Partial and is_all_but_dust):
            # The average that backtrader keeps is off by the last digit; the bit is the price.
            self.order_log.fill(ours, exact(float(order.executed.exbits[-1].price)), self._ts)
        elif order.status == order.Margin:
            self.order_log.reject(ours, NO_CASH, self._ts)

    def next(self) -> None:
        """The events of this bar, then the bar, then its orders."""
        runner = self.runner
        for update in self.order_log.take_unseen():
            if runner.listens:
                self._take(runner.update(update))
        position = self.first_bar + len(self) - 1
        self._take(runner.slice(position))
        for order in self.outbox.values():
            self._send(order)
        self.outbox.clear()
        if self.p.progress is not None and (len(self) % _CHUNK == 0 or len(self) == self.bar_count):
            self.p.progress(len(self), self.bar_count)

    def _take(self, emitted: Iterable[EmittedSignal]) -> None:
        for item in emitted:
            signal = item.signal
            if signal.action is SignalAction.CANCEL:
                self._take_back(signal.cancels or "", self.order_log.moment_of(item))
                continue
            if signal.time_in_force is not TimeInForce.GTC:
                raise InvalidInput(
                    f"backtrader has no {signal.time_in_force.upper()} orders; use the tidemark "
                    "engine"
                )
            order = self.order_log.open(item)
            if order is not None:
                self.outbox[order.key] = order

    def _take_back(self, key: str, ts: int) -> None:
        queued = self.outbox.pop(key, None)
        if queued is not None:
            self.order_log.close(queued, OrderStatus.CANCELLED, "by the strategy", ts)
        elif key in self.sent_orders and self.broker.cancel(self.sent_orders[key]):
            ours = self.by_ref[self.sent_orders[key].ref]
            self.order_log.close(ours, OrderStatus.CANCELLED, "by the strategy", ts)

    def _send(self, order: BacktestOrder) -> None:
        send = self.buy if order.side is Side.BUY else self.sell
        limit = None if order.limit_price is None else float(order.limit_price)
        stop = None if order.stop_price is None else float(order.stop_price)
        sent = send(
            data=self.feed_of[order.symbol],
            size=float(order.quantity),
            exectype=_TYPES[order.type],
            price=stop if stop is not None else limit,
            plimit=limit if order.type is OrderType.STOP_LIMIT else None,
        )
        self.by_ref[sent.ref] = order
        self.sent_orders[order.key] = sent
