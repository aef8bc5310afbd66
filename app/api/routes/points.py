"""Funding rates, open interest, and points of any series."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.dependencies import App, Principal, TimeCursor
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.api.routes.market import End, OfExchange, OfInterval, OfSymbol, Start
from app.schemas.common import IntervalName, Listing, Symbol
from app.schemas.market import EXTRA_PATTERN
from app.schemas.points import (
    KIND_PATTERN,
    ORIGIN_PATTERN,
    AnyPoint,
    FundingRate,
    OpenInterest,
    PointCoverage,
    points_csv,
)
from app.services.collection.points import Extra, PointKind
from app.services.time_cursors import page_start

router = APIRouter(prefix="/api/v1", tags=["market data"], route_class=GuardedRoute)
Most = Annotated[int, Query(ge=1, le=1000, description="at most so many")]


class PointFormat(StrEnum):
    """How points are written."""

    JSON = "json"
    CSV = "csv"


@router.get("/funding", summary="Get funding rates", responses=problems(404))
def get_funding(
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    start: Start = None,
    end: End = None,
    limit: Most = 500,
    cursor: TimeCursor = None,
) -> Listing[FundingRate]:
    """Rates paid in [start, end), ascending; `next_cursor` is where the next page begins."""
    extra = Extra(PointKind.FUNDING)
    begin = page_start(cursor, start, end)
    found, following = app.points.page(exchange, symbol, extra, begin, end, limit)
    return Listing[FundingRate](
        data=[FundingRate.of(each) for each in found],
        next_cursor=None if following is None else str(following),
        has_more=following is not None,
    )


@router.get("/open-interest", summary="Get open interest", responses=problems(404))
def get_open_interest(
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    interval: OfInterval,
    start: Start = None,
    end: End = None,
    limit: Most = 500,
    cursor: TimeCursor = None,
) -> Listing[OpenInterest]:
    """Observations in [start, end), ascending; `next_cursor` is where the next page begins."""
    extra = Extra(PointKind.OPEN_INTEREST, interval)
    begin = page_start(cursor, start, end)
    found, following = app.points.page(exchange, symbol, extra, begin, end, limit)
    return Listing[OpenInterest](
        data=[OpenInterest.of(each) for each in found],
        next_cursor=None if following is None else str(following),
        has_more=following is not None,
    )


@router.get("/points/coverage", summary="Account for a history", responses=problems(404))
def get_point_coverage(
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    history: Annotated[
        str,
        Query(pattern=EXTRA_PATTERN, description="as a plan's extra: funding, open_interest:1h"),
    ],
    start: Start = None,
    end: End = None,
) -> PointCoverage:
    """Points that are expected, those that are there, and ranges of what lacks.

    A gap is asked for again with the next rounds, after half an hour, and then once a day. Where
    the venue's market time is not known, the account ends with the last point, and `note` says so.
    """
    wanted = Extra.of(history)
    return PointCoverage.of(app.point_coverage.of(exchange, symbol, wanted, start, end))


@router.get(
    "/points", summary="Get points", response_model=Listing[AnyPoint], responses=problems(404)
)
def get_points(
    app: App,
    _: Principal,
    exchange: Annotated[
        str,
        Query(
            pattern=ORIGIN_PATTERN,
            description="`source:<name>` of a data source, or a venue",
            examples=["source:fear_greed"],
        ),
    ],
    kind: Annotated[
        str,
        Query(
            pattern=KIND_PATTERN,
            description="name of the series, or `funding`, `open_interest`",
            examples=["fear_greed"],
        ),
    ],
    symbol: Annotated[
        Symbol | None, Query(description="left out where the series is about none")
    ] = None,
    interval: Annotated[IntervalName | None, Query(description="of open interest")] = None,
    start: Start = None,
    end: End = None,
    limit: Most = 500,
    form: Annotated[
        PointFormat,
        Query(alias="format", description="csv says where to go on in `Next-Cursor`"),
    ] = PointFormat.JSON,
    cursor: TimeCursor = None,
) -> Response | Listing[AnyPoint]:
    """Points of one series in [start, end), ascending, exactly as they were stated."""
    names = (exchange, symbol or "", kind, interval or "")
    begin = page_start(cursor, start, end)
    found, following = app.points.any_page(*names, begin, end, limit)
    points = [AnyPoint.of(each) for each in found]
    after = None if following is None else str(following)
    if form is PointFormat.CSV:
        headers = {} if after is None else {"Next-Cursor": after}
        return Response(points_csv(points), media_type="text/csv; charset=utf-8", headers=headers)
    return Listing[AnyPoint](data=points, next_cursor=after, has_more=after is not None)
