"""The order state machine and the identities of intents."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.orders.identity import client_order_id, is_ours, manual_intent, signal_intent
from app.core.orders.state import (
    ALLOWED,
    FINAL,
    LIVE,
    UNSETTLED,
    WORKING,
    IllegalMove,
    may_move,
    require_move,
)
from app.core.orders.types import OrderStatus


@given(st.lists(st.sampled_from(OrderStatus), max_size=20))
def test_no_walk_leaves_a_final_state(wishes: list[OrderStatus]) -> None:
    status, ended = OrderStatus.NEW, None
    for wish in wishes:
        if may_move(status, wish):
            status = wish
        if status in FINAL and ended is None:
            ended = status
        assert ended is None or status is ended


def test_every_state_is_live_or_final_and_every_live_one_can_end() -> None:
    assert set(OrderStatus) == FINAL | LIVE
    assert LIVE == UNSETTLED | WORKING
    for status in LIVE:
        reached = {status}
        while True:
            further = reached | {to for each in reached for to in ALLOWED[each]}
            if further == reached:
                break
            reached = further
        assert reached & FINAL


def test_nothing_is_sent_twice_without_passing_through_new() -> None:
    assert [status for status in OrderStatus if OrderStatus.SENDING in ALLOWED[status]] == [
        OrderStatus.NEW
    ]


def test_an_illegal_move_names_both_states() -> None:
    with pytest.raises(IllegalMove, match="from filled to new"):
        require_move(OrderStatus.FILLED, OrderStatus.NEW)


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=120))
def test_client_order_ids_fit_every_venue(account: str, intent: str) -> None:
    made = client_order_id(account, intent)
    assert re.fullmatch(r"[a-z0-9]{1,32}", made)
    assert made == client_order_id(account, intent)
    assert made != client_order_id(account, intent, epoch=1)
    assert made != client_order_id(account + "x", intent)
    assert is_ours(made)


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "td",
        "x-HNA2TXFJ" + "a" * 26,
        "td" + "a" * 25,
        "td" + "A" * 26,
        "td" + "é" * 26,
        "td" * 14 + "\n",
    ],
)
def test_an_id_of_another_shape_is_not_ours(foreign: str) -> None:
    assert not is_ours(foreign)


def test_intents_of_signals_and_people_never_meet() -> None:
    assert signal_intent("a", "b") != manual_intent("a:b")
    # the border between account and intent is part of the id
    assert client_order_id("a", "bc") != client_order_id("ab", "c")
