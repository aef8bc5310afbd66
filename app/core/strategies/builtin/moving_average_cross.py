"""Moving-average crossover: in the market while the fast average is above the slow one."""

from __future__ import annotations

from app.core.market.klines import KlineData
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.errors import BadParameter
from app.core.strategies.parameters import DecimalParameter, IntParameter


class MovingAverageCross(BaseStrategy):
    """Buy when the fast simple moving average crosses above the slow one, sell when it is below.

    Long or flat, spot, market orders that fill at the next bar's open.

    - **Entry** on the bar where the fast average rises above the slow one, having been at or
      below it on the bar before. A cross that was missed is not chased: the next one is
      waited for.
    - **Exit** on any bar where the fast average is below the slow one while something is
      held. The level and not the crossing is asked for, so that an exit that could not be
      sent is sent again.

    It earns in long trends and pays, in fees and false starts, in a market that goes nowhere.
    """

    fast = IntParameter(10, low=2, high=400, help="bars of the fast average")
    slow = IntParameter(30, low=3, high=1000, help="bars of the slow average")
    fraction = DecimalParameter(
        "0.95", low="0.01", high="1", help="part of equity to hold; the rest pays fees and gaps"
    )

    def setup(self) -> None:
        if self.fast >= self.slow:
            raise BadParameter(f"fast ({self.fast}) must be below slow ({self.slow})")
        self.fast_ma = self.indicator("SMA", timeperiod=self.fast)
        self.slow_ma = self.indicator("SMA", timeperiod=self.slow)

    def on_kline(self, kline: KlineData) -> Answer:  # noqa: ARG002 - the averages say it
        fast, slow = self.fast_ma[0], self.slow_ma[0]
        if fast > slow:
            if self.fast_ma[1] <= self.slow_ma[1] and not self.position():
                return self.target_percent(self.fraction, tag="cross up")
        elif fast < slow and self.position():
            return self.target(0, tag="below")
        return None
