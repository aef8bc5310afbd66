"""What must always hold, checked from the record alone: after a rehearsal, by hand, or live.

Each checker names its invariant (``docs/faults.md``); what needs the venue's own record as well
is checked in the tests. A check reads one cut of the database, so it may run beside the traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from app.core.ports import MarketClock
from app.repositories.unit import Unit, Units
from app.services.invariants.breach import Breach
from app.services.invariants.ledger import check_ledger
from app.services.invariants.liveness import check_liveness
from app.services.invariants.market import check_market
from app.services.invariants.orders import check_orders

__all__ = ["CHECKS", "Breach", "Invariants"]

#: Checkers by the part of the record they read.
CHECKS: Final[Mapping[str, Callable[[Unit], list[Breach]]]] = {
    "orders": check_orders,
    "ledger": check_ledger,
    "liveness": check_liveness,
}


class Invariants:
    """Runs the checkers over one cut of the record."""

    def __init__(self, units: Units, market_clock: MarketClock) -> None:
        self._units = units
        self._market_clock = market_clock

    def check(self, *, klines: bool = True) -> list[Breach]:
        """Every breach, in the order of the checkers.

        Args:
            klines: also read every stored bar; a million take about half a minute.

        Raises:
            Unavailable: the market's clock cannot be read, by which bars are closed.
        """
        with self._units.snapshot() as unit:
            found = [breach for checker in CHECKS.values() for breach in checker(unit)]
        if klines:
            with self._units.snapshot() as unit:
                found += check_market(unit, self._market_clock.now_ms)
        return found
