"""Bans of venues as rows."""

from __future__ import annotations

from collections.abc import Mapping

from app.core.events import body, topic
from app.repositories.unit import Unit, Units


class Bans:
    """Bans as rows; see ``app.adapters.budget.BanStore``."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def bans(self) -> Mapping[str, int]:
        """Bans in force: venue → wall time of its end, ms."""
        with self._units.read() as unit:
            return {row.scope: row.until for row in unit.system.bans(unit.now_ms)}

    def save_ban(self, exchange: str, until_ms: int, reason: str) -> None:
        """Keep a ban, the later end wins, and announce it."""

        def work(unit: Unit) -> None:
            unit.system.save_ban(exchange, until_ms, reason[:200], unit.now_ms)
            unit.emit(
                topic("system", "ban", exchange),
                body("bans.v1", exchange=exchange, until=until_ms, reason=reason, at=unit.now_ms),
            )

        self._units.run(work)
