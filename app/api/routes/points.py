"""Funding rates and open interest."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.dependencies import App, Principal
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.api.routes.market import End, OfExchange, OfInterval, OfSymbol, Start
from app.schemas.common import Listing
from app.schemas.points import FundingRate, OpenInterest
from app.services.collection.points import Extra, PointKind

router = APIRouter(prefix="/api/v1", tags=["market data"], route_class=GuardedRoute)
Most = Annotated[int, Query(ge=1, le=1000, description="at most so many")]


@router.get("/funding", summary="Get funding rates", responses=problems(404))
def get_funding(
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    start: Start = None,
    end: End = None,
    limit: Most = 500,
) -> Listing[FundingRate]:
    """Rates paid in [start, end), ascending; `next_cursor` is the `start` of the next page."""
    extra = Extra(PointKind.FUNDING)
    found, following = app.points.page(exchange, symbol, extra, start, end, limit)
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
) -> Listing[OpenInterest]:
    """Observations in [start, end), ascending; `next_cursor` is the `start` of the next page."""
    extra = Extra(PointKind.OPEN_INTEREST, interval)
    found, following = app.points.page(exchange, symbol, extra, start, end, limit)
    return Listing[OpenInterest](
        data=[OpenInterest.of(each) for each in found],
        next_cursor=None if following is None else str(following),
        has_more=following is not None,
    )
