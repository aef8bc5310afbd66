"""The parts of an installation in a test: its container, queue, bus and gateways."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from app.adapters.budget import InProcessBudget
from app.adapters.clock import SystemClock
from app.adapters.local_bus import LocalBus
from app.adapters.venue_clock import MeasuredClock
from app.config import Settings
from app.core.exchanges.trading import trade_adapter
from app.core.orders.types import OrderRequest, OrderResponse
from app.core.ports import TradeAdapter
from app.core.strategies.registry import StrategyRegistry
from app.services.orders.placing import place_signal
from app.services.orders.ports import Checkpoint, TradingDesk
from app.services.outbox import OutboxPublisher
from app.wiring import Container
from app.wiring.bans import Bans
from tests.support.record import ManualClock

EXCHANGE: Final = "binance"


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
    """Gateways whose queries are signed with real time, and whose orders are carried into it.

    Attributes:
        offset_ms: the venue's wall clock less that of the test's world.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept: dict[str, TradeAdapter] = {}
        self.offset_ms = 0

    def open(self, account_id: str) -> TradingDesk:
        """The desk of an account."""
        if account_id not in self._kept:
            self._kept[account_id] = self._built(account_id)
        self._kept[account_id].prepare()
        clock = self._parts.venue_clock(EXCHANGE)
        clock.synchronise(self._parts.timing.recv_window_ms // 2)
        return TradingDesk(self._kept[account_id], clock.now_ms)

    def cancel_desk(self, account_id: str) -> TradingDesk:
        """The same."""
        return self.open(account_id)

    def venue_ms(self) -> int:
        """What the venue's clock shows in the test's world."""
        return self._parts.manual_clock.true_ms + self.offset_ms

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
            self.venue_ms,
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

    def venue_clock(self, exchange: str) -> MeasuredClock:
        """The venue's clock, which answers in the test's time."""
        with self._lock:
            return self._venue_clocks.setdefault(
                exchange, MeasuredClock(exchange, self.clock, self.desks.venue_ms)
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
        place_signal(parts.intake, parts.sender, signal_id)

    def roll_up(series_id: str) -> None:
        parts.roll_ups.roll_up(int(series_id))

    return {
        "backtests.run": parts.backtests.run,
        "collection.run_job": parts.collection.run_job,
        "collection.import_files": parts.importing.run,
        "collection.follow": parts.collection.follow,
        "collection.choose_symbols": parts.collection.choose_symbols,
        "collection.verify": parts.collection.run_verification,
        "collection.roll_up": roll_up,
        "collection.run_source": parts.source_runner.run,
        "maintenance.refresh_catalogue": parts.catalogue_refresher.refresh,
        "strategies.evaluate": parts.evaluator.evaluate,
        "orders.accept_signal": accept_signal,
        "orders.send": parts.sender.send,
        "orders.resolve": parts.resolver.resolve,
        "orders.cancel": parts.canceller.cancel,
        "orders.open_account": parts.opener.open,
        "orders.sync_account": parts.account_sync.sync,
        **_periodic(parts),
    }


def _periodic(parts: Container) -> dict[str, Callable[..., object]]:
    def sync_accounts() -> None:
        for account in parts.accounts.all():
            if account.status == "active":
                parts.queue.publish("orders.sync_account", account.id)

    def evaluate_running() -> None:
        for instance_id in parts.instances.behind():
            parts.queue.publish("strategies.evaluate", instance_id)

    def choose_symbols() -> None:
        for exchange in parts.collection.plans.choosing():
            parts.queue.publish("collection.choose_symbols", exchange)

    work: dict[str, tuple[Callable[[], object], ...]] = {
        "maintenance.sweep": (
            parts.sweeper.sweep,
            parts.jobs.sweep,
            parts.roll_ups.sweep,
            parts.source_runner.sweep,
            parts.relay.relay,
        ),
        "maintenance.sync_accounts": (sync_accounts,),
        "maintenance.follow_plans": (parts.collection.follow_all,),
        "maintenance.evaluate_running": (evaluate_running,),
        "maintenance.snapshot_equity": (parts.accounts.snapshot_equity,),
        "maintenance.refresh_catalogues": (parts.catalogue_refresher.request_all,),
        "maintenance.choose_symbols": (choose_symbols,),
        "maintenance.verify_days": (parts.collection.verify_yesterday,),
        "maintenance.count_activity": (parts.collection.activity.count_all,),
        "maintenance.retain": (parts.retention.apply,),
        "maintenance.keep_partitions": (parts.partitioning.maintain,),
        "maintenance.prune": (parts.schedule.prune, parts.relay.prune, parts.jobs.prune),
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
