"""What an order holds back, and the buffer in it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.orders.reservation import held_buffer, reservation, reserve_buffer
from app.core.orders.types import OrderType, Side

D = Decimal
PRICES = st.decimals(min_value="0.00000001", max_value="1000000", places=8)
QUANTITIES = st.decimals(min_value="0.001", max_value="1000000", places=8)


@pytest.mark.parametrize(
    ("side", "kind", "limit", "asset", "amount", "buffer"),
    [
        (Side.BUY, OrderType.MARKET, None, "USDT", "1010", "0.01"),
        (Side.BUY, OrderType.STOP, None, "USDT", "1010", "0.01"),
        (Side.BUY, OrderType.LIMIT, D(90), "USDT", "901.8", "0.002"),
        (Side.BUY, OrderType.STOP_LIMIT, D(110), "USDT", "1102.2", "0.002"),
        (Side.SELL, OrderType.MARKET, None, "BTC", "10", "0"),
        (Side.SELL, OrderType.LIMIT, D(110), "BTC", "10", "0"),
    ],
)
def test_ten_at_a_hundred(
    side: Side, kind: OrderType, limit: Decimal | None, asset: str, amount: str, buffer: str
) -> None:
    held = reservation(side, kind, D(10), limit, D(100), base="BTC", quote="USDT")
    assert held == (asset, D(amount))
    assert reserve_buffer(side, kind, limit) == D(buffer)


@given(
    st.sampled_from(Side),
    st.sampled_from((OrderType.MARKET, OrderType.LIMIT)),
    PRICES,
    PRICES,
    QUANTITIES,
)
def test_the_buffer_is_read_off_what_an_order_holds(
    side: Side, kind: OrderType, limit: Decimal, market: Decimal, quantity: Decimal
) -> None:
    price = limit if kind is OrderType.LIMIT else None
    _, amount = reservation(side, kind, quantity, price, market, base="BTC", quote="USDT")
    assert held_buffer(side, kind, quantity, price, market, amount) == reserve_buffer(
        side, kind, price
    )


@pytest.mark.parametrize(
    ("quantity", "price", "reserved"),
    [
        ("2", "100", "200"),  # exactly what it holds at the venue
        ("3", "100", "200"),  # known from its trades alone, of which more came
        ("2", "0", "0"),  # by a price that nobody stated
    ],
)
def test_an_order_that_others_placed_holds_no_buffer(
    quantity: str, price: str, reserved: str
) -> None:
    found = held_buffer(Side.BUY, OrderType.MARKET, D(quantity), None, D(price), D(reserved))
    assert found == 0
