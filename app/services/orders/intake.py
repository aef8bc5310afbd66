"""Intake: an intent passes the risk gate and becomes an order, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from app.core.errors import InvalidInput, UnknownName
from app.core.market.intervals import DAY_MS
from app.core.money import ZERO, canonical, checked, shown
from app.core.orders.identity import client_order_id, manual_intent, signal_intent
from app.core.orders.reservation import reservation
from app.core.orders.types import OrderStatus, OrderType, Side, TimeInForce
from app.core.ports import Ids, MarketClock
from app.core.risk.context import Decision, Intent, ReferencePrice, RiskContext
from app.core.risk.gate import pre_trade_check
from app.core.strategies.signal import SignalAction
from app.models import AccountRow, OrderRow, RiskDecisionRow, SignalRow, StrategyInstanceRow
from app.repositories.unit import Unit, Units
from app.services.orders.cancelling import request_cancel
from app.services.orders.exposure import risk_context
from app.services.orders.ports import OrderTiming, TradingDesk
from app.services.orders.records import (
    note,
    signal_key,
    tell_denial,
    tell_signal,
    wake_waiting,
)
from app.services.orders.turns import Turn, turn_of
from app.services.risk import limits_for


class ReferencePrices(Protocol):
    """Where the gate gets its prices."""

    def reference(self, exchange: str, symbol: str) -> ReferencePrice | None:
        """The price to value an order at, or None where none is to be had. Never raises."""
        ...


class FirstAttempts(Protocol):
    """Who claims a new order in the transaction that makes it: what is claimed apart costs a
    commit and six statements more."""

    def ready(self, account: AccountRow) -> TradingDesk | None:
        """The desk to send from, or None where nothing can be sent now. Never raises."""
        ...

    def take(self, unit: Unit, order: OrderRow, desk: TradingDesk) -> bool:
        """Whether the new order, which passed the gate, is claimed."""
        ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a signal.

    Attributes:
        order: its order, or the order that it cancels; None if there is none.
        desk: to be sent from now, for the order was claimed; None where it was not.
    """

    order: OrderRow | None
    desk: TradingDesk | None = None


@dataclass(frozen=True, slots=True)
class ManualOrder:
    """An order by hand, as the API and the CLI take it.

    Attributes:
        idempotency_key: the same key never makes a second order.
    """

    account_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: TimeInForce
    idempotency_key: str
    tag: str = ""


@dataclass(frozen=True, slots=True)
class _Request:
    """What manual orders and signals have in common."""

    intent: Intent
    intent_key: str
    instance: StrategyInstanceRow
    account: AccountRow
    time_in_force: TimeInForce
    valid_until: int
    tag: str
    signal: SignalRow | None


class OrderIntake:
    """Takes intents to the gate. Every intent gets exactly one decision row."""

    def __init__(
        self,
        units: Units,
        prices: ReferencePrices,
        market_clock: MarketClock,
        ids: Ids,
        timing: OrderTiming,
    ) -> None:
        self._units = units
        self._prices = prices
        self._market_clock = market_clock
        self._ids = ids
        self._timing = timing

    def accept_signal(self, signal_id: str) -> OrderRow | None:
        """Judge a signal; its order (or the order it cancels), None if none.

        Calling it again for the same signal changes nothing.
        """
        return self.accept_to_send(signal_id, None).order

    def accept_to_send(self, signal_id: str, attempts: FirstAttempts | None) -> Accepted:
        """The same; a new order is claimed at once for its first attempt, where one is ready."""
        with self._units.read() as unit:
            signal, instance, account = unit.signals.with_account(signal_id)
            turn = turn_of(unit, instance, signal)
            # What waits for this one was written with it, so it is known before the locks.
            others = [each.id for each in unit.signals.unjudged_of(instance.id)]
        if signal.status != "new":
            return Accepted(self._known_order(instance, signal))
        if turn is Turn.LATER:
            return Accepted(None)
        if signal.action == SignalAction.CANCEL:
            return Accepted(self._units.run(lambda unit: self._cancel(unit, signal_id)))
        # Before time and price: it may wait for the venue, and an old intent is not sent.
        desk = attempts.ready(account) if attempts is not None else None
        market_now = self._market_clock.now_ms(instance.exchange)
        reference = self._prices.reference(instance.exchange, signal.symbol)

        def work(unit: Unit) -> Accepted:
            order = self._judge_signal(unit, signal_id, reference, market_now, turn, others)
            if order is None or attempts is None or desk is None:
                return Accepted(order)
            return Accepted(order, desk if attempts.take(unit, order, desk) else None)

        return self._units.run(work)

    def submit_order(self, manual: ManualOrder) -> tuple[RiskDecisionRow, OrderRow | None]:
        """Judge an order by hand; the decision, and the order where it passed.

        Raises:
            NotFound: no such account.
            UnknownName: the symbol is not in the catalogue of the account's exchange.
            InvalidInput: prices do not fit the type, or the idempotency key was used for
                another order.
        """
        _check_manual(manual)
        with self._units.read() as unit:
            account = unit.accounts.get(manual.account_id)
            if unit.instruments.find(account.exchange, manual.symbol) is None:
                raise UnknownName(
                    f"symbol {manual.symbol[:40]!r} is not in the catalogue of "
                    f"{account.exchange}; list it with: tidemark data symbols",
                    code="unknown-symbol",
                )
        market_now = self._market_clock.now_ms(account.exchange)
        reference = self._prices.reference(account.exchange, manual.symbol)
        return self._units.run(lambda unit: self._judge_manual(unit, manual, reference, market_now))

    def _known_order(self, instance: StrategyInstanceRow, signal: SignalRow) -> OrderRow | None:
        key = signal_intent(instance.id, signal_key(signal))
        with self._units.read() as unit:
            return unit.orders.of_intent(instance.account_id, key)

    def _cancel(self, unit: Unit, signal_id: str) -> OrderRow | None:
        signal = unit.signals.lock(signal_id)
        instance = unit.instances.get(signal.instance_id)
        signal.status = "done"
        wake_waiting(unit, instance.id)
        # First, for the order of a signal that is being judged now is seen only behind its lock.
        _expire_unjudged(unit, instance, signal.cancels or "")
        key = signal_intent(instance.id, signal.cancels or "")
        order = unit.orders.of_intent(instance.account_id, key)
        if order is None:
            return None  # it was denied or expired before it became an order
        return request_cancel(unit, order.order_id)

    def _judge_signal(
        self,
        unit: Unit,
        signal_id: str,
        reference: ReferencePrice | None,
        market_now: int,
        turn: Turn,
        others: Sequence[str],
    ) -> OrderRow | None:
        signal = unit.signals.lock(signal_id)
        instance, account = unit.instances.with_account(signal.instance_id)
        if signal.status != "new":
            order = None
        elif market_now > signal.valid_until or turn is Turn.NEVER:
            signal.status = "expired"
            _wake(unit, others, but=signal.id)
            tell_signal(unit, signal, instance.name)
            return None
        else:
            request = _Request(
                intent=Intent(
                    signal.symbol,
                    Side(signal.side),
                    OrderType(signal.type),
                    signal.quantity,
                    signal.limit_price,
                    signal.stop_price,
                ),
                intent_key=signal_intent(instance.id, signal_key(signal)),
                instance=instance,
                account=account,
                time_in_force=TimeInForce(signal.time_in_force),
                valid_until=signal.valid_until,
                tag=signal.tag,
                signal=signal,
            )
            decision, order = self._judge(unit, request, reference, market_now)
            signal.status = "accepted" if decision.passed else "denied"
            _wake(unit, others, but=signal.id)
            tell_signal(unit, signal, instance.name)
        return order

    def _judge_manual(
        self,
        unit: Unit,
        manual: ManualOrder,
        reference: ReferencePrice | None,
        market_now: int,
    ) -> tuple[RiskDecisionRow, OrderRow | None]:
        account = unit.accounts.get(manual.account_id)
        instance = unit.instances.builtin(account.id, "manual")
        key = manual_intent(manual.idempotency_key)
        # Locked before the look: of two requests with one key the second sees the first's order.
        unit.instances.lock_quota(instance.id)
        known = unit.risk.decision_of(account.id, key)
        if known is not None:
            _same_order(known, manual)
            return known, unit.orders.of_intent(account.id, key)
        request = _Request(
            intent=Intent(
                manual.symbol,
                manual.side,
                manual.type,
                checked(manual.quantity),
                manual.limit_price,
                None,
            ),
            intent_key=key,
            instance=instance,
            account=account,
            time_in_force=manual.time_in_force,
            # A person waits for seconds, not for a bar.
            valid_until=market_now + 60_000,
            tag=manual.tag,
            signal=None,
        )
        decision, order = self._judge(unit, request, reference, market_now)
        if order is not None:
            # A signal's order is sent by the task that judged it; this one has no task yet.
            unit.enqueue("orders.send", order.order_id)
        return decision, order

    def _judge(
        self,
        unit: Unit,
        request: _Request,
        reference: ReferencePrice | None,
        market_now: int,
    ) -> tuple[RiskDecisionRow, OrderRow | None]:
        instance = request.instance
        quota = unit.instances.lock_quota(instance.id)
        if quota.day != market_now // DAY_MS:
            quota.day, quota.orders_today = market_now // DAY_MS, 0
        limits, versions = limits_for(unit, instance.account_id, instance.id)
        # The quota changes in three steps and is written once.
        with unit.gathering():
            context = risk_context(
                unit, request.intent, instance, request.account, reference, quota
            )
            verdict = pre_trade_check(context, limits)
            if verdict.passed:
                quota.orders_today += 1
                if request.intent.side is Side.BUY:
                    quota.used_position += context.order_value or ZERO
            decision = self._write_decision(unit, request, context, verdict, versions)
            if not verdict.passed:
                return decision, None
            return decision, self._write_order(unit, request, context, decision)

    def _write_decision(
        self,
        unit: Unit,
        request: _Request,
        context: RiskContext,
        verdict: Decision,
        versions: Sequence[str],
    ) -> RiskDecisionRow:
        row = RiskDecisionRow(
            id=self._ids.new(),
            account_id=request.instance.account_id,
            instance_id=request.instance.id,
            signal_id=request.signal.id if request.signal else None,
            intent_key=request.intent_key,
            passed=verdict.passed,
            rule=verdict.rule,
            reason=verdict.reason[:300],
            inputs={
                **context.as_inputs(),
                "checked": list(verdict.checked),
                "limits": list(versions),
                "time_in_force": request.time_in_force.value,
            },
            created_at=unit.now_ms,
        )
        unit.risk.add_decision(row)
        if not verdict.passed:
            tell_denial(unit, row, request.intent.symbol, verdict)
        return row

    def _write_order(
        self, unit: Unit, request: _Request, context: RiskContext, decision: RiskDecisionRow
    ) -> OrderRow:
        intent, instrument, reference = request.intent, context.instrument, context.reference
        assert instrument is not None and reference is not None  # noqa: S101, PT018
        asset, amount = reservation(
            intent.side,
            intent.type,
            intent.quantity,
            intent.limit_price,
            reference.price,
            base=instrument.base,
            quote=instrument.quote,
        )
        account_id = request.instance.account_id
        order = OrderRow(
            order_id=self._ids.new(),
            account_id=account_id,
            instance_id=request.instance.id,
            signal_id=request.signal.id if request.signal else None,
            decision_id=decision.id,
            intent_key=request.intent_key,
            client_order_id=client_order_id(account_id, request.intent_key),
            exchange=request.account.exchange,
            symbol=intent.symbol,
            side=intent.side,
            type=intent.type,
            time_in_force=request.time_in_force,
            quantity=intent.quantity,
            price=intent.limit_price,
            stop_price=intent.stop_price,
            reference_price=reference.price,
            tag=request.tag,
            status=OrderStatus.NEW,
            recv_window_ms=self._timing.recv_window_ms,
            valid_until=request.valid_until,
            filled_quantity=ZERO,
            reserved_asset=asset,
            reserved_initial=amount,
            reserved_amount=amount,
            attempt=0,
            not_before=0,
            cancel_requested=False,
            created_at=unit.now_ms,
            updated_at=unit.now_ms,
        )
        unit.orders.write(order)
        _reserve(unit, order, context)
        return order


def _reserve(unit: Unit, order: OrderRow, context: RiskContext) -> None:
    """Hold what a new order may cost, and report the order with what is held for it."""
    asset, amount = order.reserved_asset, order.reserved_amount
    held = unit.accounts.lock_balances(order.account_id, [asset])[asset]
    unit.accounts.move(held, free=-amount, locked=amount, at=unit.now_ms)
    note(
        unit,
        order,
        "created",
        OrderStatus.NEW,
        reference_price=canonical(order.reference_price),
        reserved_asset=asset,
        reserved_amount=canonical(amount),
        reserve_buffer=canonical(context.reserve_buffer),
    )


def _wake(unit: Unit, signals: Sequence[str], *, but: str) -> None:
    for each in signals:
        if each != but:
            unit.enqueue("orders.accept_signal", each)


def _expire_unjudged(unit: Unit, instance: StrategyInstanceRow, key: str) -> None:
    for waiting in unit.signals.unjudged_of(instance.id):
        if signal_key(waiting) != key:
            continue
        locked = unit.signals.lock(waiting.id)
        if locked.status == "new":
            locked.status = "expired"
            tell_signal(unit, locked, instance.name)


def _check_manual(manual: ManualOrder) -> None:
    if manual.type not in (OrderType.MARKET, OrderType.LIMIT):
        raise InvalidInput("an order by hand is market or limit")
    if (manual.type is OrderType.LIMIT) != (manual.limit_price is not None):
        raise InvalidInput("a limit order needs a price, and a market order takes none")
    if not 1 <= len(manual.idempotency_key) <= 128:
        raise InvalidInput("the idempotency key must have 1 to 128 characters")


def _same_order(decision: RiskDecisionRow, manual: ManualOrder) -> None:
    """The key's first use asked for the same order."""
    amounts = (shown(manual.quantity), shown(manual.limit_price))
    words = (manual.side.value, manual.type.value, manual.time_in_force.value)
    was = decision.inputs
    names = ("symbol", "side", "type", "time_in_force", "quantity", "limit_price")
    if (manual.symbol, *words, *amounts) != tuple(was[name] for name in names):
        raise InvalidInput(
            "this idempotency key was used for another order; use a new key",
            code="idempotency-mismatch",
        )
