"""Runs one collection job in a process of its own, which a test may kill.

``python -m tests.integration.market.collect_child DATABASE_URL SIMULATOR_URL JOB_ID``
"""

from __future__ import annotations

import sys
from random import SystemRandom

from app.adapters.budget import InProcessBudget
from app.adapters.clock import SystemClock
from app.adapters.ids import Uuid7
from app.adapters.market_clock import SimulatorTime, VenueClocks
from app.core.exchanges.factory import market_adapter
from app.repositories.database import open_engine
from app.repositories.unit import Units
from app.services.collection import CollectionService
from tests.integration.market.venue import NoBans
from tests.support.record import Events, Hints


def main(database_url: str, simulator_url: str, job_id: str) -> None:
    """Run the job for one slice."""
    clock = SystemClock()
    units = Units(open_engine(database_url, local_infile=True), clock, Hints(), Events())
    market = market_adapter(
        "binance", InProcessBudget(clock, NoBans()), clock, base_url=simulator_url
    )
    clocks = VenueClocks({"binance": SimulatorTime(simulator_url, clock)})
    service = CollectionService(
        units,
        lambda _: market,
        clocks,
        Uuid7(clock, SystemRandom().getrandbits),
        clock,
        grace_ms={"binance": 0},
    )
    service.run_job(job_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
