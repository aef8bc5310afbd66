"""Rounding by tick and step, never towards more risk."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.core.market.rounding import ceil_to, floor_to, is_multiple, round_price, round_quantity
from app.core.orders.types import Side

VALUES = st.decimals(min_value=0, max_value=10**12, places=12)
STEPS = st.sampled_from([Decimal(text) for text in ("1", "0.1", "0.01", "0.00001", "0.5", "1E-12")])


@given(VALUES, STEPS)
def test_rounding_twice_changes_nothing(value: Decimal, step: Decimal) -> None:
    down, up = floor_to(value, step), ceil_to(value, step)
    assert down <= value <= up
    assert up - down in (0, step)
    assert floor_to(down, step) == down == ceil_to(down, step)
    assert is_multiple(down, step)


@given(VALUES, STEPS)
def test_orders_only_become_safer(value: Decimal, step: Decimal) -> None:
    assert abs(round_quantity(value, step)) <= abs(value)
    assert abs(round_quantity(-value, step)) <= abs(value)
    assert round_price(value, step, Side.BUY) <= value <= round_price(value, step, Side.SELL)


def test_a_step_of_zero_is_an_error() -> None:
    with pytest.raises(InvalidInput):
        floor_to(Decimal(1), Decimal(0))
