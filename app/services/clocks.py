"""This machine's clock: how it stands to the venues', and what is mended when it is set back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from app.core.ports import Clock, Skew
from app.repositories.unit import Unit, Units
from app.services.alarms import begin_alarm, end_alarm, tell_alarm
from app.services.schedule import PULSE

# Told beyond the first and no longer below the second, so that what lies between does not flutter.
_SKEWED_MS: Final = 500
_AGREES_MS: Final = 300
# A smaller step back is waited for: rows wait that much longer, and then go on.
_STEP_MS: Final = 15_000
# What was being written at the moment of the step may be committed seconds after it.
_MENDINGS: Final = 3


class ClockWatch:
    """Looks after one process's clock. Every long-lived process has one.

    Requests are signed by the venue's clock, so a skew sends no order wrongly; it makes the times
    in the record wrong, and says that NTP does not work. A clock that is set back leaves rows that
    wait for a time long after now: their waits are ended.

    Args:
        skews: how the venues' clocks stand to this machine's, as far as was measured.
        place: name of this machine.
        reply_ms: how long a sender may wait for a venue's answer.
    """

    def __init__(
        self,
        units: Units,
        clock: Clock,
        skews: Callable[[], Mapping[str, Skew]],
        place: str,
        reply_ms: int,
    ) -> None:
        self._units = units
        self._clock = clock
        self._skews = skews
        self._place = place
        self._reply_ms = reply_ms
        self._parted: float | None = None
        self._mendings = 0

    def look(self) -> None:
        """Look once; call it every 5 s."""
        self._look_for_step()
        if self._mendings:
            self._units.run(self._mend)
            self._mendings -= 1
        for exchange, skew in self._skews().items():
            self._compare(exchange, skew)

    def _look_for_step(self) -> None:
        """Notice a step back since the last look; at the first look, one while nobody was up."""
        parted = self._clock.now_ms() - self._clock.monotonic() * 1000
        if self._parted is None:
            with self._units.read() as unit:
                last = unit.system.last_run(PULSE) or 0
                was_set_back = last - unit.now_ms > _STEP_MS
        else:
            was_set_back = self._parted - parted > _STEP_MS
        if was_set_back:
            self._mendings = _MENDINGS
        self._parted = parted

    def _mend(self, unit: Unit) -> None:
        last = unit.system.last_run(PULSE) or 0
        if not unit.waits.end_future(unit.now_ms, reply_ms=self._reply_ms):
            return  # another process of this machine was faster
        text = (
            f"the clock of {self._place} was set back by {(last - unit.now_ms) // 1_000} s, or "
            "another machine's is ahead; rows that waited for the time before wait no longer"
        )
        tell_alarm(unit, "warning", "clock-set-back", text, machine=self._place)

    def _compare(self, exchange: str, skew: Skew) -> None:
        name = f"clock-skew:{exchange}@{self._place}"
        with self._units.read() as unit:
            stands = unit.system.alarm_stands(name)
        # Only what was surely measured: an answer that took two seconds proves no second of skew.
        if not stands and abs(skew.ms) - skew.error_ms > _SKEWED_MS:
            self._units.run(lambda unit: self._tell_skew(unit, name, exchange, skew))
        elif stands and abs(skew.ms) + skew.error_ms < _AGREES_MS:
            self._units.run(lambda unit: self._tell_agreement(unit, name, exchange, skew))

    def _tell_skew(self, unit: Unit, name: str, exchange: str, skew: Skew) -> None:
        side = "behind" if skew.ms > 0 else "ahead of"
        text = (
            f"the clock of {self._place} is {abs(skew.ms)} ms {side} that of {exchange}; orders "
            "are signed by the venue's, but set this machine's by NTP (timedatectl set-ntp true)"
        )
        facts = {"exchange": exchange, "machine": self._place}
        begin_alarm(unit, name, "warning", "clock-skew", text, skew_ms=skew.ms, **facts)

    def _tell_agreement(self, unit: Unit, name: str, exchange: str, skew: Skew) -> None:
        text = f"the clock of {self._place} agrees with that of {exchange} again"
        facts = {"exchange": exchange, "machine": self._place}
        end_alarm(unit, name, "clock-agrees", text, skew_ms=skew.ms, **facts)
