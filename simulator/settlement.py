"""The money of orders: what is held for them, what a fill moves, what it is charged."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from app.core.matching.orders import Execution
from app.core.money import ZERO
from app.core.orders.types import Side
from simulator.fees import FeeAsset, FeeSchedule
from simulator.ledger import VENUE, InsufficientFunds, Ledger, round_cost, round_fee, round_hold
from simulator.market import Market
from simulator.orders import Fill, Kind, Order, OrderRefused, Refusal, needed


class Settlement:
    """Moves money between accounts and the venue as their orders live.

    Its sums are exact in the context ``simulator.ledger.EXACT``, which the caller sets.

    Args:
        markets: by unified symbol.
    """

    def __init__(self, ledger: Ledger, fees: FeeSchedule, markets: Mapping[str, Market]) -> None:
        self._ledger = ledger
        self._fees = fees
        self._markets = markets

    def hold(self, order: Order, executions: list[Execution[Decimal]]) -> None:
        """Lock what the order may have to pay.

        Args:
            executions: those it finds at once; the rest of it waits.

        Raises:
            OrderRefused: that is not there.
        """
        ticket = order.ticket
        spec = self._markets[ticket.symbol].spec
        if ticket.side is Side.SELL:
            order.held_asset, amount = spec.base, order.quantity
        else:
            order.held_asset = spec.quote
            amount = self._cost_to_hold(order, executions)
        try:
            self._ledger.lock(order.account, order.held_asset, amount)
        except InsufficientFunds:
            raise OrderRefused(Refusal.FUNDS) from None
        order.held = amount

    def release(self, order: Order) -> None:
        """Free what is still locked for an order that ends."""
        if order.held:
            self._ledger.unlock(order.account, order.held_asset, order.held)
            order.held = ZERO

    def can_pay(self, order: Order, execution: Execution[Decimal]) -> bool:
        """Whether a fill beyond the price that money was held for is still covered."""
        if order.ticket.side is Side.SELL:
            return True
        cost = round_cost(execution.price * execution.quantity)
        if self._fees.asset is FeeAsset.QUOTE:
            cost += round_fee(cost * self._fees.highest)
        return cost <= order.held + self._ledger.free(order.account, order.held_asset)

    def priced(
        self, order: Order, execution: Execution[Decimal], trade_id: int, moment: int
    ) -> Fill:
        """The fill that an execution is, with its cost and commission; nothing is moved yet.

        Args:
            moment: market time, ms.
        """
        is_maker = execution.is_maker and order.ticket.kind is not Kind.TAKE_PROFIT
        cost = round_cost(execution.price * execution.quantity)
        fee, fee_asset = self._fee(order, execution.quantity, cost, is_maker=is_maker)
        return Fill(
            trade_id=trade_id,
            price=execution.price,
            quantity=execution.quantity,
            cost=cost,
            fee=fee,
            fee_asset=fee_asset,
            is_maker=is_maker,
            time=moment,
        )

    def pay(self, order: Order, fill: Fill) -> None:
        """Move what a fill gives and takes, out of what was held first."""
        spec = self._markets[order.ticket.symbol].spec
        account = order.account
        is_buy = order.ticket.side is Side.BUY
        paid, paid_asset = (fill.cost, spec.quote) if is_buy else (fill.quantity, spec.base)
        got, got_asset = (fill.quantity, spec.base) if is_buy else (fill.cost, spec.quote)
        if fill.fee_asset == paid_asset:
            paid += fill.fee
        # A stop may fill beyond its stop price: the lock then covers a part only.
        released = min(order.held, paid)
        self._ledger.unlock(account, paid_asset, released)
        order.held -= released
        self._ledger.move(paid_asset, paid, source=account, target=VENUE)
        self._ledger.move(got_asset, got, source=VENUE, target=account)
        if fill.fee_asset == got_asset:
            self._ledger.move(got_asset, fill.fee, source=account, target=VENUE)

    def _cost_to_hold(self, order: Order, executions: list[Execution[Decimal]]) -> Decimal:
        taken = sum((e.price * e.quantity for e in executions), ZERO)
        rest = order.quantity - sum((e.quantity for e in executions), ZERO)
        ticket = order.ticket
        if ticket.kind is Kind.MARKET:
            cost = taken
        else:
            cost = taken + rest * (ticket.price or needed(ticket.stop_price))
        if self._fees.asset is FeeAsset.QUOTE:
            cost += cost * self._fees.highest
            # Each fill's commission is rounded by itself, up to half a unit too high.
            cost += Decimal("0.00000001") * (len(executions) + 1)
        return round_hold(cost)

    def _fee(
        self, order: Order, quantity: Decimal, cost: Decimal, *, is_maker: bool
    ) -> tuple[Decimal, str]:
        spec = self._markets[order.ticket.symbol].spec
        rate = self._fees.maker if is_maker else self._fees.taker
        if order.ticket.side is Side.BUY and self._fees.asset is FeeAsset.RECEIVED:
            return round_fee(quantity * rate), spec.base
        return round_fee(cost * rate), spec.quote
