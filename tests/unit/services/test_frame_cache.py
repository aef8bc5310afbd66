"""Frames from memory: always the bars that a fresh read would give."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.core.market.composing import FOREVER, Origin, Stretch, same_to, stretches
from app.core.market.intervals import MINUTE_MS
from app.core.market.klines import KlineFrame
from app.repositories.segments import joined
from app.services.frame_cache import FrameCache, News, PastVersion


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
        known: tuple[PastVersion, int] | None = None,
    ) -> News:
        version = (Origin(1, self.version, start, FOREVER),)
        begin = start if known is None else max(start, min(known[1], same_to(known[0], version)))
        return News(version, begin, self.frame(exchange, symbol, interval, begin, end))

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


class TwoSeries:
    """Hours of a series of their own, and the same hours as another one makes them."""

    def __init__(self) -> None:
        self.places = [Store(), Store()]

    def news(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        known: tuple[PastVersion, int] | None = None,
    ) -> News:
        version = tuple(
            Origin(one.place, self.places[one.place].version, one.start, one.end)
            for one in self._parts(start, FOREVER)
        )
        begin = start if known is None else max(start, min(known[1], same_to(known[0], version)))
        return News(version, begin, self.frame(exchange, symbol, interval, begin, end))

    def frame(self, exchange: str, symbol: str, interval: str, start: int, end: int) -> KlineFrame:
        name = (exchange, symbol, interval)
        parts = self._parts(start, end)
        return joined(
            name, [self.places[one.place].frame(*name, one.start, one.end) for one in parts]
        )

    def _parts(self, start: int, end: int) -> list[Stretch]:
        spans = [
            (min(each.bars) * MINUTE_MS, (max(each.bars) + 1) * MINUTE_MS) if each.bars else None
            for each in self.places
        ]
        return stretches(spans, start, end)


PLACES = st.lists(st.tuples(st.integers(0, 1), *[st.integers(0, 30)] * 3), max_size=40)


@given(PLACES)
def test_memory_never_keeps_a_bar_that_comes_of_another_series_since(
    steps: list[tuple[int, int, int, int]],
) -> None:
    store = TwoSeries()
    cache = FrameCache(store)
    for place, minute, close, end in steps:
        store.places[place].put(minute, 100.0 * place + close)
        wanted = store.frame("x", "A/B", "1m", 0, end * MINUTE_MS)
        got = cache.frame("x", "A/B", "1m", 0, end * MINUTE_MS)
        assert got.open_ts.tolist() == wanted.open_ts.tolist()
        assert got.close.tolist() == wanted.close.tolist()


def test_a_bar_that_its_own_series_brings_late_costs_two_bars() -> None:
    """Minutes are there first, and the hour that the venue states takes the place of theirs."""
    store = TwoSeries()
    cache = FrameCache(store)
    for minute in range(1_000):
        store.places[0].put(minute, 1.0)
        store.places[1].put(minute, 2.0)
    store.places[1].put(1_000, 2.0)
    assert cache.frame("x", "A/B", "1m", 0, 1_001 * MINUTE_MS).close[-2:].tolist() == [1.0, 2.0]
    store.places[0].put(1_000, 1.0)
    store.places[1].put(1_001, 2.0)
    for each in store.places:
        each.bars_read = 0
    frame = cache.frame("x", "A/B", "1m", 0, 1_002 * MINUTE_MS)
    assert frame.close[-3:].tolist() == [1.0, 1.0, 2.0]
    assert sum(each.bars_read for each in store.places) == 2
