"""Closed bars and prices, from the venue's socket to the record and the cache."""

from __future__ import annotations

import signal
import socket
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.core.errors import Unavailable
from app.core.exchanges.streaming_frames import Feed, FeedKind
from app.core.market.coverage import CoverageState
from app.core.market.intervals import interval
from app.core.market.klines import KlineRow
from app.services.collection.arrivals import ArrivedKline
from app.services.streams.market import MarketShard
from app.services.streams.wanted import wanted
from tests.support.installation import EXCHANGE, MINUTE, SYMBOL, Installation, installed
from tests.support.simulator import SimulatorProcess, wait_until
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
    shards = [each for each in running if isinstance(each, MarketShard)]
    return len([shard for shard in shards if shard.is_streaming]) >= count


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


def test_a_bar_that_is_still_open_is_never_stored(here: Installation) -> None:
    here.plan()
    with streaming(here.parts) as streams:
        wait_until(lambda: subscribed(streams))
        opened = BAR.floor(here.market_ms)
        here.market(by_ms=opened + MINUTE + 30_000 - here.market_ms)
        wait_until(lambda: stored(here)[-1:] == [opened])
        # Half a minute of the next bar has been streamed, and more of it comes.
        here.market(by_ms=20_000)
        shard = market_shard(streams)
        wait_until(lambda: newest_print(shard) == opened + MINUTE)
        assert stored(here)[-1] == opened
        here.market(by_ms=10_000)
        wait_until(lambda: stored(here)[-1] == opened + MINUTE)
    with here.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, SYMBOL, "1m")
        assert series is not None
        assert unit.klines.revisions(series.id) == []
        assert unit.klines.quarantined(series.id) == []


def test_frames_doubled_reordered_and_dropped_leave_a_whole_series(anywhere: Installation) -> None:
    here = anywhere
    here.plan()
    stream = "btcusdt@kline_1m"
    here.venue.add_fault(action="ws_duplicate", stream=stream, probability=0.5)
    here.venue.add_fault(action="ws_reorder", stream=stream, probability=0.3)
    here.venue.add_fault(action="ws_drop", stream=stream, probability=0.3)
    with streaming(here.parts) as streams:
        wait_until(lambda: subscribed(streams))
        opened = BAR.floor(here.market_ms)
        here.market(by_ms=opened + 40 * MINUTE - here.market_ms)
        here.venue.clear_faults()
        here.market(by_ms=MINUTE)
        last = opened + 40 * MINUTE

        def whole() -> bool:
            # What the stream lost was noticed by it, and asked for: no sweep runs here.
            here.settle()
            return stored(here)[-1:] == [last] and stored(here)[-41:] == [
                opened + n * MINUTE for n in range(41)
            ]

        wait_until(whole, 60)
    assert "maintenance.follow_plans" not in {name for name, *_ in here.ran}
    with here.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, SYMBOL, "1m")
        assert series is not None
        assert unit.klines.revisions(series.id) == []


def test_a_socket_that_falls_silent_is_noticed_and_opened_anew(here: Installation) -> None:
    here.plan()
    with streaming(here.parts) as streams:
        wait_until(lambda: subscribed(streams))
        opened = BAR.floor(here.market_ms)
        here.market(by_ms=opened + MINUTE - here.market_ms)
        wait_until(lambda: stored(here)[-1] == opened)
        here.settle()
        first = market_shard(streams)._heard
        # From its next frame on the socket lives, answers pings, and says nothing.
        here.venue.add_fault(action="ws_silent", count=1)
        here.market(by_ms=MINUTE)
        wait_until(lambda: market_shard(streams)._heard is not first, 60)
        wait_until(lambda: here.settle() or stored(here)[-1] == opened + MINUTE, 60)
        wait_until(lambda: subscribed(streams))
        here.market(by_ms=MINUTE)
        wait_until(lambda: stored(here)[-1] == opened + 2 * MINUTE)


def test_one_dead_feed_among_others_is_subscribed_anew(here: Installation) -> None:
    here.plan()
    with streaming(here.parts) as streams:
        wait_until(lambda: subscribed(streams))
        opened = BAR.floor(here.market_ms)
        here.market(by_ms=opened + MINUTE - here.market_ms)
        wait_until(lambda: stored(here)[-1] == opened)
        here.settle()
        here.venue.add_fault(action="ws_drop", stream="btcusdt@kline_1m")
        shard = market_shard(streams)

        def struck() -> bool:
            here.market(by_ms=2_000)  # the ticker goes on speaking
            return bool(shard._strikes)

        wait_until(struck, 60)
        here.venue.clear_faults()
        there = BAR.floor(here.market_ms)
        here.market(by_ms=there + MINUTE - here.market_ms)
        wait_until(lambda: here.settle() or stored(here)[-1] == there)


def test_a_quiet_market_does_not_flap(here: Installation) -> None:
    here.plan()
    with streaming(here.parts) as streams:
        wait_until(lambda: subscribed(streams))
        here.market(by_ms=BAR.next(BAR.floor(here.market_ms)) - here.market_ms)
        shard = market_shard(streams)
        wait_until(lambda: len(shard._prints) == 2)
        held = shard._heard
        looked = []
        look = shard._probe.look
        shard._probe.look = lambda exchange, feed: looked.append(feed) or look(exchange, feed)  # type: ignore[method-assign,func-returns-value]
        # Time stands still, so nothing is sent: every feed is examined, and found quiet.
        wait_until(lambda: len(looked) >= 6, 60)
        assert shard._heard is held, "the socket was opened anew"
        assert not shard._strikes


def test_prices_carry_the_venues_time_and_go_stale(here: Installation) -> None:
    here.plan()
    prices, data = here.parts.prices, here.parts.market_data
    with streaming(here.parts) as streams:
        wait_until(lambda: subscribed(streams))
        now = here.market(by_ms=61_000)
        wait_until(lambda: (p := prices.get(EXCHANGE, SYMBOL)) and p.timestamp == now)
    price = prices.get(EXCHANGE, SYMBOL)
    assert price == here.parts.market(EXCHANGE).ticker(SYMBOL)
    assert price is not None and price.bid is not None and price.ask is not None  # noqa: PT018
    assert price.bid < price.ask
    assert price.volume_24h is not None
    latest = data.get_latest_price(EXCHANGE, SYMBOL)
    assert (latest.source, latest.is_stale) == ("live", False)
    # The streams have stopped: nobody takes an old price for the present one.
    here.market(by_ms=60_000)
    here.venue.add_fault(action="refuse", path="/api/v3/ticker/*")
    latest = data.get_latest_price(EXCHANGE, SYMBOL)
    assert latest.is_stale
    assert latest.data.timestamp == now


def test_what_is_wanted_changes_without_a_restart(here: Installation) -> None:
    first = here.plan()
    with streaming(here.parts, ready=lambda _service: True) as streams:
        wait_until(lambda: subscribed(streams))
        assert prices_of(here, {"ETH/USDT"}) == set()
        here.plan(symbols=("ETH/USDT",))
        wait_until(lambda: subscribed(streams, 2))
        now = here.market(by_ms=61_000)
        wait_until(lambda: prices_of(here, {"ETH/USDT", SYMBOL}) == {"ETH/USDT", SYMBOL})
        here.parts.collection.plans.enable(first, enabled=False)
        wait_until(lambda: len(streams.service.held) == 1)
        here.market(by_ms=61_000)
        newest = now + 61_000
        wait_until(
            lambda: (p := here.parts.prices.get(EXCHANGE, "ETH/USDT")) and p.timestamp == newest
        )
        last = here.parts.prices.get(EXCHANGE, SYMBOL)
        assert last is not None
        assert last.timestamp == now


def test_a_slow_database_loses_no_bar_and_holds_no_memory(here: Installation) -> None:
    here.plan()
    with streaming(here.parts) as streams:
        wait_until(lambda: subscribed(streams))
        writer = streams.service._klines
        writer._most_waiting = 5
        store, closed = writer._arrivals.store, []

        def refuse(*_: object) -> int:
            closed.append(len(writer._waiting))
            raise Unavailable("the database is away")

        writer._arrivals.store = refuse  # type: ignore[method-assign,assignment]
        opened = BAR.floor(here.market_ms)
        here.market(by_ms=opened + 30 * MINUTE - here.market_ms)
        wait_until(lambda: len(closed) >= 2)
        assert max(closed) <= 5
        writer._arrivals.store = store  # type: ignore[method-assign]
        expected = [opened + n * MINUTE for n in range(30)]
        wait_until(lambda: here.settle() or stored(here)[-30:] == expected, 60)


def test_an_instance_on_derived_bars_gets_no_series_of_its_own(here: Installation) -> None:
    """A series without a past would be preferred to the derived one, which has it."""
    here.plan(bars=180)
    here.instance(here.account(), "counter", interval="1h")
    with here.parts.units.read() as unit:
        found = wanted(unit, frozenset({EXCHANGE}), frozenset({"simulated"}))
    feeds = {feed for _, part in found.shards.values() for feed in part}
    assert feeds == {Feed(FeedKind.KLINE, SYMBOL, "1m"), Feed(FeedKind.TICKER, SYMBOL)}


def test_a_venue_that_was_killed_is_streamed_again_with_what_was_missed(tmp_path: Path) -> None:
    port = free_port()
    options: dict[str, Any] = {
        "seed": 7,
        "weight_limit": 0,
        "port": port,
        "state": tmp_path / "venue.jsonl",
    }
    with SimulatorProcess(**options) as venue, installed(venue, tmp_path / "here") as here:
        here.plan()
        with streaming(here.parts) as streams:
            wait_until(lambda: subscribed(streams))
            opened = BAR.floor(here.market_ms)
            here.market(by_ms=opened + MINUTE - here.market_ms)
            wait_until(lambda: stored(here)[-1] == opened)
            venue.stop(signal.SIGKILL)
            venue.start()
            here.market(by_ms=2 * MINUTE)  # before anybody listens again
            wait_until(lambda: here.settle() or stored(here)[-1] == opened + 2 * MINUTE, 30)
            wait_until(lambda: subscribed(streams))
            here.market(by_ms=MINUTE)
            wait_until(lambda: stored(here)[-1] == opened + 3 * MINUTE)
        assert stored(here)[-4:] == [opened + n * MINUTE for n in range(4)]


def prices_of(here: Installation, symbols: set[str]) -> set[str]:
    return {symbol for symbol in symbols if here.parts.prices.get(EXCHANGE, symbol)}


def market_shard(streams: Streams) -> MarketShard:
    running = [each.stream for each in streams.service._running.values()]
    return next(each for each in running if isinstance(each, MarketShard))


def newest_print(shard: MarketShard) -> int:
    """Open time of the bar that the stream spoke of last."""
    found = shard._prints.get(Feed(FeedKind.KLINE, SYMBOL, "1m"))
    return int(found[0]) if found else 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_bar_called_closed_too_early_or_out_of_shape_is_quarantined(
    anywhere: Installation,
) -> None:
    here = anywhere
    here.plan()
    opened = BAR.floor(here.market_ms)
    good = KlineRow(opened, *(Decimal(n) for n in ("2", "3", "1", "2", "1")), Decimal(2), 1)
    arrived = [
        ArrivedKline(EXCHANGE, SYMBOL, "1m", good, opened + 30_000),
        ArrivedKline(EXCHANGE, SYMBOL, "1m", good._replace(low=Decimal(4)), opened + MINUTE),
        ArrivedKline(EXCHANGE, SYMBOL, "1m", good._replace(open_ts=opened + 7), opened + MINUTE),
    ]
    before = stored(here)
    here.queue.waiting.clear()
    assert here.parts.collection.arrivals.store(arrived, lambda _unit: None) == 0
    assert stored(here) == before
    with here.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, SYMBOL, "1m")
        assert series is not None
        refused = unit.klines.quarantined(series.id)
    assert len(refused) == 3
    assert {row.source for row in refused} == {f"ws:{EXCHANGE}"}
    assert [task for task, _ in here.queue.waiting] == ["collection.follow"]
