"""Topics of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.events import body, kline_event, parts_of, topic


def test_a_part_may_hold_what_means_something_in_a_topic() -> None:
    assert topic("market", "kline", "binance", "1.0*#%/USDT") == (
        "market.kline.binance.1%2E0%2A%23%25/USDT"
    )


@given(st.lists(st.text(min_size=1), min_size=1))
def test_the_parts_come_back(parts: list[str]) -> None:
    assert parts_of(topic(*parts)) == parts


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        topic("market", "")


def test_the_event_of_stored_klines() -> None:
    assert kline_event("binance", "BTC/USDT", "1m", 60_000, 120_000, 2) == (
        "market.kline.binance.BTC/USDT.1m",
        {
            "schema": "klines.v1",
            "kind": "trade",
            "exchange": "binance",
            "symbol": "BTC/USDT",
            "interval": "1m",
            "first": 60_000,
            "last": 120_000,
            "count": 2,
        },
    )
    assert body("jobs.v1", id="7") == {"schema": "jobs.v1", "id": "7"}
