"""Order triggers: stops and targets that rest here, for venues that do not hold them.

A leg is armed as a row, watched on every fresh price of the streams, and fired once by
compare-and-set: in the same transaction its signal is written, whose cause ``trig:<leg>`` is
unique, and the other legs of its group are cancelled. From there it goes through the risk gate
as every signal does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

import structlog

from app.core.errors import Conflict, InvalidInput, TidemarkError
from app.core.market.intervals import DAY_MS, interval
from app.core.market.quotes import MarketData, is_ahead
from app.core.market.rounding import floor_to
from app.core.money import ZERO, canonical
from app.core.orders.types import OrderType, Side, TimeInForce
from app.core.ports import Ids, MarketClock
from app.core.strategies.signal import SignalAction
from app.models import OrderTriggerRow, SignalRow
from app.repositories.unit import Unit, Units
from app.services.orders.records import tell_signal

_log = structlog.get_logger(__name__)
# An exit that protects does not become wrong by waiting for a venue that is away.
_VALID_MS: Final = DAY_MS


class TriggerKind(StrEnum):
    """On which side of the market a leg waits."""

    STOP = "stop"
    TAKE_PROFIT = "take_profit"


@dataclass(frozen=True, slots=True)
class ExitLeg:
    """An exit to arm.

    Attributes:
        leg: its name, unique in the instance: the cause of its signal is ``trig:<leg>``.
        quantity: base units; it sells no more than the instance then owns.
        oco_group: legs of one group cancel each other; None stands alone.
    """

    symbol: str
    side: Side
    kind: TriggerKind
    quantity: Decimal
    trigger_price: Decimal
    leg: str
    oco_group: str | None = None


class OrderTriggers:
    """Arms, cancels and fires triggers.

    Args:
        max_age_ms: of market time; an older price fires nothing, nor one whose time has not come.
    """

    def __init__(self, units: Units, ids: Ids, market_clock: MarketClock, max_age_ms: int) -> None:
        self._units = units
        self._ids = ids
        self._market_clock = market_clock
        self._max_age_ms = max_age_ms

    def arm(self, instance_id: str, legs: Sequence[ExitLeg]) -> list[OrderTriggerRow]:
        """Arm exit legs of an instance; legs of known names are left as they are.

        Raises:
            NotFound: no such instance.
            Conflict: the instance does not run.
            InvalidInput: a leg that could never be an order.
        """
        with self._units.read() as unit:
            exchange = unit.instances.get(instance_id).exchange
        market_now = self._market_clock.now_ms(exchange)

        def work(unit: Unit) -> list[OrderTriggerRow]:
            return arm_legs(unit, self._ids, instance_id, legs, market_now)

        return self._units.run(work)

    def cancel(self, trigger_id: str) -> bool:
        """Cancel one trigger; False if it has fired or was cancelled before.

        Raises:
            NotFound: no such trigger.
        """

        def work(unit: Unit) -> bool:
            row = unit.triggers.get(trigger_id)
            count = unit.triggers.cancel(
                row.instance_id, row.symbol, "by request", unit.now_ms, trigger_id=trigger_id
            )
            return count == 1

        return self._units.run(work)

    def watch(self, prices: Sequence[MarketData]) -> int:
        """Fire what these prices have reached; how many legs fired."""
        fired = 0
        for exchange in {price.exchange for price in prices}:
            with self._units.read() as unit:
                armed = unit.triggers.armed(exchange)
            by_symbol = {each.symbol: each for each in prices if each.exchange == exchange}
            for row in armed:
                price = by_symbol.get(row.symbol)
                if price is not None and self._may_fire(row, price):
                    fired += self._fire(row.id, price)
        return fired

    def _may_fire(self, row: OrderTriggerRow, price: MarketData) -> bool:
        if price.timestamp < row.armed_ts or reached(row, price) is None:
            return False
        try:
            # Asked only now: a price is reached far more seldom than it is looked at.
            now = self._market_clock.now_ms(row.exchange)
        except TidemarkError as error:
            _log.warning("trigger_not_judged", trigger_id=row.id, why=error.message)
            return False
        is_old = now - price.timestamp > self._max_age_ms
        return not is_old and not is_ahead(price.timestamp, now)

    def _fire(self, trigger_id: str, price: MarketData) -> bool:
        return self._units.run(lambda unit: fire(unit, self._ids, trigger_id, price))


def reached(row: OrderTriggerRow, price: MarketData) -> Decimal | None:
    """The price at which a leg is reached, or None: the bid for a sell, the ask for a buy."""
    selling = row.side == Side.SELL
    there = price.bid if selling else price.ask
    if there is None:
        return None
    falls = selling == (row.kind == TriggerKind.STOP)
    is_reached = there <= row.trigger_price if falls else there >= row.trigger_price
    return there if is_reached else None


def arm_legs(
    unit: Unit, ids: Ids, instance_id: str, legs: Sequence[ExitLeg], market_now: int
) -> list[OrderTriggerRow]:
    """Arm exit legs in the caller's transaction; see ``OrderTriggers.arm``."""
    instance = unit.instances.lock(instance_id)
    if instance.status != "running":
        raise Conflict(f"instance {instance.name!r} is {instance.status}; start it first")
    known = {row.leg: row for row in unit.triggers.of_instance(instance_id)}
    found = []
    for leg in legs:
        if leg.leg in known:
            found.append(known[leg.leg])
            continue
        _check(leg, instance.symbols)
        row = OrderTriggerRow(
            id=ids.new(),
            account_id=instance.account_id,
            instance_id=instance_id,
            exchange=instance.exchange,
            symbol=leg.symbol,
            side=leg.side.value,
            kind=leg.kind.value,
            quantity=leg.quantity,
            trigger_price=leg.trigger_price,
            oco_group=leg.oco_group,
            leg=leg.leg,
            status="armed",
            armed_ts=market_now,
            created_at=unit.now_ms,
            updated_at=unit.now_ms,
        )
        unit.triggers.add(row)
        found.append(row)
    return found


def cancel_triggers(unit: Unit, instance_id: str, symbol: str, reason: str) -> int:
    """Cancel the armed triggers of an instance and symbol; how many there were."""
    return unit.triggers.cancel(instance_id, symbol, reason, unit.now_ms)


def fire(unit: Unit, ids: Ids, trigger_id: str, price: MarketData) -> bool:
    """Fire an armed trigger with its signal; False where another was first, or nothing is owned."""
    row = unit.triggers.lock(trigger_id)
    there = reached(row, price)
    if row.status != "armed" or there is None:
        return False
    quantity = _to_close(unit, row)
    if quantity <= ZERO:
        unit.triggers.cancel(
            row.instance_id, row.symbol, "nothing owned", unit.now_ms, trigger_id=row.id
        )
        return False
    instance = unit.instances.get(row.instance_id)
    signal = SignalRow(
        id=ids.new(),
        instance_id=instance.id,
        version_id=instance.version_id,
        symbol=row.symbol,
        interval=instance.interval,
        cause=f"trig:{row.leg}",
        leg=0,
        bar_ts=interval(instance.interval).floor(price.timestamp),
        action=SignalAction.EXIT.value,
        side=row.side,
        type=OrderType.MARKET.value,
        quantity=quantity,
        limit_price=None,
        stop_price=None,
        time_in_force=TimeInForce.GTC.value,
        cancels=None,
        extras={},
        tag=row.kind,
        valid_until=price.timestamp + _VALID_MS,
        status="new",
        created_at=unit.now_ms,
    )
    unit.signals.write(signal)
    won = unit.triggers.fire(
        row.id, price=there, market_ts=price.timestamp, signal_id=signal.id, now_ms=unit.now_ms
    )
    if not won:
        raise Conflict(f"trigger {row.id} was taken while it was locked")
    if row.oco_group is not None:
        unit.triggers.cancel(
            row.instance_id, row.symbol, f"{row.leg} fired", unit.now_ms, oco_group=row.oco_group
        )
    unit.enqueue("orders.accept_signal", signal.id)
    tell_signal(
        unit,
        signal,
        unit.instances.get(row.instance_id).name,
        cause=signal.cause,
        trigger_price=canonical(row.trigger_price),
        price=canonical(there),
    )
    return True


def _to_close(unit: Unit, row: OrderTriggerRow) -> Decimal:
    """What the leg may trade: no more than the instance owns on that side, in whole steps."""
    held = unit.ledger.positions_of_instance(row.instance_id)
    owned = next((each.quantity for each in held if each.symbol == row.symbol), ZERO)
    open_quantity = owned if row.side == Side.SELL else -owned
    step = unit.instruments.get(row.exchange, row.symbol).step_size
    return floor_to(min(row.quantity, max(open_quantity, ZERO)), step)


def _check(leg: ExitLeg, symbols: Sequence[str]) -> None:
    if leg.symbol not in symbols:
        raise InvalidInput(f"{leg.symbol[:40]} is not a symbol of the instance")
    if leg.quantity <= 0 or leg.trigger_price <= 0:
        raise InvalidInput("quantity and trigger price of an exit leg must be above 0")
    if not 0 < len(leg.leg) <= 48:
        raise InvalidInput("the name of an exit leg has 1 to 48 characters")
