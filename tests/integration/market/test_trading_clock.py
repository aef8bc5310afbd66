"""By whose clock a request to Binance spot is signed, and when."""

from __future__ import annotations

import pytest

from app.adapters.venue_clock import MeasuredClock
from app.core.exchanges.errors import VenueRetryLater
from app.core.exchanges.loopback import bind_sync
from app.core.exchanges.session import VenueSession
from app.core.exchanges.trading import BinanceSpotTrade, trade_adapter
from tests.integration.market.binance_orders import FILLED, MARKET, ORDER
from tests.integration.market.venue import KEYS, Edge
from tests.support.record import START_MS
from tests.support.stub_venue import Reply, StubVenue


def test_a_query_is_signed_when_nothing_is_left_to_wait_for(venue: StubVenue, edge: Edge) -> None:
    """A client that takes seconds to build, then a budget that lets it wait for its minute."""
    session = VenueSession(
        "binance",
        edge.budget,
        edge.clock,
        bind=lambda client: (edge.clock.advance(7_000), bind_sync(client, venue.url))[1],
        credentials=KEYS,
    )
    trade = BinanceSpotTrade(session)
    venue.on("GET", "/api/v3/account", Reply({"balances": []}))
    trade.get_balance()
    assert venue.asked[-1].params["timestamp"] == str(edge.clock.now_ms())
    assert edge.clock.now_ms() == START_MS + 7_000

    minute_end = START_MS + 60_000
    edge.clock.now = minute_end - 1_000
    edge.budget.correct("binance", 6_000)
    trade.get_balance()
    assert edge.clock.now_ms() >= minute_end
    assert venue.asked[-1].params["timestamp"] == str(edge.clock.now_ms())


def test_queries_and_cancels_are_signed_with_the_venues_time(venue: StubVenue, edge: Edge) -> None:
    theirs = MeasuredClock("binance", edge.clock, lambda: edge.clock.now_ms() - 4_200)
    theirs.synchronise(1_000)
    trade = trade_adapter(
        "binance", KEYS, edge.budget, edge.clock, base_url=venue.url, venue_clock=theirs
    )
    venue.on("GET", "/api/v3/account", Reply({"balances": []}))
    trade.get_balance()
    assert venue.asked[-1].params["timestamp"] == str(edge.clock.now_ms() - 4_200)
    # An order brings its own, which is committed already.
    venue.on("POST", ORDER, Reply(FILLED))
    trade.place_order(MARKET)
    assert venue.asked[-1].params["timestamp"] == str(MARKET.timestamp_ms)


def test_a_refused_timestamp_has_the_venues_clock_measured_anew(
    venue: StubVenue, edge: Edge
) -> None:
    asked = []

    def ask() -> int:
        asked.append(edge.clock.now_ms())
        return edge.clock.now_ms()

    theirs = MeasuredClock("binance", edge.clock, ask)
    theirs.synchronise(1_000)
    trade = trade_adapter(
        "binance", KEYS, edge.budget, edge.clock, base_url=venue.url, venue_clock=theirs
    )
    late = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
    venue.on("POST", ORDER, Reply(late, status=400))
    with pytest.raises(VenueRetryLater):
        trade.place_order(MARKET)
    theirs.synchronise(1_000)
    assert len(asked) == 2
