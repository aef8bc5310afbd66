"""Gaps, revisions, refused bars, and how complete and right the days are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.dependencies import App, Cursor, Principal, TimeCursor
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.api.routes.market import End, OfExchange, OfInterval, OfKind, OfSymbol, Start
from app.core.market.klines import KlineKind
from app.schemas.common import Listing, listing
from app.schemas.jobs import Job
from app.schemas.quality import Gap, Gaps, NewVerification, Quality, Quarantined, Revision
from app.services.collection.target import target
from app.services.time_cursors import page_start

router = APIRouter(prefix="/api/v1", tags=["market data"], route_class=GuardedRoute)
Most = Annotated[int, Query(ge=1, le=1000)]
_DAYS = 30


@router.get("/gaps", summary="List gaps", responses=problems(404))
def list_gaps(
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    interval: OfInterval,
    kind: OfKind = KlineKind.TRADE,
    start: Start = None,
    end: End = None,
    limit: Most = 100,
    cursor: TimeCursor = None,
) -> Gaps:
    """What is expected and not stored, ascending, and how it is known.

    Of a series that a plan keeps: from the first bar that it wants to the last one that is final
    by the venue's market time.
    """
    begin = page_start(cursor, start, end)
    gaps = app.quality.gaps(exchange, symbol, interval, begin, end, kind, limit=limit + 1)
    found = gaps.found
    more = len(found) > limit
    return Gaps(
        data=[Gap.of(each) for each in found[:limit]],
        next_cursor=str(found[limit].start) if more else None,
        has_more=more,
        note=gaps.unknown or None,
    )


@router.get("/revisions", summary="List revisions", responses=problems(404))
def list_revisions(
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    interval: OfInterval,
    kind: OfKind = KlineKind.TRADE,
    limit: Most = 100,
    cursor: Cursor = None,
) -> Listing[Revision]:
    """Closed bars that were later stated differently, newest first: old and new."""
    page = app.quality.revisions(exchange, symbol, interval, limit, cursor, kind)
    return listing(page.rows, Revision.of, page.next_cursor)


@router.get("/quarantine", summary="List refused bars", responses=problems(404))
def list_quarantine(
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    interval: OfInterval,
    kind: OfKind = KlineKind.TRADE,
    limit: Most = 100,
    cursor: Cursor = None,
) -> Listing[Quarantined]:
    """Bars that failed validation, as they came, with the reason, newest first."""
    page = app.quality.quarantined(exchange, symbol, interval, limit, cursor, kind)
    return listing(page.rows, Quarantined.of, page.next_cursor)


@router.get("/quality", summary="Get the daily figures", responses=problems(404))
def get_quality(
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    interval: OfInterval,
    kind: OfKind = KlineKind.TRADE,
    start: Start = None,
    end: End = None,
) -> Quality:
    """How complete and how right verified days are; without a start, the latest 30.

    `character` is what the stored bars say of the market, verified or not: of the range, or of
    all of them.
    """
    series = (exchange, symbol, interval)
    return Quality.of(app.quality.quality(*series, start, end, kind, latest=_DAYS))


@router.post(
    "/verifications",
    status_code=202,
    summary="Verify days",
    responses=problems(409, 503, body=True),
)
def verify(body: NewVerification, app: App, _: Principal, response: Response) -> Job:
    """A job that compares stored days with the venue, bar by bar, and repairs them."""
    wanted = target(body.exchange, body.symbol, body.interval, 0, body.kind)
    made = app.collection.verify(wanted, body.days, despite_shift=body.despite_shift)
    job = Job.of(made)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job
