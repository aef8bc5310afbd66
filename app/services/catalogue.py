"""The instrument catalogue, brought up to what the venue states."""

from __future__ import annotations

from app.core.exchanges.errors import BadVenueAnswer
from app.core.ports import Ids, MarketAdapter
from app.repositories.unit import Unit, Units


def sync_catalogue(units: Units, market: MarketAdapter, ids: Ids) -> int:
    """Ask a venue for its instruments and store them; how many rows changed.

    Raises:
        VenueError: the venue could not be asked, or stated no instrument at all.
    """
    stated = market.instruments()
    if not stated:
        # Believed, it would mark everything that is traded as delisted.
        raise BadVenueAnswer(market.exchange, "the catalogue was empty")

    def work(unit: Unit) -> int:
        return unit.instruments.refresh(market.exchange, stated, ids.new, unit.now_ms)

    return units.run(work)
