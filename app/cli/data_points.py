"""``tidemark data funding``: stored funding rates."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import typer

from app.cli.arguments import End, Exchange, Start, Symbol, time_of
from app.cli.output import Json

if TYPE_CHECKING:
    from app.cli.session import Session
    from app.schemas.points import FundingRate

#: Payments read at once.
_PAGE: Final = 1_000


def register(app: typer.Typer) -> None:
    """Add the command to a group."""
    app.command("funding")(funding)


def funding(
    symbol: Symbol,
    exchange: Exchange = "binance",
    start: Start = "",
    end: End = "",
    as_json: Json = False,
) -> None:
    """Write stored funding rates to stdout as CSV, exactly as they were stated."""
    import json

    from app.cli.session import session

    with session() as here:
        rates = list(
            _rates(here, exchange, symbol, time_of("--start", start), time_of("--end", end))
        )
    if as_json:
        data = [rate.model_dump(mode="json") for rate in rates]
        document = {"exchange": exchange, "symbol": symbol, "data": data}
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        return
    sys.stdout.write("ts,rate,mark_price\n")
    for rate in rates:
        sys.stdout.write(f"{rate.ts},{rate.rate},{rate.mark_price or ''}\n")


def _rates(
    here: Session, exchange: str, symbol: str, start: int | None, end: int | None
) -> Iterator[FundingRate]:
    from app.schemas.points import FundingRate
    from app.services.collection.points import Extra, PointKind
    from app.services.points import PointQueries

    points = PointQueries(here.container.units)
    position: int | None = 0 if start is None else start
    while position is not None:
        asked = (exchange, symbol, Extra(PointKind.FUNDING), position, end, _PAGE)
        page, position = points.page(*asked)
        yield from map(FundingRate.of, page)
