"""Tidemark's engine and backtrader fill alike; a wrong matching rule would be noticed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from research_tables import START, RandomOrders, candles, gapped, run

from app.core.backtest import broker
from app.core.backtest.result import BacktestResult
from app.core.market.klines import KlineData
from app.core.matching import bars
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.base import Answer, BaseStrategy

SEEDS = range(12)


def both(seed: int, **spec: Any) -> tuple[BacktestResult, BacktestResult]:
    frames = [gapped(seed)]
    ours = run(RandomOrders, *frames, params={"seed": seed}, **spec)
    theirs = run(RandomOrders, *frames, params={"seed": seed}, engine="backtrader", **spec)
    return ours, theirs


def story(result: BacktestResult) -> list[tuple[Any, ...]]:
    return [(fill.bar_ts, fill.key, fill.side, fill.type) for fill in result.fills]


def agree(ours: BacktestResult, theirs: BacktestResult) -> bool:
    numbers = [
        abs(float(a.price - b.price)) < 1e-9 and abs(float(a.quantity - b.quantity)) < 1e-9
        for a, b in zip(ours.fills, theirs.fills, strict=False)
    ]
    ends = [[(order.key, order.status) for order in run_.orders] for run_ in (ours, theirs)]
    return story(ours) == story(theirs) and all(numbers) and ends[0] == ends[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_both_engines_fill_alike_on_gapped_random_data(seed: int) -> None:
    ours, theirs = both(seed)
    assert ours.fills == theirs.fills
    assert ours.orders == theirs.orders
    assert ours.result_hash == theirs.result_hash
    assert float(ours.final_equity) == pytest.approx(float(theirs.final_equity), abs=1e-6)


def test_the_random_orders_reach_every_type_and_every_end() -> None:
    orders = [order for seed in SEEDS for order in both(seed)[0].orders]
    filled = {(o.type, o.side) for o in orders if o.status is OrderStatus.FILLED}
    assert filled == {(kind, side) for kind in OrderType for side in Side}
    reasons = {o.reason for o in orders if o.status is OrderStatus.REJECTED}
    assert reasons == {"not enough cash", "sells more than is owned"}
    assert OrderStatus.CANCELLED in {o.status for o in orders}


def test_two_symbols_share_cash_alike_in_both_engines() -> None:
    frames = [gapped(5, symbol="BTC/USDT"), gapped(6, symbol="ETH/USDT")]
    for seed in range(4):
        ours = run(RandomOrders, *frames, params={"seed": seed})
        theirs = run(RandomOrders, *frames, params={"seed": seed}, engine="backtrader")
        assert len({fill.symbol for fill in ours.fills}) == 2
        assert ours.fills == theirs.fills
        assert ours.orders == theirs.orders


def _limit_at_limit(buying: bool, limit: Any, open_: Any, high: Any, low: Any) -> Any:
    reached = low <= limit if buying else high >= limit
    return limit if reached else None


def _limit_strict(buying: bool, limit: Any, open_: Any, high: Any, low: Any) -> Any:
    if open_ <= limit if buying else open_ >= limit:
        return open_
    return limit if (low < limit - 0.5 if buying else high > limit + 0.5) else None


def _limit_never_inside(buying: bool, limit: Any, open_: Any, high: Any, low: Any) -> Any:
    return open_ if (open_ <= limit if buying else open_ >= limit) else None


def _stop_at_stop(buying: bool, stop: Any, open_: Any, high: Any, low: Any) -> Any:
    return stop if (high >= stop if buying else low <= stop) else None


def _stop_at_worst(buying: bool, stop: Any, open_: Any, high: Any, low: Any) -> Any:
    if high >= stop if buying else low <= stop:
        return high if buying else low
    return None


def _stop_only_inside(buying: bool, stop: Any, open_: Any, high: Any, low: Any) -> Any:
    return stop if low <= stop <= high else None


_REAL = bars.bar_fill_price


def _market_at_close(order: Any, o: float, h: float, lo: float, c: float) -> Any:
    return c if order.type is OrderType.MARKET else _REAL(order, o, h, lo, c)


def _trigger_forgotten(order: Any, o: float, h: float, lo: float, c: float) -> Any:
    price = _REAL(order, o, h, lo, c)
    order.triggered = False
    return price


def _stop_limit_waits_a_bar(order: Any, o: float, h: float, lo: float, c: float) -> Any:
    was_triggered = order.triggered
    price = _REAL(order, o, h, lo, c)
    return None if order.type is OrderType.STOP_LIMIT and not was_triggered else price


def _stop_limit_always_returns(order: Any, o: float, h: float, lo: float, c: float) -> Any:
    was_triggered = order.triggered
    price = _REAL(order, o, h, lo, c)
    if order.type is OrderType.STOP_LIMIT and order.triggered and not was_triggered:
        return bars._limit(order.side is Side.BUY, order.limit_price, o, h, lo)
    return price


def _no_cash_check(self: broker.BarBroker, closed: Any) -> None:
    self._pending += self._submitted
    self._submitted = []


def _newest_first(self: broker.BarBroker, closed: Any) -> None:
    older, self._pending = self._pending, []
    _REAL_CHECK(self, closed)
    self._pending += older


def _fee_left_out(self: broker.BarBroker, closed: Any) -> None:
    fee, self._fee = self._fee, 0.0
    try:
        _REAL_CHECK(self, closed)
    finally:
        self._fee = fee


_REAL_CHECK = broker.BarBroker._check_cash

MUTANTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "a limit never gets a better open": (bars, "_limit", _limit_at_limit),
    "a limit must be traded through": (bars, "_limit", _limit_strict),
    "a limit fills at the open only": (bars, "_limit", _limit_never_inside),
    "a gap beyond a stop fills at the stop": (bars, "_stop", _stop_at_stop),
    "a stop fills at the worst price": (bars, "_stop", _stop_at_worst),
    "a gap beyond a stop does not trigger it": (bars, "_stop", _stop_only_inside),
    "a market order fills at the close": (bars, "bar_fill_price", _market_at_close),
    "a triggered stop limit forgets it": (bars, "bar_fill_price", _trigger_forgotten),
    "a stop limit waits a bar": (bars, "bar_fill_price", _stop_limit_waits_a_bar),
    "a stop limit needs no turn": (bars, "bar_fill_price", _stop_limit_always_returns),
    "orders are not checked for cash": (broker.BarBroker, "_check_cash", _no_cash_check),
    "the newest order goes first": (broker.BarBroker, "_check_cash", _newest_first),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_a_matching_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(target, attribute, mutant)
    assert not all(agree(*both(seed)) for seed in SEEDS)


class AllIn(BaseStrategy):
    """Buys 1 on the first bar."""

    def on_kline(self, kline: KlineData) -> Answer:
        return self.buy(1) if kline.timestamp == START else None


AFFORDABLE_AT_THE_OPEN = candles("""
    100 100 100 100
     90  90  90  90
""")


@pytest.mark.parametrize("engine", ["tidemark", "backtrader"])
def test_the_cash_check_takes_the_close_and_the_fee(engine: str) -> None:
    result = run(AllIn, AFFORDABLE_AT_THE_OPEN, cash=Decimal(100), engine=engine)
    assert [order.reason for order in result.orders] == ["not enough cash"]
    result = run(AllIn, AFFORDABLE_AT_THE_OPEN, cash=Decimal("100.2"), engine=engine)
    assert [fill.price for fill in result.fills] == [Decimal(90)]


def test_leaving_the_fee_out_of_the_cash_check_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.BarBroker, "_check_cash", _fee_left_out)
    ours = run(AllIn, AFFORDABLE_AT_THE_OPEN, cash=Decimal(100))
    theirs = run(AllIn, AFFORDABLE_AT_THE_OPEN, cash=Decimal(100), engine="backtrader")
    assert not agree(ours, theirs)
