"""Runs a strategy over klines: event by event, without a clock, a network or a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import DefaultContext, localcontext
from typing import Final

import numpy as np

from app.core.backtest.broker import BarBroker
from app.core.backtest.ledger import OrderLog
from app.core.backtest.result import BacktestResult, build_result
from app.core.backtest.spec import BacktestSpec
from app.core.errors import InvalidInput
from app.core.market.klines import KlineFrame
from app.core.strategies.base import BaseStrategy
from app.core.strategies.desk import Desk
from app.core.strategies.runner import StrategyRunner

Progress = Callable[[int, int], None]
"""Called with (bars done, bars in all); raising from it ends the run."""

_CHUNK: Final = 16_384  # bars between two progress calls: about 10 ms


@dataclass(frozen=True, slots=True)
class Prepared:
    """A strategy at its desk with its bars, and the part of them to be evaluated.

    Attributes:
        first, stop: positions in ``runner.slices`` of the evaluated bars, [first, stop).
    """

    spec: BacktestSpec
    runner: StrategyRunner
    frames: Mapping[str, KlineFrame]
    first: int
    stop: int


def run_backtest(
    spec: BacktestSpec,
    frames: Sequence[KlineFrame],
    strategy_class: type[BaseStrategy],
    progress: Progress | None = None,
) -> BacktestResult:
    """Run one backtest.

    Args:
        frames: for each instrument of the spec, its bars in ascending order, those for the
            warm-up before ``start_ts`` included; their first bar is the anchor.
        strategy_class: the class that ``spec.strategy`` names.

    Returns:
        Orders, fills, trades, equity, metrics and every assumption. The same klines, code
        and spec give the same ``result_hash``.

    Raises:
        StrategyFailed: the strategy raised or answered with something else than signals.
        InvalidInput: spec, parameters and klines do not fit together.
    """
    prepared = prepare(spec, frames, strategy_class)
    if spec.engine == "backtrader":
        from app.core.backtest.backtrader_engine import run_on_backtrader

        log = run_on_backtrader(prepared, progress)
    else:
        log = _run(prepared, progress)
    prepared.runner.checked_state()
    # The strategy's code may have set the thread's decimal context; figures do not follow it.
    with localcontext(DefaultContext):
        return build_result(prepared.spec, prepared.runner, prepared.first, prepared.stop, log)


def prepare(
    spec: BacktestSpec, frames: Sequence[KlineFrame], strategy_class: type[BaseStrategy]
) -> Prepared:
    """Seat the strategy, compute its indicators and find the bars to evaluate."""
    by_symbol = {frame.symbol: frame for frame in frames}
    if spec.end_ts is not None:
        by_symbol = {
            symbol: frame.slice(0, int(np.searchsorted(frame.open_ts, spec.end_ts)))
            for symbol, frame in by_symbol.items()
        }
    strategy = strategy_class(spec.strategy, spec.params)
    desk = Desk(
        spec.exchange,
        spec.interval,
        spec.instruments,
        capital=spec.cash,
        compounding=spec.compounding,
    )
    runner = StrategyRunner(strategy, desk, by_symbol)
    times = runner.slices.times
    first = 0 if spec.start_ts is None else int(np.searchsorted(times, spec.start_ts))
    if first >= len(times):
        raise InvalidInput(
            f"there are no klines of {', '.join(spec.symbols)} {spec.interval} in the range asked "
            "for; collect them first"
        )
    runner.stand_before(first)
    return Prepared(spec, runner, by_symbol, first, len(times))


def _run(prepared: Prepared, progress: Progress | None) -> OrderLog:
    spec, runner = prepared.spec, prepared.runner
    broker = BarBroker(runner.desk, runner.columns, spec.cash, spec.fee)
    run = _run_single if len(spec.instruments) == 1 else _run_many
    total = prepared.stop - prepared.first
    for start in range(prepared.first, prepared.stop, _CHUNK):
        stop = min(start + _CHUNK, prepared.stop)
        run(runner, broker, start, stop)
        if progress is not None:
            progress(stop - prepared.first, total)
    return broker.log


def _run_single(runner: StrategyRunner, broker: BarBroker, start: int, stop: int) -> None:
    """One symbol: slices are bars, so that most bars cost one call of ``on_kline``."""
    symbol = next(iter(runner.columns))
    columns, present = runner.columns[symbol], runner.desk.bars[symbol].present
    kline = runner.kline
    ready = int(np.searchsorted(runner.slices.times, runner.ready_ts))
    present.index = max(present.index, min(ready, stop) - 1)
    for index in range(max(start, ready), stop):
        if broker.busy:
            _match(runner, broker, {symbol: index})
        present.index = index
        emitted = kline(columns, index)
        if emitted:
            broker.take(emitted, {symbol: index})


def _run_many(runner: StrategyRunner, broker: BarBroker, start: int, stop: int) -> None:
    """Several symbols with one cash balance, merged by time."""
    latest = {symbol: bars.present.index for symbol, bars in runner.desk.bars.items()}
    positions = {symbol: index.data for symbol, index in runner.slices.index.items()}
    for position in range(start, stop):
        closed = {
            symbol: index[position] for symbol, index in positions.items() if index[position] >= 0
        }
        latest.update(closed)
        if broker.busy:
            _match(runner, broker, closed)
        emitted = runner.slice(position)
        if emitted:
            broker.take(emitted, latest)


def _match(runner: StrategyRunner, broker: BarBroker, closed: Mapping[str, int]) -> None:
    updates = broker.match(closed)
    if not runner.listens:
        return
    for update in updates:
        latest = {symbol: bars.present.index for symbol, bars in runner.desk.bars.items()}
        emitted = runner.update(update)
        if emitted:
            broker.take(emitted, {**latest, **closed})
