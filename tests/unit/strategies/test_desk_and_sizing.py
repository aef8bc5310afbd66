"""Helpers of a strategy: what they emit, and what the instrument's filters leave out."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from research_tables import BTC, candles, instrument

from app.core.errors import InvalidInput
from app.core.market.instruments import Instrument
from app.core.money import canonical
from app.core.orders.types import OrderType, Side, TimeInForce
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.builtin.moving_average_cross import MovingAverageCross
from app.core.strategies.desk import Desk
from app.core.strategies.errors import StrategyFailed
from app.core.strategies.exact import exact
from app.core.strategies.runner import StrategyRunner
from app.core.strategies.signal import Signal, SignalAction
from app.core.strategies.updates import OwnOrder

ONE_BAR = candles("100 100 100 100")


class Seated(BaseStrategy):
    """Does nothing; the tests speak through it."""

    def on_kline(self, kline: Any) -> Answer:
        return None


def seated(
    *,
    position: str = "0",
    working: tuple[OwnOrder, ...] = (),
    capital: int = 10_000,
    compounding: bool = True,
    traded: Instrument | None = None,
    strategy: type[BaseStrategy] = Seated,
) -> BaseStrategy:
    desk = Desk(
        "binance",
        "1m",
        [traded or instrument()],
        capital=Decimal(capital),
        compounding=compounding,
    )
    made = strategy("s1")
    runner = StrategyRunner(made, desk, {BTC: ONE_BAR})
    runner.stand_before(1)
    desk.positions[BTC] = Decimal(position)
    desk.working = {order.key: order for order in working}
    return made


def order(
    side: Side, quantity: str, kind: OrderType = OrderType.MARKET, filled: str = "0"
) -> OwnOrder:
    key = f"{side}|{kind}|{quantity}"
    return OwnOrder(key, BTC, side, kind, Decimal(quantity), Decimal(filled))


def brief(signals: list[Signal]) -> list[tuple[str, str]]:
    return [(signal.side.value, canonical(signal.quantity)) for signal in signals]


@pytest.mark.parametrize(
    ("position", "working", "wanted", "emitted"),
    [
        ("0", (), "1", [("buy", "1")]),
        ("0.4", (), "1", [("buy", "0.6")]),
        ("1", (), "1", []),
        ("1", (), "0", [("sell", "1")]),
        ("0", (order(Side.BUY, "1"),), "1", []),
        ("0", (order(Side.BUY, "1", OrderType.LIMIT),), "1", []),
        ("0.3", (order(Side.BUY, "1", filled="0.3"),), "1", []),
        ("1", (order(Side.SELL, "1"),), "0", []),
        ("1", (order(Side.SELL, "0.4"),), "0", [("sell", "0.6")]),
        # A protective stop is no exit under way, and it holds what it would sell.
        ("1", (order(Side.SELL, "1", OrderType.STOP),), "1", []),
        ("1", (order(Side.SELL, "1", OrderType.STOP),), "0", []),
        # Dust of fees paid in base: the floor of what is owned, and nothing below a step.
        ("0.9994", (), "0", [("sell", "0.999")]),
        ("0.0004", (), "0", []),
        ("0", (), "0.0004", []),
        ("0", (), "0.0499", []),
        ("-0", (), "0", []),
    ],
)
def test_target_emits_what_is_missing(
    position: str, working: tuple[OwnOrder, ...], wanted: str, emitted: list[tuple[str, str]]
) -> None:
    assert brief(seated(position=position, working=working).target(wanted)) == emitted


def test_what_the_filters_leave_out_is_counted() -> None:
    made = seated()
    assert made.buy("0.04") == []
    assert made.buy("0.0001") == []
    assert seated(traded=instrument(min_quantity=Decimal("0.1"))).buy("0.06") == []
    assert dict(made.desk.dropped) == {"below the minimum notional": 1, "below one step": 1}


def test_an_order_is_cut_at_the_largest_quantity() -> None:
    traded = instrument(max_quantity=Decimal("0.5"))
    assert brief(seated(traded=traded).buy(3)) == [("buy", "0.5")]


def test_prices_are_rounded_never_towards_more_risk() -> None:
    made = seated()
    (buy,) = made.buy(1, OrderType.LIMIT, limit=99.999)
    (sell,) = made.sell(1, "stop_limit", limit=101.001, stop="100.001")
    assert (buy.limit_price, sell.limit_price) == (Decimal("99.99"), Decimal("101.01"))
    assert sell.stop_price == Decimal("100.01")
    (ioc,) = made.buy(1, "limit", limit=99, time_in_force="ioc", tag="now")
    assert (ioc.time_in_force, ioc.tag) == (TimeInForce.IOC, "now")


def test_actions_say_whether_the_position_grows() -> None:
    made = seated(position="1")
    assert [signal.action for signal in (*made.buy(1), *made.sell(1))] == [
        SignalAction.ENTER,
        SignalAction.EXIT,
    ]


def test_fractions_refer_to_equity_and_round_down() -> None:
    made = seated()
    assert made.quantity_for("0.5") == Decimal(50)
    assert made.quantity_for("1", 33.3) == Decimal("300.300")
    assert brief(made.target_percent("0.25")) == [("buy", "25")]


@pytest.mark.parametrize(
    ("compounding", "net_cash", "equity", "half"),
    [(True, 1000, 11_000, "55"), (False, 1000, 11_000, "50"), (False, -1000, 9_000, "45")],
)
def test_without_compounding_gains_are_not_put_at_risk(
    compounding: bool, net_cash: int, equity: int, half: str
) -> None:
    made = seated(compounding=compounding)
    made.desk.net_cash = Decimal(net_cash)
    assert made.equity == equity
    assert made.quantity_for("0.5") == Decimal(half)


def test_nothing_is_bought_with_an_equity_that_is_gone() -> None:
    made = seated()
    made.desk.net_cash = Decimal(-20_000)
    assert made.target_percent("1") == []


def test_equity_counts_positions_at_the_present_close() -> None:
    made = seated(position="2")
    made.desk.net_cash = Decimal(-150)
    assert made.equity == Decimal(10_050)
    assert made.capital == Decimal(10_000)


def test_close_position_takes_orders_back_first() -> None:
    stop = order(Side.SELL, "1", OrderType.STOP)
    signals = seated(position="1", working=(stop,)).close_position(tag="out")
    assert [signal.action for signal in signals] == [SignalAction.CANCEL, SignalAction.EXIT]
    assert (signals[0].cancels, signals[1].quantity) == (stop.key, Decimal(1))


def test_cancel_knows_only_own_working_orders() -> None:
    resting = order(Side.BUY, "1", OrderType.LIMIT)
    made = seated(working=(resting,))
    assert made.working_orders() == [resting]
    assert made.cancel(resting)[0].cancels == resting.key
    assert made.cancel("gone") == []


REFUSED: dict[str, tuple[Callable[[BaseStrategy], object], str]] = {
    "an unknown symbol": (lambda s: s.position("DOGE/USDT"), "'DOGE/USDT' is not in this run"),
    "a NaN quantity": (lambda s: s.buy(float("nan")), "quantity was nan"),
    "a negative quantity": (lambda s: s.buy(-1), "must not be negative"),
    "a word": (lambda s: s.target("all"), "target was 'all'; it must be a number"),
    "true": (lambda s: s.target(True), "target was True; it must be a number"),
    "an infinite decimal": (lambda s: s.target(Decimal("Infinity")), "must be a finite number"),
    "a limit order without a limit": (lambda s: s.buy(1, "limit"), "needs limit_price"),
    "a market order with a limit": (lambda s: s.buy(1, limit=99), "takes no limit_price"),
    "a price below a tick": (lambda s: s.buy(1, "limit", limit="0.001"), "below one tick"),
    "a price of zero": (lambda s: s.quantity_for(1, 0), "price was 0; it must be above 0"),
    "a late indicator": (lambda s: s.indicator("SMA"), "use it in setup"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_refused_in_words(name: str) -> None:
    act, words = REFUSED[name]
    with pytest.raises(InvalidInput) as caught:
        act(seated())
    assert words in caught.value.message


def test_a_strategy_outside_a_run_says_so() -> None:
    with pytest.raises(InvalidInput, match="only inside a run"):
        Seated("s1").position()


def test_attributes_set_in_a_hook_are_refused_since_a_restart_would_lose_them() -> None:
    made = seated()
    made.state["last"] = 3
    with pytest.raises(InvalidInput, match=r"keep it in self\.state\['last'\]"):
        made.last = 3  # type: ignore[attr-defined]


def test_a_parameter_is_not_set_in_code() -> None:
    with pytest.raises(InvalidInput, match="'fast' is set by the run's configuration"):
        MovingAverageCross("m").fast = 3


def hand_made(**changes: Any) -> Signal:
    fields: dict[str, Any] = {"quantity": Decimal(1), **changes}
    return Signal(BTC, Side.BUY, SignalAction.ENTER, **fields)


WRONG_ANSWERS: dict[str, tuple[Any, str]] = {
    "off the step": (hand_made(quantity=Decimal("0.00011")), "trades in steps of 0.001"),
    "off the tick": (
        hand_made(type=OrderType.LIMIT, limit_price=Decimal("1.001")),
        "priced in ticks of 0.01",
    ),
    "another symbol": (
        Signal("DOGE/USDT", Side.BUY, SignalAction.ENTER, quantity=Decimal(1)),
        "is not in this run",
    ),
    "an attached leg": (hand_made(stop_loss=Decimal(1)), "are not taken yet"),
    "a word": (["buy"], "a str; return a Signal"),
    "a number": (3, "returned from on_kline"),
    "too many": ([hand_made()] * 1001, "1001 signals at once"),
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
def test_a_wrong_answer_is_refused_with_the_strategy(name: str) -> None:
    answer, words = WRONG_ANSWERS[name]

    class Wrong(BaseStrategy):
        def on_kline(self, kline: Any) -> Any:
            return answer

    desk = Desk("binance", "1m", [instrument()], capital=Decimal(10_000))
    runner = StrategyRunner(Wrong("w1"), desk, {BTC: ONE_BAR})
    with pytest.raises(StrategyFailed, match="strategy 'w1'") as caught:
        runner.slice(0)
    assert words in caught.value.message


def test_legs_count_from_zero_for_each_symbol_and_cause() -> None:
    class Twice(BaseStrategy):
        def on_kline(self, kline: Any) -> Answer:
            return [*self.buy(1), *self.buy(2)]

    desk = Desk("binance", "1m", [instrument()], capital=Decimal(10_000))
    first, second = StrategyRunner(Twice("t"), desk, {BTC: ONE_BAR}).slice(0)
    assert (first.leg, second.leg) == (0, 1)
    assert first.key == f"{BTC}|1m|bar:{ONE_BAR.open_ts[0]}|0"
    assert first.valid_until == ONE_BAR.open_ts[0] + 120_000
    assert list(desk.working) == [first.key, second.key]


def test_a_strategy_without_on_kline_fails_in_words() -> None:
    desk = Desk("binance", "1m", [instrument()])
    runner = StrategyRunner(BaseStrategy("b"), desk, {BTC: ONE_BAR})
    with pytest.raises(StrategyFailed, match="BaseStrategy has no on_kline method"):
        runner.slice(0)


def test_state_must_survive_json() -> None:
    for kept, words in ((Decimal(1), "Decimal"), ((1, 2), "tuple"), ({1: 2}, "dict")):
        made = seated()
        made.state["x"] = kept
        runner = StrategyRunner(Seated("again"), made.desk, {BTC: ONE_BAR})
        with pytest.raises(StrategyFailed, match=rf"keeps {words} in self\.state\['x'\]"):
            runner.checked_state()


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (3, "3"), ("2.50", "2.50"), (1e-7, "1E-7")]
)
def test_a_float_is_the_decimal_it_is_written_as(value: Any, text: str) -> None:
    assert str(exact(value)) == text


def test_a_desk_needs_a_symbol() -> None:
    with pytest.raises(InvalidInput, match="at least one symbol"):
        Desk("binance", "1m", [])


def test_frames_must_fit_the_instruments() -> None:
    desk = Desk("binance", "5m", [instrument()])
    with pytest.raises(InvalidInput, match="no klines were given for BTC/USDT"):
        StrategyRunner(Seated("s"), desk, {})
    desk = Desk("binance", "5m", [instrument()])
    with pytest.raises(InvalidInput, match="BTC/USDT 1m were given for BTC/USDT 5m"):
        StrategyRunner(Seated("s"), desk, {BTC: ONE_BAR})
    backwards = candles("1 1 1 1\n2 2 2 2").slice(0, 2)
    backwards.open_ts[:] = backwards.open_ts[::-1].copy()
    desk = Desk("binance", "1m", [instrument()])
    with pytest.raises(InvalidInput, match="did not ascend"):
        StrategyRunner(Seated("s"), desk, {BTC: backwards})
