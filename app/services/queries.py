"""Read-only listings for the edges and the demo."""

from __future__ import annotations

from collections.abc import Sequence

from app.models import (
    EquitySnapshotRow,
    FillRow,
    OrderEventRow,
    OrderRow,
    RiskDecisionRow,
    SignalRow,
)
from app.repositories.unit import Units

#: Rows of one instance that are read at once.
LIMIT = 1_000


class Queries:
    """Listings of what instances and accounts did."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def signals(self, instance_id: str) -> Sequence[SignalRow]:
        """Signals of an instance, oldest first."""
        with self._units.read() as unit:
            return unit.signals.of_instance(instance_id, LIMIT)

    def decisions(self, instance_id: str) -> Sequence[RiskDecisionRow]:
        """Risk decisions on an instance's intents, oldest first."""
        with self._units.read() as unit:
            return unit.risk.decisions_of_instance(instance_id, LIMIT)

    def orders(self, instance_id: str) -> Sequence[OrderRow]:
        """Orders of an instance, oldest first."""
        with self._units.read() as unit:
            return unit.orders.of_instance(instance_id, LIMIT)

    def order(self, order_id: str) -> tuple[OrderRow, Sequence[OrderEventRow]]:
        """One order and its life.

        Raises:
            NotFound: there is none.
        """
        with self._units.read() as unit:
            return unit.orders.get(order_id), unit.orders.events(order_id)

    def fills(self, instance_id: str) -> Sequence[FillRow]:
        """Fills of an instance, oldest first."""
        with self._units.read() as unit:
            return unit.ledger.fills_of_instance(instance_id, LIMIT)[::-1]

    def fill_count(self, instance_id: str) -> int:
        """How many fills an instance has had."""
        with self._units.read() as unit:
            return unit.ledger.count_fills(instance_id)

    def equity(self, instance_id: str, limit: int) -> Sequence[EquitySnapshotRow]:
        """Latest equity snapshots of an instance, newest first."""
        with self._units.read() as unit:
            return unit.ledger.snapshots(instance_id, limit)
