"""Periodic work: each run of each task is a row, so two schedulers are harmless."""

from __future__ import annotations

from typing import Final

from app.core.events import body, topic
from app.core.ports import Clock
from app.repositories.unit import Unit, Units

#: Period of each periodic task, ms.
PERIODS: Final = {
    "maintenance.sweep": 1_000,
    "maintenance.sync_accounts": 5_000,
    "maintenance.follow_plans": 10_000,
    "maintenance.evaluate_running": 5_000,
    "maintenance.snapshot_equity": 60_000,
    # A change of the venue's filters is known within five minutes, the answer's time included.
    "maintenance.refresh_catalogues": 240_000,
    # A new listing is collected within the hour; its first bars are asked for later.
    "maintenance.choose_symbols": 3_600_000,
    "maintenance.verify_days": 3_600_000,
    # The trade that lifts the flag of a dead series is told within five minutes.
    "maintenance.count_activity": 300_000,
    # What a first application of a rule removes goes on at each.
    "maintenance.retain": 300_000,
    # A month is made three months before its first bar.
    "maintenance.keep_partitions": 3_600_000,
    "maintenance.prune": 3_600_000,
}
_KEEP_SLOTS_MS: Final = 24 * 3_600_000
#: The task with the shortest period: its latest slot says how long nothing was done.
PULSE: Final = "maintenance.sweep"
# Rows in the table of slots that no beat asks for: a silence, and its end, told once by whoever
# sees it first. Their slot is the last one before the silence.
_SILENT: Final = "schedule.silent"
_BACK: Final = "schedule.back"
# Silence that is told: with a look every 5 s, within 20 s of the last run, or 25 s.
_SILENCE_S: Final = 15.0
# Where none was seen to run yet: a full stack takes this long to start on a slow machine.
_START_S: Final = 60.0


class Schedule:
    """Decides who runs a tick.

    Args:
        owner: name of this process, kept with each slot it wins.
    """

    def __init__(self, units: Units, clock: Clock, owner: str) -> None:
        self._units = units
        self._clock = clock
        self._owner = owner

    def take(self, task: str) -> bool:
        """Whether this caller is the one to run the present slot of a periodic task.

        Raises:
            KeyError: the task is not periodic.
        """
        now = self._clock.now_ms()
        slot = now - now % PERIODS[task]
        return self._units.run(
            lambda unit: unit.system.take_slot(task, slot, self._owner, unit.now_ms)
        )

    def prune(self) -> None:
        """Delete slots of yesterday."""
        horizon = self._clock.now_ms() - _KEEP_SLOTS_MS

        def work(unit: Unit) -> None:
            unit.system.prune_slots(horizon)

        self._units.run(work)


class ScheduleWatch:
    """Says when periodic work stops, and when it is back; each once, however many watch.

    Every long-lived process of the full stack watches (`Container.start_background`), since the
    one that is dead cannot. Which of them tells is decided by a row.
    """

    def __init__(self, units: Units, clock: Clock) -> None:
        self._units = units
        self._clock = clock
        self._slot: int | None = None
        self._since = 0.0
        self._has_seen_runs = False

    def look(self) -> None:
        """Look once; call it every 5 s."""
        # By the monotonic clock: a corrected wall clock is no silence.
        now = self._clock.monotonic()
        with self._units.read() as unit:
            slot = unit.system.last_run(PULSE) or 0
            silent = unit.system.last_run(_SILENT)
            back = unit.system.last_run(_BACK)
        if silent is not None and (back is None or back < silent) and slot > silent:
            self._units.run(lambda unit: self._tell_back(unit, silent))
        if slot != self._slot:
            self._has_seen_runs = self._slot is not None
            self._slot, self._since = slot, now
            return
        limit = _SILENCE_S if self._has_seen_runs else _START_S
        if now - self._since >= limit:
            self._units.run(lambda unit: self._tell_silent(unit, slot))

    def _tell_silent(self, unit: Unit, slot: int) -> None:
        if unit.system.last_run(_SILENT) == slot:
            return
        if not unit.system.take_slot(_SILENT, slot, "watch", unit.now_ms):
            return
        seconds = (unit.now_ms - slot) // 1_000 if slot else None
        since = "has run yet" if seconds is None else f"has run for {seconds} s"
        text = (
            f"no periodic task {since}: beat, the broker or the worker of queue maintenance is "
            "down; nothing lost is driven on and no account is compared until it is back"
        )
        _tell(unit, "silent", slot, text)

    def _tell_back(self, unit: Unit, silent: int) -> None:
        if unit.system.take_slot(_BACK, silent, "watch", unit.now_ms):
            _tell(unit, "back", silent, "periodic tasks run again")


def _tell(unit: Unit, what: str, slot: int, text: str) -> None:
    unit.emit(
        topic("system", "schedule", what),
        body("alerts.v1", kind=f"schedule-{what}", text=text, last_run=slot, at=unit.now_ms),
    )
