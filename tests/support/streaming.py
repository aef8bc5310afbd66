"""Streams over an installation of a test: the real service on a thread, in real time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from app.adapters.budget import InProcessBudget
from app.adapters.clock import SystemClock
from app.services.streams.ports import StreamTiming
from app.services.streams.service import StreamService
from app.wiring import Container
from app.wiring.bans import Bans
from tests.support.simulator import wait_until

#: As in earnest, but a tenth as patient; leases outlast whatever holds up a busy machine.
FAST = StreamTiming(
    look_s=0.05,
    lease_s=20.0,
    renew_s=0.3,
    silence_s=1.0,
    backoff_s=0.05,
    backoff_max_s=0.4,
    connects=1_000,
    drain_s=3.0,
)


class Streams:
    """A running service.

    Attributes:
        service: what runs.
    """

    def __init__(self, service: StreamService) -> None:
        self.service = service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="streams-of-test", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        wait_until(lambda: self._stop is not None, 10)

    def stop(self) -> None:
        """Drain and end; whatever the service raised fails the test."""
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(15)
        assert not self._thread.is_alive(), "the streams did not stop"
        if self._failure is not None:
            raise self._failure

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - carried over to the test's thread
            self._failure = error

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self.service.run(self._stop)


def stream_service(
    parts: Container, timing: StreamTiming = FAST, *, owner: str = "", **changes: Any
) -> StreamService:
    """The installation's service, by the machine's clock: sockets do not wait for a test's."""
    service = parts.streams
    clock = SystemClock()
    budget = InProcessBudget(clock, Bans(parts.units), weights={"binance": 1_000_000})
    made = replace(
        service._parts, clock=clock, budget=budget, owner=owner or parts.owner, **changes
    )
    return StreamService(made, timing)


@contextmanager
def streaming(
    parts: Container,
    timing: StreamTiming = FAST,
    *,
    ready: Callable[[StreamService], object] = lambda service: service.held,
    **changes: Any,
) -> Iterator[Streams]:
    """Streams that run until the block ends; entered once something is held."""
    streams = Streams(stream_service(parts, timing, **changes))
    streams.start()
    try:
        wait_until(lambda: ready(streams.service), 20)
        yield streams
    finally:
        streams.stop()
