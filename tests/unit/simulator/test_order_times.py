"""How the benchmark of orders reckons: never less than the time that it is named after."""

from __future__ import annotations

import math

import pytest

from benchmarks.support.order_times import OrderTimes
from benchmarks.support.statistics import percentile, summary

BAR = 60_000
DELAYS = {"A/USDT": 60, "B/USDT": 400}


def times(symbol: str = "B/USDT", signal_ms: float = 2_000) -> OrderTimes:
    return OrderTimes(
        "signal", symbol, BAR, "accepted", signal_ms, order_id="order", client_order_id="c"
    )


def test_a_frame_was_sent_when_the_earliest_of_its_step_says_so() -> None:
    order = times()
    # Ours was received 35 ms late, the other one 5 ms late: the step began at 1,005 at the latest.
    order.take_frame({("A/USDT", BAR): 1_065.0, ("B/USDT", BAR): 1_435.0}, DELAYS)
    order.complete({"order": 2_090.0}, {}, {})
    assert order.frame_ms == 1_405
    assert order.kline_to_ack == 685
    assert order.signal_to_ack == 90


def test_a_bar_that_came_by_another_way_has_no_time_from_its_frame() -> None:
    order = times(signal_ms=1_200)
    order.take_frame({("B/USDT", BAR): 1_400.0}, DELAYS)
    order.complete({"order": 1_300.0}, {}, {})
    assert order.kline_to_ack is None
    assert order.signal_to_ack == 100


def test_hops_that_were_not_seen_are_left_out_and_the_others_add_up() -> None:
    order = times()
    order.decision_ms, order.claim_ms, order.ack_ms = 2_020, 2_040, 2_060
    order.complete({"order": 2_080.0}, {("orders.accept_signal", "signal"): 2_010.0}, {"c": 2_050})
    assert order.hops == {
        "signal_to_start": 10,
        "start_to_decision": 10,
        "decision_to_claim": 20,
        "claim_to_venue": 10,
        "venue_to_ack": 10,
        "ack_to_event": 20,
    }
    assert sum(order.hops.values()) == order.signal_to_ack
    order.venue_ms = None
    assert {"claim_to_venue", "venue_to_ack"}.isdisjoint(order.hops)


def test_an_order_whose_answer_was_unknown_or_never_came_is_not_answered() -> None:
    late, unknown = times(), times()
    late.complete({}, {}, {})
    unknown.complete({"order": 9_000.0}, {}, {})
    unknown.was_unknown = True
    assert not late.is_answered
    assert not unknown.is_answered


@pytest.mark.parametrize(("percent", "expected"), [(50, 10), (95, 19), (99, 20), (100, 20)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile(list(range(20, 0, -1)), percent) == expected


def test_nothing_measured_is_no_number() -> None:
    assert math.isnan(percentile([], 95))
    assert summary("x", [1.26], "_1ps") == {
        "x_p50_ms_1ps": 1.3,
        "x_p95_ms_1ps": 1.3,
        "x_p99_ms_1ps": 1.3,
    }
