"""Binance USD-M futures: what is asked for, how it is read, and what is never taken for data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import InvalidInput
from app.core.exchanges.errors import BadVenueAnswer, VenueRulesRefused
from app.core.market.instruments import InstrumentStatus, InstrumentType
from app.core.market.intervals import DAY_MS
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate, OpenInterest
from tests.support.market_edge import NO_DATA, MarketEdge, capture
from tests.support.record import START_MS
from tests.support.stub_venue import Reply, StubVenue

D = Decimal
T = START_MS
BTC = "BTC/USDT:USDT"
HOUR = 3_600_000


@pytest.fixture
def edge() -> Iterator[MarketEdge]:
    with StubVenue() as stub:
        yield MarketEdge("binanceusdm", stub)


CONTRACT = {
    "symbol": "BTCUSDT",
    "contractType": "PERPETUAL",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "1", "maxPrice": "9"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ],
}


def test_perpetuals_are_listed_with_their_filters(edge: MarketEdge) -> None:
    dated = {**CONTRACT, "symbol": "BTCUSDT_261225", "contractType": "CURRENT_QUARTER"}
    gone = {**CONTRACT, "symbol": "LUNAUSDT", "baseAsset": "LUNA", "status": "CLOSE"}
    edge.serve("/fapi/v1/exchangeInfo", {"symbols": [CONTRACT, dated, gone]})
    bitcoin, luna = edge.market.instruments()
    assert (bitcoin.symbol, bitcoin.native_id, bitcoin.type) == (
        BTC,
        "BTCUSDT",
        InstrumentType.SWAP,
    )
    assert (bitcoin.tick_size, bitcoin.step_size, bitcoin.min_quantity, bitcoin.max_quantity) == (
        D("0.1"),
        D("0.001"),
        D("0.001"),
        D(1000),
    )
    assert (bitcoin.min_notional, bitcoin.contract_size) == (D(100), D(1))
    assert luna.status is InstrumentStatus.DELISTED
    assert [found.symbol for found in edge.market.instruments([BTC])] == [BTC]
    with pytest.raises(VenueRulesRefused, match="does not list DOGE/USDT:USDT"):
        edge.market.instruments([BTC, "DOGE/USDT:USDT"])


def test_every_recorded_contract_is_read(edge: MarketEdge) -> None:
    body = capture("binanceusdm/exchangeInfo.json.gz")
    edge.serve("/fapi/v1/exchangeInfo", body)
    found = edge.market.instruments()
    named = {row["symbol"] for row in body["symbols"] if row["contractType"] == "PERPETUAL"}
    assert {instrument.native_id for instrument in found} == named
    assert all(instrument.symbol.endswith((":USDT", ":BUSD")) for instrument in found)


ROW = [T, "100.0", "110.0", "90.0", "105.0", "7.5", T + 59_999, "750.25", 12, "3", "300", "0"]


def test_klines_of_trades_are_read_exactly(edge: MarketEdge) -> None:
    edge.serve("/fapi/v1/klines", [ROW])
    numbers = map(D, ("100.0", "110.0", "90.0", "105.0", "7.5", "750.25"))
    rows = edge.market.klines(BTC, "1m", T, T + 600_000, 5000)
    assert rows == [KlineRow._make([T, *numbers, 12])]
    assert edge.asked() == [
        (
            "/fapi/v1/klines",
            {
                "symbol": "BTCUSDT",
                "interval": "1m",
                "startTime": str(T),
                "endTime": str(T + 599_999),
                "limit": "1500",
            },
        )
    ]
    assert edge.market.klines(BTC, "1m", T, T, 5) == []
    assert edge.asked() == []


@pytest.mark.parametrize(
    ("kind", "path", "name"),
    [
        (KlineKind.MARK, "/fapi/v1/markPriceKlines", "symbol"),
        (KlineKind.INDEX, "/fapi/v1/indexPriceKlines", "pair"),
    ],
)
def test_bars_of_a_price_have_no_volume(
    edge: MarketEdge, kind: KlineKind, path: str, name: str
) -> None:
    price = [T, "9653.29", "9654.56", "9653.07", "9653.08", "0", T + 59_999, "0", 60, "0", "0", "0"]
    edge.serve(path, [price])
    rows = edge.market.klines(BTC, "1m", T, T + 60_000, 1, kind)
    assert rows == [
        KlineRow(T, D("9653.29"), D("9654.56"), D("9653.07"), D("9653.08"), D(0), None, None)
    ]
    assert edge.asked()[0][1][name] == "BTCUSDT"


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1500, 10)]
)
def test_a_page_costs_by_its_size(edge: MarketEdge, limit: int, weight: int) -> None:
    edge.serve("/fapi/v1/klines", [])
    edge.market.klines(BTC, "1m", T, T + DAY_MS, limit)
    assert edge.budget.used("binanceusdm") == weight


def test_funding_says_who_paid_and_at_which_price(edge: MarketEdge) -> None:
    paid = {"symbol": "BTCUSDT", "fundingRate": "-0.00063521", "fundingTime": T + 3}
    later = {**paid, "fundingRate": "0.0001", "fundingTime": T + 8 * HOUR, "markPrice": "63000.5"}
    edge.serve("/fapi/v1/fundingRate", [{**paid, "markPrice": ""}, later])
    assert edge.market.funding_rates(BTC, T, T + DAY_MS, 100) == [
        FundingRate(T + 3, D("-0.00063521"), None),
        FundingRate(T + 8 * HOUR, D("0.0001"), D("63000.5")),
    ]
    assert edge.asked()[0][1] == {
        "symbol": "BTCUSDT",
        "startTime": str(T),
        "endTime": str(T + DAY_MS - 1),
        "limit": "100",
    }
    assert edge.market.funding_rates(BTC, T, T, 100) == []


def interest(ts: int, **changed: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "sumOpenInterest": "20403.637",
        "sumOpenInterestValue": "150570784.07",
        "timestamp": ts,
        **changed,
    }


def test_open_interest_is_asked_for_in_parts_of_the_last_30_days(edge: MarketEdge) -> None:
    edge.clock.now = T + 60 * DAY_MS
    since = T + 31 * DAY_MS  # 29 days before now
    path = "/futures/data/openInterestHist"
    edge.serve(path, [], [interest(since + 500 * HOUR, timestamp=str(since + 500 * HOUR))])
    assert edge.market.open_interest(BTC, "1h", 0, since + 700 * HOUR, 1) == [
        OpenInterest(since + 500 * HOUR, D("20403.637"), D("150570784.07"))
    ]
    assert [(asked["startTime"], asked["endTime"]) for _, asked in edge.asked()] == [
        (str(since), str(since + 500 * HOUR - 1)),
        (str(since + 500 * HOUR), str(since + 700 * HOUR - 1)),
    ]
    with pytest.raises(InvalidInput, match="use one of 5m, 15m"):
        edge.market.open_interest(BTC, "1m", T, T + DAY_MS, 1)


def test_open_interest_that_the_venue_keeps_no_longer_is_none(edge: MarketEdge) -> None:
    edge.clock.now = T + 400 * DAY_MS
    path = "/futures/data/openInterestHist"
    refused = {"code": -1130, "msg": "parameter 'startTime' is invalid."}
    edge.stub.on("GET", path, Reply(refused, 400))
    assert edge.market.open_interest(BTC, "1h", T, T + DAY_MS, 9) == []
    edge.stub.on("GET", path, Reply({"code": -1121, "msg": "Invalid symbol."}, 400))
    with pytest.raises(VenueRulesRefused):
        edge.market.open_interest(BTC, "1h", T, T + DAY_MS, 9)


DAY = {
    "symbol": "BTCUSDT",
    "lastPrice": "100.5",
    "volume": "7",
    "quoteVolume": "700",
    "closeTime": T,
}
TOP = {"symbol": "BTCUSDT", "bidPrice": "100", "askPrice": "101", "time": T}


def test_a_ticker_joins_the_day_and_the_best_prices(edge: MarketEdge) -> None:
    edge.serve("/fapi/v1/ticker/24hr", DAY)
    edge.serve("/fapi/v1/ticker/bookTicker", TOP)
    price = edge.market.ticker(BTC)
    assert (price.timestamp, price.price, price.bid, price.ask, price.volume_24h) == (
        T,
        D("100.5"),
        D(100),
        D(101),
        D(7),
    )
    edge.serve("/fapi/v1/ticker/24hr", [DAY])
    assert edge.market.turnover() == {"BTCUSDT": D(700)}


def test_a_book_is_cut_to_the_depth_asked_for(edge: MarketEdge) -> None:
    book = {"lastUpdateId": 7, "bids": [["100", "1"], ["99", "2"]], "asks": [["101", "1"]]}
    edge.serve("/fapi/v1/depth", {**book, "E": T, "T": T})
    found = edge.market.order_book(BTC, 1)
    assert (found.sequence, found.bids, found.asks) == (7, ((D(100), D(1)),), ((D(101), D(1)),))
    assert edge.asked()[0][1]["limit"] == "5"


PATHS = (
    "/fapi/v1/exchangeInfo",
    "/fapi/v1/klines",
    "/fapi/v1/markPriceKlines",
    "/fapi/v1/indexPriceKlines",
    "/fapi/v1/fundingRate",
    "/futures/data/openInterestHist",
    "/fapi/v1/ticker/24hr",
    "/fapi/v1/ticker/bookTicker",
    "/fapi/v1/depth",
    "/fapi/v1/time",
)


def questions(edge: MarketEdge) -> list[Callable[[], object]]:
    market = edge.market
    return [
        market.instruments,
        *(lambda kind=kind: market.klines(BTC, "1m", T, T + HOUR, 9, kind) for kind in KlineKind),
        lambda: market.funding_rates(BTC, T, T + DAY_MS, 9),
        lambda: market.open_interest(BTC, "1h", T, T + DAY_MS, 9),
        lambda: market.ticker(BTC),
        market.turnover,
        lambda: market.order_book(BTC, 5),
        market.server_time_ms,
    ]


@pytest.mark.parametrize("body", NO_DATA, ids=range(len(NO_DATA)))
def test_what_is_not_data_is_refused_everywhere(edge: MarketEdge, body: bytes) -> None:
    for path in PATHS:
        edge.serve(path, body)
    for ask in questions(edge):
        with pytest.raises(BadVenueAnswer):
            ask()


FUNDING = {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingTime": T, "markPrice": "1"}


@pytest.mark.parametrize(
    "rows",
    [
        [{**FUNDING, "symbol": "ETHUSDT"}],
        [{**FUNDING, "fundingRate": None}],
        [{**FUNDING, "fundingRate": "NaN"}],
        [{**FUNDING, "markPrice": "-1"}],
        [{**FUNDING, "fundingTime": "soon"}],
        [{**FUNDING, "fundingTime": T - 1}],
        [FUNDING, FUNDING],
        [None],
    ],
)
def test_funding_that_cannot_be_is_refused(edge: MarketEdge, rows: list[Any]) -> None:
    edge.serve("/fapi/v1/fundingRate", rows)
    with pytest.raises(BadVenueAnswer):
        edge.market.funding_rates(BTC, T, T + DAY_MS, 9)


@pytest.mark.parametrize(
    "row",
    [
        interest(T, symbol="ETHUSDT"),
        interest(T, sumOpenInterest="-1"),
        interest(T, sumOpenInterestValue=None),
        interest(T + DAY_MS),
        interest(T, timestamp=None),
    ],
)
def test_open_interest_that_cannot_be_is_refused(edge: MarketEdge, row: dict[str, Any]) -> None:
    edge.serve("/futures/data/openInterestHist", [row])
    with pytest.raises(BadVenueAnswer):
        edge.market.open_interest(BTC, "1h", T, T + DAY_MS, 9)


@pytest.mark.parametrize(
    ("day", "top"),
    [
        ({**DAY, "symbol": "ETHUSDT"}, TOP),
        (DAY, {**TOP, "symbol": "ETHUSDT"}),
        ({**DAY, "lastPrice": "0"}, TOP),
        ({**DAY, "volume": "-1"}, TOP),
        ({**DAY, "closeTime": None}, TOP),
        (DAY, {**TOP, "bidPrice": "102"}),
        (DAY, {**TOP, "askPrice": "Infinity"}),
        ([DAY], TOP),
    ],
)
def test_a_ticker_that_cannot_be_is_refused(edge: MarketEdge, day: Any, top: Any) -> None:
    edge.serve("/fapi/v1/ticker/24hr", day)
    edge.serve("/fapi/v1/ticker/bookTicker", top)
    with pytest.raises(BadVenueAnswer):
        edge.market.ticker(BTC)


@pytest.mark.parametrize(
    "row",
    [
        [T, "1", "1", "1"],
        [None, "1", "1", "1", "1"],
        [-1, "1", "1", "1", "1"],
        [T, 1.5, "1", "1", "1"],
        [T, "1", "1", "1", "9" * 65],
        {"open": "1"},
    ],
)
def test_a_row_of_another_shape_spoils_the_answer(edge: MarketEdge, row: Any) -> None:
    for path in ("/fapi/v1/klines", "/fapi/v1/markPriceKlines"):
        edge.serve(path, [row])
    for kind in (KlineKind.TRADE, KlineKind.MARK):
        with pytest.raises(BadVenueAnswer):
            edge.market.klines(BTC, "1m", T, T + HOUR, 9, kind)


def test_an_impossible_number_is_left_to_quarantine(edge: MarketEdge) -> None:
    edge.serve("/fapi/v1/markPriceKlines", [[T, "NaN", "1", "-1", "1"]])
    (row,) = edge.market.klines(BTC, "1m", T, T + HOUR, 9, KlineKind.MARK)
    assert (str(row.open), row.low) == ("NaN", D(-1))
