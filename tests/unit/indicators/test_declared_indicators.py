"""Indicators: values of a bar depend on it and what came before, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from research_tables import BTC, gapped, instrument

from app.core.errors import InvalidInput, UnknownName
from app.core.indicators import talib_library
from app.core.indicators.declared import DeclaredIndicators
from app.core.indicators.definitions import IndicatorDefinition
from app.core.indicators.errors import BadIndicator, LookAhead
from app.core.indicators.lines import Line, Present
from app.core.indicators.registry import INDICATORS, IndicatorRegistry
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.desk import Desk
from app.core.strategies.runner import StrategyRunner

FRAME = gapped(11, bars=260)


def value_lines(name: str, bars: int) -> list[list[float]]:
    """Every value of every line of a function over the first ``bars`` bars, as bytes."""
    declared = DeclaredIndicators()
    definition = INDICATORS.get(name)
    inputs = {role: "close" for role in definition.inputs if role == "periods"}
    indicator = declared.declare(name, inputs, {})
    present = Present()
    declared.compute(FRAME.slice(0, bars), present)
    present.index = bars - 1
    return [[line[ago] for ago in range(bars - 1, -1, -1)] for line in indicator.lines]


@pytest.mark.parametrize("name", talib_library.names())
def test_a_value_is_the_same_on_truncated_data_bit_for_bit(name: str) -> None:
    whole = value_lines(name, 260)
    for bars in (259, 200, 131):
        for line, short in zip(whole, value_lines(name, bars), strict=True):
            assert np.array(line[:bars]).tobytes() == np.array(short).tobytes()


@pytest.mark.parametrize("name", talib_library.names())
def test_the_warm_up_is_where_the_first_value_is(name: str) -> None:
    declared = DeclaredIndicators()
    definition = INDICATORS.get(name)
    inputs = {role: "close" for role in definition.inputs if role == "periods"}
    declared.declare(name, inputs, {})
    for line in value_lines(name, 260):
        has_value = np.isfinite(line)
        if name in ("ACOS", "ASIN"):
            assert not has_value.any()  # not defined above 1, and prices are
            continue
        assert has_value[declared.warm_up :].all()


def test_no_value_before_the_warm_up() -> None:
    for line in value_lines("SMA", 60):
        assert np.isnan(line[:29]).all()
        assert line[29] == pytest.approx(float(FRAME.close[:30].mean()))


def on(declare: Callable[[DeclaredIndicators], Any], bars: int = 60) -> tuple[Any, Present]:
    declared = DeclaredIndicators()
    line = declare(declared)
    present = Present()
    declared.compute(FRAME.slice(0, bars), present)
    present.index = bars - 1
    return line, present


def test_zero_is_this_bar_and_one_the_bar_before() -> None:
    line, present = on(lambda d: d.column("close"))
    present.index = 7
    assert line[0] == FRAME.close[7]
    assert line[1] == FRAME.close[6]
    assert type(line[0]) is float


def test_a_negative_index_would_be_the_future_and_says_so() -> None:
    line, _ = on(lambda d: d.declare("SMA", {}, {"timeperiod": 5}))
    with pytest.raises(LookAhead, match=r"SMA\(timeperiod=5\)\[-1\] would be a bar of the future"):
        line[-1]


def test_before_the_first_bar_there_is_nothing() -> None:
    line, present = on(lambda d: d.column("close"))
    present.index = 3
    with pytest.raises(InvalidInput, match=r"close\[4\] is before the first bar; 4 bars"):
        line[4]
    with pytest.raises(InvalidInput, match="not in setup"):
        Line("x")[0]


def test_a_function_with_several_lines_names_them() -> None:
    bands, _ = on(lambda d: d.declare("BBANDS", {}, {"timeperiod": 5}))
    assert bands.upperband[0] > bands.middleband[0] > bands.lowerband[0]
    with pytest.raises(InvalidInput, match=r"has several lines; name one, as in \.upperband\[0\]"):
        bands[0]
    with pytest.raises(InvalidInput, match="has no line 'middle'; it has: upperband, middleband"):
        _ = bands.middle


def test_an_indicator_of_an_indicator_starts_after_both_warm_ups() -> None:
    def declare(declared: DeclaredIndicators) -> Any:
        rsi = declared.declare("RSI", {}, {"timeperiod": 14})
        smooth = declared.declare("SMA", {"price": rsi}, {"timeperiod": 5})
        assert declared.warm_up == 14 + 4
        return rsi, smooth

    (rsi, smooth), present = on(declare)
    present.index = 18
    assert smooth[0] == pytest.approx(np.mean([rsi[ago] for ago in range(5)]))
    present.index = 17
    assert np.isnan(smooth[0])


def test_too_few_bars_give_no_value_and_no_error() -> None:
    line, present = on(lambda d: d.declare("SMA", {}, {"timeperiod": 50}), bars=10)
    assert np.isnan(line[0])
    assert present.index == 9
    on(lambda d: d.declare("SMA", {}, {"timeperiod": 50}), bars=0)


REFUSED: dict[str, tuple[Callable[[DeclaredIndicators], object], type[Exception], str]] = {
    "an unknown name": (
        lambda d: d.declare("SMAA", {}, {}),
        UnknownName,
        r"'SMAA' is not known; did you mean .*SMA",
    ),
    "an unknown parameter": (
        lambda d: d.declare("SMA", {}, {"period": 3}),
        BadIndicator,
        "SMA has no parameter 'period'; it has: timeperiod",
    ),
    "a refused value": (
        lambda d: d.declare("SMA", {}, {"timeperiod": -3}),
        BadIndicator,
        r"SMA\(timeperiod=-3\) was refused by TA-Lib",
    ),
    "an unknown input": (
        lambda d: d.declare("SMA", {"prices": "close"}, {}),
        BadIndicator,
        "SMA has no input 'prices'; it has: price",
    ),
    "an unknown column": (
        lambda d: d.declare("SMA", {"price": "vwap"}, {}),
        BadIndicator,
        "SMA reads 'vwap'; a price column is one of open, high",
    ),
    "another strategy's line": (
        lambda d: d.declare("SMA", {"price": Line("stray")}, {}),
        BadIndicator,
        "'stray', which is not a line declared by this strategy",
    ),
    "several lines as one": (
        lambda d: d.declare("SMA", {"price": d.declare("BBANDS", {}, {})}, {}),
        BadIndicator,
        "has several lines; name one of upperband",
    ),
    "an unknown price column": (lambda d: d.column("vwap"), BadIndicator, "'vwap' was asked for"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_declaration_that_cannot_work_is_refused_in_words(name: str) -> None:
    declare, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        declare(DeclaredIndicators())


def test_no_nan_enters_an_indicator() -> None:
    holed = gapped(1, bars=40)
    holed.close[20] = np.nan
    declared = DeclaredIndicators()
    declared.declare("SMA", {}, {})
    with pytest.raises(BadIndicator, match=rf"BTC/USDT close is not .* at {holed.open_ts[20]}"):
        declared.compute(holed, Present())


def own(name: str, compute: Any) -> IndicatorDefinition:
    return IndicatorDefinition(name, {"price": "close"}, ("line",), {"k": 2}, compute, lambda _: 0)


def test_users_register_their_own_beside_talib() -> None:
    registry = IndicatorRegistry()
    doubled = own("DOUBLED", lambda inputs, values: [inputs[0] * values["k"]])
    assert registry.register(doubled) is doubled
    assert registry.get("DOUBLED") is doubled
    assert {"DOUBLED", "SMA"} <= set(registry.names())
    with pytest.raises(BadIndicator, match="DOUBLED exists already"):
        registry.register(doubled)
    with pytest.raises(BadIndicator, match="SMA exists already"):
        registry.register(own("SMA", None))
    with pytest.raises(BadIndicator, match="must be an upper-case identifier"):
        registry.register(own("my line", None))


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (lambda inputs, _: [inputs[0][1:]], r"shape \(259,\); it must have one value for each"),
        (lambda inputs, _: [np.full(len(inputs[0]), np.nan)], "has no value at some bars"),
    ],
)
def test_a_users_indicator_is_held_to_its_shape(
    compute: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(INDICATORS, "_own", {"OWN": own("OWN", compute)})
    declared = DeclaredIndicators()
    line = declared.declare("OWN", {}, {})
    declared.declare("SMA", {"price": line}, {})
    with pytest.raises(BadIndicator, match=words):
        declared.compute(FRAME, Present())


class Both(BaseStrategy):
    """Notes what its lines show for each symbol."""

    def setup(self) -> None:
        self.seen: list[tuple[str, float, float, float]] = []
        self.average = self.indicator("SMA", timeperiod=3)
        self.closes = self.prices("close")

    def on_kline(self, kline: Any) -> Answer:
        other = self.closes.of("ETH/USDT")[0]
        self.seen.append((kline.symbol, self.average[0], self.closes[0], other))
        return None


def test_a_line_shows_the_symbol_being_evaluated_or_a_named_one() -> None:
    btc, eth = gapped(1, bars=6), gapped(2, bars=6, symbol="ETH/USDT")
    desk = Desk("binance", "1m", [instrument(BTC), instrument("ETH/USDT")])
    strategy = Both("b")
    runner = StrategyRunner(strategy, desk, {BTC: btc, "ETH/USDT": eth})
    for position in range(6):
        runner.slice(position)
    assert len(strategy.seen) == 8
    assert strategy.seen[0] == (
        BTC,
        pytest.approx(btc.close[:3].mean()),
        btc.close[2],
        eth.close[2],
    )
    assert strategy.seen[1][:3] == (
        "ETH/USDT",
        pytest.approx(eth.close[:3].mean()),
        eth.close[2],
    )
    with pytest.raises(InvalidInput, match=r"no line for 'XRP/USDT'; this run has: BTC/USDT"):
        strategy.average.of("XRP/USDT")


def test_the_version_of_talib_is_known() -> None:
    assert talib_library.version()[0].isdigit()
