"""Instruments, coverage, prices, klines. Exchange and symbol are query parameters everywhere:
a symbol holds a slash."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.dependencies import App, Cursor, ExchangeQuery, Limit, Principal, TimeCursor
from app.api.guard import GuardedRoute
from app.api.kline_bodies import (
    KlineFormat,
    answer,
    as_arrow,
    as_csv,
    as_json,
    columns_of,
    exact_columns,
    extra_columns,
    tagged,
)
from app.api.openapi import problems
from app.core.market.klines import KlineKind, extras_of
from app.schemas.common import (
    EXCHANGE_PATTERN,
    IntervalName,
    Listing,
    Symbol,
    TimeInput,
    listing,
)
from app.schemas.market import Coverage, Instrument, Klines, Price
from app.services.time_cursors import page_start

router = APIRouter(prefix="/api/v1", tags=["market data"], route_class=GuardedRoute)

OfExchange = Annotated[str, Query(pattern=EXCHANGE_PATTERN, examples=["binance"])]
OfSymbol = Annotated[Symbol, Query(examples=["BTC/USDT"])]
OfInterval = Annotated[IntervalName, Query(examples=["1h"])]
OfKind = Annotated[KlineKind, Query(description="of trades, of the mark price or of the index")]
Start = Annotated[TimeInput | None, Query(description="RFC 3339 or ms; inclusive")]
End = Annotated[TimeInput | None, Query(description="RFC 3339 or ms; exclusive")]


@router.get("/instruments", summary="List instruments", responses=problems())
def list_instruments(
    app: App,
    _: Principal,
    exchange: ExchangeQuery = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Listing[Instrument]:
    """The catalogue by exchange and symbol."""
    found, following = app.listings.instruments(exchange, limit, cursor)
    return listing(found, Instrument.of, following)


@router.get("/coverage", summary="Get coverage", responses=problems())
def get_coverage(
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    interval: OfInterval,
    start: Start = None,
    end: End = None,
    limit: Annotated[int, Query(ge=1, le=5000, description="ranges to list")] = 1000,
    kind: OfKind = KlineKind.TRADE,
) -> Coverage:
    """Every expected bar of a series by its state, and the ranges.

    Without bounds, from the first bar that a plan wants to the last one that is final by the
    venue's market time; of a series that no plan keeps, what is known of it.
    """
    series = (exchange, symbol, interval)
    return Coverage.of(app.quality.coverage(*series, start, end, kind, limit=limit))


@router.get("/prices", summary="Get the latest price", responses=problems(502, 503))
def get_price(app: App, _: Principal, exchange: OfExchange, symbol: OfSymbol) -> Price:
    """The present price, bid and ask of a symbol."""
    return Price.of(app.market_data.get_latest_price(exchange, symbol))


@router.get("/klines", summary="Get klines", response_model=Klines, responses=problems())
def get_klines(
    request: Request,
    app: App,
    _: Principal,
    exchange: OfExchange,
    symbol: OfSymbol,
    interval: OfInterval,
    start: Start = None,
    end: End = None,
    limit: Annotated[int, Query(ge=1, le=5000, description="at most so many bars")] = 500,
    exact: Annotated[
        bool, Query(description="strings as the venue stated them, or their exact sums")
    ] = False,
    kind: OfKind = KlineKind.TRADE,
    form: Annotated[
        KlineFormat,
        Query(alias="format", description="csv and arrow say where to go on in `Next-Cursor`"),
    ] = KlineFormat.JSON,
    cursor: TimeCursor = None,
    extra: Annotated[
        str,
        Query(
            max_length=100,
            description="more columns, behind the others: `quote_volume`, `trade_count`, or both "
            "with a comma between; null where the venue does not say",
            examples=["quote_volume,trade_count"],
        ),
    ] = "",
) -> Response:
    """Closed bars that open in [start, end) as columns, ascending; without a start, the latest.

    Numbers are the repr of float64; `exact=true` reads the decimals of the table. The answer
    carries an `ETag`: ask again with `If-None-Match`, and 304 says that no bar has changed.
    """
    more = extras_of(extra)
    begin = page_start(cursor, start, end)
    found = app.kline_pages.find(exchange, symbol, interval, begin, end, limit, kind)
    following = None if found.page is None else found.page.following

    def body() -> bytes:
        pages = app.kline_pages
        # Files of columns hold what is read most; the table holds all.
        rows = pages.exact(found) if exact or more else []
        columns = exact_columns(rows) if exact else columns_of(pages.read(found))
        columns |= extra_columns(rows, more, exact=exact)
        if form is KlineFormat.CSV:
            return as_csv(columns)
        if form is KlineFormat.ARROW:
            return as_arrow(columns, exact=exact)
        head = {"exchange": exchange, "symbol": symbol, "interval": interval, "kind": kind}
        paging = {"next_cursor": following, "has_more": following is not None}
        return as_json({**head, "exact": exact, "columns": columns, **paging})

    tag = tagged(exchange, symbol, interval, kind, found.stamp, exact, form, *more)
    headers = {} if following is None else {"Next-Cursor": str(following)}
    return answer(request, tag, form, headers, body)
