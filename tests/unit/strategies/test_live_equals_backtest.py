"""The same bars and fills give the same signals in a backtest and live, field by field."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from research_tables import RandomOrders, gapped, instrument, real_candles

from app.core.backtest import engine
from app.core.backtest.ledger import OrderLog
from app.core.backtest.spec import BacktestSpec
from app.core.market.klines import KlineFrame
from app.core.money import ZERO
from app.core.strategies.base import BaseStrategy
from app.core.strategies.builtin.bollinger_reversion import BollingerReversion
from app.core.strategies.builtin.moving_average_cross import MovingAverageCross
from app.core.strategies.evaluation import EvaluationRequest, EvaluationResult, evaluate
from app.core.strategies.runner import StrategyRunner
from app.core.strategies.signal import EmittedSignal, SignalAction
from app.core.strategies.updates import OrderUpdate, OwnOrder

CASH = Decimal(10_000)
STRATEGIES: list[tuple[type[BaseStrategy], dict[str, Any]]] = [
    (MovingAverageCross, {"fast": 3, "slow": 8}),
    (BollingerReversion, {"period": 10, "width": 1.5}),
    (RandomOrders, {"seed": 7}),
]


class Recorder:
    """Notes what a backtest's runner emitted and was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.signals: list[EmittedSignal] = []
        self.told: list[list[OrderUpdate]] = []
        self.told.append([])
        emit, take, step = StrategyRunner._emit, OrderLog.take_unseen, StrategyRunner.slice

        def noted(runner: StrategyRunner, *args: Any) -> list[EmittedSignal]:
            emitted = emit(runner, *args)
            self.signals += emitted
            return emitted

        def told(log: OrderLog) -> list[OrderUpdate]:
            unseen = take(log)
            self.told[-1:] = [self.told[-1] + unseen]
            return unseen

        def next_bar(runner: StrategyRunner, *args: Any) -> Any:
            self.told.append([])
            return step(runner, *args)

        monkeypatch.setattr(StrategyRunner, "_emit", noted)
        monkeypatch.setattr(OrderLog, "take_unseen", told)
        monkeypatch.setattr(StrategyRunner, "slice", next_bar)


class LiveBook:
    """An instance's rows, as a service would keep them."""

    def __init__(self, frames: tuple[KlineFrame, ...], params: dict[str, Any]) -> None:
        self.frames, self.params = frames, params
        self.cursor: int | None = None
        self.state: dict[str, Any] = {}
        self.net_cash = ZERO
        self.positions = {frame.symbol: ZERO for frame in frames}
        self.working: dict[str, OwnOrder] = {}

    def request(self, end_ts: int, updates: Iterable[OrderUpdate] = ()) -> EvaluationRequest:
        return EvaluationRequest(
            strategy="test",
            strategy_id="i1",
            params=self.params,
            exchange="binance",
            interval="1m",
            instruments=tuple(instrument(frame.symbol) for frame in self.frames),
            frames=tuple(frame.between(0, end_ts) for frame in self.frames),
            capital=CASH,
            cursor_ts=self.cursor,
            state=self.state,
            net_cash=self.net_cash,
            positions=self.positions,
            working_orders=tuple(self.working.values()),
            updates=tuple(updates),
        )

    def book(self, update: OrderUpdate) -> None:
        self.working.pop(update.key, None)
        if update.price is not None:
            signed = update.side.sign * update.last_quantity
            self.positions[update.symbol] += signed
            self.net_cash -= signed * update.price + update.fee

    def store(self, result: EvaluationResult) -> None:
        self.cursor, self.state = result.cursor_ts, result.state
        for item in result.signals:
            signal = item.signal
            if signal.action is SignalAction.CANCEL:
                self.working.pop(signal.cancels or "", None)
                continue
            self.working[item.key] = OwnOrder(
                item.key,
                signal.symbol,
                signal.side,
                signal.type,
                signal.quantity,
                limit_price=signal.limit_price,
                stop_price=signal.stop_price,
                tag=signal.tag,
            )


def backtest(strategy: type[BaseStrategy], params: Any, *frames: KlineFrame) -> None:
    instruments = tuple(instrument(frame.symbol) for frame in frames)
    spec = BacktestSpec(
        strategy="i1", params=params, exchange="binance", interval="1m", instruments=instruments
    )
    # The general loop, also for one symbol: its steps are what the recorder hears.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_run_single", engine._run_many)
        engine.run_backtest(spec, frames, strategy)


@pytest.mark.parametrize(("strategy", "params"), STRATEGIES)
@pytest.mark.parametrize("symbols", [("BTC/USDT",), ("BTC/USDT", "ETH/USDT")])
def test_a_replayed_backtest_emits_the_same_signals_bar_by_bar(
    strategy: type[BaseStrategy],
    params: dict[str, Any],
    symbols: tuple[str, ...],
) -> None:
    frames = tuple(gapped(3 + i, bars=150, symbol=symbol) for i, symbol in enumerate(symbols))
    assert replay(strategy, params, *frames) > 10


def replay(strategy: type[BaseStrategy], params: dict[str, Any], *frames: KlineFrame) -> int:
    """Check a backtest's signals against live evaluations; how many there were."""
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch)
        backtest(strategy, params, *frames)
        expected, told = list(recorder.signals), list(recorder.told)
    live, signals = LiveBook(frames, params), []
    for ts, now in zip(frames[0].open_ts, told, strict=False):
        for update in now:
            live.book(update)
        result = evaluate(live.request(int(ts) + 1, now), strategy)
        live.store(result)
        signals += result.signals
    assert signals == expected
    return len(expected)


@pytest.mark.parametrize(
    ("strategy", "params"),
    [(MovingAverageCross, {"fast": 5, "slow": 20}), (BollingerReversion, {})],
)
def test_real_candles_give_the_same_signals_live_and_in_a_backtest(
    strategy: type[BaseStrategy], params: dict[str, Any]
) -> None:
    assert replay(strategy, params, real_candles("BTC_USDT-1m", "1m").slice(0, 500)) > 10


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(20, 79), which=st.sampled_from(STRATEGIES))
def test_signals_do_not_change_when_the_future_is_cut_off(
    seed: int, cut: int, which: tuple[type[BaseStrategy], dict[str, Any]]
) -> None:
    strategy, params = which
    frame = gapped(seed, bars=80)
    answers = []
    for bars in (frame, frame.slice(0, cut)):
        with pytest.MonkeyPatch.context() as patch:
            recorder = Recorder(patch)
            backtest(strategy, params, bars)
        answers.append(recorder.signals)
    last = int(frame.open_ts[cut - 1])
    assert [item for item in answers[0] if item.bar_ts <= last][: len(answers[1])] == answers[1]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    cuts=st.lists(st.integers(0, 59), max_size=8),
    which=st.sampled_from(STRATEGIES),
)
def test_bar_by_bar_or_many_bars_after_a_pause_gives_the_same_signals(
    seed: int, cuts: list[int], which: tuple[type[BaseStrategy], dict[str, Any]]
) -> None:
    strategy, params = which
    frame = gapped(seed, bars=60)
    answers = []
    for ends in (range(60), sorted({*cuts, 59})):
        live, signals = LiveBook((frame,), params), []
        for end in ends:
            result = evaluate(live.request(int(frame.open_ts[end]) + 1), strategy)
            live.store(result)
            signals += result.signals
        answers.append((signals, live.state, live.cursor))
    assert answers[0] == answers[1]
