"""Positions, PnL and the ledger: what a trader can check by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.money import ZERO
from app.core.orders.types import Side
from app.core.portfolio.ledger import (
    Book,
    Entry,
    Unbalanced,
    balanced,
    fill_entries,
    holdings_change,
    totals,
)
from app.core.portfolio.positions import PositionState, TradeEffect, apply_trade, unrealized_pnl

D = Decimal


def play(*trades: TradeEffect) -> PositionState:
    """The position after trades."""
    state = PositionState()
    for trade in trades:
        state = apply_trade(state, trade)
    return state


def buy(price: str, quantity: str, **fees: Decimal) -> TradeEffect:
    return TradeEffect(Side.BUY, D(price), D(quantity), **fees)


def sell(price: str, quantity: str, **fees: Decimal) -> TradeEffect:
    return TradeEffect(Side.SELL, D(price), D(quantity), **fees)


def test_two_buys_and_a_partial_sale() -> None:
    # 1 @ 100 and 3 @ 120 average 115; selling 2 @ 125 earns 20.
    state = play(buy("100", "1"), buy("120", "3"), sell("125", "2"))
    assert (state.quantity, state.average_price, state.realized_pnl) == (D(2), D(115), D(20))
    assert unrealized_pnl(state, D(130)) == D(30)


def test_a_fee_in_base_shrinks_the_holding_and_counts_at_the_fills_price() -> None:
    state = play(buy("100", "1", fee_base=D("0.001")))
    assert state.quantity == D("0.999")
    assert state.fees == D("0.1")
    assert state.cash_flow == D(-100)


def test_going_flat_forgets_the_average() -> None:
    state = play(buy("100", "1"), sell("90", "1", fee_quote=D("0.09")))
    assert state == PositionState(ZERO, None, D(-10), D("0.09"), D("-10.09"))


def test_crossing_zero_opens_the_other_way_at_the_fills_price() -> None:
    state = play(buy("100", "1"), sell("110", "3"))
    assert (state.quantity, state.average_price, state.realized_pnl) == (D(-2), D(110), D(10))
    assert unrealized_pnl(state, D(100)) == D(20)


TRADES = st.lists(
    st.builds(
        TradeEffect,
        side=st.sampled_from(Side),
        price=st.decimals(min_value="0.01", max_value=100_000, places=2),
        quantity=st.decimals(min_value="0.00001", max_value=100, places=5),
        fee_quote=st.decimals(min_value=0, max_value=10, places=8),
    ),
    max_size=30,
)


@given(TRADES, st.decimals(min_value="0.01", max_value=100_000, places=2))
def test_cash_and_holding_explain_all_profit(trades: list[TradeEffect], last: Decimal) -> None:
    """realised + unrealised − fees = cash flow + worth of the holding, whatever the path."""
    state = play(*trades)
    profit = state.realized_pnl + unrealized_pnl(state, last) - state.fees
    worth = state.cash_flow + state.quantity * last
    assert abs(profit - worth) < D("1E-9")


@given(TRADES, st.sampled_from(["BTC", "USDT", "BNB"]))
def test_every_fill_posts_a_balanced_transaction(trades: list[TradeEffect], asset: str) -> None:
    for trade in trades:
        entries = fill_entries(
            instance_id="one",
            side=trade.side,
            base="BTC",
            quote="USDT",
            price=trade.price,
            quantity=trade.quantity,
            fee=trade.fee_quote,
            fee_asset=asset,
        )
        assert set(totals(entries).values()) <= {ZERO}
        paid = trade.fee_quote if asset == "BTC" else ZERO
        assert holdings_change(entries)["BTC"] == trade.quantity * trade.side.sign - paid


def test_an_unbalanced_transaction_is_refused() -> None:
    with pytest.raises(Unbalanced, match="USDT sum to 1"):
        balanced([Entry("one", Book.HOLDINGS, "USDT", D(1))])
