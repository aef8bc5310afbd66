"""Stops and targets that rest here: fired once, on fresh prices, through the gate."""

from __future__ import annotations

import threading
from dataclasses import replace
from decimal import Decimal

import pytest

from app.core.errors import InvalidInput
from app.core.market.quotes import MarketData
from app.core.orders.types import OrderStatus, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import OrderTriggerRow, StrategyInstanceRow
from app.services.orders.triggers import ExitLeg, TriggerKind
from tests.support.installation import EXCHANGE, SYMBOL, Installation
from tests.support.simulator import wait_until
from tests.support.streaming import streaming

HELD = Decimal("0.02")


def holding(here: Installation) -> StrategyInstanceRow:
    """A running instance that has bought."""
    instance = here.instance(here.account(), "holder")
    here.emit(instance, Signal(SYMBOL, Side.BUY, SignalAction.ENTER, quantity=HELD))
    here.settle()
    position = here.position(instance)
    assert position is not None
    assert position.quantity > 0
    return instance


def leg(kind: str, price: Decimal, name: str = "", group: str | None = "g") -> ExitLeg:
    return ExitLeg(SYMBOL, Side.SELL, TriggerKind(kind), HELD, price, name or kind, group)


def armed(here: Installation, instance: StrategyInstanceRow) -> dict[str, OrderTriggerRow]:
    with here.parts.units.read() as unit:
        return {row.leg: row for row in unit.triggers.of_instance(instance.id)}


def price(here: Installation, bid: Decimal | str, *, age_ms: int = 0) -> MarketData:
    there = Decimal(bid)
    ts = here.market_ms - age_ms
    return MarketData(EXCHANGE, SYMBOL, ts, there, there, there + 1, None)


def test_the_market_reaches_a_stop_and_the_position_is_sold(anywhere: Installation) -> None:
    here = anywhere
    instance = holding(here)
    now = here.price()
    # The stop is far below, the target just above: one of them is reached before long.
    here.parts.triggers.arm(
        instance.id, [leg("stop", now * Decimal("0.5")), leg("take_profit", now + 1)]
    )
    with streaming(here.parts, ready=lambda service: len(service.held) >= 2):

        def sold() -> bool:
            here.market(by_ms=30 * 60_000)
            here.settle()
            return not here.position(instance) or here.position(instance).quantity < 1e-4  # type: ignore[union-attr,operator]

        wait_until(sold, 60)
    legs = armed(here, instance)
    assert (legs["take_profit"].status, legs["stop"].status) == ("fired", "cancelled")
    exits = [row for row in here.signals_of(instance) if row.action == "exit"]
    assert [(row.cause, row.status) for row in exits] == [("trig:take_profit", "accepted")]
    (order,) = [row for row in here.orders_of(instance) if row.side == "sell"]
    assert order.status == OrderStatus.FILLED
    with here.parts.units.read() as unit:
        assert unit.risk.decision_of(instance.account_id, order.intent_key) is not None


def test_many_watchers_fire_a_leg_once(anywhere: Installation) -> None:
    here = anywhere
    instance = holding(here)
    here.parts.triggers.arm(
        instance.id, [leg("stop", here.price() * 2), leg("take_profit", Decimal(10**6))]
    )
    reached = price(here, here.price())
    fired: list[int] = []
    threads = [
        threading.Thread(target=lambda: fired.append(here.parts.triggers.watch([reached])))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(fired) == [0, 0, 0, 0, 0, 1]
    here.settle()
    assert [row.cause for row in here.signals_of(instance) if row.action == "exit"] == ["trig:stop"]


def test_only_fresh_prices_fire_and_a_gap_fires_at_once(
    here: Installation,
) -> None:
    instance = holding(here)
    triggers = here.parts.triggers
    before = price(here, "1")
    here.market(by_ms=60_000)
    triggers.arm(instance.id, [leg("stop", here.price() - 1_000)])
    assert triggers.watch([before]) == 0, "a price from before the leg"
    here.market(by_ms=120_000)
    assert triggers.watch([price(here, "1", age_ms=60_000)]) == 0, "a stale price"
    assert triggers.watch([price(here, "1", age_ms=-60_000)]) == 0, "one of a time yet to come"
    assert triggers.watch([replace(price(here, "1"), bid=None)]) == 0, "nobody bids"
    assert triggers.watch([price(here, here.price())]) == 0, "not reached"
    # The market has jumped far through the stop while nobody watched.
    assert triggers.watch([price(here, "1")]) == 1


@pytest.mark.parametrize(
    ("side", "kind", "at", "fires"),
    [
        ("sell", "stop", "100", True),
        ("sell", "stop", "101", False),
        ("sell", "take_profit", "100", True),
        ("sell", "take_profit", "99", False),
        ("buy", "stop", "100", True),
        ("buy", "stop", "99", False),
        ("buy", "take_profit", "100", True),
        ("buy", "take_profit", "101", False),
    ],
)
def test_a_sell_watches_the_bid_and_a_buy_the_ask(
    side: str, kind: str, at: str, fires: bool
) -> None:
    from app.services.orders.triggers import reached

    row = OrderTriggerRow(side=side, kind=kind, trigger_price=Decimal(100))
    there, far = Decimal(at), Decimal(7)
    data = MarketData(EXCHANGE, SYMBOL, 0, far, far, far, None)
    data = replace(data, **({"bid": there} if side == "sell" else {"ask": there}))
    assert (reached(row, data) is not None) is fires


def test_a_position_that_is_closed_otherwise_takes_its_legs_with_it(here: Installation) -> None:
    instance = holding(here)
    here.parts.triggers.arm(
        instance.id, [leg("stop", Decimal(1)), leg("take_profit", Decimal(10**6))]
    )
    position = here.position(instance)
    assert position is not None
    owned = position.quantity.quantize(Decimal("0.00001"), rounding="ROUND_DOWN")
    here.emit(instance, Signal(SYMBOL, Side.SELL, SignalAction.EXIT, quantity=owned))
    here.settle()
    assert {row.status for row in armed(here, instance).values()} == {"cancelled"}
    assert {row.reason for row in armed(here, instance).values()} == {"position closed"}


def test_a_stopped_instance_has_no_legs_and_a_leg_that_can_never_be_is_refused(
    here: Installation,
) -> None:
    instance = holding(here)
    with pytest.raises(InvalidInput):
        here.parts.triggers.arm(instance.id, [replace(leg("stop", Decimal(1)), symbol="ETH/USDT")])
    (row,) = here.parts.triggers.arm(instance.id, [leg("stop", Decimal(1))])
    assert here.parts.triggers.arm(instance.id, [leg("stop", Decimal(2))])[0].id == row.id
    here.parts.instances.stop(instance.id)
    assert armed(here, instance)["stop"].status == "cancelled"
    assert here.parts.triggers.cancel(row.id) is False
