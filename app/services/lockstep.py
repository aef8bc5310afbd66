"""Faster than time: a simulated market that moves on only when everyone has caught up.

One step: the market advances; working orders are compared with the venue, since the new bar
may have filled them; the new bars are collected; every running instance evaluates them; every
signal becomes a decision and every order gets its answer. Only then comes the next step. All
of it is done by the same tasks that follow a real market, so the same numbers come out of
every run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from app.core.errors import NotFound, Unavailable
from app.core.market.intervals import interval as interval_of
from app.core.orders.state import WORKING
from app.core.ports import Clock, Queue
from app.models import StrategyInstanceRow
from app.repositories.unit import Units
from app.services.strategies.bars import give_up_at
from app.services.strategies.instances import Frames

_POLL_S: Final = 0.003
# A hint may be lost, or reach another process whose market clock is 50 ms old and sees nothing to
# do yet; the sweeper would also drive it on, this is only sooner.
_REPEAT_S: Final = 0.25
_GIVE_UP_S: Final = 60.0


class SteppedMarket(Protocol):
    """A market whose clock stands still between steps."""

    def advance(self, to_ms: int) -> int:
        """Move on to a market time; returns it."""
        ...


class RefreshableClock(Protocol):
    """The market clock, which must not remember the time before the step."""

    def now_ms(self, exchange: str) -> int:
        """Market time, ms."""
        ...

    def refresh(self, exchange: str) -> None:
        """Ask the venue anew at the next call."""
        ...


@dataclass(frozen=True, slots=True)
class _Wait:
    """One stage of a step: what to ask for, and when it is done."""

    name: str
    hints: Callable[[], list[tuple[str, str]]]
    done: Callable[[], bool]


class Lockstep:
    """Drives one simulated market.

    Args:
        frames: where the instances' bars are read.
        sleep: waits for a number of seconds between two looks at the rows.
    """

    def __init__(
        self,
        units: Units,
        queue: Queue,
        market: SteppedMarket,
        market_clock: RefreshableClock,
        clock: Clock,
        frames: Frames,
        sleep: Callable[[float], None],
    ) -> None:
        self._units = units
        self._queue = queue
        self._market = market
        self._market_clock = market_clock
        self._clock = clock
        self._frames = frames
        self._sleep = sleep

    def step(self, exchange: str, to_ms: int) -> None:
        """Advance the market to a time and return when nothing is left to do.

        Raises:
            Unavailable: a stage did not end within 60 s; the message names it.
        """
        self._market.advance(to_ms)
        self._market_clock.refresh(exchange)
        for stage in (
            _Wait("orders", lambda: self._to_sync(to_ms), lambda: not self._to_sync(to_ms)),
            _Wait(
                "collection",
                lambda: self._to_follow(exchange, to_ms),
                lambda: not self._to_follow(exchange, to_ms),
            ),
            _Wait(
                "strategies",
                lambda: self._to_evaluate(exchange, to_ms),
                lambda: self._is_settled(exchange, to_ms),
            ),
        ):
            self._await(stage)

    def _await(self, stage: _Wait) -> None:
        started = asked = self._clock.monotonic()
        self._publish(stage)
        while True:
            looked = self._clock.monotonic()
            if stage.done():
                return
            now = self._clock.monotonic()
            if now - started > _GIVE_UP_S:
                raise Unavailable(f"lockstep: {stage.name} did not settle within 60 s")
            if now - asked > _REPEAT_S:
                self._publish(stage)
                asked = now
            # Twice as long as the look took: whoever is waited for has the core meanwhile.
            self._sleep(max(_POLL_S, 2 * (now - looked)))

    def _publish(self, stage: _Wait) -> None:
        for task, row_id in stage.hints():
            self._queue.publish(task, row_id)

    def _to_sync(self, to_ms: int) -> list[tuple[str, str]]:
        with self._units.read() as unit:
            return [
                ("orders.sync_account", account.id)
                for account in unit.accounts.all()
                if account.synced_ts < to_ms
                and any(order.status in WORKING for order in unit.orders.live(account.id))
            ]

    def _to_follow(self, exchange: str, to_ms: int) -> list[tuple[str, str]]:
        with self._units.read() as unit:
            return [
                ("collection.follow", plan.id)
                for plan in unit.plans.enabled()
                if plan.exchange == exchange and plan.followed_ts < to_ms
            ]

    def _to_evaluate(self, exchange: str, to_ms: int) -> list[tuple[str, str]]:
        with self._units.read() as unit:
            running = [row for row in unit.instances.running() if row.exchange == exchange]
            untold = {row.id for row in running if row.listens and unit.orders.untold(row.id, 1)}
        return [
            ("strategies.evaluate", row.id)
            for row in running
            if row.id in untold or self._is_behind(row, to_ms)
        ]

    def _is_behind(self, row: StrategyInstanceRow, to_ms: int) -> bool:
        """Whether the instance could evaluate a bar now: the next one is stored, or given up."""
        interval = interval_of(row.interval)
        bar = interval.next(row.cursor_ts or 0)
        if bar >= interval.floor(to_ms):
            return False
        if to_ms >= give_up_at(bar, interval):
            return True
        end = interval.next(bar)
        try:
            return all(
                len(self._frames.frame(row.exchange, symbol, row.interval, bar, end))
                for symbol in row.symbols
            )
        except NotFound:
            return False  # no plan collects what the instance listens to

    def _is_settled(self, exchange: str, to_ms: int) -> bool:
        """Whether nobody has anything left to do.

        Looked at three times: an order that settles before the second look leaves an event
        that it finds, and what that evaluation asked for is found by the third.
        """
        return self._is_quiet() and not self._to_evaluate(exchange, to_ms) and self._is_quiet()

    def _is_quiet(self) -> bool:
        """Whether no signal and no order waits: an evaluation may have spoken meanwhile."""
        with self._units.read() as unit:
            return not any(
                unit.signals.waiting_of(row.id) or unit.orders.count_unsettled(row.account_id)
                for row in unit.instances.running()
            )
