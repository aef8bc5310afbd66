"""The terminal report of a backtest, made for 80 columns."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from app.core.backtest.chart import braille
from app.core.backtest.result import BacktestResult
from app.core.backtest.trades import Trade

_CHART_WIDTH: Final = 62
_CHART_HEIGHT: Final = 7
_TRADES_SHOWN: Final = 6
_MINUS: Final = "−"
_UNDEFINED: Final = "–"


def report(result: BacktestResult) -> RenderableType:
    """The report as something that rich prints."""
    parts: list[RenderableType] = [_header(result), _chart(result), _headline(result)]
    reasons = why_no_trades(result)
    if reasons:
        lines = Text("\n".join(f"• {reason}" for reason in reasons))
        parts.append(
            Panel(lines, title="No closed trade, because", box=box.ROUNDED, style="yellow")
        )
    if result.trades:
        parts += [_trades(result.trades)]
    parts += [_orders(result), _assumptions(result), _hashes(result)]
    return Group(*parts)


def report_text(result: BacktestResult, width: int = 80) -> str:
    """The report as plain text, without colours."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, legacy_windows=False).print(report(result))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def why_no_trades(result: BacktestResult) -> list[str]:
    """Reasons for a run without a closed trade, the first cause first; else empty."""
    if result.closed_trades():
        return []
    total = len(result.equity)
    if result.first_ts is None:
        return [
            f"the strategy was never asked: its indicators need {result.warm_up:,} bars before "
            f"their first value, and the run has {total:,}; give it a longer range"
        ]
    reasons = []
    counts = result.order_counts()
    asked = f"the strategy was asked {result.bars:,} times after {result.warm_up:,} bars of warm-up"
    if not result.orders and not result.dropped:
        reasons.append(f"{asked} and sent no order: its conditions were never met")
    else:
        reasons.append(f"{asked} and sent {counts['sent']:,} orders")
    reasons += [
        f"{count:,} more were left out: {reason} of the instrument"
        if "minimum" in reason
        else f"{count:,} more were left out: {reason}"
        for reason, count in result.dropped.items()
    ]
    reasons += [
        f"{count:,} {name}"
        for name, count in counts.items()
        if count and name not in ("sent", "filled")
    ]
    reasons += [
        f"{trade.symbol}: a position is still open since {_time(trade.entry_ts)}"
        for trade in result.trades
        if trade.is_open
    ]
    return reasons


def _header(result: BacktestResult) -> RenderableType:
    spec = result.spec
    values = ", ".join(f"{name} {value}" for name, value in result.params.items())
    body = Text()
    body.append(f"{', '.join(spec.symbols)}  {spec.interval}  {spec.exchange}", style="bold")
    body.append(f"\n{_time(result.start_ts)} → {_time(result.end_ts)} UTC", style="dim")
    body.append(f"  {len(result.equity):,} bars", style="dim")
    if values:
        body.append(f"\n{values}")
    return Panel(body, title=f"[bold]Backtest · {spec.strategy}[/]", box=box.ROUNDED)


def _chart(result: BacktestResult) -> RenderableType:
    equity = result.equity.equity
    low, high = float(equity.min()), float(equity.max())
    if low == high:
        return Group(
            Rule("Equity", style="dim"), Text(f"{_plain(low)} {result.spec.quote} at every bar")
        )
    lines = braille(equity, _CHART_WIDTH, _CHART_HEIGHT)
    labels = [_plain(high), *[""] * (len(lines) - 2), _plain(low)]
    colour = "green" if equity[-1] >= float(result.spec.cash) else "red"
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", width=12, style="dim")
    grid.add_column()
    for label, line in zip(labels, lines, strict=True):
        grid.add_row(label, Text(line, style=colour))
    start, end = _time(result.start_ts)[:10], _time(result.end_ts)[:10]
    axis = start + end.rjust(_CHART_WIDTH - len(start))
    grid.add_row("", Text(axis, style="dim"))
    return Group(Rule(f"Equity, {result.spec.quote}", style="dim"), grid)


def _headline(result: BacktestResult) -> RenderableType:
    m, quote = result.metrics, result.spec.quote
    left = [
        ("Final equity", f"{_plain(result.final_equity)} {quote}"),
        ("Total return", _percent(m["total_return"], signed=True)),
        ("Market, bought and held", _percent(m["market_return"], signed=True)),
        ("CAGR", _percent(m["cagr"], signed=True)),
        ("Volatility (year)", _percent(m["volatility"])),
        ("Max drawdown", _percent(m["max_drawdown"])),
        ("Longest under water", _duration(m["max_drawdown_duration_ms"])),
        ("VaR / CVaR 95 % (day)", f"{_percent(m['var_95'])} / {_percent(m['cvar_95'])}"),
        ("Ulcer index", _percent(m["ulcer"])),
        ("Time in market", _percent(m["exposure_time"])),
        ("Turnover", _times(m["turnover"])),
        ("Fees", f"{_plain(m['fees'])} {quote}"),
    ]
    right = [
        ("Sharpe", _ratio(m["sharpe"])),
        ("Sortino", _ratio(m["sortino"])),
        ("Calmar", _ratio(m["calmar"])),
        ("Omega", _ratio(m["omega"])),
        ("P(Sharpe > 0)", _percent(m["psr"])),
        ("Fee of the value", _percent(m["fee_share_of_value"])),
        ("Closed trades", f"{m['trades']:,}"),
        ("Won / lost / even", f"{m['wins']:,} / {m['losses']:,} / {m['breakevens']:,}"),
        ("Win rate", _percent(m["win_rate"])),
        ("Profit factor", _ratio(m["profit_factor"])),
        ("Expectancy", _money(m["expectancy"], quote)),
        ("SQN", _ratio(m["sqn"])),
    ]
    table = Table.grid(padding=(0, 2), expand=True)
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify=justify, no_wrap=True)
    for (name, value), (other, figure) in zip(left, right, strict=True):
        table.add_row(
            Text(name, style="dim"), _toned(value), Text(other, style="dim"), _toned(figure)
        )
    note = (
        f"Ratios from {m['returns_n']} daily returns at 00:00 UTC, {m['periods_per_year']} a year; "
        f"{_UNDEFINED} is not defined."
    )
    return Group(Rule("Result", style="dim"), table, Text(note, style="dim italic"))


def _trades(trades: tuple[Trade, ...]) -> RenderableType:
    table = Table(
        box=box.SIMPLE_HEAD, expand=True, pad_edge=False, padding=(0, 1), collapse_padding=True
    )
    several = len({trade.symbol for trade in trades}) > 1
    if several:
        table.add_column("Symbol", no_wrap=True)
    table.add_column("Entry (UTC)", no_wrap=True)
    table.add_column("Bars", justify="right", no_wrap=True)
    for name in ("Price in", "Price out", "PnL", "%"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Out by")  # wraps, so that it gives way before the numbers
    for trade in trades[-_TRADES_SHOWN:]:
        tone = "green" if trade.pnl > 0 else "red"
        table.add_row(
            *([trade.symbol] if several else []),
            _time(trade.entry_ts)[5 if several else 0 :],
            f"{trade.bars:,}",
            _price(trade.entry_price),
            _price(trade.exit_price),
            Text(_signed(trade.pnl), style=tone),
            Text(f"{trade.return_pct:+.2f}".replace("-", _MINUS), style=tone),
            Text("open" if trade.is_open else trade.exit_tag, overflow="ellipsis", no_wrap=True),
        )
    shown = min(len(trades), _TRADES_SHOWN)
    title = f"Last {shown} of {len(trades):,} trades" if shown < len(trades) else "Trades"
    return Group(Rule(title, style="dim"), table)


def _orders(result: BacktestResult) -> RenderableType:
    counts = [f"{count:,} {name}" for name, count in result.order_counts().items() if count]
    left_out = [f"{count:,} left out ({reason})" for reason, count in result.dropped.items()]
    words = " · ".join([*counts, *left_out]) or "none"
    return Group(Rule("Orders", style="dim"), Text(words))


def _assumptions(result: BacktestResult) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in result.assumptions:
        shown = (
            _time(int(value.split()[-1])) if name == "first decision" and value != "none" else value
        )
        table.add_row(name, shown)
    return Group(Rule("Assumptions", style="dim"), table)


def _hashes(result: BacktestResult) -> RenderableType:
    words = f"klines {result.data_hash[:16]} · result {result.result_hash[:16]}"
    return Padding(Text(words, style="dim"), (1, 0, 0, 0))


def _time(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _plain(value: float | Decimal) -> str:
    return f"{value:,.2f}".replace("-", _MINUS)


def _signed(value: float | Decimal) -> str:
    return f"{value:+,.2f}".replace("-", _MINUS)


def _price(value: Decimal) -> str:
    """A price with six significant digits at least, whatever the coin costs."""
    digits = max(2, 5 - value.adjusted())
    return f"{value:,.{min(digits, 10)}f}"


def _percent(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return _UNDEFINED
    return f"{value * 100:{'+' if signed else ''},.2f} %".replace("-", _MINUS)


def _ratio(value: float | None) -> str:
    return _UNDEFINED if value is None else f"{value:,.2f}".replace("-", _MINUS)


def _times(value: float | None) -> str:
    return _UNDEFINED if value is None else f"{value:,.1f} × equity"


def _money(value: float | None, quote: str) -> str:
    return _UNDEFINED if value is None else f"{_signed(value)} {quote}"


def _duration(ms: int) -> str:
    days, rest = divmod(ms // 60_000, 1440)
    hours, minutes = divmod(rest, 60)
    return f"{days:,} d {hours} h" if days else f"{hours} h {minutes} min"


def _toned(value: str) -> Text:
    style = "red" if value.startswith(_MINUS) else "green" if value.startswith("+") else "bold"
    return Text(value, style=style)
