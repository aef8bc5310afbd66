"""Process ``streams``: ``python -m workers.streams``.

Market feeds and user data of this process's part of what is wanted. Any number of these
processes share the work by leases. SIGTERM and SIGINT drain: what has arrived is written, the
leases are given back, and another process takes over at once.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, Self

import structlog

from workers.signs import touch

if TYPE_CHECKING:
    from app.services.streams.service import StreamService
    from app.wiring import Container

_log = structlog.get_logger(__name__)
_STOP_S: Final = 10.0
_PULSE_S: Final = 2.0


def main() -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    from app.adapters.celery_queue import CeleryQueue
    from app.config import settings_or_exit
    from app.logs import configure_logs
    from app.wiring import Container
    from app.wiring.whole import whole_or_exit
    from workers.celery_app import build_celery

    settings = settings_or_exit()
    configure_logs(settings.log_level, settings.log_format)
    whole_or_exit(settings)
    # Seconds of a core. Imported before a lease is taken, so that nobody waits for them.
    import ccxt.pro  # noqa: F401

    container = Container(settings, CeleryQueue(build_celery(settings)))
    try:
        container.start_background()
        asyncio.run(_run(container.streams))
    finally:
        container.close()
    return 0


async def _run(service: StreamService) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _log.info("streams_started")
    pulse = asyncio.create_task(_show_life())
    try:
        await service.run(stop)
    finally:
        pulse.cancel()
    _log.info("streams_stopped")


async def _show_life() -> None:
    """Signs of life from the loop itself: one that hangs gives none."""
    while True:
        touch("streaming")
        await asyncio.sleep(_PULSE_S)


class StreamsThread:
    """The same service on a thread with an event loop of its own, for the embedded runtime."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="streams", daemon=True)

    def start(self) -> Self:
        """Start; returns when the loop runs."""
        from app.services.streams.leases import free_leases

        # One runtime per data directory: whoever held these leases is gone.
        free_leases(self._container.units)
        self._thread.start()
        self._ready.wait(_STOP_S)
        return self

    def stop(self) -> None:
        """Drain and end."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STOP_S)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:  # noqa: BLE001 - REST sweeps go on without it; the log says why
            _log.exception("streams_failed")

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._container.streams.run(self._stop)


if __name__ == "__main__":
    sys.exit(main())
