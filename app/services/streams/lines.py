"""Keeping one socket open: a gate for connections, backoff, and a race of what runs over it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from app.core.errors import TidemarkError
from app.core.exchanges.errors import VenueRetryLater
from app.core.ports import Clock, Queue, RequestBudget
from app.repositories.unit import Units
from app.services.streams.leases import Lease
from app.services.streams.ports import Line, StreamTiming

_log = structlog.get_logger(__name__)
R = TypeVar("R")
LineT = TypeVar("LineT", bound=Line)
_WINDOW_S: Final = 300.0
# A line that stood for so long has nothing to do with the failures before it.
_STOOD_S: Final = 30.0


class ConnectGate:
    """Lets so many connections through in five minutes, for the sake of the address."""

    def __init__(self, connects: int, clock: Clock) -> None:
        self._connects = connects
        self._clock = clock
        self._passed: deque[float] = deque()

    async def enter(self) -> None:
        """Wait until another connection may be opened."""
        while True:
            now = self._clock.monotonic()
            while self._passed and now - self._passed[0] >= _WINDOW_S:
                self._passed.popleft()
            if len(self._passed) < self._connects:
                self._passed.append(now)
                return
            await asyncio.sleep(min(1.0, self._passed[0] + _WINDOW_S - now))


@dataclass(frozen=True, slots=True)
class Tools:
    """What everything that runs on the streams' event loop shares.

    Attributes:
        executor: where blocking work goes; nothing blocking runs on the loop.
        uniform: a random number between two bounds.
    """

    units: Units
    queue: Queue
    clock: Clock
    budget: RequestBudget
    gate: ConnectGate
    timing: StreamTiming
    executor: Executor
    uniform: Callable[[float, float], float]

    async def blocking(self, work: Callable[..., R], *args: Any) -> R:
        """Run blocking work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, work, *args)

    async def hint(self, task: str, row_id: str) -> None:
        """Ask a worker for something; a lost hint is made good by the sweeps."""
        await self.blocking(self.queue.publish, task, row_id)

    def now(self) -> float:
        """Monotonic seconds."""
        return self.clock.monotonic()


async def keep_open(
    tools: Tools,
    lease: Lease,
    exchange: str,
    opening: Callable[[], Awaitable[LineT]],
    serving: Callable[[LineT], Awaitable[None]],
    failed: Callable[[TidemarkError], Awaitable[None]],
) -> None:
    """Open a line and serve it, again and again, for as long as the lease holds.

    Args:
        serving: runs until the line ends, which it reports by an error.
        failed: is told of each error.
    """
    failures = 0
    while lease.is_valid(tools.now()):
        await _banned(tools, exchange)
        await tools.gate.enter()
        began, pause = tools.now(), 0.0
        try:
            line = await opening()
            try:
                await serving(line)
            finally:
                await line.close()
        except TidemarkError as error:
            if isinstance(error, VenueRetryLater):
                pause = error.retry_after_ms / 1000
            _log.warning("stream_ended", group=lease.name, why=error.message)
            await failed(error)
        failures = 0 if tools.now() - began > _STOOD_S else failures + 1
        await asyncio.sleep(max(pause, _backoff(tools, failures)))


async def race(*runners: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends, then end the others; its error is ours."""
    tasks = [asyncio.create_task(runner) for runner in runners]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _backoff(tools: Tools, failures: int) -> float:
    """Doubling with jitter, so that a hundred lines that fell together do not come together."""
    timing = tools.timing
    highest = min(timing.backoff_max_s, timing.backoff_s * 2 ** min(failures, 16))
    return tools.uniform(highest / 2, highest)


async def _banned(tools: Tools, exchange: str) -> None:
    while (until := tools.budget.banned_until(exchange)) is not None:
        left = (until - tools.clock.now_ms()) / 1000
        await asyncio.sleep(min(max(left, 0.1), 5.0))
