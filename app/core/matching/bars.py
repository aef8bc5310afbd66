"""Filling an order from one bar: open, high, low, close and nothing in between.

The rules are those that backtrader documents and its broker applies without slippage
(``backtrader/brokers/bbroker.py``), so that two independent engines can agree fill by fill:

========== ==================================================================================
market     the open
limit      the open where it is better than the limit, else the limit once the bar reaches it
stop       the open where it is beyond the stop, else the stop once the bar reaches it
stop limit triggers as a stop does and stays triggered. Triggered by the open, it is a limit
           order on this bar. Triggered inside the bar, it fills at the stop where the limit
           allows; else at the limit, and only if the bar closed back through it.
========== ==================================================================================
"""

from __future__ import annotations

from app.core.matching.orders import Number, WorkingOrder
from app.core.orders.types import OrderType, Side


def bar_fill_price(
    order: WorkingOrder[Number], open_: Number, high: Number, low: Number, close: Number
) -> Number | None:
    """Price at which ``order`` fills in the bar, or None; may set ``order.triggered``."""
    if order.type is OrderType.MARKET:
        return open_
    buying = order.side is Side.BUY
    if order.type is OrderType.STOP:
        return _stop(buying, _price(order.stop_price), open_, high, low)
    limit = _price(order.limit_price)
    if order.type is OrderType.LIMIT or order.triggered:
        return _limit(buying, limit, open_, high, low)
    return _stop_limit(order, limit, open_, high, low, close)


def _limit(buying: bool, limit: Number, open_: Number, high: Number, low: Number) -> Number | None:
    if buying:
        if open_ <= limit:
            return open_
        return limit if low <= limit else None
    if open_ >= limit:
        return open_
    return limit if high >= limit else None


def _stop(buying: bool, stop: Number, open_: Number, high: Number, low: Number) -> Number | None:
    if buying:
        if open_ >= stop:
            return open_
        return stop if high >= stop else None
    if open_ <= stop:
        return open_
    return stop if low <= stop else None


def _stop_limit(
    order: WorkingOrder[Number],
    limit: Number,
    open_: Number,
    high: Number,
    low: Number,
    close: Number,
) -> Number | None:
    buying = order.side is Side.BUY
    stop = _price(order.stop_price)
    if _stop(buying, stop, open_, high, low) is None:
        return None
    order.triggered = True
    if (open_ >= stop) if buying else (open_ <= stop):
        return _limit(buying, limit, open_, high, low)
    if (limit >= stop) if buying else (limit <= stop):
        return stop
    # The path inside the bar is not known. Only a bar that turned back proves that the price
    # returned to the limit after the trigger.
    if buying:
        return limit if open_ > close and limit >= close else None
    return limit if open_ <= close and limit <= close else None


def _price(value: Number | None) -> Number:
    if value is None:
        raise ValueError("a limit or stop order reached the matching core without its price")
    return value
