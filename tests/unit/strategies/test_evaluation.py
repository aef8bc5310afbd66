"""One live evaluation: what it takes from the request and what it gives back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from research_tables import BTC, START, candles, gapped, instrument

from app.core.errors import InvalidInput
from app.core.market.klines import KlineData
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.errors import StrategyFailed
from app.core.strategies.evaluation import EvaluationRequest, evaluate, warm_up_bars
from app.core.strategies.parameters import IntParameter
from app.core.strategies.updates import OrderUpdate

MINUTE = 60_000
FRAME = gapped(5, bars=10)


class Diary(BaseStrategy):
    """Writes down what happens, in order."""

    bars = IntParameter(3, low=2, high=50)

    def setup(self) -> None:
        self.average = self.indicator("SMA", timeperiod=self.bars)

    def write(self, line: str) -> None:
        self.state.setdefault("lines", []).append(line)

    def on_kline(self, kline: KlineData) -> Answer:
        self.write(f"{kline.symbol} bar {(kline.timestamp - START) // MINUTE}")
        return None

    def on_order_update(self, update: OrderUpdate) -> Answer:
        self.write(f"{update.status} {update.event_id}")
        return self.target(1, tag="again") if update.status is OrderStatus.REJECTED else None


def request(**changes: Any) -> EvaluationRequest:
    base = EvaluationRequest(
        strategy="diary",
        strategy_id="i1",
        params={},
        exchange="binance",
        interval="1m",
        instruments=(instrument(),),
        frames=(FRAME,),
        capital=Decimal(10_000),
    )
    return replace(base, **changes)


def update(event_id: str, timestamp: int, status: OrderStatus = OrderStatus.FILLED) -> OrderUpdate:
    one = Decimal(1)
    return OrderUpdate(
        event_id, "k", BTC, Side.BUY, OrderType.MARKET, status, one, one, timestamp, price=one
    )


def test_only_bars_after_the_cursor_are_taken() -> None:
    result = evaluate(request(cursor_ts=START + 7 * MINUTE), Diary)
    assert result.state["lines"] == [f"{BTC} bar 8", f"{BTC} bar 9"]
    assert (result.cursor_ts, result.bars, result.warm_up) == (START + 9 * MINUTE, 2, 2)


def test_without_a_cursor_every_bar_with_values_is_taken() -> None:
    result = evaluate(request(), Diary)
    assert (result.bars, result.state["lines"][0]) == (8, f"{BTC} bar 2")


def test_nothing_new_changes_nothing() -> None:
    cursor, state = START + 9 * MINUTE, {"lines": ["before"]}
    result = evaluate(request(cursor_ts=cursor, state=state), Diary)
    assert (result.cursor_ts, result.state, result.signals) == (cursor, state, ())


def test_the_request_is_not_changed() -> None:
    state: dict[str, Any] = {"lines": ["before"]}
    result = evaluate(request(cursor_ts=START + 8 * MINUTE, state=state), Diary)
    assert len(result.state["lines"]) == 2
    assert state == {"lines": ["before"]}


def test_updates_are_told_before_the_first_bar_that_closed_after_them() -> None:
    updates = (
        update("a", START + 7 * MINUTE + 5),
        update("c", START + 30 * MINUTE),
        update("b", START + 9 * MINUTE - 1),
    )
    result = evaluate(request(cursor_ts=START + 7 * MINUTE, updates=updates), Diary)
    assert result.state["lines"] == [
        "filled a",
        "filled b",
        f"{BTC} bar 8",
        f"{BTC} bar 9",
        "filled c",
    ]
    assert result.updates_seen == ("a", "c", "b")


def test_an_answer_to_an_update_carries_its_cause_and_the_present_bar() -> None:
    told = (update("77", START + 10 * MINUTE + 1, OrderStatus.REJECTED),)
    (item,) = evaluate(request(cursor_ts=START + 9 * MINUTE, updates=told), Diary).signals
    assert (item.cause, item.leg, item.bar_ts) == ("fill:77", 0, START + 9 * MINUTE)
    assert item.valid_until == START + 11 * MINUTE
    assert item.signal.tag == "again"


def test_several_symbols_are_taken_in_the_requests_order() -> None:
    frames = tuple(gapped(seed, bars=4, symbol=name) for seed, name in ((1, "ETH/USDT"), (2, BTC)))
    instruments = (instrument("ETH/USDT"), instrument(BTC))
    result = evaluate(request(frames=frames, instruments=instruments), Diary)
    assert result.state["lines"][:3] == ["ETH/USDT bar 2", f"{BTC} bar 2", "ETH/USDT bar 3"]


def test_no_symbol_is_evaluated_before_all_have_their_values() -> None:
    late = candles("\n".join(["10 10 10 10"] * 4), "ETH/USDT")
    late.open_ts[:] += 5 * MINUTE
    both = request(frames=(FRAME, late), instruments=(instrument(), instrument("ETH/USDT")))
    assert evaluate(both, Diary).state["lines"][0] == f"{BTC} bar 7"


def test_too_few_bars_move_the_cursor_and_ask_nothing() -> None:
    result = evaluate(request(params={"bars": 50}), Diary)
    assert (result.bars, result.cursor_ts, result.state) == (0, START + 9 * MINUTE, {})


def test_a_position_of_another_symbol_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'DOGE/USDT' is not in this run"):
        evaluate(request(positions={"DOGE/USDT": Decimal(1)}), Diary)


def test_the_warm_up_follows_the_parameters_without_any_data() -> None:
    assert warm_up_bars(Diary, {"bars": 21}, "binance", "1m", (instrument(),)) == 20


def test_setup_cannot_read_values() -> None:
    class Early(Diary):
        def setup(self) -> None:
            self.first = self.indicator("SMA", timeperiod=3)[0]

    with pytest.raises(StrategyFailed, match=r"failed in setup .*not in setup"):
        evaluate(request(), Early)


def test_a_bar_may_be_kept_compared_and_hashed() -> None:
    kept: list[KlineData] = []

    class Keeper(BaseStrategy):
        def on_kline(self, kline: KlineData) -> Answer:
            kept.append(kline)
            return None

    evaluate(request(), Keeper)
    assert kept == list(FRAME)
    assert len(set(kept)) == 10
    assert kept[3] != kept[4]
    assert (kept[2].exchange, kept[2].interval) == ("binance", "1m")
