"""A whole installation without processes: every part over a simulator and a fresh record.

Tasks run one after another in the test's own thread, in the order of their hints, until none is
left. Wall time stands still unless the test moves it; the simulator, whose clock cannot be
moved, sees each order's timestamp carried into its own time.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Final

from app.adapters.budget import InProcessBudget
from app.adapters.clock import SystemClock
from app.adapters.local_bus import LocalBus
from app.config import Environment, Settings
from app.core.exchanges.trading import trade_adapter
from app.core.market.intervals import interval as interval_of
from app.core.money import ZERO
from app.core.orders.types import OrderRequest, OrderResponse, OrderType, Side, TimeInForce
from app.core.portfolio.ledger import Book
from app.core.ports import TradeAdapter
from app.core.strategies.registry import StrategyRegistry
from app.core.strategies.signal import EmittedSignal, Signal
from app.models import (
    AccountRow,
    Base,
    FillRow,
    OrderEventRow,
    OrderRow,
    PositionRow,
    RiskDecisionRow,
    SignalRow,
    StrategyInstanceRow,
    StrategyQuotaRow,
)
from app.repositories.unit import Unit
from app.services.orders.intake import ManualOrder
from app.services.orders.ports import Checkpoint, TradingDesk, no_checkpoint
from app.services.outbox import OutboxPublisher
from app.services.strategies.instances import NewInstance
from app.wiring import Container
from app.wiring.bans import Bans
from tests.support.record import ManualClock
from tests.support.simulator import SimulatorControl, SimulatorProcess

EXCHANGE: Final = "binance"
SYMBOL: Final = "BTC/USDT"
MINUTE: Final = 60_000
DAY: Final = 86_400_000
_MOST_TASKS: Final = 2_000
_serial = count(1)


class Line:
    """A queue that keeps its hints in order; told to, it loses them."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[str, tuple[str, ...]]] = deque()
        self.losing = False

    def publish(self, task: str, *ids: str) -> bool:
        """Keep a hint, or lose it and say nothing."""
        if not self.losing:
            self.waiting.append((task, ids))
        return True


class Heard(LocalBus):
    """A bus that keeps every event, and delivers it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, dict[str, Any]]] = []

    def publish(self, topic: str, body: Mapping[str, Any]) -> None:
        """Keep (topic, body)."""
        self.events.append((topic, dict(body)))

    def on(self, prefix: str) -> list[dict[str, Any]]:
        """Bodies of the events whose topic begins so."""
        return [body for topic, body in self.events if topic.startswith(prefix)]


class Carried:
    """A gateway that carries the timestamps of orders from the test's time into real time."""

    def __init__(self, inner: TradeAdapter, venue_ms: Callable[[], int]) -> None:
        self._inner = inner
        self._venue_ms = venue_ms

    def place_order(self, request: OrderRequest) -> OrderResponse:
        """Send an order; as old for the venue as it is for us."""
        age = self._venue_ms() - request.timestamp_ms
        return self._inner.place_order(
            replace(request, timestamp_ms=SystemClock().now_ms() - age),
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Desks:
    """Gateways whose queries are signed with real time.

    Attributes:
        offset_ms: the venue's wall clock less ours, as the services are told.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept: dict[str, TradeAdapter] = {}
        self.offset_ms = 0

    def open(self, account_id: str) -> TradingDesk:
        """The desk of an account."""
        if account_id not in self._kept:
            self._kept[account_id] = self._built(account_id)
        return TradingDesk(self._kept[account_id], self.offset_ms)

    def cancel_desk(self, account_id: str) -> TradingDesk:
        """The same."""
        return self.open(account_id)

    def _built(self, account_id: str) -> TradeAdapter:
        parts = self._parts
        with parts.units.read() as unit:
            account = unit.accounts.get(account_id)
        adapter: TradeAdapter = Carried(
            trade_adapter(
                account.exchange,
                parts.vault.open(account_id, account.sealed_credentials),
                parts.budget,
                SystemClock(),
                base_url=parts.settings.simulator_url,
                timeout_s=parts.settings.venue_timeout_s,
            ),
            lambda: parts.clock.now_ms() + self.offset_ms,
        )
        return adapter


class Parts(Container):
    """The container of a test: its clock stands still, its queue is a line, its bus is heard."""

    def __init__(
        self,
        settings: Settings,
        line: Line,
        clock: ManualClock,
        heard: Heard,
        checkpoint: Checkpoint,
        strategies: Mapping[str, Any],
    ) -> None:
        super().__init__(settings, line, checkpoint=checkpoint)
        self.manual_clock = clock
        self.clock = clock  # type: ignore[assignment]
        self.ids._clock = clock
        self.bus = heard
        self.publisher = OutboxPublisher(heard)
        self._strategies = strategies

    @cached_property
    def budget(self) -> InProcessBudget:
        """A budget whose waits pass at once, in the test's time."""
        return InProcessBudget(
            self.clock,
            Bans(self.units),
            weights={EXCHANGE: self.settings.venue_weight},
            sleep=lambda seconds: self.manual_clock.advance(int(seconds * 1000) + 1),
        )

    @cached_property
    def desks(self) -> Desks:  # type: ignore[override]
        """Gateways of accounts."""
        return Desks(self)

    @cached_property
    def registry(self) -> StrategyRegistry:
        """The built-in strategies and the test's own."""
        from app.core.strategies.builtin import builtin_registry

        registry = builtin_registry()
        for name, strategy in self._strategies.items():
            registry.register(name, strategy)
        return registry


def tasks_of(parts: Container) -> dict[str, Callable[..., object]]:
    """What each task does, by its name, as in ``workers``."""

    def accept_signal(signal_id: str) -> None:
        order_id = parts.intake.accept_signal(signal_id)
        if order_id is not None:
            parts.sender.send(order_id)

    return {
        "backtests.run": parts.backtests.run,
        "collection.run_job": parts.collection.run_job,
        "collection.follow": parts.collection.follow,
        "strategies.evaluate": parts.evaluator.evaluate,
        "orders.accept_signal": accept_signal,
        "orders.send": parts.sender.send,
        "orders.resolve": parts.resolver.resolve,
        "orders.cancel": parts.canceller.cancel,
        "orders.sync_account": parts.account_sync.sync,
        **_periodic(parts),
    }


def _periodic(parts: Container) -> dict[str, Callable[..., object]]:
    def sync_accounts() -> None:
        for account in parts.accounts.all():
            if account.status == "active":
                parts.queue.publish("orders.sync_account", account.id)

    def evaluate_running() -> None:
        for instance_id in parts.instances.running_ids():
            parts.queue.publish("strategies.evaluate", instance_id)

    work: dict[str, tuple[Callable[[], object], ...]] = {
        "maintenance.sweep": (parts.sweeper.sweep, parts.jobs.sweep, parts.relay.relay),
        "maintenance.sync_accounts": (sync_accounts,),
        "maintenance.follow_plans": (parts.collection.follow_all,),
        "maintenance.evaluate_running": (evaluate_running,),
        "maintenance.snapshot_equity": (parts.accounts.snapshot_equity,),
        "maintenance.prune": (parts.schedule.prune, parts.relay.prune),
    }
    return {task: _once_a_slot(parts, task, steps) for task, steps in work.items()}


def _once_a_slot(
    parts: Container, task: str, steps: Sequence[Callable[[], object]]
) -> Callable[[], None]:
    def run() -> None:
        if parts.schedule.take(task):
            for step in steps:
                step()

    return run


@dataclass
class Installation:
    """One installation. Amounts are given as text, as a person writes them.

    Attributes:
        strategies: classes by name that are registered beside the built-ins.
        checkpoint: called between the steps of the order protocol.
        ran: the tasks that ran, in order.
    """

    simulator: SimulatorProcess
    data_dir: Path
    database_url: str = ""
    strategies: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Checkpoint = no_checkpoint
    clock: ManualClock = field(default_factory=lambda: ManualClock(SystemClock().now_ms()))
    queue: Line = field(default_factory=Line)
    bus: Heard = field(default_factory=Heard)
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = self._parts()
        Base.metadata.create_all(self.parts.engine)
        self.parts.market_data.sync_instruments(EXCHANGE)
        self.parts.catalogue.sync_builtins()

    def _parts(self) -> Parts:
        settings = Settings(
            environment=Environment.TESTING,
            data_dir=self.data_dir,
            database_url=self.database_url,
            simulator_url=self.simulator.url,
            venue_weight=1_000_000,
            venue_timeout_s=5,
            log_level="ERROR",
        )
        return Parts(
            settings,
            self.queue,
            self.clock,
            self.bus,
            self._reached,
            self.strategies,
        )

    def _reached(self, step: str) -> None:
        self.checkpoint(step)

    def restart(self) -> None:
        """All processes end and new ones start; what was only in memory is lost."""
        self.parts.close()
        self.queue.waiting.clear()
        self.clock.advance(1_000)
        self.parts = self._parts()

    @property
    def venue(self) -> SimulatorControl:
        """The simulator's own record and faults."""
        return self.simulator.control

    # -- time and tasks ----------------------------------------------------------------

    def settle(self) -> None:
        """Run what is hinted at, and what that hints at, until nothing is left."""
        tasks = tasks_of(self.parts)
        for _ in range(_MOST_TASKS):
            if not self.queue.waiting:
                return
            name, ids = self.queue.waiting.popleft()
            self.ran.append((name, *ids))
            tasks[name](*ids)
        raise AssertionError(f"the tasks did not settle; the last ones: {self.ran[-6:]}")

    def run(self, task: str, *ids: str) -> None:
        """Run one task and what it hints at."""
        self.queue.publish(task, *ids)
        self.settle()

    def wait(self, ms: int) -> None:
        """Let wall time pass, and the sweeper sweep once."""
        self.clock.advance(ms)
        self.run("maintenance.sweep")

    def sync(self, account: AccountRow) -> None:
        """Compare an account with the venue."""
        self.run("orders.sync_account", account.id)

    @property
    def market_ms(self) -> int:
        """Market time."""
        return self.venue.market_ms

    def market(self, *, by_ms: int) -> int:
        """Move the market on; nothing is run by that."""
        now = self.venue.advance(by_ms=by_ms)
        self.parts.market_clock.refresh(EXCHANGE)
        return now

    def bars(self, number: int = 1, interval: str = "1m") -> None:
        """Move the market on bar by bar, and do what each bar's close asks for."""
        length = interval_of(interval).length_ms
        for _ in range(number):
            now = self.market_ms
            self.market(by_ms=now - now % length + length - now)
            self.parts.collection.follow_all()
            self.settle()

    def price(self, symbol: str = SYMBOL) -> Decimal:
        """The market's present price."""
        return self.parts.market(EXCHANGE).ticker(symbol).price

    # -- accounts, instances, orders ---------------------------------------------------

    def account(self, **balances: str) -> AccountRow:
        """A new account at the simulator with these balances."""
        held = balances or {"USDT": "100000"}
        return self.parts.accounts.add_simulated(
            f"account {next(_serial)}",
            EXCHANGE,
            {asset: Decimal(amount) for asset, amount in held.items()},
        )

    def venue_name(self, account: AccountRow) -> str:
        """Name of the account at the simulator."""
        return account.name

    def plan(self, symbols: Sequence[str] = (SYMBOL,), interval: str = "1m", bars: int = 5) -> str:
        """A plan that collects from some bars ago; the id."""
        step = interval_of(interval)
        start = step.floor(self.market_ms) - bars * step.length_ms
        row = self.parts.collection.plans.create(
            f"plan {next(_serial)}", EXCHANGE, symbols, [interval], start
        )
        self.parts.collection.follow(row.id)
        self.settle()
        return row.id

    def instance(
        self, account: AccountRow, strategy: str, *, start: bool = True, **given: Any
    ) -> StrategyInstanceRow:
        """A strategy instance, running unless told otherwise."""
        known: dict[str, Any] = {
            "name": f"instance {next(_serial)}",
            "symbols": (SYMBOL,),
            "interval": "1m",
            "capital": Decimal(10_000),
        }
        row = self.parts.instances.create(
            NewInstance(strategy=strategy, account=account.id, **{**known, **given})
        )
        self._collected(row)
        return self.parts.instances.start(row.id) if start else row

    def _collected(self, row: StrategyInstanceRow) -> None:
        """A plan for what the instance listens to, from now on, where there is none yet."""
        with self.parts.units.read() as unit:
            known = {symbol for plan in unit.plans.enabled() for symbol in plan.symbols}
        missing = [symbol for symbol in row.symbols if symbol not in known]
        if missing:
            self.parts.collection.plans.create(
                f"plan {next(_serial)}", EXCHANGE, missing, [row.interval], self.market_ms
            )

    def submit(
        self,
        account: AccountRow,
        side: str,
        quantity: str,
        limit: str | None = None,
        *,
        symbol: str = SYMBOL,
        key: str = "",
        tif: str = "gtc",
    ) -> tuple[RiskDecisionRow, OrderRow | None]:
        """An order by hand, taken to the gate; nothing is run by that."""
        return self.parts.intake.submit_order(
            ManualOrder(
                account_id=account.id,
                symbol=symbol,
                side=Side(side),
                type=OrderType.LIMIT if limit else OrderType.MARKET,
                quantity=Decimal(quantity),
                limit_price=Decimal(limit) if limit else None,
                time_in_force=TimeInForce(tif),
                idempotency_key=key or f"key {next(_serial)}",
            )
        )

    def order(
        self,
        account: AccountRow,
        side: str,
        quantity: str,
        limit: str | None = None,
        **more: str,
    ) -> OrderRow:
        """An order by hand that passes the gate, and all that follows at once."""
        decision, row = self.submit(account, side, quantity, limit, **more)
        assert row is not None, decision.reason
        self.settle()
        return self.row(row)

    def away(self, side: str, by: str = "0.1", symbol: str = SYMBOL) -> str:
        """A limit price so far from the market that an order rests there."""
        factor = 1 - Decimal(by) if side == "buy" else 1 + Decimal(by)
        return str((self.price(symbol) * factor).quantize(Decimal(1)))

    def emit(
        self,
        instance: StrategyInstanceRow,
        *signals: Signal,
        cause: str = "",
        valid_for: int = 2 * MINUTE,
    ) -> list[SignalRow]:
        """Signals as an evaluation writes them, with their hints and events."""
        now = self.market_ms
        cause = cause or f"bar:{now}-{next(_serial)}"

        def work(unit: Unit) -> None:
            row = unit.instances.get(instance.id)
            for leg, signal in enumerate(signals):
                emitted = EmittedSignal(signal, row.interval, cause, leg, now, now + valid_for)
                self.parts.evaluator._write_signal(unit, row, emitted)

        self.parts.units.run(work)
        return [row for row in self.parts.queries.signals(instance.id) if row.cause == cause]

    # -- what became of it -------------------------------------------------------------

    def row(self, order: OrderRow | str) -> OrderRow:
        """The order as it is now."""
        with self.parts.units.read() as unit:
            return unit.orders.get(order if isinstance(order, str) else order.order_id)

    def life(self, order: OrderRow) -> list[str]:
        """The states that an order went through."""
        with self.parts.units.read() as unit:
            events = unit.orders.events(order.order_id)
        seen: list[str] = []
        for event in events:
            if not seen or seen[-1] != event.to_status:
                seen.append(event.to_status)
        return seen

    def events(self, order: OrderRow) -> Sequence[OrderEventRow]:
        """The events of an order."""
        with self.parts.units.read() as unit:
            return unit.orders.events(order.order_id)

    def fills(self, order: OrderRow) -> Sequence[FillRow]:
        """The fills of an order."""
        with self.parts.units.read() as unit:
            return unit.ledger.fills_of_order(order.order_id)

    def orders_of(self, instance: StrategyInstanceRow) -> Sequence[OrderRow]:
        """The orders of an instance."""
        return self.parts.queries.orders(instance.id)

    def signals_of(self, instance: StrategyInstanceRow) -> Sequence[SignalRow]:
        """The signals of an instance."""
        return self.parts.queries.signals(instance.id)

    def quota(self, instance: StrategyInstanceRow) -> StrategyQuotaRow:
        """The quota of an instance."""
        with self.parts.units.read() as unit:
            row = unit.instances.quota(instance.id)
        assert row is not None
        return row

    def manual(self, account: AccountRow) -> StrategyInstanceRow:
        """The instance of orders by hand."""
        with self.parts.units.read() as unit:
            return unit.instances.builtin(account.id, "manual")

    def balance(self, account: AccountRow, asset: str) -> tuple[Decimal, Decimal]:
        """(free, locked) by our record."""
        for row in self.parts.accounts.balances(account.id):
            if row.asset == asset:
                return row.free, row.locked
        return ZERO, ZERO

    def position(self, instance: StrategyInstanceRow, symbol: str = SYMBOL) -> PositionRow | None:
        """The position of an instance."""
        with self.parts.units.read() as unit:
            rows = unit.ledger.positions_of_instance(instance.id)
        return next((row for row in rows if row.symbol == symbol), None)

    def at_venue(self, account: AccountRow) -> list[dict[str, Any]]:
        """The account's orders by the simulator's own record."""
        return self.venue.orders(account=self.venue_name(account))

    def sends(self, order: OrderRow) -> list[dict[str, Any]]:
        """Requests that reached the simulator to place this order."""
        return self.venue.requests(
            method="POST", path="/api/v3/order", client_order_id=order.client_order_id
        )

    def alarms(self, kind: str) -> list[dict[str, Any]]:
        """Alarm events of one kind."""
        return [body for body in self.bus.on("risk.alert.") if body["kind"] == kind]

    def check(self, account: AccountRow) -> None:
        """What must hold at any time: the ledger balances, and the venue holds the same."""
        with self.parts.units.read() as unit:
            postings = unit.ledger.postings(account.id)
            ours = {row.asset: (row.free, row.locked) for row in unit.accounts.balances(account.id)}
            live = unit.orders.live(account.id)
        sums: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
        held: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for row in postings:
            sums[row.txn_id, row.asset] += row.amount
            if row.book == Book.HOLDINGS:
                held[row.asset] += row.amount
        assert not {key: value for key, value in sums.items() if value}
        reserved: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for order in live:
            reserved[order.reserved_asset] += order.reserved_amount
        theirs = next(
            each["balances"]
            for each in self.venue.accounts()
            if each["name"] == self.venue_name(account)
        )
        for asset, (free, locked) in ours.items():
            assert free + locked == held[asset], asset
            assert locked == reserved[asset], asset
            there = theirs.get(asset, {"free": "0", "locked": "0"})
            assert free + locked == Decimal(there["free"]) + Decimal(there["locked"]), asset

    def close(self) -> None:
        """Lift the faults and let go of everything."""
        self.venue.clear_faults()
        self.parts.close()


@contextmanager
def installed(simulator: SimulatorProcess, data_dir: Path, **given: Any) -> Iterator[Installation]:
    """An installation that is closed at the end."""
    installation = Installation(simulator, data_dir, **given)
    try:
        yield installation
    finally:
        installation.close()
