"""Backtests."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.dependencies import App, Cursor, IdPath, Limit, Principal
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.schemas.common import Listing, listing
from app.schemas.strategies import Backtest, BacktestDetail, NewBacktest
from app.services.backtests import BacktestRequest

router = APIRouter(prefix="/api/v1/backtests", tags=["backtests"], route_class=GuardedRoute)


@router.post("", status_code=202, summary="Run a backtest", responses=problems(409, 503, body=True))
def create_backtest(body: NewBacktest, app: App, _: Principal, response: Response) -> Backtest:
    """Queues a backtest; `Location` is its job, whose end leaves the result with the backtest."""
    row = app.backtests.create(
        BacktestRequest(
            strategy=body.strategy,
            exchange=body.exchange,
            symbols=tuple(body.symbols),
            interval=body.interval,
            start=body.start,
            end=body.end,
            params=body.params,
            cash=body.cash,
            fee=body.fee,
            compounding=body.compounding,
            engine=body.engine,
        )
    )
    response.headers["Location"] = f"/api/v1/jobs/{row.job_id}"
    return Backtest.of(row)


@router.get("", summary="List backtests", responses=problems())
def list_backtests(
    app: App, _: Principal, limit: Limit = 100, cursor: Cursor = None
) -> Listing[Backtest]:
    """Backtests with their metrics, newest first."""
    page = app.backtests.page(limit, cursor)
    return listing(page.rows, Backtest.of, page.next_cursor)


@router.get("/{backtest_id}", summary="Get a backtest", responses=problems(404))
def get_backtest(backtest_id: IdPath, app: App, _: Principal) -> BacktestDetail:
    """A backtest with its whole result: trades, equity, metrics, assumptions."""
    row = app.backtests.get(backtest_id)
    return BacktestDetail(**Backtest.of(row).model_dump(), result=row.result)
