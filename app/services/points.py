"""Reads of funding rates and open interest."""

from __future__ import annotations

from app.core.errors import NotFound
from app.repositories.points import Point
from app.repositories.unit import Units
from app.services.collection.points import Extra

_END: int = 2**62


class PointQueries:
    """Pages of points by time."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def page(
        self,
        exchange: str,
        symbol: str,
        extra: Extra,
        start: int | None,
        end: int | None,
        limit: int,
    ) -> tuple[list[Point], int | None]:
        """The first points in [start, end), ascending, and where the next page begins.

        Raises:
            UnknownName: the catalogue does not hold the symbol.
            NotFound: nothing of it was ever collected.
        """
        with self._units.read() as unit:
            series = unit.points.find_series(exchange, symbol, extra.kind, extra.interval)
            if series is None:
                unit.instruments.get(exchange, symbol)
                raise NotFound(
                    f"no {extra} of {symbol} at {exchange} was collected; add a plan with "
                    f"--extra {extra}"
                )
            found = unit.points.read(series.id, start or 0, end or _END, limit + 1)
        more = len(found) > limit
        return found[:limit], found[limit].ts if more else None
