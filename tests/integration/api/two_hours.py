"""Two hours of minutes behind the API, ten of which are missing at the exchange."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.core.market.coverage import CoverageState, Span
from app.core.market.klines import KlineRow
from app.repositories.unit import Unit
from tests.support.api import TradingDay
from tests.support.record import START_MS

MINUTE = 60_000
SERIES = "exchange=binance&symbol=BTC/USDT&interval=1m"
#: Minutes 30 to 39 are missing at the exchange.
GAP = range(30, 40)


def bar_of(index: int) -> KlineRow:
    price = Decimal(64_000) + Decimal(index) / 10
    return KlineRow(
        START_MS + index * MINUTE,
        price,
        price + Decimal("0.3"),
        price - Decimal("0.3"),
        price + Decimal("0.1"),
        Decimal("1.50") + Decimal(index),
        None,
        None,
    )


def store_two_hours(day: TradingDay) -> None:
    """Store them, with their coverage."""
    bars = [bar_of(index) for index in range(120) if index not in GAP]

    def store(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms)
        unit.klines.lock_series(series.id)
        unit.klines.store(series.id, bars, covered=False, source="test", now_ms=unit.now_ms)
        first, gap = START_MS, START_MS + GAP.start * MINUTE
        after, end = START_MS + GAP.stop * MINUTE, START_MS + 120 * MINUTE
        unit.coverage.save(
            series.id,
            [],
            [
                Span(first, gap, CoverageState.PRESENT),
                Span(gap, after, CoverageState.EXCHANGE_SIDE),
                Span(after, end, CoverageState.PRESENT),
            ],
        )

    day.container.bulk_units.run(store)


def columns(response: Any) -> dict[str, list[Any]]:
    """The columns of an answer, checked to be of one length."""
    assert response.status_code == 200, response.text
    found: dict[str, list[Any]] = response.json()["columns"]
    assert len({len(column) for column in found.values()}) == 1
    return found
