"""What the gate looks at: the risk context of one intent, from locked rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal

from app.core.money import ZERO
from app.core.orders.reservation import reservation
from app.core.orders.types import Side
from app.core.portfolio.positions import exact_product
from app.core.risk.context import Intent, OwnBook, Quota, ReferencePrice, RiskContext
from app.models import (
    AccountRow,
    OrderRow,
    PositionRow,
    StrategyInstanceRow,
    StrategyQuotaRow,
)
from app.repositories.unit import Unit
from app.services.risk import stops_on


def risk_context(
    unit: Unit,
    intent: Intent,
    instance: StrategyInstanceRow,
    account: AccountRow,
    reference: ReferencePrice | None,
    quota: StrategyQuotaRow,
) -> RiskContext:
    """The context of an intent. Locks the balances of its two assets.

    ``quota`` is locked by the caller; its used position is brought up to date.
    """
    instrument = unit.instruments.find(account.exchange, intent.symbol)
    stops = stops_on(unit, account.id, instance.id, account.exchange, intent.symbol)
    # From here to the commit every other order of the account waits: only what must be read
    # behind the lock is read there.
    quote_free, base_free, needed = ZERO, ZERO, ZERO
    if instrument is not None:
        rows = unit.accounts.lock_balances(account.id, [instrument.base, instrument.quote])
        quote_free, base_free = rows[instrument.quote].free, rows[instrument.base].free
        if intent.side is Side.BUY and reference is not None:
            _, needed = reservation(
                intent.side,
                intent.type,
                intent.quantity,
                intent.limit_price,
                reference.price,
                base=instrument.base,
                quote=instrument.quote,
            )
    orders = unit.orders.live(account.id)
    positions = unit.ledger.positions_of_account(account.id)
    mine = [order for order in orders if order.instance_id == instance.id]
    held = [row for row in positions if row.instance_id == instance.id]
    quota.used_position = used_position(mine, held, reference, intent.symbol)
    own = _book(mine, held, intent.symbol)
    if instance.kind == "manual":
        external = unit.instances.builtin(account.id, "external").id
        own = _manual_book(
            own, base_free, positions, orders, {instance.id, external}, intent.symbol
        )
    return RiskContext(
        intent=intent,
        instrument=instrument,
        reference=reference,
        instance=own,
        account=_book(orders, positions, intent.symbol),
        quota=Quota(
            quota.max_position, quota.used_position, quota.max_orders_per_day, quota.orders_today
        ),
        quote_needed=needed,
        quote_free=quote_free,
        own_cash=_own_cash(instance, mine, held),
        account_ready=account.status == "active",
        halts=stops.halts,
        instance_status=instance.status,
        locks=stops.locks,
    )


def used_position(
    orders: Sequence[OrderRow],
    positions: Sequence[PositionRow],
    reference: ReferencePrice | None = None,
    symbol: str | None = None,
) -> Decimal:
    """Quote worth of an instance's positions and open buys.

    The symbol with a reference price is valued at it, the others at their cost.
    """
    total = ZERO
    for row in positions:
        price = row.average_price or ZERO
        if reference is not None and row.symbol == symbol:
            price = reference.price
        total += exact_product(price, abs(row.quantity))
    for order in orders:
        if order.side == Side.BUY:
            price = order.price or order.reference_price
            total += exact_product(price, order.quantity - order.filled_quantity)
    return total


def _book(orders: Sequence[OrderRow], positions: Sequence[PositionRow], symbol: str) -> OwnBook:
    return OwnBook(
        sum((row.quantity for row in positions if row.symbol == symbol), ZERO),
        _open(orders, symbol, Side.BUY),
        _open(orders, symbol, Side.SELL),
    )


def _manual_book(
    own: OwnBook,
    base_free: Decimal,
    positions: Sequence[PositionRow],
    orders: Sequence[OrderRow],
    builtin: Collection[str],
    symbol: str,
) -> OwnBook:
    """By hand one may sell whatever the account holds free and no strategy owns."""
    theirs = _book(
        [order for order in orders if order.instance_id not in builtin],
        [row for row in positions if row.instance_id not in builtin],
        symbol,
    )
    # ``base_free`` already lacks what open sells hold, so only the unoffered part is theirs.
    sellable = base_free - max(theirs.position - theirs.open_sells, ZERO)
    return OwnBook(max(sellable, ZERO) + own.open_sells, own.open_buys, own.open_sells)


def _open(orders: Sequence[OrderRow], symbol: str, side: Side) -> Decimal:
    return sum(
        (
            order.quantity - order.filled_quantity
            for order in orders
            if order.symbol == symbol and order.side == side
        ),
        ZERO,
    )


def _own_cash(
    instance: StrategyInstanceRow, orders: Sequence[OrderRow], positions: Sequence[PositionRow]
) -> Decimal | None:
    if instance.kind != "strategy":
        return None
    held = sum((order.reserved_amount for order in orders if order.side == Side.BUY), ZERO)
    return instance.capital + sum((row.cash_flow for row in positions), ZERO) - held
