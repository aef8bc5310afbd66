"""Instruments, coverage, prices, klines. Exchange and symbol are query parameters everywhere:
a symbol holds a slash."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api.dependencies import App, ExchangeQuery, Principal, Services
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.api.problems import ApiProblem
from app.core.market.intervals import interval as interval_of
from app.core.money import canonical
from app.schemas.common import (
    EXCHANGE_PATTERN,
    SYMBOL_LIMIT,
    IntervalName,
    Listing,
    Symbol,
    TimeInput,
)
from app.schemas.market import Coverage, Instrument, Klines, Price
from app.services.kline_pages import KlinePage, kline_page

router = APIRouter(prefix="/api/v1", tags=["market data"], route_class=GuardedRoute)

OfExchange = Annotated[str, Query(pattern=EXCHANGE_PATTERN, examples=["binance"])]
OfSymbol = Annotated[Symbol, Query(examples=["BTC/USDT"])]
OfInterval = Annotated[IntervalName, Query(examples=["1h"])]
Start = Annotated[TimeInput | None, Query(description="RFC 3339 or ms; inclusive")]
End = Annotated[TimeInput | None, Query(description="RFC 3339 or ms; exclusive")]
_FIELDS = ("open", "high", "low", "close", "volume")


@router.get("/instruments", summary="List instruments", responses=problems())
def list_instruments(
    app: App,
    _: Principal,
    exchange: ExchangeQuery = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Annotated[
        str | None, Query(max_length=SYMBOL_LIMIT + 40, description="`next_cursor` of a page")
    ] = None,
) -> Listing[Instrument]:
    """The catalogue by exchange and symbol."""
    found = app.listings.instruments(exchange, limit + 1, _after(cursor))
    kept = found[:limit]
    more = len(found) > limit
    return Listing[Instrument](
        data=[Instrument.of(each) for each in kept],
        next_cursor=f"{kept[-1].exchange}|{kept[-1].symbol}" if more else None,
        has_more=more,
    )


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
) -> Coverage:
    """Every expected bar of a series by its state, and the ranges."""
    return Coverage.of(app.listings.coverage(exchange, symbol, interval, start, end, limit))


@router.get("/prices", summary="Get the latest price", responses=problems(502, 503))
def get_price(app: App, _: Principal, exchange: OfExchange, symbol: OfSymbol) -> Price:
    """The present price, bid and ask of a symbol."""
    return Price.of(app.market_data.get_latest_price(exchange, symbol))


@router.get("/klines", summary="Get klines", response_model=Klines, responses=problems())
def get_klines(
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
) -> Response:
    """Closed bars that open in [start, end) as columns, ascending; without a start, the latest.

    Numbers are the repr of float64; `exact=true` reads the decimals of the table.
    """
    import orjson

    app.listings.check_symbol(exchange, symbol)
    stored = app.listings.stored_range(exchange, symbol, interval)
    page = None if stored is None else kline_page(interval_of(interval), stored, start, end, limit)
    columns: dict[str, list[Any]] = {name: [] for name in ("open_ts", *_FIELDS)}
    if page is not None:
        read = _exact if exact else _floats
        columns = read(app, exchange, symbol, interval, page)
    following = None if page is None else page.following
    body = {
        "exchange": exchange,
        "symbol": symbol,
        "interval": interval,
        "exact": exact,
        "columns": columns,
        "next_cursor": following,
        "has_more": following is not None,
    }
    return Response(orjson.dumps(body), media_type="application/json")


def _exact(
    app: Services, exchange: str, symbol: str, interval: str, page: KlinePage
) -> dict[str, list[Any]]:
    rows = app.market_data.rows(exchange, symbol, interval, page.start, page.end)
    columns: dict[str, list[Any]] = {"open_ts": [row.open_ts for row in rows]}
    for name in _FIELDS:
        columns[name] = [canonical(getattr(row, name)) for row in rows]
    return columns


def _floats(
    app: Services, exchange: str, symbol: str, interval: str, page: KlinePage
) -> dict[str, list[Any]]:
    frame = app.market_data.frame(exchange, symbol, interval, page.start, page.end)
    columns: dict[str, list[Any]] = {"open_ts": frame.open_ts.tolist()}
    for name, column in zip(_FIELDS, frame.columns(), strict=True):
        columns[name] = column.tolist()
    return columns


def _after(cursor: str | None) -> tuple[str, str] | None:
    if cursor is None:
        return None
    exchange, bar, symbol = cursor.partition("|")
    if not bar:
        raise ApiProblem(
            "invalid-request", "the cursor is not one that this list gave out", status=422
        )
    return exchange, symbol
