"""A book of resting orders, matched against a market that they never change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic

from app.core.matching.bars import bar_fill_price
from app.core.matching.orders import Execution, Number, WorkingOrder
from app.core.orders.types import OrderType, Side


class MatchingBook(Generic[Number]):
    """Resting orders of one instrument in the order of their submission.

    Orders fill against the tape (bars, or the levels of an order book around the market's
    price). They neither move the tape nor meet each other: a user of a few lots is not the
    market.
    """

    def __init__(self) -> None:
        self._orders: dict[str, WorkingOrder[Number]] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, key: object) -> bool:
        return key in self._orders

    def add(self, order: WorkingOrder[Number]) -> None:
        """Put an order behind those already there.

        Raises:
            ValueError: an order with that key is resting already.
        """
        if order.key in self._orders:
            raise ValueError(f"order {order.key!r} is in the book already")
        self._orders[order.key] = order

    def cancel(self, key: str) -> WorkingOrder[Number] | None:
        """Take an order out; None if it is not (or no longer) there."""
        return self._orders.pop(key, None)

    def orders(self) -> list[WorkingOrder[Number]]:
        """The resting orders, first submitted first."""
        return list(self._orders.values())

    def match_bar(
        self, open_: Number, high: Number, low: Number, close: Number
    ) -> list[Execution[Number]]:
        """Fill what one bar fills, in submission order; what fills leaves the book."""
        executions = []
        for order in self.orders():
            price = bar_fill_price(order, open_, high, low, close)
            if price is None:
                continue
            is_maker = order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
            executions.append(Execution(order.key, order.side, price, order.remaining, is_maker))
            del self._orders[order.key]
        return executions


def take(
    order: WorkingOrder[Number], levels: Iterable[tuple[Number, Number]]
) -> list[Execution[Number]]:
    """Fill an incoming order from the opposite side's levels, best price first.

    Args:
        order: MARKET takes every level it needs; an order with a limit stops at its limit.
            ``order.remaining`` is reduced by what was filled.
        levels: (price, quantity) of the asks for a buy, of the bids for a sell.
    """
    executions = []
    limit = order.limit_price
    for price, available in levels:
        if order.remaining <= 0:
            break
        if limit is not None and (price > limit if order.side is Side.BUY else price < limit):
            break
        quantity = min(order.remaining, available)
        order.remaining -= quantity
        executions.append(Execution(order.key, order.side, price, quantity, is_maker=False))
    return executions
