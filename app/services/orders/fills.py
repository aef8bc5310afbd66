"""Applying what a venue says of an order: fills once each, then the state."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from app.core.money import ZERO, canonical
from app.core.orders.state import FINAL, WORKING, may_move
from app.core.orders.types import OrderResponse, OrderStatus, Side, VenueFill
from app.core.portfolio.ledger import Book, Entry, fill_entries, holdings_change, transfer_entries
from app.core.portfolio.positions import (
    PositionState,
    TradeEffect,
    apply_trade,
    blended_price,
)
from app.core.ports import Ids
from app.models import FillRow, OrderRow, PositionRow, PostingRow, TradingHaltRow
from app.repositories.unit import Unit
from app.services.alarms import tell_alarm
from app.services.orders.records import hold, move, note
from app.services.orders.triggers import cancel_triggers
from app.services.orders.trust import distrust


def apply_response(
    unit: Unit, ids: Ids, order: OrderRow, response: OrderResponse, source: str
) -> None:
    """Bring a locked order in line with the venue's word, whatever was known before.

    A state that the venue reports is entered only when the fills that belong to it are here:
    an order is FILLED by its fills, not by a word.
    """
    if order.venue_order_id is None:
        order.venue_order_id = response.venue_order_id
    if order.acknowledged_at is None:
        order.acknowledged_at = unit.now_ms
    apply_fills(unit, ids, order, response.fills)
    _enter(unit, order, response, source)
    if order.cancel_requested and order.status in WORKING - {OrderStatus.PENDING_CANCEL}:
        # The wish came while nobody knew whether the order lives.
        move(unit, order, OrderStatus.PENDING_CANCEL, "cancel_requested")
        unit.enqueue("orders.cancel", order.order_id)


def apply_answer(
    unit: Unit, ids: Ids, order: OrderRow, response: OrderResponse, source: str
) -> None:
    """The same with the answer to a request, which may lack trades of what it says was filled:
    a comparison of the account then fetches them."""
    apply_response(unit, ids, order, response, source)
    if missing_quantity(order, response):
        unit.enqueue("orders.sync_account", order.account_id)


def _enter(unit: Unit, order: OrderRow, response: OrderResponse, source: str) -> None:
    current = OrderStatus(order.status)
    target = _target(order, response)
    if target == current or current in (OrderStatus.FILLED, OrderStatus.CANCELLED):
        return  # a report that is older than what we know
    if not may_move(current, target):
        _alarm(unit, order, "order-state-conflict", f"venue says {target}, we hold {current}")
        return
    move(
        unit, order, target, "venue", reason=None, source=source, venue_status=response.status.value
    )


def apply_fills(unit: Unit, ids: Ids, order: OrderRow, fills: Sequence[VenueFill]) -> int:
    """Apply the fills of a locked order that are not applied yet; how many were new."""
    applied = 0
    for fill in fills:
        # Each fill ends with its event, which is flushed; nothing in between is read again.
        with unit.gathering():
            if unit.ledger.fill(order.account_id, order.symbol, fill.trade_id) is None:
                _apply_fill(unit, ids, order, fill)
                applied += 1
    return applied


def missing_quantity(order: OrderRow, response: OrderResponse) -> bool:
    """Whether the venue filled more of the order than its answer's trades account for."""
    carried = sum((fill.quantity for fill in response.fills), ZERO)
    return response.filled_quantity > max(carried, order.filled_quantity)


def _target(order: OrderRow, response: OrderResponse) -> OrderStatus:
    if order.filled_quantity >= order.quantity:
        return OrderStatus.FILLED
    # Where it filled more than we know, the trades are still to come; the account sweep fetches
    # them, and the state waits for them.
    whole = response.filled_quantity <= order.filled_quantity
    if whole and response.status in FINAL and response.status is not OrderStatus.FILLED:
        return response.status
    current = OrderStatus(order.status)
    if current is OrderStatus.PENDING_CANCEL:
        return current
    return OrderStatus.PARTIALLY_FILLED if order.filled_quantity else OrderStatus.ACKNOWLEDGED


def _apply_fill(unit: Unit, ids: Ids, order: OrderRow, fill: VenueFill) -> None:
    before = OrderStatus(order.status)
    if order.filled_quantity + fill.quantity > order.quantity:
        _alarm(unit, order, "overfill", f"trade {fill.trade_id} exceeds the ordered quantity")
        reason = f"overfill of order {order.order_id}"
        _halt_symbol(unit, ids, order, reason)
        distrust(unit, order.account_id, reason)
    row = FillRow(
        id=ids.new(),
        account_id=order.account_id,
        instance_id=order.instance_id,
        order_id=order.order_id,
        exchange=order.exchange,
        symbol=order.symbol,
        trade_id=fill.trade_id,
        side=order.side,
        price=fill.price,
        quantity=fill.quantity,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        is_maker=fill.is_maker,
        ts=fill.timestamp,
        created_at=unit.now_ms,
    )
    unit.ledger.add_fill(row)
    _count(order, fill)
    _book(unit, ids, order, fill, row.id)
    if before in FINAL:
        _alarm(unit, order, "late-fill", f"trade {fill.trade_id} arrived after {before}")
    else:
        hold(unit, order)
        whole = order.filled_quantity >= order.quantity
        order.status = OrderStatus.FILLED if whole else _working(before)
        order.not_before = 0
        if whole:
            hold(unit, order, final=True)
    note(
        unit,
        order,
        "fill",
        before,
        fill_id=row.id,
        price=canonical(fill.price),
        fill_quantity=canonical(fill.quantity),
        fee=canonical(fill.fee),
        fee_asset=fill.fee_asset,
        ts=fill.timestamp,
    )


def _working(before: OrderStatus) -> OrderStatus:
    return before if before is OrderStatus.PENDING_CANCEL else OrderStatus.PARTIALLY_FILLED


def _count(order: OrderRow, fill: VenueFill) -> None:
    order.average_price = blended_price(
        order.average_price, order.filled_quantity, fill.price, fill.quantity
    )
    order.filled_quantity += fill.quantity


def _book(unit: Unit, ids: Ids, order: OrderRow, fill: VenueFill, fill_id: str) -> None:
    instrument = unit.instruments.get(order.exchange, order.symbol)
    side = Side(order.side)
    entries = fill_entries(
        instance_id=order.instance_id,
        side=side,
        base=instrument.base,
        quote=instrument.quote,
        price=fill.price,
        quantity=fill.quantity,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
    )
    post(unit, order.account_id, entries, ids.new(), "fill", fill_id)
    position = unit.ledger.lock_position(order.account_id, order.symbol, order.instance_id)
    if side is Side.SELL:
        _cover_shortfall(unit, ids, order, position, fill, instrument.base)
    fee_base = fill.fee if fill.fee_asset == instrument.base else ZERO
    fee_quote = fill.fee if fill.fee_asset == instrument.quote else ZERO
    if fill.fee and fill.fee_asset not in (instrument.base, instrument.quote):
        _alarm(unit, order, "unpriced-fee", f"fee in {fill.fee_asset} is not in the PnL")
    state = apply_trade(
        state_of(position),
        TradeEffect(side, fill.price, fill.quantity, fee_base=fee_base, fee_quote=fee_quote),
    )
    write_state(position, state, unit.now_ms)
    if position.quantity < instrument.step_size:
        cancel_triggers(unit, order.instance_id, order.symbol, "position closed")


def _cover_shortfall(
    unit: Unit, ids: Ids, order: OrderRow, position: PositionRow, fill: VenueFill, base: str
) -> None:
    """A sell by hand, here or at the venue, of coins that no position holds.

    They belong to ``external`` and enter the position at the price they are sold for, so that
    the sale earns nothing on them. What a sell at the venue took beyond them was an instance's:
    ``external`` is then short of it.
    """
    short = max(fill.quantity - max(position.quantity, ZERO), ZERO)
    if not short:
        return
    instance = unit.instances.look(order.instance_id)
    if instance.kind == "strategy":
        return
    loose = _loose(unit, order, fill, base)
    if instance.kind == "external":
        _bring_in(position, fill.price, min(short, loose))
        return
    external = unit.instances.builtin(order.account_id, "external")
    entries = transfer_entries(
        (external.id, Book.HOLDINGS), (instance.id, Book.HOLDINGS), base, short
    )
    post(unit, order.account_id, entries, ids.new(), "transfer", None)
    _bring_in(position, fill.price, short)
    # What was bought at the venue by hand is in external's position, and leaves it now.
    theirs = unit.ledger.lock_position(order.account_id, order.symbol, external.id)
    given = min(max(short - loose, ZERO), max(theirs.quantity, ZERO))
    if given:
        theirs.quantity -= given
        theirs.average_price = theirs.average_price if theirs.quantity else None
        theirs.updated_at = unit.now_ms


def _bring_in(position: PositionRow, price: Decimal, quantity: Decimal) -> None:
    """Coins that enter a position at a price without a trade."""
    if quantity:
        after = apply_trade(state_of(position), TradeEffect(Side.BUY, price, quantity))
        position.quantity, position.average_price = after.quantity, after.average_price


def _loose(unit: Unit, order: OrderRow, fill: VenueFill, base: str) -> Decimal:
    """What the account held of a coin before a sell, less what was in anybody's position."""
    balance = unit.accounts.lock_balances(order.account_id, [base])[base]
    fee = fill.fee if fill.fee_asset == base else ZERO
    before = balance.free + balance.locked + fill.quantity + fee
    owned = sum(
        (
            max(row.quantity, ZERO)
            for row in unit.ledger.positions_of_account(order.account_id)
            if row.quantity and unit.instruments.get(order.exchange, row.symbol).base == base
        ),
        ZERO,
    )
    return max(before - owned, ZERO)


def post(
    unit: Unit,
    account_id: str,
    entries: Sequence[Entry],
    txn_id: str,
    kind: str,
    fill_id: str | None,
) -> None:
    """Write the postings of one transaction and carry its holdings into the balances."""
    unit.ledger.post(
        PostingRow(
            txn_id=txn_id,
            account_id=account_id,
            instance_id=entry.instance_id,
            book=entry.book.value,
            asset=entry.asset,
            amount=entry.amount,
            kind=kind,
            fill_id=fill_id,
            at=unit.now_ms,
        )
        for entry in entries
    )
    changes = {asset: delta for asset, delta in holdings_change(entries).items() if delta}
    rows = unit.accounts.lock_balances(account_id, list(changes))
    for asset, delta in changes.items():
        unit.accounts.move(rows[asset], free=delta, at=unit.now_ms)


def state_of(row: PositionRow) -> PositionState:
    """The position as the domain knows it."""
    return PositionState(row.quantity, row.average_price, row.realized_pnl, row.fees, row.cash_flow)


def write_state(row: PositionRow, state: PositionState, at: int) -> None:
    """Carry a position back into its locked row."""
    row.quantity, row.average_price = state.quantity, state.average_price
    row.realized_pnl, row.fees, row.cash_flow = state.realized_pnl, state.fees, state.cash_flow
    row.updated_at = at


def _halt_symbol(unit: Unit, ids: Ids, order: OrderRow, reason: str) -> None:
    """Stop new orders in a symbol whose books no longer make sense; a person lifts it."""
    scope = f"symbol:{order.exchange}:{order.symbol}"
    if all(halt.scope != scope for halt in unit.risk.halts_in_force()):
        unit.risk.add_halt(
            TradingHaltRow(
                id=ids.new(),
                scope=scope,
                reason=reason,
                set_by="overfill guard",
                created_at=unit.now_ms,
            )
        )


def _alarm(unit: Unit, order: OrderRow, kind: str, text: str) -> None:
    tell_alarm(
        unit,
        "critical",
        kind,
        text,
        order_id=order.order_id,
        account_id=order.account_id,
        symbol=order.symbol,
    )
