"""``tidemark backtest``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.arguments import (
    Cursor,
    End,
    Exchange,
    Interval,
    Limit,
    Params,
    Start,
    Symbols,
    amount_of,
    group,
    params_of,
    time_of,
)
from app.cli.output import Json, emit, facts, table

if TYPE_CHECKING:
    from rich.console import Console


app = group("Backtests: run, list, show.")
BacktestId = Annotated[str, typer.Argument(help="The backtest's id.")]


class Engine(StrEnum):
    """Which engine computes it."""

    TIDEMARK = "tidemark"
    BACKTRADER = "backtrader"


@app.command("run")
def run_backtest(
    strategy: Annotated[str, typer.Argument(help="See: tidemark strategy list.")],
    symbol: Symbols,
    interval: Interval,
    start: Start,
    end: End,
    exchange: Exchange = "binance",
    param: Params = [],  # noqa: B006 - Typer copies it
    cash: Annotated[str, typer.Option("--cash", help="Quote units.")] = "10000",
    fee: Annotated[str, typer.Option("--fee", help="Part of each fill's value.")] = "0.001",
    compounding: Annotated[bool, typer.Option("--compounding")] = False,
    engine: Annotated[Engine, typer.Option("--engine")] = Engine.TIDEMARK,
    as_json: Json = False,
) -> None:
    """Run a backtest on stored klines and print its report."""
    from app.cli.driving import finish_jobs, require_success
    from app.cli.session import session
    from app.core.money import parse_amount
    from app.services.backtests import BacktestRequest

    request = BacktestRequest(
        strategy=strategy,
        exchange=exchange,
        symbols=tuple(symbol),
        interval=interval,
        start=time_of("--start", start) or 0,
        end=time_of("--end", end) or 0,
        params=params_of(param),
        cash=amount_of("--cash", cash),
        fee=parse_amount(fee),
        compounding=compounding,
        engine=engine.value,
    )
    with session() as here:
        here.container.catalogue.sync_builtins()
        row = here.container.backtests.create(request)
        require_success(finish_jobs(here, [row.job_id]))
        row = here.container.backtests.get(row.id)
    _print(as_json, row)


@app.command("list")
def list_backtests(limit: Limit = 50, cursor: Cursor = "", as_json: Json = False) -> None:
    """List backtests, newest first."""
    from app.cli.session import session
    from app.schemas.common import listing
    from app.schemas.strategies import Backtest

    with session() as here:
        page = here.container.backtests.page(limit, cursor or None)
    found = listing(page.rows, Backtest.of, page.next_cursor)
    columns = ("created", "strategy", "symbols", "interval", "status", "return>", "trades>", "id")
    rows = (
        [
            each.created_at,
            each.strategy,
            ", ".join(each.spec.get("symbols", [])),
            each.spec.get("interval"),
            each.status,
            _percent((each.metrics or {}).get("total_return")),
            (each.metrics or {}).get("trades"),
            each.id,
        ]
        for each in found.data
    )
    emit(as_json, found, lambda out: table(out, columns, rows, "No backtest."))


@app.command("show")
def show_backtest(backtest_id: BacktestId, as_json: Json = False) -> None:
    """Show a backtest's report."""
    from app.cli.session import session

    with session() as here:
        row = here.container.backtests.get(backtest_id)
        error = here.container.jobs.get(row.job_id).error
    _print(as_json, row, error)


def _print(as_json: bool, row: Any, error: dict[str, Any] | None = None) -> None:
    from app.schemas.strategies import Backtest

    backtest = Backtest.of(row).model_dump(mode="json")
    report = (row.result or {}).get("report")

    def human(out: Console) -> None:
        if report:
            out.out(report, highlight=False)
        why = [("error", error.get("message"))] if error else []
        facts(out, [("backtest", row.id), ("status", row.status), *why])

    emit(as_json, {**backtest, "result": row.result, "error": error}, human)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:+.2%}"
