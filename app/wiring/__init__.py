"""The only composition root: builds every part from the settings and hands them in.

A part is built when it is first asked for and kept for the life of its container. One process
holds one container; nothing here is a module-level singleton.

Parts are found by area, and an area knows those that it stands on and no other::

    Container                      this file: a whole process, its start and its end
    strategies.py    trading.py    side by side: what joins them is rows
    market.py
    platform.py

The other files make single parts of these.
"""

from __future__ import annotations

import threading

import structlog

from app.config import Settings
from app.core.ports import Queue
from app.repositories.database import driver_words
from app.services.orders.ports import Checkpoint, no_checkpoint
from app.wiring.heap import settle_heap
from app.wiring.strategies import StrategyParts
from app.wiring.trading import TradingParts

__all__ = ["Container"]

_log = structlog.get_logger(__name__)
_MARK_S = 0.5
# Every 5 s.
_MARKS_PER_LOOK = 10
# Half a minute: by then a process has loaded what it loads late, the exchanges' library above all.
_MARKS_TO_SETTLE = 60
_END_S = 2.0
# Parts that hold threads, children or connections, in the order of their end.
_CLOSED = ("runtime", "bus", "prices", "budget")
# Built before the threads that share them; a cached_property takes no lock.
_SHARED = (
    "bus",
    "publisher",
    "prices",
    "units",
    "bulk_units",
    "world",
    "budget",
    "addresses",
    "market_clock",
    "vault",
    "desks",
    "runtime",
    "collection",
    "roll_ups",
    "importing",
    "source_runner",
    "evaluator",
    "backtests",
    "accounts",
)


class Container(TradingParts, StrategyParts):
    """Every part of one process.

    Args:
        queue: where hints go.
        can_read_keys: whether this process may open exchange keys: the worker of queue orders
            and streams may, the API and the other workers may not.
        checkpoint: called between the steps of the order protocol, for rehearsing faults.
    """

    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        *,
        can_read_keys: bool = True,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        super().__init__(settings, queue, can_read_keys=can_read_keys, checkpoint=checkpoint)
        self._stopping = threading.Event()
        self._background: threading.Thread | None = None

    def start_background(self) -> None:
        """Start what runs beside the tasks: marking sent events, twice a second, watching the
        clock and whether periodic work is done, and one look at the heap."""
        for name in _SHARED:
            getattr(self, name)

        def mark() -> None:
            turns = 0
            while not self._stopping.wait(_MARK_S):
                self._mark_sent()
                turns += 1
                if turns % _MARKS_PER_LOOK == 0:
                    self._look_around()
                if turns == _MARKS_TO_SETTLE:
                    settle_heap()

        self._background = threading.Thread(target=mark, name="outbox-marks", daemon=True)
        self._background.start()

    def _look_around(self) -> None:
        for watch in (self.clock_watch, self.schedule_watch):
            try:
                watch.look()
            except Exception as error:  # noqa: BLE001 - while the database is down it looks in vain
                _log.warning("not_watched", watch=type(watch).__name__, **_reason(error))

    def _mark_sent(self) -> None:
        try:
            self.publisher.flush(self.units)
        except Exception as error:  # noqa: BLE001 - the relay sends again what could not be marked
            _log.warning("events_not_marked", **_reason(error))

    def interrupt(self) -> None:
        """End what may run for minutes, so that the process can stop; its rows bring it back."""
        for name in ("runtime", "source_runtime"):
            runtime = self.__dict__.get(name)
            if runtime is not None:
                runtime.interrupt()

    def close(self) -> None:
        """Let go of threads, child processes and connections."""
        self._stopping.set()
        if self._background is not None:
            # Its connection would come back to a pool that is gone. A database that does not
            # answer holds it for longer than anybody waits.
            self._background.join(_END_S)
        # The bus first: what it still sends is marked after it.
        for part in (*(self.__dict__.get(name) for name in _CLOSED), self.queue):
            close = getattr(part, "close", None)
            if close is not None:
                close()
        if "publisher" in self.__dict__ and self.publisher.pending():
            self._mark_sent()
        for name in ("engine", "probe_engine", "bulk_engine"):
            if name in self.__dict__:
                self.__dict__[name].dispose()


def _reason(error: Exception) -> dict[str, object]:
    """Of a database that is away, maybe for hours, one line; else the traceback."""
    words = driver_words(error)
    return {"exc_info": error} if words is None else {"why": words}
