"""The bus inside one process behaves as the topic exchange does."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from app.adapters.local_bus import LocalBus, topic_matches


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("orders.*.binance", "orders.filled.binance", True),
        ("orders.*.binance", "orders.filled.okx", False),
        ("orders.*", "orders.filled.binance", False),
        ("orders.#", "orders.filled.binance", True),
        ("orders.#", "orders", True),
        ("#", "market.kline.binance.BTC/USDT.1m", True),
        ("#.1m", "market.kline.binance.BTC/USDT.1m", True),
        ("market.#.1h", "market.kline.binance.BTC/USDT.1m", False),
        ("*", "", True),
        ("a.b", "a", False),
    ],
)
def test_patterns(pattern: str, key: str, matches: bool) -> None:
    assert topic_matches(pattern, key) is matches


def test_events_arrive_in_order_and_a_failing_listener_disturbs_nobody() -> None:
    bus = LocalBus()
    heard: list[tuple[str, dict[str, Any]]] = []
    done = threading.Event()

    def listen(topic: str, body: dict[str, Any]) -> None:
        heard.append((topic, body))
        if body.get("last"):
            done.set()

    def fail(topic: str, body: dict[str, Any]) -> None:
        if body.get("number") == 0:
            raise RuntimeError("a listener of somebody else")

    bus.publish("orders.early", {})  # nobody listens yet
    bus.subscribe("#", fail)
    stop = bus.subscribe("orders.#", listen)
    for number in range(100):
        bus.publish("orders.new", {"number": number})
        bus.publish("market.tick", {"number": number})
    bus.publish("orders.new", {"last": True})
    assert done.wait(5)
    assert [body["number"] for _, body in heard[:-1]] == list(range(100))
    stop()
    bus.publish("orders.new", {"after": True})
    bus.close()
    assert len(heard) == 101
