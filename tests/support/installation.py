"""A whole installation without processes: every part over a simulator and a fresh record.

Tasks run one after another in the test's own thread, in the order of their hints, until none is
left. Wall time stands still unless the test moves it; the simulator, whose clock cannot be
moved, sees each order's timestamp carried into its own time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Final

from app.adapters.clock import SystemClock
from app.config import Environment, Settings
from app.core.market.intervals import interval as interval_of
from app.core.money import ZERO
from app.core.orders.types import OrderType, Side, TimeInForce
from app.core.strategies.signal import EmittedSignal, Signal
from app.models import (
    AccountRow,
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
from app.services.orders.ports import Checkpoint, no_checkpoint
from app.services.strategies.instances import NewInstance
from tests.support.books import assert_books_hold
from tests.support.parts import EXCHANGE, Heard, Line, Parts, tasks_of
from tests.support.record import ManualClock
from tests.support.schema import make_tables
from tests.support.simulator import SimulatorControl, SimulatorProcess

SYMBOL: Final = "BTC/USDT"
MINUTE: Final = 60_000
DAY: Final = 86_400_000
_MOST_TASKS: Final = 2_000
_serial = count(1)


@dataclass
class Installation:
    """One installation. Amounts are given as text, as a person writes them.

    Attributes:
        strategies: classes by name that are registered beside the built-ins.
        checkpoint: called between the steps of the order protocol.
        venue_timeout_s: how long an answer of the venue is waited for.
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
    venue_timeout_s: float = 5.0
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = self._parts()
        make_tables(self.parts.engine)
        self.parts.market_data.sync_instruments(EXCHANGE)
        self.parts.catalogue.sync_builtins()

    def _parts(self) -> Parts:
        settings = Settings(
            environment=Environment.TESTING,
            data_dir=self.data_dir,
            database_url=self.database_url,
            simulator_url=self.simulator.url,
            venue_weight=1_000_000,
            venue_timeout_s=self.venue_timeout_s,
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
        self.parts.gate.require_reconciliation("the processes were started")

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

    def catch_up(self) -> None:
        """Let as much time pass as has really passed: the venue's pauses are in real time."""
        self.clock.advance(max(0, SystemClock().now_ms() - self.clock.true_ms))

    def sync(self, account: AccountRow) -> None:
        """Compare an account with the venue."""
        self.run("orders.sync_account", account.id)

    def reconcile(self, account: AccountRow, times: int = 1) -> None:
        """Compare everything that the account holds, as many times, a few seconds apart."""
        for _ in range(times):
            self.clock.advance(5_000)
            self.parts.gate.require_reconciliation("by hand", account.id)
            self.settle()

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
        added = self.parts.accounts.add_simulated(
            f"account {next(_serial)}",
            EXCHANGE,
            {asset: Decimal(amount) for asset, amount in held.items()},
        )
        self.queue.waiting.remove(("orders.open_account", (added.id,)))
        self.parts.opener.open(added.id)
        return self.parts.accounts.get(added.id)

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

    def external(self, account: AccountRow) -> StrategyInstanceRow:
        """The instance of what was not done here."""
        with self.parts.units.read() as unit:
            return unit.instances.builtin(account.id, "external")

    def by_hand(self, account: AccountRow) -> Any:
        """The account's owner at the exchange's own site: plain ccxt, past Tidemark."""
        sealed = self.parts.accounts.get(account.id).sealed_credentials
        keys = self.parts.vault.open(account.id, sealed)
        return self.simulator.ccxt(None, apiKey=keys["apiKey"], secret=keys["secret"])

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

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Alarm events of one kind by the record, where each is once; the bus may have it twice."""
        with self.parts.units.read() as unit:
            return [row.body for row in unit.audit.alerts() if row.body["kind"] == kind]

    def check(self, account: AccountRow) -> None:
        """What must hold at any time: the ledger balances, and the venue holds the same."""
        assert_books_hold(self, account)

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
