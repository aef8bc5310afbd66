"""What must be done with a restored record before anything trades on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from app.repositories.unit import Unit, Units
from app.services.orders.restored import doubt
from app.services.orders.trust import TradingGate
from app.services.risk import RiskService


@dataclass(frozen=True, slots=True)
class Fenced:
    """What was fenced.

    Attributes:
        accounts: active accounts that must be compared with their venues before they may trade.
        orders: orders that were NEW in the backup and may have been sent since.
    """

    accounts: int
    orders: int


class RestoredRecord:
    """Makes a restored record safe to start on."""

    def __init__(self, units: Units, gate: TradingGate, risk: RiskService) -> None:
        self._units = units
        self._gate = gate
        self._risk = risk

    def fence(self, made: str) -> Fenced:
        """Halt everything, doubt every account and every order that was not sent.

        The halt is for a person to lift: what was traded since the backup belongs to `external`,
        so strategies hold more than they know of.

        Args:
            made: when the backup was made, as a person reads it.
        """
        reason = f"the record was restored from a backup of {made}"
        self._risk.halt("global", reason, "restore")
        self._units.run(_forget_files)
        with self._units.read() as unit:
            accounts = [row.id for row in unit.accounts.all()]
        orders = sum(self._units.run(partial(_doubt, account_id=each)) for each in accounts)
        return Fenced(self._gate.require_reconciliation(reason), orders)


def _forget_files(unit: Unit) -> None:
    """What hosts keep of bars in files may be younger than the backup: see ``KlineStore``."""
    for series in unit.klines.all_series(rolled=True):
        series.created_at = unit.now_ms


def _doubt(unit: Unit, account_id: str) -> int:
    return doubt(unit, account_id)
