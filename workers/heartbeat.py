"""How a worker and beat give their signs of life; see `workers.signs`.

Why a file and not a ping through the broker: a ping fails when the broker is down, and then a
supervisor would kill workers that are well and wait to reconnect. Why not a thread's mere word:
a thread goes on when the consumer has stopped. So the word is given only while the consumer's
own loop turns, or while it is known to be reconnecting; and it says when every slot of the pool
has been held for longer than any task may take.
"""

from __future__ import annotations

import os
import shelve
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog
from celery import Celery, bootsteps
from celery.beat import PersistentScheduler, ScheduleEntry
from celery.signals import worker_process_init, worker_shutdown
from celery.utils.time import maybe_make_aware

from app.cli.supervision.launcher import die_with_parent
from workers.signs import CONSUMING, RECONNECTING, STUCK, VARIABLE, touch

_log = structlog.get_logger(__name__)
_PERIOD_S: Final = 1.0
# The loop's timer turns once a second; a long garbage collection or a busy machine takes some.
_PULSE_LIMIT_S: Final = 10.0
# A task is a slice of at most 60 s; a backtest has its own limit, which ends it.
_SLICE_LIMIT_S: Final = 600.0
_MARGIN_S: Final = 120.0
# A smaller step back is waited for.
_STEP: Final = timedelta(seconds=1)


class WorkerHeart(bootsteps.StartStopStep):
    """A step of Celery's worker: turns with its event loop, and speaks for it from a thread."""

    requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self.enabled = bool(os.environ.get(VARIABLE))
        self._pulse = 0.0
        self._ended = threading.Event()

    def start(self, worker: Any) -> None:
        """Begin to speak."""
        self._pulse = time.monotonic()
        worker.timer.call_repeatedly(_PERIOD_S, self._turn)
        threading.Thread(target=self._speak, args=(worker,), name="heart", daemon=True).start()

    def stop(self, _worker: Any) -> None:
        """The worker drains its tasks now, and its loop may rest: the supervisor waits."""
        self._ended.set()

    def _turn(self) -> None:
        self._pulse = time.monotonic()

    def _speak(self, worker: Any) -> None:
        while not self._ended.wait(_PERIOD_S):
            if not _is_connected(worker):
                touch(RECONNECTING)
            elif time.monotonic() - self._pulse < _PULSE_LIMIT_S:
                held = _held_slots(worker)
                touch(*((STUCK, held) if held else (CONSUMING,)))


def _is_connected(worker: Any) -> bool:
    consumer = getattr(worker, "consumer", None)
    connection = getattr(consumer, "connection", None)
    return bool(connection is not None and connection.connected)


def _held_slots(worker: Any) -> str:
    """Which tasks hold every slot of the pool for too long; empty while some slot is free."""
    from celery.worker import state

    limit = float(getattr(worker.app.conf, "tidemark_task_limit_s", _SLICE_LIMIT_S)) + _MARGIN_S
    now = time.monotonic()
    try:
        requests = list(state.active_requests)
    except RuntimeError:  # it changed while it was read; there is a next time
        return ""
    started = {each: getattr(each, "time_start", None) for each in requests}
    old = [each for each, at in started.items() if at is not None and now - at > limit]
    if len(old) < max(1, worker.concurrency):
        return ""
    return f"{old[0].name} and every other slot for over {limit:.0f} s"


class BeatScheduler(PersistentScheduler):
    """Celery's own scheduler, which says at each turn that it lives.

    It survives its clock: Celery counts from the wall time of the last run, and after the clock was
    set back by an hour it would send nothing for an hour. And it goes on without its file: each
    slot is a row, so that all it loses by that is when it last sent.
    """

    _has_file = True
    # Celery's own reads them back from the file after each write, which a full disk cuts short.
    _entries: dict[str, ScheduleEntry] | None = None

    def setup_schedule(self) -> None:
        """Read the file, or begin without one."""
        try:
            super().setup_schedule()
            self._entries = dict(super().get_schedule())
        except Exception as error:  # noqa: BLE001 - whatever the file's format raises
            _log.warning("schedule_file_not_used", error=str(error))
            self._let_go()
            self._has_file = False
            super().setup_schedule()
            self._entries = dict(super().get_schedule())

    def get_schedule(self) -> dict[str, ScheduleEntry]:
        """Entries by name."""
        if self._entries is None:  # it is being set up
            found: dict[str, ScheduleEntry] = super().get_schedule()
            return found
        return self._entries

    schedule = property(get_schedule, PersistentScheduler.set_schedule)

    def _open_schedule(self) -> Any:
        if not self._has_file:
            return shelve.Shelf({}, writeback=True)
        return super()._open_schedule()  # type: ignore[misc]  # not in Celery's published types

    def sync(self) -> None:
        """Keep the schedule in its file, where the disk has room."""
        try:
            if self._entries is not None:
                # "_store" is not in Celery's published types.
                self._store["entries"] = self._entries  # type: ignore[attr-defined]
            super().sync()
        except Exception as error:  # noqa: BLE001 - whatever the file's format raises
            _log.warning("schedule_not_kept", error=str(error))

    def close(self) -> None:
        """Keep the schedule, and let go of its file, whatever state that is in."""
        self.sync()
        self._let_go()

    def _let_go(self) -> None:
        # A shelf writes once more before it closes its file; where that fails it leaves it open.
        store = self._store  # type: ignore[attr-defined]  # not in Celery's published types
        if store is not None:
            for each in (store, store.dict):
                with suppress(Exception):
                    each.close()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; the seconds to the next turn."""
        self._forget_the_future()
        pause: float = super().tick(*args, **kwargs)
        touch(CONSUMING)
        return pause

    def _forget_the_future(self) -> None:
        """Count anew from now where the last run lies ahead of the clock."""
        ahead = [entry for entry in self.schedule.values() if _last_lies_ahead(entry)]
        for entry in ahead:
            entry.last_run_at = entry.default_now()
        if ahead:
            self._heap = None  # its times lie ahead too; it is built anew from the entries


def _last_lies_ahead(entry: ScheduleEntry) -> bool:
    if entry.last_run_at is None:
        return False
    last, now = maybe_make_aware(entry.last_run_at), maybe_make_aware(entry.default_now())
    return last - now > _STEP


def install(celery: Celery) -> None:
    """Give a Celery application its heart."""
    celery.steps["worker"].add(WorkerHeart)
    celery.conf.beat_scheduler = f"{__name__}:{BeatScheduler.__name__}"
    # Also without anything due beat turns so often, and is seen to.
    celery.conf.beat_max_loop_interval = 5


@worker_process_init.connect
def _tie_to_parent(**_kwargs: Any) -> None:
    """A process of the pool ends with its worker; alone it would finish a task twice."""
    if os.environ.get(VARIABLE):
        die_with_parent()


@worker_shutdown.connect
def _say_goodbye(**_kwargs: Any) -> None:
    touch("stopped")
