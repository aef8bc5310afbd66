"""Periodic work: each run of each task is a row, so two schedulers are harmless."""

from __future__ import annotations

from typing import Final

from app.core.ports import Clock
from app.repositories.unit import Unit, Units

#: Period of each periodic task, ms.
PERIODS: Final = {
    "maintenance.sweep": 1_000,
    "maintenance.sync_accounts": 5_000,
    "maintenance.follow_plans": 10_000,
    "maintenance.evaluate_running": 5_000,
    "maintenance.snapshot_equity": 60_000,
    "maintenance.prune": 3_600_000,
}
_KEEP_SLOTS_MS: Final = 24 * 3_600_000


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
