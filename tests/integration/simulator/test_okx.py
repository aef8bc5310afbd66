"""OKX v5 with unmodified ccxt as the client, and against recorded answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from tests.integration.simulator.conftest import START
from tests.support.simulator import SimulatorProcess
from tests.support.venues import capture, client, lacks, sample

Factory = Callable[..., SimulatorProcess]
SPOT = "BTC/USDT"
SWAP = "BTC/USDT:USDT"
API = "/api/v5"


@pytest.fixture(scope="module")
def exchange(shared: SimulatorProcess) -> Iterator[Any]:
    made = client("okx", shared)
    made.load_markets()
    yield made
    made.close()


def ask(venue: SimulatorProcess, path: str, **params: Any) -> Any:
    """The data of an answer."""
    answer = venue.control.raw("GET", API + path, params=params or None)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["code"], body["msg"]) == ("0", "")
    return body["data"]


def refused(venue: SimulatorProcess, path: str, **params: Any) -> tuple[int, str]:
    answer = venue.control.raw("GET", API + path, params=params or None)
    return answer.status_code, answer.json()["code"]


def exact(row: list[str]) -> list[Decimal]:
    return [Decimal(field) for field in row]


class TestInstruments:
    def test_contracts_are_parts_of_a_coin_and_ticks_are_the_venue_s(self, exchange: Any) -> None:
        swap, spot = exchange.market(SWAP), exchange.market(SPOT)
        assert swap["contractSize"] == 0.01
        assert exchange.market("ETH/USDT:USDT")["contractSize"] == 0.1
        assert (swap["precision"]["price"], swap["precision"]["amount"]) == (0.1, 0.01)
        assert (spot["precision"]["price"], spot["precision"]["amount"]) == (0.1, 1e-8)
        assert swap["active"]
        assert spot["active"]
        assert {"ETH/USDT", "ETH/BTC", "ETH/USDT:USDT"} < set(exchange.markets)

    @pytest.mark.parametrize("kind", ["SPOT", "SWAP"])
    def test_the_list_has_the_keys_of_the_real_one(
        self, shared: SimulatorProcess, kind: str
    ) -> None:
        real = capture(f"okx/instruments_instType-{kind}.json.gz")["body"]["data"]
        made = ask(shared, "/public/instruments", instType=kind)
        assert lacks(made, real) == []
        assert ask(shared, "/public/instruments", instType="FUTURES") == []

    @pytest.mark.parametrize(
        ("path", "function", "params"),
        [
            ("/public/time", "fetch_time", {}),
            ("/market/ticker", "fetch_ticker", {"instId": "ETH-BTC"}),
            ("/market/tickers", "fetch_tickers", {"instType": "SPOT"}),
            ("/market/candles", "fetch_ohlcv", {"instId": "BTC-USDT-SWAP"}),
            ("/market/books", "fetch_order_book", {"instId": "BTC-USDT", "sz": 5}),
            ("/public/funding-rate", "fetch_funding_rate", {"instId": "BTC-USDT-SWAP"}),
            ("/public/funding-rate-history", "fetch_funding_rate_history",
             {"instId": "BTC-USDT-SWAP"}),
            ("/public/open-interest", "fetch_open_interest", {"instType": "SWAP"}),
        ],
    )  # fmt: skip
    def test_answers_have_the_keys_of_the_real_ones(
        self, shared: SimulatorProcess, path: str, function: str, params: Any
    ) -> None:
        real = sample("okx", function)
        made = {"code": "0", "msg": "", "data": ask(shared, path, **params)}
        assert lacks(made, real) == []
        if function == "fetch_ohlcv":
            assert len(made["data"][0]) == len(real["data"][0])


class TestBars:
    @pytest.mark.parametrize("symbol", [SPOT, SWAP])
    def test_pages_join_without_a_gap_and_ascend(self, exchange: Any, symbol: str) -> None:
        since, rows = START - DAY_MS, []
        while since < START:
            page = exchange.fetch_ohlcv(symbol, "1m", since, 300)
            rows += page
            since = page[-1][0] + MINUTE_MS
        assert [row[0] for row in rows] == list(range(START - DAY_MS, START, MINUTE_MS))

    def test_the_newest_is_first_and_alone_not_confirmed(self, shared: SimulatorProcess) -> None:
        rows = ask(shared, "/market/candles", instId="BTC-USDT", bar="1H", limit=5)
        assert [int(row[0]) for row in rows] == [START - n * HOUR_MS for n in range(5)]
        assert [row[8] for row in rows] == ["0", "1", "1", "1", "1"]
        closed = ask(shared, "/market/history-candles", instId="BTC-USDT", bar="1H", limit=4)
        assert closed == rows[1:]

    def test_before_and_after_exclude_their_own_bar(self, shared: SimulatorProcess) -> None:
        query = {"instId": "BTC-USDT", "bar": "1H"}
        rows = ask(shared, "/market/candles", **query, limit=10)
        older = ask(shared, "/market/candles", **query, after=rows[3][0], limit=3)
        assert older == rows[4:7]
        between = {"before": rows[7][0], "after": rows[3][0]}
        assert ask(shared, "/market/candles", **query, **between) == rows[4:7]

    def test_recent_bars_and_old_ones_have_endpoints_of_their_own(
        self, shared: SimulatorProcess
    ) -> None:
        query = {"instId": "BTC-USDT", "after": START - 2 * DAY_MS}
        assert ask(shared, "/market/candles", **query) == []
        assert len(ask(shared, "/market/history-candles", **query)) == 100
        assert len(ask(shared, "/market/history-candles", **query, limit=999)) == 300
        for kind in ("mark-price", "index"):
            name = "BTC-USDT" if kind == "index" else "BTC-USDT-SWAP"
            path = f"/market/history-{kind}-candles"
            assert len(ask(shared, path, instId=name, limit=999)) == 100

    @pytest.mark.parametrize(
        ("bar", "opens"),
        [
            ("6H", {4, 10, 16, 22}),
            ("6Hutc", {0, 6, 12, 18}),
            ("12H", {4, 16}),
            ("1D", {16}),
            ("1Dutc", {0}),
        ],
    )
    def test_long_bars_open_by_hong_kong_unless_they_say_utc(
        self, shared: SimulatorProcess, bar: str, opens: set[int]
    ) -> None:
        rows = ask(shared, "/market/candles", instId="BTC-USDT", bar=bar, limit=8)
        assert len(rows) == 8
        assert {int(row[0]) % DAY_MS // HOUR_MS for row in rows} == opens
        hours = ask(shared, "/market/candles", instId="BTC-USDT", bar="1H", limit=300)
        (_, whole), length = rows[:2], int(rows[0][0]) - int(rows[1][0])
        begin = int(whole[0])
        part = [exact(row) for row in hours if begin <= int(row[0]) < begin + length]
        made = exact(whole)
        assert made[1:5] == [
            part[-1][1], max(row[2] for row in part), min(row[3] for row in part), part[0][4],
        ]  # fmt: skip
        assert made[5] == sum(row[5] for row in part)

    def test_months_follow_the_calendar(self, shared: SimulatorProcess) -> None:
        months = ask(shared, "/market/candles", instId="ETH-USDT", bar="1Mutc", limit=3)
        assert int(months[0][0]) == START  # the first of February
        assert int(months[1][0]) == START - 31 * DAY_MS
        by_hong_kong = ask(shared, "/market/candles", instId="ETH-USDT", bar="1M", limit=3)
        assert int(by_hong_kong[0][0]) == START - 8 * HOUR_MS

    def test_a_contract_s_volume_is_in_contracts_coins_and_quote(
        self, shared: SimulatorProcess
    ) -> None:
        for name, size in (("BTC-USDT-SWAP", "0.01"), ("ETH-USDT-SWAP", "0.1")):
            for row in ask(shared, "/market/history-candles", instId=name, limit=20):
                made = exact(row)
                assert made[5] * Decimal(size) == made[6]
                assert abs(made[7] / made[6] / made[4] - 1) < Decimal("0.02")
        for row in ask(shared, "/market/history-candles", instId="BTC-USDT", limit=20):
            assert row[6] == row[7]

    @pytest.mark.parametrize("kind", ["", "mark-price-", "index-"])
    def test_an_hour_is_its_sixty_minutes(self, shared: SimulatorProcess, kind: str) -> None:
        name = "BTC-USDT" if kind == "index-" else "BTC-USDT-SWAP"
        path = f"/market/history-{kind}candles"
        end = START
        for hour in ask(shared, path, instId=name, bar="1H", limit=4):
            minutes = ask(shared, path, instId=name, bar="1m", after=end, limit=60)
            part, made = [exact(row) for row in minutes], exact(hour)
            assert made[:5] == [
                part[-1][0], part[-1][1], max(row[2] for row in part),
                min(row[3] for row in part), part[0][4],
            ]  # fmt: skip
            assert made[5:-1] == [sum(col) for col in zip(*(r[5:-1] for r in part), strict=True)]
            end -= HOUR_MS

    def test_marks_and_indices_come_through_the_client(self, exchange: Any) -> None:
        span = (START - 5 * HOUR_MS, 5)
        mark = exchange.fetch_mark_ohlcv(SWAP, "1h", *span)
        index = exchange.fetch_index_ohlcv(SWAP, "1h", *span)
        spot = exchange.fetch_ohlcv(SPOT, "1h", *span)
        assert [row[:5] for row in index] == [row[:5] for row in spot]
        assert all(abs(m[4] / i[4] - 1) < 0.005 for m, i in zip(mark, index, strict=True))


class TestTickers:
    @pytest.mark.parametrize("symbol", [SPOT, SWAP, "ETH/BTC"])
    def test_ticker_and_book_agree(self, exchange: Any, symbol: str) -> None:
        ticker = exchange.fetch_ticker(symbol)
        book = exchange.fetch_order_book(symbol, 5)
        assert (ticker["bid"], ticker["ask"]) == (book["bids"][0][0], book["asks"][0][0])
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
        assert len(book["bids"]) == len(book["asks"]) == 5

    def test_all_tickers_of_a_kind(self, exchange: Any) -> None:
        swaps = exchange.fetch_tickers(params={"instType": "SWAP"})
        assert set(swaps) == {SWAP, "ETH/USDT:USDT"}
        assert set(exchange.fetch_tickers([SPOT, "ETH/USDT"])) == {SPOT, "ETH/USDT"}


class TestContracts:
    def test_funding_is_paid_on_the_hour_newest_first(
        self, exchange: Any, shared: SimulatorProcess
    ) -> None:
        paid = exchange.fetch_funding_rate_history(SWAP, START - 10 * DAY_MS, 100)
        assert [each["timestamp"] for each in paid] == [
            START - 10 * DAY_MS + n * 8 * HOUR_MS for n in range(31)
        ]
        rows = ask(shared, "/public/funding-rate-history", instId="BTC-USDT-SWAP", limit=31)
        assert [float(row["fundingRate"]) for row in reversed(rows)] == [
            each["fundingRate"] for each in paid
        ]
        kept = ask(shared, "/public/funding-rate-history", instId="BTC-USDT-SWAP")
        assert len(kept) == 277, "three months of it"
        assert exchange.fetch_funding_rate(SWAP)["fundingTimestamp"] == START + 8 * HOUR_MS

    def test_binance_pays_the_same_a_moment_later(self, shared: SimulatorProcess) -> None:
        rows = ask(shared, "/public/funding-rate-history", instId="BTC-USDT-SWAP", limit=10)
        here = {int(row["fundingTime"]): Decimal(row["fundingRate"]) for row in rows}
        query = "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=9"
        there = shared.control.raw("GET", query).json()
        assert len(there) == 9
        for each in there:
            due = each["fundingTime"] - each["fundingTime"] % (8 * HOUR_MS)
            assert here[due] == Decimal(each["fundingRate"])

    def test_what_is_open_and_was_open(self, exchange: Any) -> None:
        assert exchange.fetch_open_interest(SWAP)["openInterestAmount"] > 100_000
        rows = exchange.fetch_open_interest_history(SWAP, "1h", START - DAY_MS, 24)
        assert [row["timestamp"] for row in rows] == [
            START - DAY_MS + n * HOUR_MS for n in range(24)
        ]


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/market/candles", {"instId": "NO-PE"}, (200, "51001")),
        ("/market/candles", {}, (400, "50014")),
        ("/market/candles", {"instId": "BTC-USDT", "bar": "1h"}, (400, "51000")),
        ("/market/candles", {"instId": "BTC-USDT", "after": "x"}, (400, "51000")),
        ("/market/index-candles", {"instId": "BTC-USDT-SWAP"}, (200, "51001")),
        ("/market/mark-price-candles", {"instId": "BTC-USDT"}, (400, "51000")),
        ("/public/instruments", {"instType": "SHOES"}, (400, "51000")),
        ("/public/open-interest", {}, (400, "50014")),
        ("/public/nothing", {}, (404, "404")),
    ],
)
def test_wrong_requests_get_the_venue_s_codes(
    shared: SimulatorProcess, path: str, params: Any, expected: tuple[int, str]
) -> None:
    assert refused(shared, path, **params) == expected


@pytest.mark.parametrize("value", ["", "0", "-1", "9" * 18, "9" * 5000, "1e3", "NaN", "٣", "\0"])
def test_no_parameter_breaks_the_server(shared: SimulatorProcess, value: str) -> None:
    good = {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "bar": "1H", "period": "1H",
            "limit": "5", "sz": "5"}  # fmt: skip
    paths = ("market/candles", "market/history-candles", "market/mark-price-candles",
             "market/index-candles", "market/books", "market/tickers", "public/instruments",
             "public/funding-rate-history", "public/open-interest",
             "rubik/stat/contracts/open-interest-history")  # fmt: skip
    for name in (*good, "before", "after", "begin", "end"):
        for path in paths:
            answer = shared.control.raw("GET", f"{API}/{path}", params=good | {name: value})
            assert answer.status_code in (200, 400), (path, name, answer.text)


def test_the_client_knows_the_refusals_for_what_they_are(simulator: Factory) -> None:
    venue = simulator(seed=7, start=START, weight_limit=0)
    exchange = client("okx", venue)
    exchange.load_markets()
    for action, error in (
        ("status", ccxt.RateLimitExceeded),
        ("error_before", ccxt.ExchangeNotAvailable),
        ("error_after", ccxt.RequestTimeout),
    ):
        venue.control.add_fault(action=action, path="*", count=1)
        with pytest.raises(error):
            exchange.fetch_ohlcv(SPOT, "1m", limit=1)
    exchange.close()
    codes = [entry["code"] for entry in venue.control.requests(path=f"{API}/market/candles")]
    assert codes == [50011, 50026, 50004]


def test_equal_seeds_give_equal_answers_and_others_do_not(shared: SimulatorProcess) -> None:
    paths = (
        "/market/candles?instId=BTC-USDT-SWAP&bar=5m",
        "/market/tickers?instType=SPOT",
        "/public/funding-rate-history?instId=ETH-USDT-SWAP",
        "/market/books?instId=BTC-USDT&sz=50",
    )
    for seed, is_equal in ((7, True), (8, False)):
        with SimulatorProcess(seed=seed, start=START, spread_bps=0, weight_limit=0) as other:
            for path in paths:
                assert (ask(other, path) == ask(shared, path)) is is_equal
