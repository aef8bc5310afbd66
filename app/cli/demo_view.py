"""What the demo prints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from app.cli.output import percent
from app.core.money import canonical
from app.models import JobRow, StrategyInstanceRow

if TYPE_CHECKING:
    from app.cli.up import EmbeddedRuntime
    from app.config import Settings
    from app.wiring import Container

_ROWS = 14


def clock(ts: int) -> str:
    """Market time as text, UTC."""
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def opening(console: Console, settings: Settings) -> None:
    """What is about to happen."""
    console.print(
        Panel(
            "An exchange is simulated on this machine. Tidemark collects its klines,\n"
            "backtests a strategy on them, and trades it there. No network, no account,\n"
            f"no real money. Everything lies in {settings.data_dir}.",
            title="Tidemark demo",
            expand=False,
        )
    )


def step(console: Console, number: int, title: str) -> None:
    """Heading of one part."""
    console.print(f"\n[bold]{number}. {title}[/bold]")


def collected(
    console: Console,
    parts: Container,
    exchange: str,
    symbols: Sequence[str],
    jobs: Sequence[JobRow],
) -> None:
    """What the collection stored."""
    table = _table("symbol", "interval", "rows", "rows/s", "revisions", "quarantined")
    for symbol, job in zip(symbols, jobs, strict=True):
        result = job.result or {}
        table.add_row(
            f"{exchange} {symbol}",
            "1m",
            str(result.get("rows", 0)),
            str(job.progress.get("rows_per_s", "")),
            str(result.get("revised", 0)),
            str(result.get("quarantined", 0)),
        )
    console.print(table)
    del parts


def backtest_figures(result: dict[str, Any]) -> dict[str, Any]:
    """The headline figures of a backtest for the JSON line."""
    metrics = result["metrics"]
    return {
        "trades": metrics["trades"],
        "return_pct": _percent(metrics["total_return"]),
        "max_drawdown_pct": _percent(metrics["max_drawdown"]),
        "sharpe": None if metrics["sharpe"] is None else round(metrics["sharpe"], 4),
    }


def trading(console: Console, parts: Container, instance: StrategyInstanceRow) -> None:
    """Signals, decisions, orders, fills, positions, balances and PnL of the run."""
    console.print(_signals(parts, instance))
    console.print(_decisions(parts, instance))
    console.print(_orders(parts, instance))
    console.print(_fills(parts, instance))
    console.print(_positions(parts, instance))
    console.print(_balances(parts, instance))
    _pnl(console, parts, instance)


def closing(console: Console, runtime: EmbeddedRuntime, seconds: float) -> None:
    """What it ran on, and how to go on."""
    settings = runtime.container.settings
    table = _table("part", "embedded (this run)", "full stack")
    for row in (
        ("record", f"SQLite {settings.data_dir}/tidemark.db", "MySQL / MariaDB"),
        ("queue", "Celery on memory://, threads", "Celery on RabbitMQ, processes"),
        ("cache", "inside the process", "Redis"),
        ("exchange", f"simulator at {settings.simulator_url}", "simulator, or a real one"),
    ):
        table.add_row(*row)
    console.print()
    console.print(table)
    console.print(f"Done in {seconds:.1f} s.")
    console.print(
        "The full stack is [bold]make services[/bold] and [bold]make up FULL=1[/bold]; this "
        "release starts its services,\nthe next one runs Tidemark on them."
    )


def standing(console: Console, runtime: EmbeddedRuntime) -> None:
    """Where to look while it stays up."""
    settings = runtime.container.settings
    console.print(
        Panel(
            f"API             {runtime.api_url}/api/v1\n"
            f"Documentation   {runtime.api_url}/docs\n"
            f"Token           {settings.data_dir}/api-token\n"
            "Stop            Ctrl-C",
            title="Tidemark is up",
            expand=False,
        )
    )


def _signals(parts: Container, instance: StrategyInstanceRow) -> Table:
    table = _table("bar", "symbol", "action", "side", "type", "quantity", "status", title="Signals")
    for row in _last(parts.queries.signals(instance.id)):
        table.add_row(
            clock(row.bar_ts),
            row.symbol,
            row.action,
            row.side,
            row.type,
            canonical(row.quantity),
            row.status,
        )
    return table


def _decisions(parts: Container, instance: StrategyInstanceRow) -> Table:
    table = _table("intent", "passed", "rule", "reason", "holds back", title="Risk decisions")
    for row in _last(parts.queries.decisions(instance.id)):
        intent = f"{row.inputs['side']} {row.inputs['quantity']} {row.inputs['symbol']}"
        passed = "yes" if row.passed else "no"
        table.add_row(intent, passed, row.rule or "all passed", row.reason, _held(row.inputs))
    return table


def _held(inputs: dict[str, Any]) -> str:
    """What the order holds back until it is final: a buy's value with its buffer, a sell's base."""
    if inputs["side"] == "sell":
        return "what it sells"
    buffer = percent(Decimal(inputs["reserve_buffer"]))
    return f"{Decimal(inputs['quote_needed']):.2f} (value + {buffer})"


def _orders(parts: Container, instance: StrategyInstanceRow) -> Table:
    table = _table(
        "client order id", "symbol", "side", "filled", "average", "status", title="Orders"
    )
    for row in _last(parts.queries.orders(instance.id)):
        table.add_row(
            row.client_order_id,
            row.symbol,
            row.side,
            canonical(row.filled_quantity),
            "" if row.average_price is None else canonical(row.average_price),
            row.status,
        )
    return table


def _fills(parts: Container, instance: StrategyInstanceRow) -> Table:
    table = _table("time", "symbol", "side", "price", "quantity", "fee", title="Fills")
    for row in _last(parts.queries.fills(instance.id)):
        table.add_row(
            clock(row.ts),
            row.symbol,
            row.side,
            canonical(row.price),
            canonical(row.quantity),
            f"{canonical(row.fee)} {row.fee_asset}",
        )
    return table


def _positions(parts: Container, instance: StrategyInstanceRow) -> Table:
    table = _table("symbol", "quantity", "average", "price", "unrealised", title="Positions")
    for view in parts.accounts.positions(instance.account_id):
        table.add_row(
            view.row.symbol,
            canonical(view.row.quantity),
            _text(view.row.average_price),
            _text(view.price),
            _text(view.unrealized_pnl),
        )
    return table


def _balances(parts: Container, instance: StrategyInstanceRow) -> Table:
    table = _table("asset", "free", "locked", title="Balances")
    for row in parts.accounts.balances(instance.account_id):
        table.add_row(row.asset, canonical(row.free), canonical(row.locked))
    return table


def _pnl(console: Console, parts: Container, instance: StrategyInstanceRow) -> None:
    latest = parts.queries.equity(instance.id, 1)
    if not latest:
        return
    row = latest[0]
    table = _table("capital", "realised", "unrealised", "fees", "equity", title="PnL, USDT")
    table.add_row(
        canonical(instance.capital),
        _text(row.realized_pnl),
        _text(row.unrealized_pnl),
        _text(row.fees),
        _text(row.equity),
    )
    console.print(table)


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _last(rows: Sequence[Any]) -> Sequence[Any]:
    return rows[-_ROWS:]


def _text(value: Decimal | None) -> str:
    return "" if value is None else canonical(round(value, 8))


def _percent(value: float | None) -> float | None:
    return None if value is None else round(value * 100, 4)
