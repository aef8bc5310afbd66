"""Closed bars and prices, from the venue's socket to the record and the cache."""

from __future__ import annotations

from decimal import Decimal

from app.core.market.coverage import CoverageState
from app.core.market.intervals import interval
from tests.support.installation import EXCHANGE, MINUTE, SYMBOL, Installation
from tests.support.simulator import wait_until
from tests.support.streaming import Streams, streaming

BAR = interval("1m")


def stored(here: Installation, symbol: str = SYMBOL, name: str = "1m") -> list[int]:
    with here.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, symbol, name)
        return (
            []
            if series is None
            else [row.open_ts for row in unit.klines.read_exact(series.id, 0, 2**62)]
        )


def subscribed(streams: Streams, count: int = 1) -> bool:
    """Whether the venue has confirmed the subscriptions of so many shards."""
    running = [each.stream for each in streams.service._running.values()]
    shards = [each for each in running if hasattr(each, "_fresh")]
    return len([s for s in shards if s._held and not s._fresh]) >= count


def test_a_closed_bar_is_stored_exactly_once_and_announced(anywhere: Installation) -> None:
    here = anywhere
    here.plan()
    with streaming(here.parts) as streams:
        wait_until(lambda: subscribed(streams))
        opened = BAR.floor(here.market_ms)
        here.market(by_ms=opened + 3 * MINUTE - here.market_ms)
        wait_until(lambda: stored(here)[-1:] == [opened + 2 * MINUTE])
    times = stored(here)
    assert times == sorted(set(times))
    # Nothing asked by REST: these are the stream's own bars, exact to the digit.
    with here.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, SYMBOL, "1m")
        assert series is not None
        ours = unit.klines.read_exact(series.id, opened, opened + 3 * MINUTE)
        spans = unit.coverage.spans(series.id)
    theirs = here.parts.market(EXCHANGE).klines(SYMBOL, "1m", opened, opened + 3 * MINUTE, 10)
    assert ours == theirs
    assert all(type(row.close) is Decimal for row in ours)
    assert [span.state for span in spans] == [CoverageState.PRESENT]
    told = here.bus.on("market.kline.")
    assert told[-1]["last"] == opened + 2 * MINUTE
