"""Speed of the backtest and of one live evaluation, with backtrader beside them.

Task A: SMA(10)/SMA(30) crossover, long or flat, fixed size 1, 0.1 % fee, fills at the next
open, 1-minute bars, equity at every bar. CPU seconds of this process, medians; indicators
are part of the time and imports are not.
"""

from __future__ import annotations

import resource
import statistics
import time
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import numpy as np

from app.adapters.strategy_host import StrategyHost
from app.core.backtest.engine import run_backtest
from app.core.backtest.result import BacktestResult
from app.core.backtest.spec import BacktestSpec
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.klines import KlineData, KlineFrame
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.builtin.moving_average_cross import MovingAverageCross
from app.core.strategies.evaluation import EvaluationRequest, evaluate
from app.core.strategies.loader import StrategyRef

_START: Final = 1_704_067_200_000
_CASH: Final = 1_000_000
_FEE: Final = 0.001
_BARS: Final = 200_000
_PEER_BARS: Final = 20_000
_LIVE_BARS: Final = 1_000
_REPEATS: Final = 5


def run() -> dict[str, Any]:
    """Measure and return ``{"figures": {...}, "ratios": {...}}``."""
    long, short = market(_BARS), market(_PEER_BARS)
    _task_a(short)  # imports and first calls
    ours, _ = _median(lambda: _task_a(long))
    ours_short, result = _median(lambda: _task_a(short))
    peer, (peer_trades, peer_equity) = _median(lambda: _backtrader(short), repeats=3)
    adapted, _ = _median(lambda: _task_a(short, engine="backtrader"), repeats=3)
    if (len(result.closed_trades()), round(float(result.final_equity), 4)) != (
        peer_trades,
        round(peer_equity, 4),
    ):
        raise AssertionError(
            f"backtrader had {peer_trades} trades and {peer_equity}, Tidemark "
            f"{len(result.closed_trades())} and {result.final_equity}"
        )
    live, _ = _median(_evaluate_once)
    return {
        "figures": {
            "A_bars_per_cpu_second": round(_BARS / ours),
            "A_bars_per_cpu_second_at_20k": round(_PEER_BARS / ours_short),
            "A_backtrader_bars_per_cpu_second": round(_PEER_BARS / peer),
            "A_backtrader_engine_bars_per_cpu_second": round(_PEER_BARS / adapted),
            "A_trades": peer_trades,
            "evaluate_ms_at_1000_bars": round(live * 1000, 3),
            "host_evaluate_wall_ms_at_1000_bars": round(_host_round_trip() * 1000, 3),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        },
        "ratios": {
            "A_on_kline_vs_backtrader": round((peer / _PEER_BARS) / (ours / _BARS), 1),
        },
    }


class FixedSizeCross(BaseStrategy):
    """Task A."""

    def setup(self) -> None:
        self.fast = self.indicator("SMA", timeperiod=10)
        self.slow = self.indicator("SMA", timeperiod=30)

    def on_kline(self, kline: KlineData) -> Answer:  # noqa: ARG002 - the averages say it
        fast, slow = self.fast[0], self.slow[0]
        if fast > slow:
            if self.fast[1] <= self.slow[1]:
                return self.buy(1)
        elif fast < slow and self.fast[1] >= self.slow[1] and self.position():
            return self.sell(1)
        return None


def market(bars: int) -> KlineFrame:
    """A seeded random walk whose opens jump a little."""
    rng = np.random.default_rng(7)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.001, bars)))
    open_ = np.concatenate([[100.0], close[:-1]]) * (1 + rng.normal(0, 0.0002, bars))
    high = np.maximum(open_, close) * 1.0005
    low = np.minimum(open_, close) * 0.9995
    times = _START + 60_000 * np.arange(bars, dtype=np.int64)
    return KlineFrame("bench", "BTC/USDT", "1m", times, open_, high, low, close, np.ones(bars))


def _instrument() -> Instrument:
    one = Decimal("0.00000001")
    kind, status = InstrumentType.SPOT, InstrumentStatus.TRADING
    return Instrument("bench", "BTC/USDT", "BTCUSDT", "BTC", "USDT", kind, status, one, one)


def _task_a(frame: KlineFrame, engine: str = "tidemark") -> BacktestResult:
    spec = BacktestSpec(
        strategy="fixed_size_cross",
        exchange="bench",
        interval="1m",
        instruments=(_instrument(),),
        cash=Decimal(_CASH),
        fee=Decimal(str(_FEE)),
        engine=engine,
    )
    return run_backtest(spec, [frame], FixedSizeCross)


def _backtrader(frame: KlineFrame) -> tuple[int, float]:
    """Task A as backtrader's users write it: closed trades and final equity."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import backtrader as bt
        import pandas as pd

    class Cross(bt.Strategy):  # type: ignore[misc]
        def __init__(self) -> None:
            fast, slow = bt.ind.SMA(period=10), bt.ind.SMA(period=30)
            self.crossover = bt.ind.CrossOver(fast, slow)
            self.closed = 0

        def notify_trade(self, trade: Any) -> None:
            self.closed += trade.isclosed

        def next(self) -> None:
            if self.crossover > 0:
                self.buy(size=1)
            elif self.crossover < 0 and self.position:
                self.sell(size=1)

    columns = dict(zip(("open", "high", "low", "close", "volume"), frame.columns(), strict=True))
    data = pd.DataFrame(columns, index=pd.to_datetime(frame.open_ts, unit="ms"))
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=data, timeframe=bt.TimeFrame.Minutes))
    cerebro.addstrategy(Cross)
    cerebro.broker.setcash(_CASH)
    cerebro.broker.setcommission(commission=_FEE)
    (strategy,) = cerebro.run()
    return strategy.closed, cerebro.broker.getvalue()


def _request() -> EvaluationRequest:
    frame = market(_LIVE_BARS)
    return EvaluationRequest(
        strategy="cross",
        strategy_id="bench",
        params={},
        exchange="bench",
        interval="1m",
        instruments=(_instrument(),),
        frames=(frame,),
        capital=Decimal(10_000),
        cursor_ts=int(frame.open_ts[-2]),
    )


def _evaluate_once() -> Any:
    return evaluate(_request(), MovingAverageCross)


def _host_round_trip() -> float:
    """Wall-clock seconds of one evaluation in a running child."""
    ref, request = StrategyRef("moving_average_cross"), _request()
    with StrategyHost() as host:
        host.evaluate(ref, request)
        taken = []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            host.evaluate(ref, request)
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _median(work: Callable[[], Any], repeats: int = _REPEATS) -> tuple[float, Any]:
    """Median CPU seconds of ``work``, and what it returned last."""
    taken, value = [], None
    for _ in range(repeats):
        start = time.process_time()
        value = work()
        taken.append(time.process_time() - start)
    return statistics.median(taken), value
