"""``tidemark data funding`` and ``data points``: what is stored beside bars, as CSV or JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.cli.arguments import End, Exchange, Start, Symbol, range_of
from app.cli.output import Json, emit, table

if TYPE_CHECKING:
    from rich.console import Console

    from app.cli.session import Session
    from app.schemas.points import AnyPoint, FundingRate

#: Payments read at once.
_PAGE: Final = 1_000


def register(app: typer.Typer) -> None:
    """Add the commands to a group."""
    app.command("funding")(funding)
    app.command("points")(points)
    app.command("points-coverage")(coverage)


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

    first, stop = range_of(start, end)
    with session() as here:
        rates = list(_rates(here, exchange, symbol, first, stop))
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


def coverage(
    symbol: Symbol,
    history: Annotated[
        str, typer.Option("--extra", help="As in a plan: funding, open_interest:1h.")
    ] = "funding",
    exchange: Exchange = "binance",
    start: Start = "",
    end: End = "",
    as_json: Json = False,
) -> None:
    """Account for a history beside bars: expected points, those that are there, and the gaps."""
    from app.cli.session import session
    from app.schemas.points import PointCoverage
    from app.schemas.times import rfc3339
    from app.services import point_coverage
    from app.services.collection.points import Extra

    wanted = Extra.of(history)
    with session() as here:
        accounts = point_coverage.PointCoverage(here.container.units, here.container.market_clock)
        first, stop = range_of(start, end)
        found = PointCoverage.of(accounts.of(exchange, symbol, wanted, first, stop))
    rows = [[rfc3339(gap.start), rfc3339(gap.end), gap.state, gap.count] for gap in found.gaps]

    def human(out: Console) -> None:
        out.print(f"{history} of {symbol}: {found.present} of {found.expected} points.")
        if found.note:
            out.print(f"Nothing is said of the points after the last one. {exchange}: {found.note}")
        table(out, ("gap from", "to", "state", "points>"), rows, "No gap.")

    emit(as_json, found, human)


def points(
    origin: Annotated[str, typer.Argument(help="A data source's name, or a venue with --venue.")],
    kind: Annotated[str, typer.Option("--kind", "-k", help="By default the source's name.")] = "",
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Where it is about one.")] = "",
    interval: Annotated[str, typer.Option("--interval", "-i", help="Of open interest.")] = "",
    venue: Annotated[bool, typer.Option("--venue", help="It is a venue's series.")] = False,
    start: Start = "",
    end: End = "",
    as_json: Json = False,
) -> None:
    """Write the stored points of a series to stdout as CSV, exactly as they were stated."""
    import json

    from app.cli.session import session
    from app.schemas.points import points_csv
    from app.services.sources.catalogue import namespace

    names = (origin if venue else namespace(origin), symbol, kind or origin, interval)
    first, stop = range_of(start, end)
    with session() as here:
        found = list(_points(here, names, first, stop))
    if not as_json:
        sys.stdout.write(points_csv(found))
        return
    keys = ("exchange", "symbol", "kind", "interval")
    data = [each.model_dump(mode="json") for each in found]
    document = {**dict(zip(keys, names, strict=True)), "data": data}
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")


def _points(
    here: Session, names: tuple[str, str, str, str], start: int | None, end: int | None
) -> Iterator[AnyPoint]:
    from app.schemas.points import AnyPoint
    from app.services.points import PointQueries

    queries = PointQueries(here.container.units)
    position: int | None = 0 if start is None else start
    while position is not None:
        page, position = queries.any_page(*names, position, end, _PAGE)
        yield from map(AnyPoint.of, page)
