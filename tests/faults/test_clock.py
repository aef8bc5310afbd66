"""Row 39: a wall clock that is wrong by seconds, and one that is set back by an hour in mid-trade.

Only clocks that are handed in are moved; the machine's own is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.adapters.celery_queue import NoQueue, make_celery
from app.adapters.clock import SystemClock
from app.config import Settings
from app.core.orders.types import OrderStatus, OrderType, Side, TimeInForce
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow, OrderRow, StrategyInstanceRow
from app.repositories.migrating import upgrade
from app.repositories.unit import Unit
from app.services.attempts import take
from app.services.orders.intake import ManualOrder
from app.wiring import Container
from tests.support.installation import SYMBOL, Installation
from tests.support.parts import EXCHANGE
from tests.support.simulator import SimulatorControl, SimulatorProcess
from tests.support.waiting import until
from tests.support.world import World
from workers.beat_schedule import BEAT_SCHEDULE
from workers.heartbeat import BeatScheduler

D = Decimal
HOUR_MS = 3_600_000
RECV_WINDOW_MS = 2_000
AHEAD_MS = 1_000
ORDER = "/api/v3/order"
PERIODIC = (
    "maintenance.sweep",
    "maintenance.sync_accounts",
    "maintenance.follow_plans",
    "maintenance.evaluate_running",
    "maintenance.snapshot_equity",
)


def told(parts: Container) -> list[str]:
    """Kinds of the alarms, oldest first."""
    with parts.units.read() as unit:
        return [str(row.body["kind"]) for row in unit.audit.alerts()]


# -- a clock that is wrong ---------------------------------------------------------------------


class WrongClock(SystemClock):
    """This machine's clock, wrong by some time."""

    def __init__(self, wrong_ms: int) -> None:
        self.wrong_ms = wrong_ms

    def now_ms(self) -> int:
        """Wall time as it shows it."""
        return super().now_ms() + self.wrong_ms


class Machine(Container):
    """The parts of a process on a machine whose clock is wrong."""

    def __init__(self, venue: SimulatorProcess, data_dir: Path, wrong_ms: int) -> None:
        settings = Settings(
            environment="testing", data_dir=data_dir, simulator_url=venue.url, log_level="ERROR"
        )
        super().__init__(settings, NoQueue())
        self.wrong_clock = WrongClock(wrong_ms)
        self.clock = self.wrong_clock


@contextmanager
def machine(venue: SimulatorProcess, data_dir: Path, wrong_ms: int) -> Iterator[Machine]:
    """A machine with a record and an open, compared account."""
    made = Machine(venue, data_dir, wrong_ms)
    try:
        upgrade(made.engine)
        made.market_data.sync_instruments(EXCHANGE)
        name = f"wrong by {wrong_ms}"
        added = made.accounts.add_simulated(name, EXCHANGE, {"USDT": D(100_000)})
        made.opener.open(added.id)
        made.account_sync.sync(added.id)
        yield made
    finally:
        made.close()


def buy(parts: Container, account: AccountRow, key: str, limit: Decimal | None) -> OrderRow:
    """An order by hand, sent at once."""
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    decision, order = parts.intake.submit_order(
        ManualOrder(account.id, SYMBOL, Side.BUY, kind, D("0.01"), limit, TimeInForce.GTC, key)
    )
    assert order is not None, decision.reason
    parts.sender.send(order.order_id)
    with parts.units.read() as unit:
        return unit.orders.get(order.order_id)


def signed(venue: SimulatorControl, account: AccountRow) -> Sequence[dict[str, Any]]:
    """Signed requests of an account."""
    return [each for each in venue.requests(account=account.name) if "timestamp" in each["params"]]


@pytest.mark.parametrize("wrong_ms", [5_000, -5_000])
def test_on_a_clock_that_is_wrong_by_seconds_orders_are_signed_by_the_venues_and_it_is_told_once(
    exchange: SimulatorProcess, tmp_path: Path, wrong_ms: int
) -> None:
    with machine(exchange, tmp_path, wrong_ms) as parts:
        (account,) = parts.accounts.all()
        assert buy(parts, account, "market", None).status == OrderStatus.FILLED
        away = (parts.market(EXCHANGE).ticker(SYMBOL).price * D("0.9")).quantize(D(1))
        resting = buy(parts, account, "limit", away)
        assert resting.status == OrderStatus.ACKNOWLEDGED
        parts.canceller.request(resting.order_id)
        assert parts.canceller.cancel(resting.order_id) == OrderStatus.CANCELLED
        parts.account_sync.sync(account.id)

        requests = signed(exchange.control, account)
        assert {each["path"] for each in requests} >= {ORDER, "/api/v3/account"}
        for each in requests:
            age = each["wall_ms"] - int(each["params"]["timestamp"])
            assert -AHEAD_MS < age < RECV_WINDOW_MS, each
            assert each["code"] != -1021

        # Another process of the same machine sees the same, and tells nothing more.
        beside = Machine(exchange, tmp_path, wrong_ms)
        beside.desks.open(account.id)
        for _ in range(3):
            parts.clock_watch.look()
            beside.clock_watch.look()
        assert told(parts) == ["clock-skew"]
        parts.wrong_clock.wrong_ms = beside.wrong_clock.wrong_ms = 0
        for _ in range(3):
            parts.clock_watch.look()
            beside.clock_watch.look()
        beside.close()
        assert told(parts)[0] == "clock-skew"
        assert told(parts)[-1] == "clock-agrees"
        assert told(parts).count("clock-agrees") == 1
        assert buy(parts, account, "after", None).status == OrderStatus.FILLED
        world = World(parts, exchange.control, carried=True)
        expected = ("clock-skew", "clock-agrees", "clock-set-back")
        assert world.breaches(expected=expected) == []


def test_a_venue_that_tells_the_time_too_slowly_gets_no_order_until_it_is_known(
    exchange: SimulatorProcess, tmp_path: Path
) -> None:
    with machine(exchange, tmp_path, 0) as parts:
        (account,) = parts.accounts.all()
        parts.venue_clock(EXCHANGE).refresh()
        # The venue read its clock somewhere within these 2.5 s; an order lives for 2.
        exchange.control.add_fault(action="delay", path="/api/v3/time", ms=2_500)
        held = buy(parts, account, "held", None)
        assert (held.status, held.attempt) == (OrderStatus.NEW, 0)
        assert "answers take too long" in str(held.reason)
        exchange.control.clear_faults()
        until(lambda: parts.sender.send(held.order_id) == OrderStatus.FILLED, 5)
        assert World(parts, exchange.control, carried=True).breaches() == []


# -- a clock that is set back ------------------------------------------------------------------


def beat(here: Installation, seconds: int = 5) -> None:
    """Some seconds of an installation: who watches looks, and what is periodic is done."""
    for _ in range(seconds):
        here.clock.advance(1_000)
        here.run("maintenance.sweep")
    here.parts.clock_watch.look()
    for task in PERIODIC:
        here.run(task)


def in_mid_trade(here: Installation) -> tuple[AccountRow, dict[str, OrderRow]]:
    """An account with an order in each state that waits for a time, and a signal nobody took."""
    here.plan()
    account = here.account(USDT="100000")
    here.sync(account)
    beat(here)
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    to_cancel = here.order(account, "buy", "0.02", here.away("buy"))
    strike = {"path": ORDER, "account": here.venue_name(account)}
    here.venue.add_fault(action="lose_reply", method="POST", count=1, **strike)
    here.venue.add_fault(action="error_before", method="GET", status=503, **strike)
    unknown = here.order(account, "buy", "0.03", here.away("buy"))
    here.venue.add_fault(action="error_before", method="DELETE", status=503, **strike)
    here.parts.canceller.request(to_cancel.order_id)
    here.settle()
    overloaded = {"status": 503, "code": -1008, "message": "Server is currently overloaded."}
    here.venue.add_fault(action="error_before", method="POST", **overloaded, **strike)
    put_off = here.order(account, "buy", "0.04", here.away("buy"))
    orders = {
        "resting": resting, "to cancel": to_cancel, "unknown": unknown, "put off": put_off,
    }  # fmt: skip
    assert here.row(put_off).not_before > here.clock.now_ms()
    here.venue.clear_faults()
    return account, orders


def signal(here: Installation, account: AccountRow) -> StrategyInstanceRow:
    """An instance with a signal whose message is lost, so that the sweep must find it."""
    instance = here.instance(account, "holder")
    here.queue.losing = True
    enter = Signal(SYMBOL, Side.BUY, SignalAction.ENTER, OrderType.MARKET, D("0.01"))
    here.emit(instance, enter, valid_for=HOUR_MS)
    here.queue.losing = False
    return instance


def states(here: Installation, orders: dict[str, OrderRow]) -> dict[str, str]:
    return {name: here.row(order).status for name, order in orders.items()}


DONE = {
    "resting": OrderStatus.ACKNOWLEDGED,
    "to cancel": OrderStatus.CANCELLED,
    "unknown": OrderStatus.ACKNOWLEDGED,
    "put off": OrderStatus.ACKNOWLEDGED,
}
TOLD = {"clock-set-back", "clock-skew"}


def assert_nothing_doubled(here: Installation, account: AccountRow, *alarms: str) -> None:
    there = [each["client_order_id"] for each in here.at_venue(account)]
    assert len(there) == len(set(there))
    late = here.venue.requests(path=ORDER, account=here.venue_name(account), code=-1021)
    assert late == [], "an order was sent outside of its window"
    here.reconcile(account, times=2)
    world = World(here.parts, here.venue, carried=True)
    assert world.breaches(expected={*TOLD, *alarms}) == []


def test_an_hour_back_in_mid_trade_and_it_trades_again_within_a_minute(
    anywhere: Installation,
) -> None:
    here = anywhere
    account, orders = in_mid_trade(here)
    instance = signal(here, account)
    here.clock.step(-HOUR_MS)
    set_back_at = here.clock.monotonic()
    _, new = here.submit(account, "buy", "0.05")
    assert new is not None
    here.queue.waiting.clear()  # and its message is lost

    def trades() -> bool:
        all_filled = [here.row(new).status, *(each.status for each in here.orders_of(instance))]
        return states(here, orders) == DONE and all_filled == [OrderStatus.FILLED] * 2

    while not trades():
        beat(here)
        assert here.clock.monotonic() - set_back_at <= 60, states(here, orders)
    assert here.clock.monotonic() - set_back_at <= 30
    for _ in range(3):
        beat(here)
    assert sorted(told(here.parts)) == sorted(TOLD)
    assert_nothing_doubled(here, account)


def test_an_hour_back_while_nothing_ran_is_found_at_the_start(here: Installation) -> None:
    account, orders = in_mid_trade(here)
    here.clock.step(-HOUR_MS)
    here.venue.deposit(here.venue_name(account), "USDT", "5")
    here.restart()
    for _ in range(6):
        beat(here)
    assert states(here, orders) == DONE
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    # Our last order seems to be of a time to come, and the deposit is judged all the same.
    assert sorted(told(here.parts)) == sorted([*TOLD, "reconciliation-difference"])
    assert_nothing_doubled(here, account, "reconciliation-difference")


def test_what_a_dead_worker_held_is_free_though_it_was_held_into_the_hour_ahead(
    here: Installation,
) -> None:
    here.plan()
    beat(here)
    since = here.market_ms // 60_000 * 60_000 - 2_000 * 60_000
    plan = here.parts.collection.plans.create("back-fill", EXCHANGE, [SYMBOL], ["1m"], since)
    (job,) = here.parts.collection.start(plan.id)
    here.queue.waiting.clear()

    def hold(unit: Unit) -> None:
        assert take(unit, job.id, "dead", 90_000) is not None
        assert unit.system.take_lease("stream:a shard", "dead", unit.now_ms, 10_000) == 1

    here.parts.units.run(hold)
    here.clock.step(-HOUR_MS)
    for _ in range(6):
        beat(here)
    epoch = here.parts.units.run(
        lambda unit: unit.system.take_lease("stream:a shard", "alive", unit.now_ms, 10_000)
    )
    assert epoch == 2, "another process streams it within half a minute"
    for _ in range(16):
        beat(here)
    assert here.parts.jobs.get(job.id).state == "succeeded"
    assert World(here.parts, here.venue, carried=True).breaches(expected=TOLD) == []


def test_beat_sends_on_after_its_clock_was_set_back(tmp_path: Path) -> None:
    """Celery's own scheduler would wait until the hour has come again."""
    celery = make_celery("memory://localhost/")
    celery.conf.beat_schedule = {name: dict(entry) for name, entry in BEAT_SCHEDULE.items()}
    sent: list[str] = []

    class Beat(BeatScheduler):
        def apply_async(self, entry: Any, *_args: Any, **_kwargs: Any) -> None:
            sent.append(entry.task)

    with closing(Beat(celery, schedule_filename=str(tmp_path / "beat"))) as scheduler:
        for entry in scheduler.schedule.values():
            entry.last_run_at = entry.default_now() + timedelta(hours=1)
        until(lambda: scheduler.tick() and "maintenance.sweep" in sent, 5, "beat sweeps again")
        until(lambda: scheduler.tick() and sent.count("maintenance.sweep") > 2, 5, "and again")
