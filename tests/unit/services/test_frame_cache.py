"""Frames from memory: always the bars that a fresh read would give."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.core.market.intervals import MINUTE_MS
from app.core.market.klines import KlineFrame
from app.services.frame_cache import FrameCache


class Store:
    """A series in memory, with the version that the kline store keeps."""

    def __init__(self) -> None:
        self.bars: dict[int, float] = {}
        self.version = 0
        self.bars_read = 0

    def put(self, minute: int, close: float) -> None:
        """Store a bar; the past changes if it is not newer than all others."""
        if self.bars and minute <= max(self.bars) and self.bars.get(minute) != close:
            self.version += 1
        self.bars[minute] = close

    def news(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        known: tuple[tuple[int, int], int] | None = None,
    ) -> tuple[tuple[int, int], KlineFrame]:
        version = (1, self.version)
        begin = known[1] if known is not None and known[0] == version else start
        return version, self.frame(exchange, symbol, interval, begin, end)

    def frame(self, exchange: str, symbol: str, interval: str, start: int, end: int) -> KlineFrame:
        inside = [minute for minute in sorted(self.bars) if start <= minute * MINUTE_MS < end]
        self.bars_read += len(inside)
        closes = np.array([self.bars[minute] for minute in inside], dtype=np.float64)
        times = np.array([minute * MINUTE_MS for minute in inside], dtype=np.int64)
        return KlineFrame(exchange, symbol, interval, times, *[closes] * 5)


STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.floats(1, 100), st.integers(0, 35)), min_size=1, max_size=40
)


@given(STEPS)
def test_memory_and_store_never_differ(steps: list[tuple[int, float, int]]) -> None:
    """Bars come late, are healed and revised in any order; every read is the store's."""
    store = Store()
    cache = FrameCache(store)
    for minute, close, end in steps:
        store.put(minute, close)
        wanted = store.frame("x", "A/B", "1m", 0, end * MINUTE_MS)
        got = cache.frame("x", "A/B", "1m", 0, end * MINUTE_MS)
        assert got.open_ts.tolist() == wanted.open_ts.tolist()
        assert got.close.tolist() == wanted.close.tolist()


def test_a_new_bar_costs_one_bar() -> None:
    store = Store()
    cache = FrameCache(store)
    for minute in range(1_000):
        store.put(minute, 1.0)
    cache.frame("x", "A/B", "1m", 0, 1_000 * MINUTE_MS)
    store.put(1_000, 2.0)
    store.bars_read = 0
    assert len(cache.frame("x", "A/B", "1m", 0, 1_001 * MINUTE_MS)) == 1_001
    assert store.bars_read == 1


def test_a_revision_is_seen_at_once() -> None:
    store = Store()
    cache = FrameCache(store)
    for minute in range(10):
        store.put(minute, 1.0)
    cache.frame("x", "A/B", "1m", 0, 10 * MINUTE_MS)
    store.put(4, 9.0)
    assert cache.frame("x", "A/B", "1m", 0, 10 * MINUTE_MS).close[4] == 9.0
