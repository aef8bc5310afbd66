"""Closed bars and order events reach a strategy once each, whatever happens around it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from app.core.market.klines import KlineRow
from app.core.orders.types import OrderStatus, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import StrategyInstanceRow
from app.repositories.unit import Unit
from tests.support.installation import EXCHANGE, MINUTE, SYMBOL, Installation

D = Decimal
BUY = Signal(SYMBOL, Side.BUY, SignalAction.ENTER, quantity=D("0.01"))


def counted(here: Installation, instance: StrategyInstanceRow) -> list[int]:
    """Minutes since the start of the bars that the strategy was shown."""
    row = here.parts.instances.get(instance.id)
    return [(ts - start_of(here, instance)) // MINUTE for ts in row.state.get("bars", [])]


def start_of(here: Installation, instance: StrategyInstanceRow) -> int:
    return instance.cursor_ts + MINUTE if instance.cursor_ts is not None else 0


def store(here: Installation, opens: Sequence[int]) -> None:
    """Put bars into the store, as a collection would, and ask for evaluations."""
    price = here.price()
    rows = [KlineRow(ts, price, price, price, price, D(1)) for ts in opens]

    def work(unit: Unit) -> None:
        series = unit.klines.series(EXCHANGE, SYMBOL, "1m", unit.now_ms)
        unit.klines.lock_series(series.id)
        unit.klines.store(series.id, rows, covered=True, source="test", now_ms=unit.now_ms)

    here.parts.units.run(work)
    with here.parts.units.read() as unit:
        running = [row.id for row in unit.instances.running()]
    for instance_id in running:
        here.run("strategies.evaluate", instance_id)


def test_only_an_instance_that_a_message_did_not_reach_is_looked_after(here: Installation) -> None:
    account = here.account()
    here.plan()
    instance = here.instance(account, "counter")
    here.bars(1)
    assert here.parts.instances.behind() == []
    here.market(by_ms=MINUTE)
    assert here.parts.instances.behind() == []  # the bar's own message is on its way
    here.market(by_ms=2_000)
    assert here.parts.instances.behind() == [instance.id]


@pytest.mark.parametrize(("strategy", "is_told"), [("counter", True), ("deaf", False)])
def test_an_instance_that_listens_is_looked_after_until_it_was_told(
    here: Installation, strategy: str, is_told: bool
) -> None:
    account = here.account()
    here.plan()
    instance = here.instance(account, strategy)
    here.bars(1)
    (signal,) = here.emit(instance, BUY)
    here.queue.losing = True
    order = here.parts.intake.accept_signal(signal.id)
    assert order is not None
    assert here.parts.sender.send_seen(order) is OrderStatus.FILLED
    assert here.parts.instances.behind() == ([instance.id] if is_told else [])
    here.queue.losing = False
    here.run("strategies.evaluate", instance.id)
    assert here.parts.instances.behind() == []


def test_each_closed_bar_is_evaluated_once_in_order(anywhere: Installation) -> None:
    here = anywhere
    account = here.account()
    here.plan()
    instance = here.instance(account, "counter")
    here.bars(3)
    for _ in range(3):
        here.run("strategies.evaluate", instance.id)
    assert counted(here, instance) == [0, 1, 2]
    here.check(account)


def test_many_bars_at_once_after_a_pause_are_taken_in_order_and_old_signals_expire(
    here: Installation,
) -> None:
    account = here.account()
    here.plan()
    instance = here.instance(account, "counter")
    here.market(by_ms=6 * MINUTE)
    here.parts.collection.follow_all()
    here.settle()
    assert counted(here, instance) == [0, 1, 2, 3, 4, 5]
    (signal,) = here.signals_of(instance)
    assert (signal.status, signal.valid_until) == ("expired", signal.bar_ts + 2 * MINUTE)
    assert here.at_venue(account) == []


def test_two_evaluations_at_the_same_moment_write_once(anywhere: Installation) -> None:
    here = anywhere
    account = here.account()
    here.plan()
    instance = here.instance(account, "counter")
    here.queue.losing = True
    here.market(by_ms=MINUTE)
    here.parts.collection.follow_all()
    with ThreadPoolExecutor(4) as pool:
        emitted = list(pool.map(here.parts.evaluator.evaluate, [instance.id] * 8))
    assert sum(emitted) == 1
    assert len(here.signals_of(instance)) == 1
    assert counted(here, instance) == [0]


def test_a_fill_reaches_the_strategy_and_its_answer_says_so(anywhere: Installation) -> None:
    here = anywhere
    account = here.account()
    here.plan()
    instance = here.instance(account, "counter")
    here.bars(1)

    entry, offer = here.signals_of(instance)
    bought, offered = here.orders_of(instance)
    fill = next(each for each in reversed(here.events(bought)) if each.kind == "fill")
    assert entry.cause == f"bar:{entry.bar_ts}"
    assert offer.cause == f"fill:{fill.id}"
    assert (bought.status, bought.tag) == (OrderStatus.FILLED, "first")
    assert (offered.status, offered.tag) == (OrderStatus.ACKNOWLEDGED, "offer")
    row = here.parts.instances.get(instance.id)
    assert row.state["told"][-2:] == ["filled", "acknowledged"]
    # Nothing is told twice.
    told = row.state["told"]
    here.run("strategies.evaluate", instance.id)
    here.bars(1)
    assert here.parts.instances.get(instance.id).state["told"] == told
    assert len(here.signals_of(instance)) == 2
    here.check(account)


def test_state_and_cursors_survive_a_restart(here: Installation) -> None:
    account = here.account()
    here.plan()
    instance = here.instance(account, "counter")
    here.bars(2)
    before = here.parts.instances.get(instance.id)
    here.restart()
    here.bars(2)
    after = here.parts.instances.get(instance.id)
    assert counted(here, instance) == [0, 1, 2, 3]
    assert after.run_id == before.run_id
    assert after.anchor_ts == before.anchor_ts
    assert after.state["told"] == before.state["told"]
    assert len(here.signals_of(instance)) == 2


def test_a_missing_bar_is_waited_for_two_intervals_then_skipped_and_never_evaluated_later(
    here: Installation,
) -> None:
    account = here.account()
    start = here.market_ms - here.market_ms % MINUTE + MINUTE
    here.market(by_ms=start - here.market_ms)
    instance = here.instance(account, "counter")
    assert start_of(here, instance) == start
    bars = [start + number * MINUTE for number in range(8)]

    here.market(by_ms=3 * MINUTE)
    store(here, [bars[0], bars[2]])  # the second one is missing
    assert counted(here, instance) == [0]
    here.market(by_ms=MINUTE - 1)
    store(here, [])
    assert counted(here, instance) == [0]
    assert here.bus.on("system.bar_skipped.") == []

    here.market(by_ms=1)  # the missing bar closed two intervals ago
    store(here, [bars[3]])
    assert counted(here, instance) == [0, 2, 3]
    (skipped,) = here.bus.on("system.bar_skipped.")
    assert (skipped["instance_id"], skipped["bar_ts"]) == (instance.id, bars[1])

    here.market(by_ms=MINUTE)
    store(here, [bars[1], bars[4]])  # healed, too late
    assert counted(here, instance) == [0, 2, 3, 4]
    assert len(here.bus.on("system.bar_skipped.")) == 1


def test_a_bar_that_comes_within_two_intervals_is_evaluated_in_its_place(
    here: Installation,
) -> None:
    account = here.account()
    start = here.market_ms - here.market_ms % MINUTE + MINUTE
    here.market(by_ms=start - here.market_ms)
    instance = here.instance(account, "counter")
    here.market(by_ms=3 * MINUTE)
    store(here, [start, start + 2 * MINUTE])
    assert counted(here, instance) == [0]
    store(here, [start + MINUTE])
    assert counted(here, instance) == [0, 1, 2]
    assert here.bus.on("system.bar_skipped.") == []


def test_an_instance_without_klines_waits(here: Installation) -> None:
    account = here.account()
    instance = here.instance(account, "counter")
    here.market(by_ms=2 * MINUTE)
    here.run("strategies.evaluate", instance.id)
    assert here.parts.instances.get(instance.id).status == "running"
    assert here.signals_of(instance) == []


def test_a_second_run_starts_at_the_present_bar_with_a_fresh_state(here: Installation) -> None:
    account = here.account()
    here.plan()
    first = here.instance(account, "counter")
    here.bars(2)
    here.parts.instances.stop(first.id)
    here.bars(2)
    assert counted(here, first) == [0, 1]
    second = here.parts.instances.start(first.id)
    assert second.run_id != first.run_id
    here.bars(1)
    row = here.parts.instances.get(first.id)
    assert row.state["bars"] == [start_of(here, second)]


def test_lockstep_moves_on_when_everyone_has_caught_up(here: Installation) -> None:
    from app.services.lockstep import Lockstep

    account = here.account()
    here.plan()
    instance = here.instance(account, "counter")
    parts = here.parts
    lockstep = Lockstep(
        parts.units,
        here.queue,
        parts.simulator,
        parts.market_clock,
        here.clock,
        parts.market_data,
        lambda _seconds: here.settle(),
    )
    now = here.market_ms - here.market_ms % MINUTE
    for step in range(1, 4):
        lockstep.step(EXCHANGE, now + step * MINUTE)
    assert counted(here, instance) == [0, 1, 2]
    assert here.orders_of(instance)[0].status == OrderStatus.FILLED
    here.check(account)


def test_a_strategy_that_answers_bars_alone_is_not_woken_by_its_fills(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account()
    here.plan()
    instance = here.instance(account, "deaf")
    here.ran.clear()
    here.bars(1)
    (order,) = here.orders_of(instance)
    assert order.status == OrderStatus.FILLED
    accepted = next(n for n, ran in enumerate(here.ran) if ran[0] == "orders.accept_signal")
    assert ("strategies.evaluate", instance.id) not in here.ran[accepted:]
    # With the next bar it learns of the fill, which is then no more news.
    here.bars(1)
    assert counted(here, instance) == [0, 1]
    with here.parts.units.read() as unit:
        assert unit.orders.untold(instance.id) == []
    here.check(account)


def test_a_bar_that_waits_for_a_resting_order_is_taken_when_the_order_has_ended(
    anywhere: Installation,
) -> None:
    """The bar came before the news; what lets it go is the order's own end."""
    here = anywhere
    account = here.account()
    here.plan()
    instance = here.instance(account, "deaf", params={"below": True})
    here.bars(1)
    (order,) = here.orders_of(instance)
    assert order.status == OrderStatus.ACKNOWLEDGED
    here.by_hand(account).cancel_order(order.venue_order_id, SYMBOL)
    here.ran.clear()
    here.bars(1)
    assert here.row(order).status == OrderStatus.CANCELLED
    swept = here.ran.index(("orders.sync_account", account.id))
    assert ("strategies.evaluate", instance.id) in here.ran[swept:]
    assert counted(here, instance) == [0, 1]
    here.check(account)
