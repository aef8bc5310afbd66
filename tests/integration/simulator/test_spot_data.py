"""Public data of spot with unmodified ccxt as the client."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import ccxt
import httpx
import pytest

from app.core.exchanges.loopback import bind_sync
from app.core.market.intervals import DAY_MS, MINUTE_MS
from tests.integration.simulator.conftest import START
from tests.support.simulator import SimAccount, SimulatorProcess

Factory = Callable[..., SimulatorProcess]


class TestPublic:
    def test_markets_have_the_venue_s_filters(self, exchange: Any) -> None:
        market = exchange.market("BTC/USDT")
        assert market["precision"] == {
            **market["precision"],
            "price": 0.01,
            "amount": 0.00001,
        }
        assert market["limits"]["cost"]["min"] == 5
        assert market["active"]
        assert "币安人生/USDT" in exchange.markets

    def test_keys_do_not_make_loading_markets_fail(
        self, shared: SimulatorProcess, account: SimAccount
    ) -> None:
        plain = ccxt.binance({"apiKey": account.api_key, "secret": account.api_secret})
        bind_sync(plain, shared.url)
        plain.load_markets()
        assert "BTC" in plain.currencies
        plain.close()

    def test_klines_by_page_are_whole(self, exchange: Any) -> None:
        since = START - 3 * DAY_MS
        rows: list[list[Any]] = []
        while not rows or rows[-1][0] < START:
            page = exchange.fetch_ohlcv("ETH/USDT", "1m", since, 1000)
            rows += page
            since = page[-1][0] + MINUTE_MS
        assert [row[0] for row in rows] == list(range(START - 3 * DAY_MS, START + 1, MINUTE_MS))
        assert all(row[1] == before[4] for before, row in pairwise(rows))

    def test_a_thousand_days_of_daily_bars(self, exchange: Any) -> None:
        rows = exchange.fetch_ohlcv("BTC/USDT", "1d", START - 999 * DAY_MS, 1000)
        assert len(rows) == 1000

    @pytest.mark.parametrize("symbol", ["BTC/USDT", "ETH/BTC", "币安人生/USDT"])
    def test_ticker_book_and_trades_agree(self, exchange: Any, symbol: str) -> None:
        ticker = exchange.fetch_ticker(symbol)
        book = exchange.fetch_order_book(symbol, 5)
        trades = exchange.fetch_trades(symbol, limit=10)
        assert ticker["bid"] == book["bids"][0][0]
        assert ticker["ask"] == book["asks"][0][0]
        assert len(book["bids"]) == len(book["asks"]) == 5
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
        assert trades[-1]["price"] == ticker["last"]
        assert len(trades) == 10
        assert START - MINUTE_MS <= trades[0]["timestamp"] < START

    def test_all_tickers(self, exchange: Any) -> None:
        assert set(exchange.fetch_tickers()) == set(exchange.markets)
        two = exchange.fetch_tickers(["BTC/USDT", "ETH/USDT"])
        assert set(two) == {"BTC/USDT", "ETH/USDT"}
        assert set(exchange.fetch_bids_asks()) == set(exchange.markets)
        assert exchange.fetch_last_prices(["BTC/USDT"])["BTC/USDT"]["price"] > 0

    def test_time_is_wall_time(self, exchange: Any) -> None:
        assert abs(exchange.fetch_time() - time.time() * 1000) < 5_000
        assert abs(exchange.load_time_difference()) < 5_000

    @pytest.mark.parametrize(
        ("path", "query", "status", "code"),
        [
            ("klines", {"symbol": "NOPE", "interval": "1m"}, 400, -1121),
            ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, 400, -1120),
            ("klines", {"symbol": "BTCUSDT"}, 400, -1102),
            ("klines", {"interval": "1m"}, 400, -1102),
            ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "x"}, 400, -1100),
            ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "0"}, 400, -1130),
            ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "-1"}, 400, -1100),
            ("depth", {"symbol": "btcusdt"}, 400, -1121),
            ("ticker/24hr", {"symbols": "BTCUSDT"}, 400, -1100),
            ("ticker/price", {"symbols": '["BTCUSDT","NOPE"]'}, 400, -1121),
            ("aggTrades", {"symbol": "BTCUSDT", "fromId": "1", "startTime": "1"}, 400, -1128),
            ("nothing", {}, 404, -1000),
        ],
    )
    def test_wrong_requests_get_the_venue_s_codes(
        self, shared: SimulatorProcess, path: str, query: dict[str, str], status: int, code: int
    ) -> None:
        response = shared.control.raw("GET", f"/api/v3/{path}", params=query)
        assert (response.status_code, response.json()["code"]) == (status, code)

    @pytest.mark.parametrize(
        "value", ["", "0", "-1", "9" * 20, "9" * 5000, "1e3", "NaN", "٣", "\0"]
    )
    def test_no_parameter_breaks_the_server(self, shared: SimulatorProcess, value: str) -> None:
        good = {"symbol": "BTCUSDT", "interval": "1m", "limit": "5"}
        names = ("symbol", "symbols", "interval", "limit", "startTime", "endTime", "fromId")
        for path in ("klines", "depth", "trades", "aggTrades", "ticker/24hr", "exchangeInfo"):
            for name in names:
                response = shared.control.raw("GET", f"/api/v3/{path}", params=good | {name: value})
                assert response.status_code in (200, 400)
        response = shared.control.raw("POST", "/api/v3/order", content=b"\xff\xfe=\x00&&=&")
        assert response.status_code == 401


def test_symbols_appear_when_they_are_listed(simulator: Factory) -> None:
    listed = 1_767_794_400_000
    process = simulator(start=listed - MINUTE_MS)
    exchange = process.ccxt()
    assert "币安人生/USDT" not in exchange.load_markets()
    query = {"symbol": "币安人生USDT", "interval": "1m"}
    assert process.control.raw("GET", "/api/v3/klines", params=query).json()["code"] == -1121
    process.control.advance(to_ms=listed)
    assert "币安人生/USDT" in exchange.load_markets(reload=True)
    rows = process.control.raw("GET", "/api/v3/klines", params=query).json()
    assert [row[0] for row in rows] == [listed]
    exchange.close()


def test_a_long_history_does_not_hold_up_other_requests(simulator: Factory) -> None:
    process = simulator(seed=123)
    query = {"symbol": "ETHBTC", "interval": "1d", "limit": "1000"}

    def fetch() -> int:
        with httpx.Client(base_url=process.url, trust_env=False, timeout=30) as client:
            return len(client.get("/api/v3/klines", params=query).json())

    with ThreadPoolExecutor(1) as pool:
        history = pool.submit(fetch)
        pings = 0
        while not history.done():
            process.control.raw("GET", "/api/v3/ping")
            pings += 1
        assert history.result() == 1000
    assert pings > 10
