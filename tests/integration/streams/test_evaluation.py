"""A bar that a stream brings early does not reach a strategy before the fills that came first."""

from __future__ import annotations

from app.core.orders.types import OrderStatus
from app.models import StrategyInstanceRow
from tests.integration.streams.test_market import stored, subscribed
from tests.support.installation import MINUTE, Installation
from tests.support.simulator import wait_until
from tests.support.streaming import streaming


def bars_seen(here: Installation, instance: StrategyInstanceRow) -> list[int]:
    return list(here.parts.instances.get(instance.id).state.get("bars", []))


def resting(here: Installation) -> StrategyInstanceRow:
    """A running instance whose order rests at the venue."""
    instance = here.instance(here.account(), "counter")
    here.bars(1)  # it buys, is told of the fill, and offers what it bought
    here.settle()
    (offer,) = [row for row in here.orders_of(instance) if row.side == "sell"]
    assert offer.status == OrderStatus.ACKNOWLEDGED
    return instance


def arrive(here: Installation) -> int:
    """Store the next bar as a stream does; nothing is run by that. Its open time."""
    now = here.market_ms
    opened = now - now % MINUTE
    with streaming(here.parts) as streams:
        wait_until(lambda: subscribed(streams))
        here.queue.waiting.clear()
        here.market(by_ms=opened + MINUTE - now)
        wait_until(lambda: stored(here)[-1] == opened)
    return opened


def test_a_bar_waits_until_the_account_was_compared_up_to_its_close(
    anywhere: Installation,
) -> None:
    here = anywhere
    here.plan()
    instance = resting(here)
    opened = arrive(here)
    seen = bars_seen(here, instance)
    here.queue.waiting.clear()
    here.parts.evaluator.evaluate(instance.id)
    assert bars_seen(here, instance) == seen, "evaluated before its fills are known"
    assert list(here.queue.waiting) == [("orders.sync_account", (instance.account_id,))]
    # The sweep itself hints the evaluation that was put off.
    here.settle()
    assert bars_seen(here, instance) == [*seen, opened]


def test_an_instance_without_a_resting_order_waits_for_nobody(here: Installation) -> None:
    here.plan()
    instance = here.instance(here.account(), "holder")
    opened = arrive(here)
    here.queue.waiting.clear()
    here.parts.evaluator.evaluate(instance.id)
    assert here.parts.instances.get(instance.id).cursor_ts == opened
    assert not here.queue.waiting


def test_a_venue_that_cannot_be_asked_is_not_waited_for_longer_than_the_bound(
    here: Installation,
) -> None:
    here.plan()
    instance = resting(here)
    opened = arrive(here)
    here.venue.add_fault(action="refuse", path="/api/v3/myTrades")
    here.queue.waiting.clear()
    here.parts.evaluator.evaluate(instance.id)
    assert opened not in bars_seen(here, instance)
    here.market(by_ms=15_000)
    here.parts.evaluator.evaluate(instance.id)
    assert opened in bars_seen(here, instance)


def test_a_bar_that_the_stream_brought_before_our_clock_saw_its_close_is_taken(
    here: Installation,
) -> None:
    """The reading of the venue's clock may be behind by its age; what is stored has closed."""
    here.plan()
    instance = here.instance(here.account(), "holder")
    opened = arrive(here)
    clock = here.parts.market_clock
    asked = clock.now_ms
    clock.now_ms = lambda exchange: asked(exchange) - 900  # type: ignore[method-assign]
    here.parts.evaluator.evaluate(instance.id)
    assert here.parts.instances.get(instance.id).cursor_ts == opened
