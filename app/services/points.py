"""Reads of funding rates, open interest, and the series of data sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.core.errors import NotFound
from app.models import PointSeriesRow
from app.repositories.points import Point
from app.repositories.unit import Unit, Units
from app.services.collection.points import Extra
from app.services.sources.catalogue import PREFIX

_END: Final = 2**62
_LISTED: Final = 5


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
            return _page(unit, series.id, start, end, limit)

    def any_page(
        self,
        exchange: str,
        symbol: str,
        kind: str,
        interval: str,
        start: int | None,
        end: int | None,
        limit: int,
    ) -> tuple[list[Point], int | None]:
        """As ``page``, of any series of a venue or, as ``source:<name>``, of a data source.

        Args:
            symbol: empty where the series is about none.

        Raises:
            NotFound: there is no such series; the message lists what there is.
        """
        with self._units.read() as unit:
            series = unit.points.find_series(exchange, symbol, kind, interval)
            if series is None:
                known = unit.points.series_of(exchange)
                raise NotFound(_unknown(exchange, symbol, kind, interval, known))
            return _page(unit, series.id, start, end, limit)


def _page(
    unit: Unit, series_id: int, start: int | None, end: int | None, limit: int
) -> tuple[list[Point], int | None]:
    stop = _END if end is None else end
    found = unit.points.read(series_id, start or 0, stop, limit + 1)
    return found[:limit], found[limit].ts if len(found) > limit else None


def _unknown(
    exchange: str, symbol: str, kind: str, interval: str, known: Sequence[PointSeriesRow]
) -> str:
    wanted = " ".join(each for each in (kind, interval, symbol) if each)
    there = [
        " ".join(each for each in (row.kind, row.interval, row.symbol) if each) for row in known
    ]
    if not there:
        how = "see: tidemark data sources list"
        if not exchange.startswith(PREFIX):
            how = "add a plan with --extra funding or --extra open_interest:1h"
        return f"no points of {exchange} were collected; {how}"
    more = f" and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
    return f"{exchange} has no series {wanted}; it has {', '.join(there[:_LISTED])}{more}"
