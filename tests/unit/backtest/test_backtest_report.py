"""The terminal report: 80 columns, every assumption, and reasons where nothing was traded."""

from __future__ import annotations

from research_tables import FLAT, gapped, run, scripted

from app.core.backtest.report import report_text
from app.core.backtest.result import BacktestResult
from app.core.strategies.builtin.moving_average_cross import MovingAverageCross


def the_report(result: BacktestResult) -> str:
    text = report_text(result)
    assert max(len(line) for line in text.splitlines()) <= 80
    return " ".join(text.replace("│", " ").split())


def test_the_report_fits_80_columns_and_shows_every_assumption() -> None:
    result = run(MovingAverageCross, gapped(4), params={"fast": 3, "slow": 9})
    text = the_report(result)
    for name, _ in result.assumptions:
        assert name in text
    assert "Sharpe" in text
    assert "Last 6 of" in text
    assert result.result_hash[:16] in text


def test_the_report_of_two_symbols_names_them() -> None:
    frames = [gapped(4), gapped(5, symbol="ETH/USDT")]
    text = the_report(run(MovingAverageCross, *frames, params={"fast": 3, "slow": 9}))
    assert "ETH/USDT" in text
    assert " Bars " in text


def test_a_long_reason_gives_way_before_the_numbers() -> None:
    steps = {
        1: lambda s: s.target_percent("0.9", tag="in"),
        9: lambda s: s.target(0, tag="the close is far below the average of the last days"),
    }
    result = run(scripted(steps), gapped(4))
    text = the_report(result)
    assert f"{result.trades[0].entry_price:,.2f}" in text
    assert f"{result.trades[0].exit_price:,.2f}" in text
    assert "the cl" in text


def test_a_run_without_trades_explains_itself() -> None:
    text = the_report(run(MovingAverageCross, FLAT))
    assert "the strategy was never asked: its indicators need 29 bars" in text
    text = the_report(run(scripted({}), FLAT))
    assert "sent no order: its conditions were never met" in text
    assert "10,000.00 USDT at every bar" in text
    text = the_report(run(scripted({0: lambda s: s.buy("0.01")}), FLAT))
    assert "1 more were left out: below the minimum notional" in text
