"""Bybit: one name on two markets, newest rows first, refusals with HTTP 200, bans with 403."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import InvalidInput
from app.core.exchanges.errors import (
    BadVenueAnswer,
    RateLimited,
    VenueBanned,
    VenueRejected,
    VenueRulesRefused,
    VenueUnknown,
)
from app.core.market.instruments import InstrumentStatus, InstrumentType
from app.core.market.intervals import DAY_MS, MINUTE_MS
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate, OpenInterest
from tests.support.market_edge import NO_DATA, MarketEdge
from tests.support.record import START_MS
from tests.support.stub_venue import Reply, StubVenue

D = Decimal
T = START_MS
SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
HOUR = 3_600_000
MARKET = "/v5/market"


@pytest.fixture
def edge() -> Iterator[MarketEdge]:
    with StubVenue() as stub:
        yield MarketEdge("bybit", stub)


def said(*rows: Any, category: str = "linear", **result: Any) -> dict[str, Any]:
    """Bybit's envelope of a list."""
    return {
        "retCode": 0,
        "retMsg": "OK",
        "result": {"category": category, "list": list(rows), **result},
        "retExtInfo": {},
        "time": T,
    }


PAIR = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "quotePrecision": "0.00000001",
        "minOrderQty": "0.00004",
        "maxOrderQty": "63.01197227",
        "minOrderAmt": "1",
    },
    "priceFilter": {"tickSize": "0.01"},
}
CONTRACT = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "priceFilter": {"minPrice": "0.50", "maxPrice": "999999.00", "tickSize": "0.50"},
    "lotSizeFilter": {
        "maxOrderQty": "100.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "minNotionalValue": "5",
    },
}


def test_pairs_and_perpetuals_are_listed_page_by_page(edge: MarketEdge) -> None:
    dated = {**CONTRACT, "symbol": "BTCUSDT-25DEC26", "contractType": "LinearFutures"}
    unopened = {**CONTRACT, "symbol": "NEWUSDT", "baseCoin": "NEW", "status": "PreLaunch"}
    in_usdc = {**CONTRACT, "symbol": "BTCPERP", "quoteCoin": "USDC", "settleCoin": "USDC"}
    closed = {**CONTRACT, "symbol": "OLDUSDT", "baseCoin": "OLD", "status": "Closed"}
    edge.serve(
        f"{MARKET}/instruments-info",
        said(CONTRACT, dated, unopened, nextPageCursor="first%3Da"),
        said(in_usdc, closed, nextPageCursor=""),
        said(PAIR, category="spot"),
    )
    swap, usdc, old, spot = edge.market.instruments()
    assert [asked for _, asked in edge.asked()] == [
        {"category": "linear", "limit": "1000"},
        # The cursor goes back as it came, encoded already.
        {"category": "linear", "limit": "1000", "cursor": "first=a"},
        {"category": "spot"},
    ]
    assert (swap.symbol, swap.native_id, swap.type) == (SWAP, "BTCUSDT", InstrumentType.SWAP)
    assert (swap.tick_size, swap.step_size, swap.min_notional, swap.max_quantity) == (
        D("0.5"),
        D("0.001"),
        D(5),
        D(100),
    )
    assert (usdc.symbol, usdc.native_id) == ("BTC/USDC:USDC", "BTCPERP")
    assert old.status is InstrumentStatus.DELISTED
    assert (spot.symbol, spot.native_id, spot.type) == (SPOT, "BTCUSDT", InstrumentType.SPOT)
    assert (spot.tick_size, spot.step_size, spot.min_quantity, spot.min_notional) == (
        D("0.01"),
        D("0.000001"),
        D("0.00004"),
        D(1),
    )
    edge.serve(f"{MARKET}/instruments-info", said(PAIR, category="spot"))
    assert [one.symbol for one in edge.market.instruments([SPOT])] == [SPOT]
    with pytest.raises(VenueRulesRefused, match="does not list DOGE/USDT"):
        edge.market.instruments([SPOT, "DOGE/USDT"])


def test_a_catalogue_without_an_end_is_refused(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/instruments-info", said(CONTRACT, nextPageCursor="again"))
    with pytest.raises(BadVenueAnswer, match="does not end"):
        edge.market.instruments([SWAP])
    assert len(edge.asked()) == 10


def candle(opened: int) -> list[str]:
    return [str(opened), "100", "110", "90", "105", "6.28", "659.4"]


@pytest.mark.parametrize(("symbol", "category"), [(SPOT, "spot"), (SWAP, "linear")])
def test_klines_are_read_oldest_first(edge: MarketEdge, symbol: str, category: str) -> None:
    rows = [candle(T + MINUTE_MS), candle(T)]
    edge.serve(f"{MARKET}/kline", said(*rows, category=category, symbol="BTCUSDT"))
    price = tuple(map(D, ("100", "110", "90", "105", "6.28", "659.4")))
    # A start within a bar is moved to the next one, as the venue would do.
    assert edge.market.klines(symbol, "1m", T - 1, T + 2 * MINUTE_MS, 5000) == [
        KlineRow(T, *price, None),
        KlineRow(T + MINUTE_MS, *price, None),
    ]
    assert edge.asked() == [
        (
            f"{MARKET}/kline",
            {
                "category": category,
                "symbol": "BTCUSDT",
                "interval": "1",
                "start": str(T),
                "end": str(T + 2 * MINUTE_MS - 1),
                "limit": "1000",
            },
        )
    ]


def test_a_long_range_is_asked_for_a_page_at_a_time(edge: MarketEdge) -> None:
    page = [candle(T + n * MINUTE_MS) for n in reversed(range(1000))]
    edge.serve(f"{MARKET}/kline", said(*page))
    rows = edge.market.klines(SWAP, "1m", T, T + 10 * DAY_MS, 1000)
    assert [row.open_ts for row in rows] == [T + n * MINUTE_MS for n in range(1000)]
    ((_, asked),) = edge.asked()
    assert asked["end"] == str(T + 1000 * MINUTE_MS - 1)


@pytest.mark.parametrize(
    ("interval", "name"), [("1h", "60"), ("12h", "720"), ("1d", "D"), ("1w", "W"), ("1M", "M")]
)
def test_intervals_have_names_of_their_own(edge: MarketEdge, interval: str, name: str) -> None:
    edge.serve(f"{MARKET}/kline", said())
    edge.market.klines(SWAP, interval, T, T + DAY_MS, 1)
    asked = edge.asked()
    assert all(params["interval"] in (name, "M") for _, params in asked)
    with pytest.raises(InvalidInput, match="no klines of 3d"):
        edge.market.klines(SWAP, "3d", T, T + DAY_MS, 1)


@pytest.mark.parametrize(
    ("kind", "path"),
    [(KlineKind.MARK, "mark-price-kline"), (KlineKind.INDEX, "index-price-kline")],
)
def test_bars_of_a_price_have_no_volume(edge: MarketEdge, kind: KlineKind, path: str) -> None:
    edge.serve(f"{MARKET}/{path}", said([str(T), "1", "3", "0.5", "2"], symbol="BTCUSDT"))
    rows = edge.market.klines(SWAP, "1m", T, T + MINUTE_MS, 1, kind)
    assert rows == [KlineRow(T, D(1), D(3), D("0.5"), D(2), D(0))]
    with pytest.raises(InvalidInput, match="name a perpetual"):
        edge.market.klines(SPOT, "1m", T, T + MINUTE_MS, 1, kind)


def paid(ts: int, **changed: Any) -> dict[str, Any]:
    row = {"symbol": "BTCUSDT", "fundingRate": "-0.0001", "fundingRateTimestamp": str(ts)}
    return {**row, **changed}


def test_funding_is_read_oldest_first(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/funding/history", said(paid(T + 8 * HOUR), paid(T)))
    assert edge.market.funding_rates(SWAP, T, T + DAY_MS, 9) == [
        FundingRate(T, D("-0.0001")),
        FundingRate(T + 8 * HOUR, D("-0.0001")),
    ]
    assert edge.asked()[0][1] == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "startTime": str(T),
        "endTime": str(T + DAY_MS - 1),
        "limit": "200",
    }
    with pytest.raises(InvalidInput, match="no funding rates of BTC/USDT;"):
        edge.market.funding_rates(SPOT, T, T + DAY_MS, 9)


def test_open_interest_before_the_listing_is_not_asked_for_day_by_day(edge: MarketEdge) -> None:
    listed = T  # the first of a month
    point = {"openInterest": "461134.384", "timestamp": str(listed + HOUR)}
    edge.serve(f"{MARKET}/open-interest", said(symbol="BTCUSDT"), said(point, symbol="BTCUSDT"))
    edge.serve(f"{MARKET}/kline", said(candle(listed)))
    found = edge.market.open_interest(SWAP, "1h", T - 900 * DAY_MS, T + DAY_MS, 9)
    assert found == [OpenInterest(T + HOUR, D("461134.384"))]
    interest = [asked for path, asked in edge.asked() if path.endswith("open-interest")]
    assert [int(asked["startTime"]) for asked in interest] == [T - 900 * DAY_MS, T]
    assert interest[0]["intervalTime"] == "1h"
    with pytest.raises(InvalidInput, match="use one of 5m, 15m, 30m, 1h, 4h, 1d"):
        edge.market.open_interest(SWAP, "2h", T, T + DAY_MS, 9)


TICKER = {
    "symbol": "BTCUSDT",
    "lastPrice": "100.5",
    "bid1Price": "98",
    "ask1Price": "102",
    "volume24h": "7",
    "turnover24h": "700",
}


def book(**changed: Any) -> dict[str, Any]:
    result = {"s": "BTCUSDT", "b": [["100", "1"], ["99", "2"]], "a": [["101", "1"]], "ts": T}
    return {**said(), "result": {**result, "u": 5277055, **changed}}


def test_a_ticker_has_the_time_of_the_book(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/tickers", said(TICKER))
    edge.serve(f"{MARKET}/orderbook", book(cts=T - 3))
    price = edge.market.ticker(SWAP)
    assert (price.timestamp, price.price, price.bid, price.ask, price.volume_24h) == (
        T - 3,
        D("100.5"),
        D(100),
        D(101),
        D(7),
    )
    asked = {"category": "linear", "symbol": "BTCUSDT"}
    assert edge.asked() == [
        (f"{MARKET}/tickers", asked),
        (f"{MARKET}/orderbook", {**asked, "limit": "1"}),
    ]
    edge.serve(f"{MARKET}/orderbook", book(a=[]))
    edge.serve(f"{MARKET}/tickers", said(TICKER, category="spot"))
    price = edge.market.ticker(SPOT)
    assert (price.timestamp, price.bid, price.ask) == (T, D(100), None)


def test_turnover_of_a_name_is_that_of_both_its_markets(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/tickers", said(TICKER, category="spot"), said(TICKER))
    assert edge.market.turnover() == {"BTCUSDT": D(1400)}


def test_a_book_is_as_deep_as_its_market_allows(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/orderbook", book())
    found = edge.market.order_book(SWAP, 9000)
    assert (found.sequence, found.bids[0], found.asks) == (
        5277055,
        (D(100), D(1)),
        ((D(101), D(1)),),
    )
    edge.market.order_book(SPOT, 9000)
    assert [asked["limit"] for _, asked in edge.asked()] == ["500", "200"]


def test_the_clock_is_that_of_the_envelope(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/time", {**said(), "time": "1666879482792"})
    assert edge.market.server_time_ms() == 1_666_879_482_792


def questions(edge: MarketEdge) -> list[Callable[[], object]]:
    market = edge.market
    return [
        market.instruments,
        *(lambda kind=kind: market.klines(SWAP, "1m", T, T + HOUR, 9, kind) for kind in KlineKind),
        lambda: market.funding_rates(SWAP, T, T + DAY_MS, 9),
        lambda: market.open_interest(SWAP, "1h", T, T + DAY_MS, 9),
        lambda: market.ticker(SPOT),
        market.turnover,
        lambda: market.order_book(SWAP, 5),
        market.server_time_ms,
    ]


PATHS = tuple(
    f"{MARKET}/{name}"
    for name in (
        "instruments-info",
        "kline",
        "mark-price-kline",
        "index-price-kline",
        "funding/history",
        "open-interest",
        "tickers",
        "orderbook",
        "time",
    )
)


@pytest.mark.parametrize(
    "body",
    [*NO_DATA, b"{}", b'{"result":{"list":[]}}', b'{"retCode":0}', b'{"retCode":0,"result":[]}'],
    ids=range(len(NO_DATA) + 4),
)
def test_what_is_not_data_is_refused_everywhere(edge: MarketEdge, body: bytes) -> None:
    for path in PATHS:
        edge.serve(path, body)
    for ask in questions(edge):
        with pytest.raises(BadVenueAnswer):
            ask()


@pytest.mark.parametrize(
    "answer",
    [
        said(candle(T), candle(T + MINUTE_MS)),  # oldest first
        said(candle(T), candle(T)),
        said(candle(T - MINUTE_MS)),
        said(candle(T + HOUR)),
        said(candle(T)[:6]),
        said([T, *map(float, candle(T)[1:])]),
        said([None, *candle(T)[1:]]),
        said(candle(T), symbol="ETHUSDT"),
        said(candle(T), category="spot"),
        said(None),
    ],
)
def test_klines_that_cannot_be_are_refused(edge: MarketEdge, answer: Any) -> None:
    edge.serve(f"{MARKET}/kline", answer)
    with pytest.raises(BadVenueAnswer):
        edge.market.klines(SWAP, "1m", T, T + HOUR, 9)


@pytest.mark.parametrize(
    "rows",
    [
        [paid(T, symbol="ETHUSDT")],
        [paid(T, fundingRate="NaN")],
        [paid(T, fundingRate=None)],
        [paid(T - 1)],
        [paid(T), paid(T + HOUR)],
        [None],
    ],
)
def test_funding_that_cannot_be_is_refused(edge: MarketEdge, rows: list[Any]) -> None:
    edge.serve(f"{MARKET}/funding/history", said(*rows))
    with pytest.raises(BadVenueAnswer):
        edge.market.funding_rates(SWAP, T, T + DAY_MS, 9)


@pytest.mark.parametrize(
    "changed",
    [
        {"symbol": "ETHUSDT"},
        {"lastPrice": "0"},
        {"lastPrice": None},
        {"volume24h": "-1"},
    ],
)
def test_a_ticker_that_cannot_be_is_refused(edge: MarketEdge, changed: dict[str, Any]) -> None:
    edge.serve(f"{MARKET}/orderbook", book())
    edge.serve(f"{MARKET}/tickers", said({**TICKER, **changed}))
    with pytest.raises(BadVenueAnswer):
        edge.market.ticker(SWAP)


@pytest.mark.parametrize(
    "changed",
    [
        {"s": "ETHUSDT"},
        {"b": [["99", "1"], ["100", "2"]]},
        {"b": [["101", "1"]]},
        {"a": [["101", "0"]]},
        {"a": None},
        {"u": None, "ts": None},
    ],
)
def test_a_book_that_cannot_be_is_refused(edge: MarketEdge, changed: dict[str, Any]) -> None:
    edge.serve(f"{MARKET}/tickers", said(TICKER))
    edge.serve(f"{MARKET}/orderbook", book(**changed))
    with pytest.raises(BadVenueAnswer):
        edge.market.order_book(SWAP, 9)
    with pytest.raises(BadVenueAnswer):
        edge.market.ticker(SWAP)


def refused(edge: MarketEdge, reply: Reply) -> Exception:
    edge.stub.on("GET", f"{MARKET}/kline", reply)
    with pytest.raises(Exception) as failed:  # noqa: PT011
        edge.market.klines(SWAP, "1m", T, T + HOUR, 9)
    return failed.value


def code(number: int, text: str = "No") -> dict[str, Any]:
    return {"retCode": number, "retMsg": text, "result": {}, "retExtInfo": {}, "time": T}


def test_refusals_come_with_http_200(edge: MarketEdge) -> None:
    strange = refused(edge, Reply(code(10001, "params error: Symbol Invalid")))
    assert isinstance(strange, VenueRulesRefused)
    assert type(refused(edge, Reply(code(10001, "params error: limit")))) is VenueRejected
    assert type(refused(edge, Reply(code(10016, "System error")))) is VenueUnknown
    assert type(refused(edge, Reply(code(424242)))) is VenueUnknown


def test_the_venue_says_when_it_takes_requests_again(edge: MarketEdge) -> None:
    headers = {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": str(T + 700)}
    error = refused(edge, Reply(code(10006, "Too many visits!"), headers=headers))
    assert isinstance(error, RateLimited)
    assert error.retry_after_ms == 700
    sent = len(edge.stub.asked)
    with pytest.raises(RateLimited):
        edge.market.server_time_ms()
    assert len(edge.stub.asked) == sent
    edge.clock.advance(700)
    edge.serve(f"{MARKET}/time", said())
    assert edge.market.server_time_ms() == T


def test_the_last_request_of_a_window_is_the_last(edge: MarketEdge) -> None:
    headers = {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": str(T + 700)}
    edge.stub.on("GET", f"{MARKET}/time", Reply(said(), headers=headers))
    assert edge.market.server_time_ms() == T
    with pytest.raises(RateLimited):
        edge.market.server_time_ms()
    edge.clock.advance(3_600_000)  # a reset in the past is none
    edge.market.server_time_ms()
    edge.market.server_time_ms()


def test_a_403_bans_the_address_for_ten_minutes(edge: MarketEdge) -> None:
    error = refused(edge, Reply(b"<html>403 Forbidden</html>", 403))
    assert isinstance(error, VenueBanned)
    assert error.until_ms == T + 600_000
    assert edge.bans.saved == [("bybit", T + 600_000, "HTTP 403 ")]
    sent = len(edge.stub.asked)
    with pytest.raises(VenueBanned):
        edge.market.server_time_ms()
    assert len(edge.stub.asked) == sent
