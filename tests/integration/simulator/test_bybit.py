"""Bybit v5 with unmodified ccxt as the client, and against recorded answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from tests.integration.simulator.conftest import START
from tests.support.simulator import SimulatorProcess
from tests.support.venues import client, lacks, sample

Factory = Callable[..., SimulatorProcess]
SPOT = "BTC/USDT"
LINEAR = "BTC/USDT:USDT"
API = "/v5/market"


@pytest.fixture(scope="module")
def exchange(shared: SimulatorProcess) -> Iterator[Any]:
    made = client("bybit", shared)
    made.load_markets()
    yield made
    made.close()


def whole(venue: SimulatorProcess, path: str, **params: Any) -> Any:
    answer = venue.control.raw("GET", API + path, params=params or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(venue: SimulatorProcess, path: str, **params: Any) -> Any:
    """The result of an answer."""
    body = whole(venue, path, **params)
    assert (body["retCode"], body["retMsg"]) == (0, "OK"), body
    return body["result"]


class TestInstruments:
    def test_both_categories_have_the_same_names_and_their_own_ticks(self, exchange: Any) -> None:
        spot, linear = exchange.market(SPOT), exchange.market(LINEAR)
        assert spot["id"] == linear["id"] == "BTCUSDT"
        assert (spot["precision"]["price"], spot["precision"]["amount"]) == (0.1, 1e-6)
        assert (linear["precision"]["price"], linear["precision"]["amount"]) == (0.1, 0.001)
        assert exchange.market("ETH/USDT:USDT")["precision"]["price"] == 0.05
        assert linear["active"]
        assert linear["contractSize"] == 1

    @pytest.mark.parametrize(
        ("path", "params", "function", "label"),
        [
            ("/instruments-info", {"category": "spot"}, "fetch_spot_markets", ""),
            ("/instruments-info", {"category": "linear"}, "fetch_future_markets", ""),
            ("/kline", {"category": "linear", "interval": "60"}, "fetch_ohlcv", ""),
            ("/tickers", {"category": "linear"}, "fetch_ticker", ""),
            ("/orderbook", {"category": "spot"}, "fetch_order_book", ""),
            ("/funding/history", {"category": "linear"}, "fetch_funding_rate_history", ""),
            ("/open-interest", {"category": "linear", "intervalTime": "5min"},
             "fetch_derivatives_open_interest_history", ""),
        ],
    )  # fmt: skip
    def test_answers_have_the_keys_of_the_real_ones(
        self, shared: SimulatorProcess, path: str, params: Any, function: str, label: str
    ) -> None:
        real = sample("bybit", function, label)
        made = whole(shared, path, symbol="BTCUSDT", **params)
        assert lacks(made, real) == []
        if path == "/kline":
            assert len(made["result"]["list"][0]) == len(real["result"]["list"][0])

    def test_a_spot_ticker_has_the_keys_of_the_real_one(self, shared: SimulatorProcess) -> None:
        (made,) = ask(shared, "/tickers", category="spot", symbol="BTCUSDT")["list"]
        assert lacks(made, sample("bybit", "parse_ticker", "spot")) == []

    def test_contracts_come_by_pages(self, shared: SimulatorProcess) -> None:
        seen, cursor = [], ""
        while True:
            page = ask(shared, "/instruments-info", category="linear", limit=1, cursor=cursor)
            seen += [row["symbol"] for row in page["list"]]
            cursor = page["nextPageCursor"]
            if not cursor:
                break
        assert seen == ["BTCUSDT", "ETHUSDT"]
        assert ask(shared, "/instruments-info", category="inverse")["list"] == []


class TestBars:
    @pytest.mark.parametrize("symbol", [SPOT, LINEAR])
    def test_pages_join_without_a_gap_and_ascend(self, exchange: Any, symbol: str) -> None:
        since, rows = START - 2 * DAY_MS, []
        while not rows or rows[-1][0] < START:
            page = exchange.fetch_ohlcv(symbol, "1m", since, 1000)
            rows += page
            since = page[-1][0] + MINUTE_MS
        assert [row[0] for row in rows] == list(range(START - 2 * DAY_MS, START + 1, MINUTE_MS))

    def test_the_newest_is_first_and_the_open_one_is_among_them(
        self, shared: SimulatorProcess
    ) -> None:
        rows = ask(shared, "/kline", category="spot", symbol="BTCUSDT", interval="60")["list"]
        assert [int(row[0]) for row in rows] == [START - n * HOUR_MS for n in range(200)]

    def test_a_start_within_a_bar_gives_the_bars_after_it(self, shared: SimulatorProcess) -> None:
        query = {"category": "linear", "symbol": "BTCUSDT", "interval": "15"}
        start = START - 3 * HOUR_MS
        rows = ask(shared, "/kline", **query, start=start + 1, limit=3)["list"]
        quarter = 15 * MINUTE_MS
        assert [int(row[0]) for row in rows] == [start + n * quarter for n in (3, 2, 1)]

    def test_of_a_span_that_is_too_long_the_newest_are_given(
        self, shared: SimulatorProcess
    ) -> None:
        query = {"category": "spot", "symbol": "BTCUSDT", "interval": "1", "limit": 2}
        span = {"start": START - HOUR_MS, "end": START - MINUTE_MS}
        rows = ask(shared, "/kline", **query, **span)["list"]
        assert [int(row[0]) for row in rows] == [START - MINUTE_MS, START - 2 * MINUTE_MS]
        most = ask(shared, "/kline", **query | {"limit": 1500})["list"]
        assert len(most) == 1000

    @pytest.mark.parametrize("path", ["/kline", "/mark-price-kline", "/index-price-kline"])
    def test_an_hour_is_its_sixty_minutes(self, shared: SimulatorProcess, path: str) -> None:
        query = {"category": "linear", "symbol": "ETHUSDT", "end": START - 1}
        minutes = ask(shared, path, **query, interval="1", limit=240)["list"]
        for index, hour in enumerate(ask(shared, path, **query, interval="60", limit=4)["list"]):
            chunk = minutes[60 * index : 60 * index + 60]
            part = [[Decimal(field) for field in row] for row in chunk]
            made = [Decimal(field) for field in hour]
            assert made[:5] == [
                part[-1][0], part[-1][1], max(row[2] for row in part),
                min(row[3] for row in part), part[0][4],
            ]  # fmt: skip
            assert made[5:] == [sum(col) for col in zip(*(r[5:] for r in part), strict=True)]

    @pytest.mark.parametrize(
        ("name", "length"), [("D", DAY_MS), ("W", 7 * DAY_MS), ("720", 12 * HOUR_MS)]
    )
    def test_long_bars_have_names_of_their_own(
        self, shared: SimulatorProcess, name: str, length: int
    ) -> None:
        query = {"category": "linear", "symbol": "BTCUSDT", "limit": 3}
        rows = ask(shared, "/kline", **query, interval=name)["list"]
        assert int(rows[0][0]) - int(rows[1][0]) == length

    def test_marks_and_indices_come_through_the_client(self, exchange: Any) -> None:
        span = (START - 5 * HOUR_MS, 5)
        mark = exchange.fetch_mark_ohlcv(LINEAR, "1h", *span)
        index = exchange.fetch_index_ohlcv(LINEAR, "1h", *span)
        spot = exchange.fetch_ohlcv(SPOT, "1h", *span)
        assert [row[:5] for row in index] == [row[:5] for row in spot]
        assert all(abs(m[4] / i[4] - 1) < 0.005 for m, i in zip(mark, index, strict=True))


class TestTickers:
    @pytest.mark.parametrize("symbol", [SPOT, LINEAR])
    def test_ticker_and_book_agree(self, exchange: Any, symbol: str) -> None:
        ticker = exchange.fetch_ticker(symbol)
        book = exchange.fetch_order_book(symbol, 5)
        assert (ticker["bid"], ticker["ask"]) == (book["bids"][0][0], book["asks"][0][0])
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
        assert len(book["bids"]) == len(book["asks"]) == 5

    def test_all_tickers_of_a_category(self, exchange: Any) -> None:
        assert set(exchange.fetch_tickers()) == {LINEAR, "ETH/USDT:USDT"}
        assert SPOT in exchange.fetch_tickers(params={"category": "spot"})


class TestContracts:
    def test_funding_is_paid_on_the_hour(self, exchange: Any, shared: SimulatorProcess) -> None:
        paid = exchange.fetch_funding_rate_history(LINEAR, START - 10 * DAY_MS, 100)
        assert [each["timestamp"] for each in paid] == [
            START - 10 * DAY_MS + n * 8 * HOUR_MS for n in range(31)
        ]
        query = {"category": "linear", "symbol": "BTCUSDT"}
        rows = ask(shared, "/funding/history", **query, limit=31)["list"]
        assert [float(row["fundingRate"]) for row in reversed(rows)] == [
            each["fundingRate"] for each in paid
        ]
        assert whole(shared, "/funding/history", **query, startTime=START)["retCode"] == 10001
        rate = exchange.fetch_funding_rate(LINEAR)
        assert rate["fundingTimestamp"] == START + 8 * HOUR_MS

    def test_what_was_open_comes_by_pages(self, exchange: Any, shared: SimulatorProcess) -> None:
        rows = exchange.fetch_open_interest_history(LINEAR, "1h", START - DAY_MS, 24)
        stamps = [row["timestamp"] for row in rows]
        # The client asks for all up to a day later, of which the venue gives the newest.
        assert stamps == [START - n * HOUR_MS for n in reversed(range(24))]
        query = {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "1h", "limit": 10}
        span = {"startTime": START - DAY_MS, "endTime": START}
        seen, cursor = [], ""
        while True:
            page = ask(shared, "/open-interest", **query, **span, cursor=cursor)
            seen += [int(row["timestamp"]) for row in page["list"]]
            cursor = page["nextPageCursor"]
            if not cursor:
                break
        assert seen == [START - n * HOUR_MS for n in range(25)]


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/kline", {"symbol": "NOPE", "interval": "1"}, 10001),
        ("/kline", {"symbol": "BTCUSDT", "interval": "1m"}, 10001),
        ("/kline", {"symbol": "BTCUSDT", "interval": "1", "start": "x"}, 10001),
        ("/kline", {"symbol": "BTCUSDT", "interval": "1", "start": 2, "end": 1}, 10001),
        ("/kline", {"symbol": "ETHBTC", "category": "linear", "interval": "1"}, 10001),
        ("/mark-price-kline", {"symbol": "BTCUSDT", "category": "spot", "interval": "1"}, 10001),
        ("/tickers", {}, 10001),
        ("/tickers", {"category": "shoes"}, 10001),
        ("/orderbook", {"category": "spot", "symbol": "BTCUSDT", "limit": 999}, 10001),
    ],
)
def test_wrong_requests_get_the_venue_s_codes(
    shared: SimulatorProcess, path: str, params: Any, code: int
) -> None:
    assert whole(shared, path, **params)["retCode"] == code


@pytest.mark.parametrize("value", ["", "0", "-1", "9" * 18, "9" * 5000, "1e3", "NaN", "٣", "\0"])
def test_no_parameter_breaks_the_server(shared: SimulatorProcess, value: str) -> None:
    good = {"category": "linear", "symbol": "BTCUSDT", "interval": "60", "intervalTime": "1h",
            "limit": "5"}  # fmt: skip
    names = (*good, "start", "end", "startTime", "endTime", "cursor")
    paths = ("kline", "mark-price-kline", "index-price-kline", "tickers", "orderbook",
             "instruments-info", "funding/history", "open-interest")  # fmt: skip
    for name in names:
        for path in paths:
            answer = shared.control.raw("GET", f"{API}/{path}", params=good | {name: value})
            assert answer.status_code == 200, (path, name, answer.text)


def test_the_client_knows_the_refusals_for_what_they_are(simulator: Factory) -> None:
    venue = simulator(seed=7, start=START, weight_limit=0)
    exchange = client("bybit", venue)
    exchange.load_markets()
    for rule, error in (
        ({"action": "status"}, ccxt.RateLimitExceeded),
        ({"action": "error_before", "code": 10006, "status": 200}, ccxt.RateLimitExceeded),
        ({"action": "error_after"}, ccxt.ExchangeError),
    ):
        venue.control.add_fault(**rule, path="*", count=1)
        with pytest.raises(error):
            exchange.fetch_ohlcv(SPOT, "1m", limit=1)
    exchange.close()
    entries = venue.control.requests(path=f"{API}/kline")
    assert [(entry["status"], entry["code"]) for entry in entries] == [
        (403, 10018), (200, 10006), (200, 10000),
    ]  # fmt: skip


def test_equal_seeds_give_equal_answers_and_others_do_not(shared: SimulatorProcess) -> None:
    paths = (
        "/kline?category=linear&symbol=BTCUSDT&interval=5",
        "/tickers?category=spot",
        "/funding/history?category=linear&symbol=ETHUSDT",
        "/orderbook?category=linear&symbol=BTCUSDT",
    )
    for seed, is_equal in ((7, True), (8, False)):
        with SimulatorProcess(seed=seed, start=START, spread_bps=0, weight_limit=0) as other:
            for path in paths:
                assert (ask(other, path) == ask(shared, path)) is is_equal
