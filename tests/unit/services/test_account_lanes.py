"""Transactions on one account take turns; other accounts do not wait for them."""

from __future__ import annotations

import threading

import pytest

from app.services.orders.lanes import AccountLanes

WAIT_S = 10


def in_lane(lanes: AccountLanes, account: str, told: threading.Event) -> threading.Thread:
    def go() -> None:
        with lanes.of(account):
            told.set()

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def test_the_second_order_of_an_account_waits_for_the_first_and_another_account_does_not() -> None:
    lanes = AccountLanes()
    same, other = threading.Event(), threading.Event()
    with lanes.of("main"):
        waiting = in_lane(lanes, "main", same)
        in_lane(lanes, "second", other).join(WAIT_S)
        assert other.is_set()
        assert waiting.is_alive()
        assert not same.is_set()
    waiting.join(WAIT_S)
    assert same.is_set()


def test_an_order_that_fails_lets_the_next_one_in() -> None:
    lanes = AccountLanes()
    with pytest.raises(ValueError, match="denied"), lanes.of("main"):
        raise ValueError("denied")
    came = threading.Event()
    in_lane(lanes, "main", came).join(WAIT_S)
    assert came.is_set()
