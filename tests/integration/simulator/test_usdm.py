"""Binance USD-M futures with unmodified ccxt as the client, and against recorded answers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from tests.integration.simulator.conftest import START
from tests.support.simulator import SimulatorProcess
from tests.support.venues import capture, client, lacks, sample

BTC = "BTC/USDT:USDT"
EIGHT_HOURS = 8 * HOUR_MS


@pytest.fixture(scope="module")
def exchange(shared: SimulatorProcess) -> Iterator[Any]:
    made = client("binanceusdm", shared)
    made.load_markets()
    yield made
    made.close()


def ask(venue: SimulatorProcess, path: str, **params: Any) -> Any:
    answer = venue.control.raw("GET", path, params=params or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(venue: SimulatorProcess, path: str, **params: Any) -> tuple[int, int]:
    answer = venue.control.raw("GET", path, params=params or None)
    return answer.status_code, answer.json()["code"]


class TestMarkets:
    def test_contracts_have_the_venue_s_own_ticks(self, exchange: Any) -> None:
        market = exchange.market(BTC)
        assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
        assert market["active"]
        assert market["contractSize"] == 1
        assert set(exchange.markets) == {BTC, "ETH/USDT:USDT"}

    def test_the_list_has_the_keys_of_the_real_one(self, shared: SimulatorProcess) -> None:
        real = capture("binanceusdm/exchangeInfo.json.gz")["body"]
        made = ask(shared, "/fapi/v1/exchangeInfo")
        assert lacks(made, real) == []
        names = {each["filterType"] for each in real["symbols"][0]["filters"]}
        assert names == {each["filterType"] for each in made["symbols"][0]["filters"]}

    @pytest.mark.parametrize(
        ("path", "params", "function", "label"),
        [
            ("/fapi/v1/ticker/24hr", {}, "parse_ticker", "usdm tickers"),
            ("/fapi/v1/premiumIndex", {}, "fetch_funding_rate", ""),
            ("/fapi/v1/fundingRate", {}, "fetch_funding_rate_history", ""),
            ("/fapi/v1/openInterest", {}, "fetch_open_interest", "(fapi)"),
            ("/fapi/v1/depth", {"limit": 5}, "fetch_order_book", "future"),
            ("/fapi/v1/ticker/bookTicker", {}, "parse_ticker", "usdm bidsAsks"),
        ],
    )
    def test_answers_have_the_keys_of_the_real_ones(
        self, shared: SimulatorProcess, path: str, params: Any, function: str, label: str
    ) -> None:
        real = sample("binance", function, label)
        made = ask(shared, path, symbol="BTCUSDT", **params)
        made = made[0] if isinstance(made, list) else made
        assert set(real) - set(made) == set()

    def test_klines_have_the_twelve_fields_of_the_real_ones(self, shared: SimulatorProcess) -> None:
        query = {"interval": "1m", "limit": 1}
        for path, name in (("klines", "symbol"), ("markPriceKlines", "symbol"),
                           ("indexPriceKlines", "pair")):  # fmt: skip
            label = "MarkPrice" if "Price" in path else "publicGetKlines"
            real = sample("binance", "parse_ohlcv", label)
            real = real[0] if isinstance(real[0], list) else real
            (row,) = ask(shared, f"/fapi/v1/{path}", **{name: "BTCUSDT"}, **query)
            assert [type(field) for field in row] == [type(field) for field in real]


class TestBars:
    def test_pages_join_without_a_gap_and_ascend(self, exchange: Any) -> None:
        since, rows = START - 3 * DAY_MS, []
        while not rows or rows[-1][0] < START:
            page = exchange.fetch_ohlcv(BTC, "1m", since, 1000)
            rows += page
            since = page[-1][0] + MINUTE_MS
        assert [row[0] for row in rows] == list(range(START - 3 * DAY_MS, START + 1, MINUTE_MS))
        assert all(row[1] == before[4] for before, row in pairwise(rows))

    def test_fifteen_hundred_bars_come_at_once_and_no_more(self, shared: SimulatorProcess) -> None:
        query = {"symbol": "BTCUSDT", "interval": "1m", "startTime": START - 2 * DAY_MS}
        assert len(ask(shared, "/fapi/v1/klines", **query, limit=9999)) == 1500

    @pytest.mark.parametrize("path", ["klines", "markPriceKlines", "indexPriceKlines"])
    def test_an_hour_is_its_sixty_minutes(self, shared: SimulatorProcess, path: str) -> None:
        name = "pair" if path.startswith("index") else "symbol"
        query = {name: "ETHUSDT", "startTime": START - 5 * HOUR_MS, "endTime": START - 1}
        minutes = ask(shared, f"/fapi/v1/{path}", **query, interval="1m", limit=1500)
        for index, hour in enumerate(ask(shared, f"/fapi/v1/{path}", **query, interval="1h")):
            part = [[Decimal(f) for f in row] for row in minutes[60 * index : 60 * index + 60]]
            whole = [Decimal(field) for field in hour]
            assert whole[:5] == [
                part[0][0], part[0][1], max(row[2] for row in part),
                min(row[3] for row in part), part[-1][4],
            ]  # fmt: skip
            for field in (5, 7, 8, 9, 10):
                assert whole[field] == sum(row[field] for row in part)

    def test_the_mark_is_near_the_index_and_the_index_is_the_spot_price(
        self, exchange: Any, shared: SimulatorProcess
    ) -> None:
        hours = (START - DAY_MS, 24)
        spot = shared.ccxt()
        traded = exchange.fetch_ohlcv(BTC, "1h", *hours)
        mark = exchange.fetch_mark_ohlcv(BTC, "1h", *hours)
        index = exchange.fetch_index_ohlcv(BTC, "1h", *hours)
        assert [row[:5] for row in index] == [
            row[:5] for row in spot.fetch_ohlcv("BTC/USDT", "1h", *hours)
        ]
        spot.close()
        for last, marked, indexed in zip(traded, mark, index, strict=True):
            assert abs(marked[4] / indexed[4] - 1) < 0.005
            assert abs(last[4] / marked[4] - 1) < 0.001

    def test_the_bar_that_is_open_comes_last(self, shared: SimulatorProcess) -> None:
        rows = ask(shared, "/fapi/v1/klines", symbol="BTCUSDT", interval="1h", limit=3)
        assert [row[0] for row in rows] == [START - 2 * HOUR_MS, START - HOUR_MS, START]
        assert rows[-1][6] == START + HOUR_MS - 1


class TestTickers:
    def test_ticker_book_and_bids_agree(self, exchange: Any) -> None:
        ticker = exchange.fetch_ticker(BTC)
        book = exchange.fetch_order_book(BTC, 5)
        best = exchange.fetch_bids_asks([BTC])[BTC]
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
        assert (best["bid"], best["ask"]) == (book["bids"][0][0], book["asks"][0][0])
        assert len(book["bids"]) == len(book["asks"]) == 5
        assert set(exchange.fetch_tickers()) == set(exchange.markets)
        assert exchange.fetch_last_prices()[BTC]["price"] == ticker["last"]


class TestFunding:
    def test_it_is_paid_every_eight_hours_some_milliseconds_late(self, exchange: Any) -> None:
        paid = exchange.fetch_funding_rate_history(BTC, START - 30 * DAY_MS, 1000)
        assert len(paid) == 91
        stamps = [each["timestamp"] for each in paid]
        assert [stamp // EIGHT_HOURS for stamp in stamps] == list(
            range(stamps[0] // EIGHT_HOURS, stamps[0] // EIGHT_HOURS + 91)
        )
        late = {stamp % EIGHT_HOURS for stamp in stamps}
        assert max(late) < 20
        assert len(late) > 5
        assert len({each["fundingRate"] for each in paid}) > 5
        assert all(abs(each["fundingRate"]) <= 0.003 for each in paid)

    def test_pages_of_it_join(self, shared: SimulatorProcess) -> None:
        query = {"symbol": "BTCUSDT", "endTime": START}
        whole = ask(shared, "/fapi/v1/fundingRate", **query, startTime=START - 9 * DAY_MS)
        parts: list[Any] = []
        since = START - 9 * DAY_MS
        while page := ask(shared, "/fapi/v1/fundingRate", **query, startTime=since, limit=10):
            parts += page
            since = page[-1]["fundingTime"] + 1
        assert parts == whole
        newest = ask(shared, "/fapi/v1/fundingRate", **query, limit=5)
        assert newest == whole[-5:]

    def test_the_coming_rate_and_what_is_open_are_told(self, exchange: Any) -> None:
        rate = exchange.fetch_funding_rate(BTC)
        assert rate["nextFundingTimestamp"] or rate["fundingTimestamp"]
        assert abs(rate["markPrice"] / rate["indexPrice"] - 1) < 0.005
        assert exchange.fetch_open_interest(BTC)["openInterestAmount"] > 1000
        rows = exchange.fetch_open_interest_history(BTC, "1h", START - DAY_MS, 24)
        assert [row["timestamp"] for row in rows] == [
            START - DAY_MS + n * HOUR_MS for n in range(24)
        ]
        assert all(row["openInterestValue"] > row["openInterestAmount"] for row in rows)

    def test_what_was_open_is_kept_for_a_month(self, shared: SimulatorProcess) -> None:
        query = {"symbol": "BTCUSDT", "period": "1d", "limit": 500}
        rows = ask(shared, "/futures/data/openInterestHist", **query)
        assert len(rows) == 31
        path = "/futures/data/openInterestHist"
        assert refused(shared, path, **query, startTime=START - 31 * DAY_MS) == (400, -1130)


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("klines", {"symbol": "NOPE", "interval": "1m"}, (400, -1121)),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, (400, -1120)),
        ("klines", {"interval": "1m"}, (400, -1102)),
        ("indexPriceKlines", {"symbol": "BTCUSDT", "interval": "1m"}, (400, -1102)),
        ("depth", {"symbol": "BTCUSDT", "limit": "7"}, (400, -4021)),
        ("fundingRate", {"symbol": "BTCUSDT", "limit": "x"}, (400, -1100)),
        ("nothing", {}, (404, -1000)),
    ],
)
def test_wrong_requests_get_the_venue_s_codes(
    shared: SimulatorProcess, path: str, params: Any, expected: tuple[int, int]
) -> None:
    assert refused(shared, f"/fapi/v1/{path}", **params) == expected


@pytest.mark.parametrize("value", ["", "0", "-1", "9" * 20, "9" * 5000, "1e3", "NaN", "٣", "\0"])
def test_no_parameter_breaks_the_server(shared: SimulatorProcess, value: str) -> None:
    good = {"symbol": "BTCUSDT", "pair": "BTCUSDT", "interval": "1m", "period": "1h", "limit": "5"}
    paths = ("klines", "markPriceKlines", "indexPriceKlines", "depth", "fundingRate",
             "premiumIndex", "openInterest", "ticker/24hr", "exchangeInfo")  # fmt: skip
    for name in (*good, "startTime", "endTime"):
        for path in (*(f"/fapi/v1/{path}" for path in paths), "/futures/data/openInterestHist"):
            answer = shared.control.raw("GET", path, params=good | {name: value})
            assert answer.status_code in (200, 400), (path, name, answer.text)


def test_weight_is_a_bucket_of_its_own_and_overdrawing_it_ends_in_a_ban() -> None:
    with SimulatorProcess(seed=7, start=START, usdm_weight_limit=30) as venue:
        path = "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1500"
        asked = [venue.control.raw("GET", path)]
        # The count begins anew with the minute, so that a ban may take a few requests more.
        while asked[-1].status_code != 418 and len(asked) < 100:
            asked.append(venue.control.raw("GET", path))
        assert asked[0].headers["X-MBX-USED-WEIGHT-1M"] == "10"
        codes = [answer.status_code for answer in asked]
        assert codes[0] == 200
        assert 429 in codes
        assert codes[-1] == 418
        assert asked[-1].json()["code"] == -1003
        assert int(asked[-1].headers["Retry-After"]) > 0
        # Spot has its own.
        assert venue.control.raw("GET", "/api/v3/ping").status_code == 200
        paths = {entry["path"] for entry in venue.control.requests(status=418)}
        assert paths == {"/fapi/v1/klines"}


def test_equal_seeds_give_equal_answers_and_others_do_not(shared: SimulatorProcess) -> None:
    paths = (
        "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit=50",
        "/fapi/v1/fundingRate?symbol=ETHUSDT",
        "/futures/data/openInterestHist?symbol=BTCUSDT&period=5m",
        "/fapi/v1/depth?symbol=BTCUSDT&limit=100",
    )
    for seed, is_equal in ((7, True), (8, False)):
        with SimulatorProcess(seed=seed, start=START, spread_bps=0, weight_limit=0) as other:
            for path in paths:
                assert (ask(other, path) == ask(shared, path)) is is_equal
