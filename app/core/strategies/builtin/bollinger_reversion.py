"""Bollinger reversion: buy a stretch below the mean with a limit, sell at the mean."""

from __future__ import annotations

from app.core.market.klines import KlineData
from app.core.orders.types import OrderType
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.parameters import DecimalParameter, FloatParameter, IntParameter


class BollingerReversion(BaseStrategy):
    """Rest a buy at the lower Bollinger band; once filled, sell when the close is at the mean.

    Long or flat, spot.

    - **Entry**: a limit order at the lower band. The band moves with every bar, so the order
      is taken back and placed anew on each; it fills on the next bar if the price comes down
      to it.
    - **Exit**: a market order on the bar whose close is at or above the middle band, also for
      a part that was filled.

    The bands are the mean of ``period`` closes ± ``width`` standard deviations (population),
    J. Bollinger, "Bollinger on Bollinger Bands", 2001. It earns in a market that swings
    around a level and loses in a fall that does not come back: there is no stop.
    """

    period = IntParameter(20, low=2, high=500, help="bars of the mean and the deviation")
    width = FloatParameter(2.0, low=0.1, high=10.0, help="standard deviations to the band")
    fraction = DecimalParameter(
        "0.95", low="0.01", high="1", help="part of equity to hold; the rest pays fees"
    )

    def setup(self) -> None:
        self.bands = self.indicator(
            "BBANDS", timeperiod=self.period, nbdevup=self.width, nbdevdn=self.width
        )

    def on_kline(self, kline: KlineData) -> Answer:
        if self.position():
            if kline.close >= self.bands.middleband[0]:
                return self.close_position(tag="mean")
            return self.cancel_all()
        lower = self.bands.lowerband[0]
        if not 0 < lower < kline.close:
            return self.cancel_all()
        quantity = self.quantity_for(self.fraction, lower)
        entry = self.buy(quantity, OrderType.LIMIT, limit=lower, tag="lower band")
        return [*self.cancel_all(), *entry]
