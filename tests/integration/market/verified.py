"""Days of the minutes of one market that are verified, and what is known of them then."""

from __future__ import annotations

from app.models import KlineDayRow, KlineQuarantineRow
from app.services.collection.target import Target, target
from tests.integration.market.collecting import SYMBOL, Collecting

#: Of a day.
MINUTES = 1_440


def minutes() -> Target:
    """The series."""
    return target("binance", SYMBOL, "1m", 0)


def figures(world: Collecting) -> list[KlineDayRow]:
    """Of every verified day, ascending."""
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1m")
        assert series is not None
        return list(unit.days.of_series(series.id, 0, 2**60))


def quarantined(world: Collecting) -> list[KlineQuarantineRow]:
    """Bars in quarantine."""
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1m")
        assert series is not None
        return list(unit.klines.quarantined(series.id))


def verify(world: Collecting, days: int = 1) -> list[KlineDayRow]:
    """Verify the latest finished days; the figures of all that were."""
    job = world.service.verify(minutes(), days)
    for _ in range(20):
        state = world.service.run_verification(job.id)
        if state == "succeeded":
            return figures(world)
    raise AssertionError(state)
