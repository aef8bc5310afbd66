"""Bans of venues as rows."""

from __future__ import annotations

from collections.abc import Mapping

from app.adapters.waiting import parted
from app.core.events import body, topic
from app.core.exchanges.politeness import POLITE_AFTER_BAN_MS
from app.repositories.unit import Unit, Units


class Bans:
    """Bans as rows; see ``app.adapters.budget.BanStore``."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def bans(self) -> Mapping[str, int]:
        """Bans in force, and those that ended within a day: scope → wall time of the end, ms."""
        with self._units.read() as unit:
            rows = unit.system.bans(unit.now_ms - POLITE_AFTER_BAN_MS)
            return {row.scope: row.until for row in rows}

    def save_ban(self, scope: str, until_ms: int, reason: str) -> None:
        """Keep a ban, the later end wins, and announce it."""
        exchange, address = parted(scope)

        def work(unit: Unit) -> None:
            unit.system.save_ban(scope, until_ms, reason[:200], unit.now_ms)
            facts = {
                "exchange": exchange,
                "address": address or "own",
                "until": until_ms,
                # Until then its data are asked for by the polite profile.
                "polite_until": until_ms + POLITE_AFTER_BAN_MS,
                "reason": reason,
                "at": unit.now_ms,
            }
            unit.emit(topic("system", "ban", exchange), body("bans.v1", **facts))

        self._units.run(work)
