"""Spans of a range: all that overlap or touch it and no other, however many lie before it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import pytest

from app.core.market.coverage import CoverageState, Span
from app.repositories.unit import Units
from tests.support.record import START_MS, ManualClock, record, units_over

M: Final = 60_000
#: What is known of ten minutes: some spans touch, and minutes 3 and 8 are in none.
KNOWN: Final = [
    Span(0, M, CoverageState.PRESENT),
    Span(M, 3 * M, CoverageState.EXCHANGE_SIDE),
    Span(4 * M, 5 * M, CoverageState.PRESENT),
    Span(5 * M, 6 * M, CoverageState.PENDING),
    Span(6 * M, 8 * M, CoverageState.PRESENT),
    Span(9 * M, 10 * M, CoverageState.PRESENT),
]


@pytest.fixture
def units(database_url: str) -> Iterator[Units]:
    with record(database_url) as engine:
        units = units_over(engine, ManualClock())
        with units.write() as unit:
            for symbol in ("BTC/USDT", "ETH/USDT"):
                series = unit.klines.series("binance", symbol, "1m", START_MS)
                unit.coverage.save(unit.klines.lock_series(series.id).id, [], KNOWN)
        yield units


def test_every_range_finds_what_overlaps_or_touches_it(units: Units) -> None:
    bounds = [None, *(minute * M for minute in range(11))]
    with units.read() as unit:
        series = unit.klines.find_series("binance", "ETH/USDT", "1m")
        assert series is not None
        for start, end in product(bounds, bounds):
            expected = [
                span
                for span in KNOWN
                if (start is None or span.end >= start) and (end is None or span.start <= end)
            ]
            assert unit.coverage.spans(series.id, start, end) == expected, (start, end)
            assert unit.coverage.spans(series.id, start, end, limit=2) == expected[:2]
