"""Stories: a candle table, what the strategy does, the trades that follow."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from research_tables import (
    BTC,
    FLAT,
    START,
    RandomOrders,
    candles,
    gapped,
    instrument,
    run,
    scripted,
)

from app.core.backtest import engine
from app.core.backtest.engine import run_backtest
from app.core.backtest.report import why_no_trades
from app.core.backtest.spec import BacktestSpec
from app.core.errors import InvalidInput
from app.core.market.instruments import InstrumentType
from app.core.market.klines import KlineData
from app.core.money import canonical
from app.core.orders.types import OrderStatus
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.builtin import STRATEGIES, builtin_registry
from app.core.strategies.builtin.bollinger_reversion import BollingerReversion
from app.core.strategies.builtin.moving_average_cross import MovingAverageCross
from app.core.strategies.errors import StrategyFailed
from app.core.strategies.updates import OrderUpdate

CROSS_AND_BACK = candles("""
    100 100 100 100
     90  90  90  90
     80  80  80  80
     90  90  90  90   fast 85.0 slow 86.7
    110 110 110 110   fast 100  slow 93.3   crossed: buy
    111 125 105 120   bought at the open
    100 100 100 100   fast 110  slow 110    not below
     70  70  60  70   fast 85   slow 96.7   below: sell
     69  70  65  70   sold at the open
""")


def test_moving_average_cross_buys_the_cross_and_sells_below() -> None:
    result = run(MovingAverageCross, CROSS_AND_BACK, params={"fast": 2, "slow": 3})
    bought, sold = result.fills
    assert (bought.bar_ts, bought.price, bought.tag) == (START + 5 * 60_000, 111, "cross up")
    assert bought.quantity == Decimal("86.363")  # 95 % of 10,000 at 110, down to the step
    assert (sold.bar_ts, sold.price, sold.tag) == (START + 8 * 60_000, 69, "below")
    (trade,) = result.trades
    assert trade.pnl == Decimal("-3642.791340")
    assert trade.fees == Decimal("15.545340")
    assert (trade.bars, trade.entry_tag, trade.exit_tag) == (3, "cross up", "below")
    assert trade.mae_pct == pytest.approx((60 / 111 - 1) * 100)
    assert trade.mfe_pct == pytest.approx((125 / 111 - 1) * 100)
    assert result.final_equity == Decimal("6357.20866")
    assert result.warm_up == 2


def test_moving_average_cross_refuses_a_fast_average_that_is_not_faster() -> None:
    with pytest.raises(StrategyFailed, match=r"fast \(30\) must be below slow \(30\)") as caught:
        run(MovingAverageCross, CROSS_AND_BACK, params={"fast": 30, "slow": 30})
    assert caught.value.message == (
        "strategy 'MovingAverageCross' refuses its parameters: fast (30) must be below slow (30)"
    )


SWING = candles("""
    100    100    100   100
     98     98     98    98
    102.01 102.01 102   102.01   mean 100.005, lower 99.0025: bid 99.00
    101    101     98.5  99      filled at 99.00; mean 100.505: hold
    104    104    104   104      mean 101.5 reached: sell
    103    103    103   103      sold at the open
""")


def test_bollinger_reversion_bids_the_lower_band_and_sells_the_mean() -> None:
    result = run(BollingerReversion, SWING, params={"period": 2, "width": 0.5})
    bought, sold = result.fills
    assert (bought.bar_ts, bought.price, bought.is_maker) == (START + 180_000, 99, True)
    assert (sold.bar_ts, sold.price, sold.tag) == (START + 300_000, 103, "mean")
    assert result.closed_trades()[0].quantity == bought.quantity == Decimal("95.957")


def test_bollinger_reversion_moves_its_bid_with_the_band() -> None:
    falling = candles("\n".join(f"{p} {p} {p} {p}" for p in (100, 98, 102, 103, 105, 106)))
    result = run(BollingerReversion, falling, params={"period": 2, "width": 0.5})
    bids = [float(order.limit_price or 0) for order in result.orders]
    assert bids == pytest.approx([99, 102.25, 103.5, 105.25], abs=0.011)
    assert [o.status.value for o in result.orders] == [*["cancelled"] * 3, "acknowledged"]
    assert "1 working at the end" in " ".join(why_no_trades(result))


def test_an_order_that_must_fill_at_once_expires() -> None:
    act = {0: lambda s: s.buy(1, "limit", limit=50, time_in_force="ioc")}
    (order,) = run(scripted(act), FLAT).orders
    assert (order.status, order.reason) == (OrderStatus.EXPIRED, "not filled at once")
    assert order.closed_ts == START + 60_000


def test_unfilled_rejected_and_cancelled_orders_stay_visible() -> None:
    act = {
        0: lambda s: s.buy(1, "limit", limit=50, tag="deep"),
        1: lambda s: [*s.buy(1_000), *s.sell(1)],
        2: lambda s: s.cancel_all(),
    }
    result = run(scripted(act), FLAT)
    assert [(o.status.value, o.reason) for o in result.orders] == [
        ("cancelled", "by the strategy"),
        ("rejected", "not enough cash"),
        ("rejected", "sells more than is owned"),
    ]
    assert result.order_counts() == {
        "sent": 3,
        "filled": 0,
        "cancelled": 1,
        "expired": 0,
        "working at the end": 0,
        "rejected: not enough cash": 1,
        "rejected: sells more than is owned": 1,
    }
    reasons = why_no_trades(result)
    assert reasons[0] == "the strategy was asked 6 times after 0 bars of warm-up and sent 3 orders"
    assert "1 rejected: not enough cash" in reasons


def test_a_buy_that_the_open_made_too_dear_is_rejected_then() -> None:
    jump = candles("100 100 100 100\n150 150 150 150")
    (order,) = run(scripted({0: lambda s: s.buy(90)}), jump).orders
    assert (order.status, order.reason) == (OrderStatus.REJECTED, "not enough cash")


def test_a_strategy_hears_of_its_orders_before_the_bar_that_filled_them_closes() -> None:
    heard: list[tuple[str, str, float]] = []

    class Listening(BaseStrategy):
        def setup(self) -> None:
            self.closes = self.prices("close")

        def on_kline(self, kline: KlineData) -> Answer:
            return self.buy(1) if kline.timestamp == START else None

        def on_order_update(self, update: OrderUpdate) -> Answer:
            heard.append((update.status.value, update.event_id, self.closes[0]))
            if update.tag:
                return None
            return self.sell(self.position(), "stop", stop=95, tag="protect")

    frame = candles("100 100 100 100\n101 103 101 103\n104 104 90 90\n90 90 90 90")
    result = run(Listening, frame)
    assert heard[0] == ("filled", "1", 100.0)
    assert [(f.price, f.tag) for f in result.fills] == [(101, ""), (95, "protect")]
    assert result.orders[1].key == f"{BTC}|1m|fill:1|0"


def test_the_range_asked_for_is_evaluated_and_the_rest_is_warm_up() -> None:
    frame = gapped(3, bars=50)
    start, end = int(frame.open_ts[20]), int(frame.open_ts[40])
    params = {"fast": 2, "slow": 10}
    result = run(MovingAverageCross, frame, params=params, start_ts=start, end_ts=end)
    assert (result.first_ts, result.bars, len(result.equity)) == (start, 20, 20)
    assert result.end_ts == end
    cold = run(MovingAverageCross, frame.between(start, end), params=params)
    assert (cold.bars, cold.first_ts) == (11, int(frame.open_ts[29]))


def test_a_range_without_klines_says_so() -> None:
    with pytest.raises(InvalidInput, match=r"no klines of BTC/USDT 1m in the range"):
        run(MovingAverageCross, FLAT, start_ts=START + 10**9)


def test_two_runs_are_equal_and_another_fee_is_another_result() -> None:
    frame, params = gapped(4), {"fast": 3, "slow": 9}
    one, two = (run(MovingAverageCross, frame, params=params) for _ in range(2))
    assert one.result_hash == two.result_hash
    assert one.to_json() == two.to_json()
    dear = run(MovingAverageCross, frame, params=params, fee=Decimal("0.01"))
    assert dear.result_hash != one.result_hash
    assert dear.data_hash == one.data_hash


def test_a_position_still_open_is_valued_and_not_sold() -> None:
    result = run(scripted({0: lambda s: s.buy(10)}), candles("100 100 100 100\n100 120 90 110"))
    (trade,) = result.trades
    assert trade.is_open
    assert (trade.exit_price, trade.pnl) == (110, Decimal(99))
    assert result.final_equity == Decimal(10_099)
    assert result.closed_trades() == ()
    assert "BTC/USDT: a position is still open since 2024-01-01 00:01" in why_no_trades(result)


def test_symbols_with_holes_share_cash_and_wait_for_their_own_bars() -> None:
    btc = candles("\n".join(["100 100 100 100"] * 5))
    eth = candles("\n".join(["10 10 10 10", "11 11 11 11", "12 12 12 12"]), "ETH/USDT")
    eth.open_ts[1:] += 120_000  # bars 0, 3 and 4
    act = {0: lambda s: s.buy(10, symbol="ETH/USDT") if s.desk.symbol == BTC else None}
    result = run(scripted(act), btc, eth)
    (fill,) = result.fills
    assert (fill.bar_ts, fill.price) == (START + 180_000, 11)
    assert result.equity.equity.tolist() == pytest.approx(
        [10_000, 10_000, 10_000, 9999.89, 10_009.89]
    )
    with pytest.raises(InvalidInput, match="backtrader needs a bar of every symbol"):
        run(scripted(act), btc, eth, engine="backtrader")


def test_two_symbols_may_answer_one_bar_with_orders_for_the_same_one() -> None:
    eth = candles("\n".join(["10 10 10 10"] * 5), "ETH/USDT")
    btc = candles("\n".join(["100 100 100 100"] * 5))
    act = {0: lambda s: s.buy(1, symbol="ETH/USDT")}
    result = run(scripted(act), btc, eth)
    assert [order.key.rsplit("|", 1)[1] for order in result.orders] == ["0", "1"]
    assert len(result.fills) == 2


def test_a_long_list_of_orders_is_cut_where_nothing_happened() -> None:
    act = {n: lambda s: [*s.cancel_all(), *s.buy(1, "limit", limit=50)] for n in range(5)}
    result = run(scripted(act), FLAT)
    data = result.to_json(max_orders=2)
    assert [order["status"] for order in data["orders"]] == ["cancelled", "acknowledged"]
    assert data["orders_left_out"] == 3
    assert len(result.to_json()["orders"]) == 5


def test_scaling_in_and_out_is_one_trade() -> None:
    act = {
        0: lambda s: s.buy(10),
        1: lambda s: s.buy(10),
        2: lambda s: s.sell(5),
        3: lambda s: s.target(0),
    }
    frame = candles("\n".join(f"{p} {p} {p} {p}" for p in (100, 100, 110, 120, 130)))
    (trade,) = run(scripted(act), frame, fee=Decimal(0)).trades
    assert (trade.quantity, trade.entry_price) == (20, 105)
    assert (trade.exit_price, trade.pnl) == (Decimal("127.5"), 450)
    assert trade.return_pct == pytest.approx(450 / 2100 * 100)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no symbol": ({"instruments": ()}, "at least one symbol"),
    "a symbol twice": ({"instruments": (instrument(), instrument())}, "given twice: BTC/USDT"),
    "two quotes": (
        {"instruments": (instrument(), instrument("ETH/BTC"))},
        "these have BTC, USDT",
    ),
    "a swap": ({"instruments": (instrument(contract_size=Decimal(2)),)}, "is a swap"),
    "no cash": ({"cash": Decimal(0)}, "cash was 0"),
    "an absurd fee": ({"fee": Decimal(1)}, "fee was 1"),
    "a range backwards": ({"start_ts": 2, "end_ts": 1}, "start 2 was not before end 1"),
    "an engine": ({"engine": "zipline"}, "'zipline' is not known; use tidemark or backtrader"),
    "an interval": ({"interval": "7m"}, "'7m' is not known"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_specification_that_cannot_be_run_is_refused(name: str) -> None:
    changes, words = REFUSED[name]
    fields: dict[str, Any] = {
        "strategy": "x",
        "exchange": "binance",
        "interval": "1m",
        "instruments": (instrument(),),
        **changes,
    }
    if name == "a swap":
        swap = object.__new__(type(instrument()))
        for field in instrument().__slots__:
            object.__setattr__(swap, field, getattr(instrument(), field))
        object.__setattr__(swap, "type", InstrumentType.SWAP)
        fields["instruments"] = (swap,)
    with pytest.raises(InvalidInput, match=words):
        BacktestSpec(**fields)


def test_the_result_is_plain_json_and_names_every_assumption() -> None:
    result = run(MovingAverageCross, gapped(4), params={"fast": 3, "slow": 9})
    data = json.loads(json.dumps(result.to_json(max_points=50), allow_nan=False))
    assert data["schema"] == "backtest.v1"
    assert len(data["equity"]["equity"]) == 50
    assert data["equity"]["thinned"] is True
    assert data["equity"]["equity"][-1] == data["final_equity"] == canonical(result.final_equity)
    fees = sum(fill.fee for fill in result.fills)
    assert Decimal(data["metrics"]["fees"]) == pytest.approx(fees, abs=Decimal("1e-8"))
    amounts = ("fees", "traded_value", "expectancy", "best_trade", "worst_trade")
    assert all(isinstance(data["metrics"][name], str) for name in amounts)
    assert data["params"] == {"fast": 3, "slow": 9, "fraction": "0.95"}
    named = dict(result.assumptions)
    assert named["cash at start"] == "10000 USDT"
    assert named["fee"].startswith("0.1 % of each fill's value")
    assert named["parameter slow"] == "9"
    assert {"slippage", "volume", "latency", "filters", "sizing equity"} <= set(named)


@pytest.mark.parametrize("symbols", [1, 2])
def test_a_long_run_is_done_in_chunks_that_leave_no_trace(
    symbols: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (BTC, "ETH/USDT")[:symbols]
    frames = [gapped(8, symbol=name) for name in names]
    whole = run(RandomOrders, *frames)
    monkeypatch.setattr(engine, "_CHUNK", 7)
    assert run(RandomOrders, *frames).to_json() == whole.to_json()
    monkeypatch.setattr(engine, "_run_single", engine._run_many)
    assert run(RandomOrders, *frames).to_json() == whole.to_json()


class Answering(BaseStrategy):
    """Answers each fill by what the indicator shows."""

    def setup(self) -> None:
        self.closes = self.prices("close")
        self.average = self.indicator("SMA", timeperiod=4)

    def on_kline(self, kline: KlineData) -> Answer:
        return self.buy("0.5") if kline.close > self.average[0] else None

    def on_order_update(self, update: OrderUpdate) -> Answer:
        limit = self.closes[0] * 1.001
        return self.sell("0.5", "limit", limit=limit) if update.side == "buy" else None


def test_an_answer_to_a_fill_sees_the_same_bar_in_every_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = run(Answering, gapped(8))
    assert len(whole.fills) > 20
    monkeypatch.setattr(engine, "_CHUNK", 7)
    assert run(Answering, gapped(8)).to_json() == whole.to_json()


@pytest.mark.parametrize("strategy", [MovingAverageCross, BollingerReversion, Answering])
def test_a_decimal_context_that_an_author_has_set_changes_nothing(
    strategy: type[BaseStrategy],
) -> None:
    whole = run(strategy, gapped(8))
    assert len(whole.fills) > 3
    with localcontext(prec=3):
        narrow = run(strategy, gapped(8))
    assert narrow.to_json() == whole.to_json()


def test_progress_is_told_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    for name in ("tidemark", "backtrader"):
        spec = BacktestSpec(
            strategy="m",
            exchange="binance",
            interval="1m",
            instruments=(instrument(),),
            engine=name,
        )
        run_backtest(spec, [FLAT], MovingAverageCross, lambda *step: seen.append(step))
    assert seen == [(6, 6), (6, 6)]


def test_a_strategy_that_fails_is_named_with_its_line() -> None:
    with pytest.raises(StrategyFailed, match=r"'Scripted' failed in on_kline.*ZeroDivisionError"):
        run(scripted({2: lambda s: s.buy(1 / 0)}), FLAT)


def test_the_builtins_are_registered_once_and_described() -> None:
    assert STRATEGIES.names() == ["bollinger_reversion", "moving_average_cross"]
    made = STRATEGIES.create_strategy("moving_average_cross", "i1", {"fast": 5})
    assert made.config["fast"] == 5
    info = builtin_registry().info("bollinger_reversion")
    assert info.title.startswith("Rest a buy at the lower Bollinger band")
    assert "class BollingerReversion" in info.source
    assert len(info.version) == 64


def test_columns_of_the_curve_add_up() -> None:
    curve = run(MovingAverageCross, gapped(4), params={"fast": 3, "slow": 9}).equity
    assert np.allclose(curve.cash + curve.exposure, curve.equity)
    assert len(curve.close_ts) == 300
