"""Reading market data: stored or derived bars, coverage, prices, catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from app.adapters.prices import InProcessPriceCache
from app.core.errors import InvalidInput, NotFound, Unavailable, UnknownName
from app.core.exchanges.errors import VenueUnreachable
from app.core.market.coverage import CoverageState, Span
from app.core.market.instruments import InstrumentStatus
from app.core.market.klines import KlineFrame
from app.core.market.quotes import MarketData
from app.core.market.resampling import resample_rows
from app.core.risk.context import ReferencePrice
from app.repositories.kline_store import KlineStore
from app.services.catalogue import CatalogueRefresher
from app.services.kline_pages import KlinePages
from app.services.market_data import MarketDataService, PriceSource, data_hash
from tests.integration.market.collecting import SYMBOL, Collecting, M, instrument
from tests.support.record import START_MS, record

T = START_MS
H = 60 * M
ETH = "ETH/USDT"


class Reading(Collecting):
    """The collection's world with a reader in it."""

    def read(self) -> MarketDataService:
        """A service over the same record, venue and clocks."""
        self.cache = InProcessPriceCache()
        return MarketDataService(
            self.units,
            KlineStore(self.units, None),
            lambda _: self.venue,
            self.market_clock,
            self.cache,
            self.ids,
        )


@pytest.fixture
def world(database_url: str) -> Iterator[Reading]:
    with record(database_url) as engine:
        world = Reading(engine, [*range(150), *range(152, 300)])
        world.finish(world.service.start(world.plan().id)[0].id)
        yield world


def test_stored_bars_are_read_as_they_are(world: Reading) -> None:
    market = world.read()
    frame = market.frame("binance", SYMBOL, "1m", T + 10 * M, T + 20 * M)
    assert frame.open_ts.tolist() == [T + minute * M for minute in range(10, 20)]
    assert market.rows("binance", SYMBOL, "1m", T, T + 2 * M) == world.everything()[:2]


def test_an_interval_that_is_not_stored_derives_from_minutes_complete_bars_only(
    world: Reading,
) -> None:
    market = world.read()
    frame = market.frame("binance", SYMBOL, "1h", T, T + 6 * H)
    assert frame.open_ts.tolist() == [T, T + H, T + 3 * H, T + 4 * H]  # the third has a hole
    rows = market.rows("binance", SYMBOL, "1h", T, T + 6 * H)
    assert rows == resample_rows(world.everything(), "1m", "1h").bars
    assert [float(row.close) for row in rows] == frame.close.tolist()


def test_a_derived_range_begins_and_ends_with_whole_bars(world: Reading) -> None:
    market = world.read()
    for start, end in ((T + 1, T + H + 1), (T + M, T + H + M)):
        frame = market.frame("binance", SYMBOL, "1h", start, end)
        assert frame.open_ts.tolist() == [T + H]
    assert len(market.frame("binance", SYMBOL, "1h", T + 1, T + 2)) == 0


def test_coverage_tells_every_expected_bar(world: Reading) -> None:
    report = world.read().coverage("binance", SYMBOL, "1m", T, T + 310 * M)
    assert (report.expected, report.source) == (310, "1m")
    assert report.counts[CoverageState.PRESENT] == 298
    assert report.counts[CoverageState.PENDING] == 12
    assert report.gaps == (
        Span(T + 150 * M, T + 152 * M, CoverageState.PENDING),
        Span(T + 300 * M, T + 310 * M, CoverageState.PENDING),
    )


def test_coverage_of_derived_bars_counts_a_hole_as_a_whole_bar(world: Reading) -> None:
    report = world.read().coverage("binance", SYMBOL, "1h", T, T + 6 * H)
    assert (report.expected, report.source) == (6, "1m")
    assert report.counts[CoverageState.PRESENT] == 4
    assert report.gaps == (
        Span(T + 2 * H, T + 3 * H, CoverageState.PENDING),
        Span(T + 5 * H, T + 6 * H, CoverageState.PENDING),
    )


def test_what_was_never_collected_is_said_to_be_so(world: Reading) -> None:
    market = world.read()
    with pytest.raises(NotFound, match="collection plan"):
        market.frame("binance", ETH, "1m", T, T + H)
    with pytest.raises(UnknownName):
        market.frame("binance", SYMBOL, "7m", T, T + H)
    with pytest.raises(InvalidInput):
        market.coverage("binance", SYMBOL, "1h", T + 1, T + 2)
    assert [(row.symbol, row.interval) for row in market.series()] == [(SYMBOL, "1m")]


def live(timestamp: int, price: str = "100", symbol: str = SYMBOL) -> MarketData:
    bid, ask = Decimal(price) - 1, Decimal(price) + 1
    return MarketData("binance", symbol, timestamp, Decimal(price), bid, ask, None)


def test_a_fresh_live_price_needs_no_question(world: Reading) -> None:
    market, now = world.read(), world.market_clock.now
    world.cache.put(live(now - 10_000))
    found = market.get_latest_price("binance", SYMBOL)
    assert (found.source, found.is_stale, found.age_ms) == (PriceSource.LIVE, False, 10_000)


def test_an_old_one_makes_us_ask_and_the_answer_is_kept(world: Reading) -> None:
    market, now = world.read(), world.market_clock.now
    world.cache.put(live(now - 10_001))
    world.venue.price = live(now, "105")
    found = market.get_latest_price("binance", SYMBOL)
    assert (found.source, found.is_stale) == (PriceSource.TICKER, False)
    assert found.data.price == 105
    world.venue.failures = [VenueUnreachable("binance", "no whole answer came")]
    assert market.get_latest_price("binance", SYMBOL).source is PriceSource.LIVE


def test_without_the_venue_the_last_close_is_told_and_called_stale(world: Reading) -> None:
    market = world.read()
    world.market_clock.now += H
    world.venue.failures = [VenueUnreachable("binance", "no whole answer came") for _ in "abc"]
    found = market.get_latest_price("binance", SYMBOL)
    assert (found.source, found.is_stale, found.age_ms) == (PriceSource.KLINE, True, H)
    assert found.data.price == world.everything()[-1].close
    world.cache.put(live(world.market_clock.now - 60_000, "107"))
    found = market.get_latest_price("binance", SYMBOL)
    assert found.data.price == 107
    assert found.is_stale
    with pytest.raises(Unavailable, match="no price of ETH/USDT is known"):
        market.get_latest_price("binance", ETH)


def test_a_price_of_a_time_yet_to_come_is_none(world: Reading) -> None:
    """Somebody's broken clock, or garbage in the cache: the venue is asked, and never believed."""
    market, now = world.read(), world.market_clock.now
    world.venue.price = live(now, "105")
    world.cache.put(live(now + 365 * 24 * H, "1.23"))
    found = market.get_latest_price("binance", SYMBOL)
    assert (found.data.price, found.source, found.is_stale) == (105, PriceSource.TICKER, False)
    world.venue.failures = [VenueUnreachable("binance", "no whole answer came")]
    found = market.get_latest_price("binance", SYMBOL)
    assert (found.source, found.is_stale) == (PriceSource.KLINE, True)
    world.venue.price = live(now + H, "1.23")
    assert market.reference("binance", SYMBOL) == ReferencePrice(Decimal("1.23"), 0, True)


def test_a_clock_that_is_a_little_ahead_of_ours_is_believed(world: Reading) -> None:
    market, now = world.read(), world.market_clock.now
    world.cache.put(live(now + 2_000))
    found = market.get_latest_price("binance", SYMBOL)
    assert (found.source, found.is_stale, found.age_ms) == (PriceSource.LIVE, False, 0)


def test_where_the_venue_s_time_is_not_known_the_last_price_is_told_and_called_stale(
    world: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, now = world.read(), world.market_clock.now

    def away(exchange: str) -> int:
        raise Unavailable(f"the time of {exchange} is not known")

    monkeypatch.setattr(world.market_clock, "now_ms", away)
    found = market.get_latest_price("binance", SYMBOL)
    assert (found.source, found.is_stale, found.age_ms) == (PriceSource.KLINE, True, None)
    world.cache.put(live(now + H, "107"))
    found = market.get_latest_price("binance", SYMBOL)
    assert (found.data.price, found.is_stale, found.age_ms) == (107, True, None)
    assert market.reference("binance", SYMBOL) == ReferencePrice(Decimal(107), None, True)
    with pytest.raises(Unavailable, match="no price of ETH/USDT is known"):
        market.get_latest_price("binance", ETH)


def test_what_risk_reckons_with(world: Reading) -> None:
    market, now = world.read(), world.market_clock.now
    world.cache.put(live(now))
    assert market.reference("binance", SYMBOL) == ReferencePrice(Decimal(100), 0, False)
    world.market_clock.now += H
    world.venue.failures = [VenueUnreachable("binance", "no whole answer came") for _ in "ab"]
    found = market.reference("binance", SYMBOL)
    assert found is not None
    assert (found.is_stale, found.age_ms) == (True, H)
    assert market.reference("binance", ETH) is None
    assert market.reference("binance", "NO/USDT") is None


def test_a_ticker_that_stands_still_is_stale(world: Reading) -> None:
    market = world.read()
    world.venue.price = live(world.market_clock.now - 60_000)
    assert market.get_latest_price("binance", SYMBOL).is_stale


def test_a_symbol_that_nobody_lists_has_no_price(world: Reading) -> None:
    with pytest.raises(UnknownName):
        world.read().get_latest_price("binance", "NO/USDT")


def test_the_catalogue_follows_the_venue_and_forgets_nothing(world: Reading) -> None:
    market = world.read()
    assert market.sync_instruments("binance") == 0
    moved = replace(instrument(SYMBOL), tick_size=Decimal("0.1"))
    world.venue.catalogue = [moved, instrument("SOL/USDT")]
    assert market.sync_instruments("binance") == 3
    assert market.instrument("binance", SYMBOL) == moved
    states = {found.symbol: found.status for found in market.instruments("binance")}
    assert states == {
        SYMBOL: InstrumentStatus.TRADING,
        ETH: InstrumentStatus.DELISTED,
        "SOL/USDT": InstrumentStatus.TRADING,
    }
    assert market.sync_instruments("binance") == 0


def test_what_is_used_is_refreshed_by_name_and_one_that_is_gone_has_all_of_them_asked_for(
    world: Reading,
) -> None:
    refresher = CatalogueRefresher(
        world.units, lambda _: world.venue, world.ids, world.clock, "tests"
    )
    world.venue.catalogues.clear()
    assert refresher.refresh("binance")
    assert not refresher.refresh("binance"), "somebody did just now"
    assert world.venue.catalogues == [[SYMBOL]]

    world.venue.catalogue = [instrument(ETH)]
    world.clock.advance(5_000)
    assert refresher.refresh("binance")
    assert world.venue.catalogues[1:] == [[SYMBOL], None]
    known = world.read().instrument("binance", SYMBOL)
    assert known.status is InstrumentStatus.DELISTED
    (event,) = world.events.on("system.instruments.")
    assert event["changes"] == [
        {"symbol": SYMBOL, "old": {"status": "trading"}, "new": {"status": "delisted"}}
    ]
    # It is not asked for again; what an order was refused in is.
    world.clock.advance(5_000)
    assert refresher.refresh("binance", ETH)
    assert world.venue.catalogues[3:] == [[ETH]]


def test_the_hash_of_data_changes_with_any_bar(world: Reading) -> None:
    market = world.read()
    frame = market.frame("binance", SYMBOL, "1m", T, T + H)
    again = market.frame("binance", SYMBOL, "1m", T, T + H)
    assert data_hash(frame) == data_hash(again)
    rows = world.everything()[:60]
    rows[7] = rows[7]._replace(volume=rows[7].volume + Decimal("0.001"))
    changed = KlineFrame.from_rows("binance", SYMBOL, "1m", rows)
    assert data_hash(changed) != data_hash(frame)
    assert data_hash(frame.slice(0, 59)) != data_hash(frame)


def test_a_series_without_a_bar_hides_none_that_another_one_holds(world: Reading) -> None:
    """Made by a plan whose venue gave nothing yet, or by a file of which all was refused."""
    market = world.read()
    asked = ("binance", SYMBOL, "1h", T, T + 6 * H)
    before = market.rows(*asked)
    assert before
    world.units.run(lambda unit: unit.klines.series("binance", SYMBOL, "1h", unit.now_ms))
    assert market.rows(*asked) == before
    assert market.frame(*asked).open_ts.tolist() == [row.open_ts for row in before]
    pages = KlinePages(world.units, KlineStore(world.units, None))
    found = pages.find("binance", SYMBOL, "1h", T, T + 6 * H, 10)
    assert pages.exact(found) == before


def test_a_series_without_a_bar_is_no_error_where_no_other_holds_any(world: Reading) -> None:
    for name in ("1m", "1h"):
        world.units.run(
            lambda unit, name=name: unit.klines.series("binance", ETH, name, unit.now_ms)
        )
    assert world.read().rows("binance", ETH, "1h", T, T + H) == []
