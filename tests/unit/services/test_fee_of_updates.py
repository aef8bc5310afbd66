"""What a strategy is told of a fee: quote units, whatever the venue charged it in."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.services.strategies.evaluation import _quote_fee


@pytest.mark.parametrize(
    ("asset", "fee", "told"),
    [("USDT", "5", "5"), ("BTC", "0.0001", "5"), ("BNB", "0.01", "0")],
)
def test_a_fee_is_told_in_quote_units(asset: str, fee: str, told: str) -> None:
    data = {"fee": fee, "fee_asset": asset, "price": "50000"}
    assert _quote_fee("BTC/USDT", data) == Decimal(told)
