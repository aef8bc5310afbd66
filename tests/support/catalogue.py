"""Instruments for tests."""

from __future__ import annotations

from decimal import Decimal

from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType


def instrument(symbol: str = "BTC/USDT") -> Instrument:
    """An instrument with filters like Binance's."""
    base, quote = symbol.split("/")
    return Instrument(
        "binance",
        symbol,
        base + quote,
        base,
        quote,
        InstrumentType.SPOT,
        InstrumentStatus.TRADING,
        tick_size=Decimal("0.01"),
        step_size=Decimal("0.00001"),
        min_quantity=Decimal("0.00001"),
        min_notional=Decimal(5),
    )
