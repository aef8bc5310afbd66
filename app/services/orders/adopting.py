"""Adoption: what was traded at the venue without us becomes orders of ``external``.

An adopted order is never sent, cancelled or changed by Tidemark. It counts in the account's
exposure, holds back the funds that it holds at the venue, and its fills are posted like any
other's. Its ids follow from account and venue order, so that seeing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from app.core.errors import Unavailable
from app.core.market.instruments import Instrument
from app.core.money import ZERO, canonical
from app.core.orders.identity import (
    external_client_id,
    external_intent,
    inferred_id,
    is_ours,
)
from app.core.orders.reservation import remaining_reservation
from app.core.orders.types import (
    OrderResponse,
    OrderStatus,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
    VenueFill,
)
from app.core.portfolio.positions import blended_price, exact_product
from app.core.ports import Ids
from app.models import AccountRow, OrderRow, RiskDecisionRow
from app.repositories.unit import Unit
from app.services.alarms import tell_alarm
from app.services.orders.fills import apply_fills
from app.services.orders.locking import lock_instrument, report_difference
from app.services.orders.records import note


def adopt_open_order(
    unit: Unit, ids: Ids, account: AccountRow, order: OrderResponse, fills: Sequence[VenueFill]
) -> OrderRow:
    """Make an order that is open at the venue one of ``external``, with its fills so far.

    Args:
        fills: own trades of the symbol, as far as they are known; others' are left out.
    """
    assert order.terms is not None  # noqa: S101 - the list of open orders states them
    own = [fill for fill in fills if fill.venue_order_id == order.venue_order_id]
    row = _adopted(
        unit, account, order.symbol, order.venue_order_id, order.client_order_id, order.terms,
        order.quantity, own,
    )  # fmt: skip
    _apply(unit, ids, account, row, own)
    return row


def adopt_trades(
    unit: Unit, ids: Ids, account: AccountRow, fills: Sequence[VenueFill]
) -> OrderRow | None:
    """Make the trades of one venue order, which is open no more, a filled order of ``external``.

    Trades from before the account was opened are in its opening balances: they make nothing.
    """
    fresh = [fill for fill in fills if fill.timestamp >= account.opened_ts]
    if not fresh:
        return None
    first, quantity = fresh[0], sum((fill.quantity for fill in fresh), ZERO)
    is_maker = all(fill.is_maker for fill in fresh)
    average = sum((exact_product(f.price, f.quantity) for f in fresh), ZERO) / quantity
    terms = OrderTerms(
        side=first.side,
        # The order itself is not asked for: what it wanted is not needed any more.
        type=OrderType.LIMIT if is_maker else OrderType.MARKET,
        time_in_force=TimeInForce.GTC,
        price=exact_product(average, Decimal(1)) if is_maker else None,
        stop_price=None,
        placed_at=first.timestamp,
        word="trades",
    )
    row = _adopted(
        unit, account, first.symbol, first.venue_order_id, None, terms, quantity, fresh
    )  # fmt: skip
    _apply(unit, ids, account, row, fresh)
    return row


def _adopted(
    unit: Unit,
    account: AccountRow,
    symbol: str,
    venue_order_id: str,
    client_order_id: str | None,
    terms: OrderTerms,
    quantity: Decimal,
    fills: Sequence[VenueFill],
) -> OrderRow:
    """The order's row, locked; written where it is new."""
    known = unit.orders.of_intent(account.id, external_intent(symbol, venue_order_id))
    if known is not None:
        return unit.orders.lock(known.order_id)
    instrument = unit.instruments.find(account.exchange, symbol)
    if instrument is None:
        raise Unavailable(
            f"{symbol} was traded on account {account.name} and is not in the catalogue; refresh "
            f"it with: tidemark data symbols --exchange {account.exchange} --refresh"
        )
    row = _order_row(unit, account, instrument, venue_order_id, client_order_id, terms, quantity)
    _count_opening(row, account, fills)
    _decide(unit, row, terms)
    unit.orders.add(row)
    unit.flush()
    _reserve(unit, row)
    note(unit, row, "adopted", OrderStatus.ACKNOWLEDGED, venue_type=terms.word)
    _report(unit, account, row)
    return row


def _order_row(
    unit: Unit,
    account: AccountRow,
    instrument: Instrument,
    venue_order_id: str,
    client_order_id: str | None,
    terms: OrderTerms,
    quantity: Decimal,
) -> OrderRow:
    symbol = instrument.symbol
    taken = client_order_id and unit.orders.of_client_id(account.id, client_order_id)
    # One that we sent, by a record that is gone: its id stays free for its intent, should that
    # come again.
    if not client_order_id or taken or is_ours(client_order_id):
        client_order_id = external_client_id(account.id, symbol, venue_order_id)
    price = terms.price or terms.stop_price or ZERO
    is_sell = terms.side is Side.SELL
    key = (account.id, symbol, venue_order_id)
    return OrderRow(
        order_id=inferred_id(terms.placed_at, "order", *key),
        account_id=account.id,
        instance_id=unit.instances.builtin(account.id, "external").id,
        signal_id=None,
        decision_id=inferred_id(terms.placed_at, "decision", *key),
        intent_key=external_intent(symbol, venue_order_id),
        client_order_id=client_order_id,
        venue_order_id=venue_order_id,
        exchange=account.exchange,
        symbol=symbol,
        side=terms.side,
        type=terms.type,
        time_in_force=terms.time_in_force,
        quantity=quantity,
        price=terms.price,
        stop_price=terms.stop_price,
        reference_price=price,
        tag="external",
        status=OrderStatus.ACKNOWLEDGED,
        recv_window_ms=0,
        valid_until=0,
        filled_quantity=ZERO,
        average_price=None,
        reserved_asset=instrument.base if is_sell else instrument.quote,
        # Exactly what it holds at the venue: no buffer, for we never send it.
        reserved_initial=quantity if is_sell else exact_product(price, quantity),
        reserved_amount=ZERO,
        attempt=0,
        not_before=0,
        cancel_requested=False,
        created_at=unit.now_ms,
        acknowledged_at=unit.now_ms,
        updated_at=unit.now_ms,
    )


def _count_opening(row: OrderRow, account: AccountRow, fills: Sequence[VenueFill]) -> None:
    """Count what was filled before the account was opened; the opening balances hold it."""
    for fill in fills:
        if fill.timestamp < account.opened_ts:
            row.average_price = blended_price(
                row.average_price, row.filled_quantity, fill.price, fill.quantity
            )
            row.filled_quantity += fill.quantity
    if row.filled_quantity:
        row.status = OrderStatus.PARTIALLY_FILLED


def _decide(unit: Unit, row: OrderRow, terms: OrderTerms) -> None:
    """Every order has its decision; of this one it says that the gate was not asked."""
    is_sell = terms.side is Side.SELL
    unit.risk.add_decision(
        RiskDecisionRow(
            id=row.decision_id,
            account_id=row.account_id,
            instance_id=row.instance_id,
            signal_id=None,
            intent_key=row.intent_key,
            passed=True,
            rule="adopted",
            reason="placed at the venue, not through the gate",
            inputs={
                "symbol": row.symbol,
                "side": terms.side.value,
                "type": terms.type.value,
                "quantity": canonical(row.quantity),
                "quote_needed": canonical(ZERO if is_sell else row.reserved_initial),
                "reserve_buffer": canonical(ZERO),
                "venue_order_id": row.venue_order_id,
                "venue_type": terms.word,
            },
            created_at=unit.now_ms,
        )
    )


def _reserve(unit: Unit, row: OrderRow) -> None:
    held = remaining_reservation(row.reserved_initial, row.quantity, row.filled_quantity)
    balance = unit.accounts.lock_balances(row.account_id, [row.reserved_asset])[row.reserved_asset]
    unit.accounts.move(balance, free=-held, locked=held, at=unit.now_ms)
    row.reserved_amount = held
    unit.flush()


def _apply(
    unit: Unit, ids: Ids, account: AccountRow, row: OrderRow, fills: Sequence[VenueFill]
) -> None:
    """Post the fills that are new, tell of each, and lock the instrument: holdings differed."""
    fresh = [
        fill
        for fill in fills
        if fill.timestamp >= account.opened_ts
        and unit.ledger.fill(account.id, row.symbol, fill.trade_id) is None
    ]
    if not fresh:
        return
    _grow(row, fresh)
    apply_fills(unit, ids, row, fresh)
    for fill in fresh:
        _report_trade(unit, account.id, fill)
    moved = " and ".join(f"{f.side} {canonical(f.quantity)}" for f in fresh[:3])
    reason = f"traded outside Tidemark: {moved}" + (" and more" if len(fresh) > 3 else "")
    external = unit.ledger.lock_position(account.id, row.symbol, row.instance_id)
    is_covered = external.quantity >= 0
    if not is_covered:
        reason = (
            f"{canonical(-external.quantity)} of what instances own was sold outside Tidemark; "
            "their positions are not there any more"
        )
        report_difference(unit, account.id, f"{row.symbol}: {reason}", symbol=row.symbol)
    lock_instrument(unit, ids, account.id, row.symbol, reason, explained=is_covered)


def _grow(row: OrderRow, fresh: Sequence[VenueFill]) -> None:
    """An order known from its trades alone is as large as they are."""
    filled = row.filled_quantity + sum((fill.quantity for fill in fresh), ZERO)
    row.quantity = max(row.quantity, filled)


def _report(unit: Unit, account: AccountRow, row: OrderRow) -> None:
    tell_alarm(
        unit,
        "warning",
        "foreign-order",
        f"{row.side} of {canonical(row.quantity)} {row.symbol} on account {account.name} "
        f"was placed outside Tidemark (venue order {row.venue_order_id}); it is "
        "counted and left alone",
        order_id=row.order_id,
        account_id=row.account_id,
        symbol=row.symbol,
    )


def _report_trade(unit: Unit, account_id: str, fill: VenueFill) -> None:
    tell_alarm(
        unit,
        "critical",
        "foreign-trade",
        f"{fill.side} of {canonical(fill.quantity)} {fill.symbol} was not made by "
        f"Tidemark (trade {fill.trade_id}); it is posted to external",
        account_id=account_id,
        symbol=fill.symbol,
    )
