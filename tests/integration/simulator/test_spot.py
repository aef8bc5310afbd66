"""Spot trading with unmodified ccxt as the client."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import ccxt
import httpx
import pytest

from app.core.exchanges.loopback import ForeignHost, bind_sync
from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from tests.integration.simulator.conftest import START
from tests.support.simulator import SimAccount, SimulatorProcess

Factory = Callable[..., SimulatorProcess]
Params = dict[str, Any]
_names = iter(f"user{number}" for number in range(1000))


@pytest.fixture
def account(shared: SimulatorProcess) -> SimAccount:
    balances = {"USDT": "1000000", "BTC": "10", "ETH": "50"}
    return shared.control.create_account(next(_names), balances)


@pytest.fixture
def exchange(shared: SimulatorProcess, account: SimAccount) -> Iterator[Any]:
    made = shared.ccxt(account)
    made.load_markets()
    yield made
    made.close()


def price_of(exchange: Any, symbol: str = "BTC/USDT") -> Decimal:
    return Decimal(str(exchange.fetch_ticker(symbol)["last"]))


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


class TestOrders:
    def test_market_buy_fills_at_the_next_open(self, exchange: Any) -> None:
        opened = exchange.fetch_ohlcv("BTC/USDT", "1m", limit=1)[0][1]
        order = exchange.create_order("BTC/USDT", "market", "buy", "0.25")
        assert order["status"] == "closed"
        assert order["average"] == opened
        assert order["fees"] == [{"currency": "BTC", "cost": 0.00025}]
        assert order["timestamp"] == START

    def test_market_buy_by_cost(self, exchange: Any) -> None:
        order = exchange.create_market_buy_order_with_cost("BTC/USDT", 500)
        assert order["status"] == "closed"
        assert 499 < order["cost"] <= 500

    def test_limit_order_lives_and_is_cancelled(self, exchange: Any) -> None:
        limit = price_of(exchange) / 2 // 1
        placed = exchange.create_order(
            "BTC/USDT", "limit", "buy", "0.5", limit, {"clientOrderId": "life1"}
        )
        assert placed["status"] == "open"
        assert exchange.fetch_balance()["USDT"]["used"] == limit / 2
        found = exchange.fetch_order(None, "BTC/USDT", {"clientOrderId": "life1"})
        assert found["id"] == placed["id"]
        assert [o["id"] for o in exchange.fetch_open_orders("BTC/USDT")] == [placed["id"]]
        gone = exchange.cancel_order(None, "BTC/USDT", {"clientOrderId": "life1"})
        assert gone["status"] == "canceled"
        assert exchange.fetch_open_orders("BTC/USDT") == []
        assert exchange.fetch_balance()["USDT"]["used"] == 0
        again = exchange.fetch_order(None, "BTC/USDT", {"clientOrderId": "life1"})
        assert again["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound):
            exchange.cancel_order(placed["id"], "BTC/USDT")

    def test_an_order_is_replaced_or_left_alone(self, exchange: Any) -> None:
        limit = price_of(exchange) / 2 // 1
        first = exchange.create_order("BTC/USDT", "limit", "buy", "0.1", limit)
        second = exchange.edit_order(first["id"], "BTC/USDT", "limit", "buy", "0.2", limit + 5)
        assert [o["id"] for o in exchange.fetch_open_orders("BTC/USDT")] == [second["id"]]
        assert exchange.fetch_order(first["id"], "BTC/USDT")["status"] == "canceled"
        with pytest.raises(ccxt.BaseError, match="-2022"):
            exchange.edit_order(first["id"], "BTC/USDT", "limit", "buy", "0.2", limit + 6)
        with pytest.raises(ccxt.BaseError, match="-2021"):
            exchange.edit_order(second["id"], "BTC/USDT", "limit", "buy", "500", limit)
        # Cancelled, but not replaced: the venue's 409.
        assert exchange.fetch_open_orders("BTC/USDT") == []

    def test_cancel_all(self, exchange: Any) -> None:
        limit = price_of(exchange) / 2 // 1
        for _ in range(3):
            exchange.create_order("BTC/USDT", "limit", "buy", "0.1", limit)
        assert len(exchange.cancel_all_orders("BTC/USDT")) == 3
        with pytest.raises(ccxt.OrderNotFound):
            exchange.cancel_all_orders("BTC/USDT")

    def test_orders_and_trades_are_listed(self, exchange: Any) -> None:
        first = exchange.create_order("ETH/USDT", "market", "sell", "1")
        second = exchange.create_order("ETH/USDT", "market", "buy", "2")
        assert [o["id"] for o in exchange.fetch_orders("ETH/USDT")] == [first["id"], second["id"]]
        trades = exchange.fetch_my_trades("ETH/USDT")
        assert [t["order"] for t in trades] == [first["id"], second["id"]]
        later = exchange.fetch_my_trades("ETH/USDT", params={"fromId": trades[1]["id"]})
        assert [t["id"] for t in later] == [trades[1]["id"]]
        of_one = exchange.fetch_order_trades(first["id"], "ETH/USDT")
        assert [t["id"] for t in of_one] == [trades[0]["id"]]
        since = exchange.fetch_my_trades("ETH/USDT", since=START)
        assert len(since) == 2
        assert exchange.fetch_my_trades("ETH/USDT", since=START + 1) == []

    def test_time_in_force_and_post_only(self, exchange: Any) -> None:
        price = price_of(exchange) // 1
        far, near = price - 1000, price + 1000
        ioc = exchange.create_order("BTC/USDT", "limit", "buy", "0.1", far, {"timeInForce": "IOC"})
        assert ioc["status"] == "expired"
        fok = exchange.create_order("BTC/USDT", "limit", "buy", "0.1", near, {"timeInForce": "FOK"})
        assert fok["status"] == "closed"
        maker = exchange.create_order("BTC/USDT", "limit", "buy", "0.1", far, {"postOnly": True})
        assert maker["id"]
        with pytest.raises(ccxt.OrderImmediatelyFillable):
            exchange.create_order("BTC/USDT", "limit", "buy", "0.1", near, {"postOnly": True})

    def test_stops_rest_and_show_their_trigger(self, exchange: Any) -> None:
        price = price_of(exchange)
        stop = (price * Decimal("0.9")) // 1
        market = exchange.create_order(
            "BTC/USDT", "market", "sell", "0.1", None, {"stopLossPrice": str(stop)}
        )
        limited = exchange.create_order(
            "BTC/USDT", "limit", "sell", "0.1", stop - 5, {"triggerPrice": str(stop)}
        )
        opened = {o["id"]: o for o in exchange.fetch_open_orders("BTC/USDT")}
        assert {market["id"], limited["id"]} == set(opened)
        assert opened[market["id"]]["triggerPrice"] == stop

    def test_the_symbol_need_not_be_ascii(self, exchange: Any) -> None:
        order = exchange.create_order("币安人生/USDT", "market", "buy", "100")
        assert order["status"] == "closed"
        assert exchange.fetch_balance()["币安人生"]["total"] == 99.9

    @pytest.mark.parametrize(
        ("kind", "side", "amount", "price", "params", "error", "text"),
        [
            ("limit", "buy", "0.1", "60000.001", {}, ccxt.InvalidOrder, "PRICE_FILTER"),
            ("market", "buy", "0.000001", None, {}, ccxt.InvalidOrder, "LOT_SIZE"),
            ("market", "buy", "0.000015", None, {}, ccxt.InvalidOrder, "LOT_SIZE"),
            ("market", "buy", "9001", None, {}, ccxt.InvalidOrder, "LOT_SIZE"),
            ("market", "buy", "0.00001", None, {}, ccxt.BadRequest, "NOTIONAL"),
            ("limit", "buy", "0.1", "1000", {}, ccxt.InvalidOrder, "PERCENT_PRICE_BY_SIDE"),
            ("market", "buy", "0.1234567891", None, {}, ccxt.BadRequest, "too much precision"),
            ("market", "sell", "100", None, {}, ccxt.InsufficientFunds, "insufficient balance"),
            ("limit", "buy", "100", "60000", {}, ccxt.InsufficientFunds, "insufficient balance"),
        ],
    )
    def test_filters_refuse_with_the_venue_s_words(
        self,
        exchange: Any,
        kind: str,
        side: str,
        amount: str,
        price: str | None,
        params: Params,
        error: type[Exception],
        text: str,
    ) -> None:
        request = {
            "symbol": "BTCUSDT",
            "side": side.upper(),
            "type": kind.upper(),
            "quantity": amount,
            **({"price": price, "timeInForce": "GTC"} if price else {}),
            **params,
        }
        with pytest.raises(error, match=text):
            exchange.private_post_order(request)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"type": "ICEBERG"}, -1116),
            ({"type": "TAKE_PROFIT_LIMIT"}, -2010),
            ({"side": "UP"}, -1117),
            ({"timeInForce": "FOREVER"}, -1115),
            ({"timeInForce": None}, -1102),
            ({"price": None}, -1102),
            ({"price": "cheap"}, -1100),
            ({"price": "1e5"}, -1100),
            ({"quantity": None}, -1102),
            ({"stopPrice": "50000"}, -1106),
            ({"quoteOrderQty": "50"}, -1106),
            ({"newClientOrderId": "a b"}, -1100),
            ({"newClientOrderId": "x" * 37}, -1100),
            ({"newOrderRespType": "LOUD"}, -1100),
            ({"type": "MARKET"}, -1106),
            ({"type": "MARKET", "price": None, "timeInForce": None, "quoteOrderQty": "9"}, -1128),
            ({"symbol": "NOPE"}, -1121),
            ({"recvWindow": "60001"}, -1131),
            ({"timestamp": "1500000000000"}, -1021),
            ({"timestamp": "2500000000000"}, -1021),
        ],
    )
    def test_malformed_orders_get_the_venue_s_codes(
        self, shared: SimulatorProcess, account: SimAccount, change: Params, code: int
    ) -> None:
        request = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.1",
            "price": "60000",
            "timestamp": str(int(time.time() * 1000)),
        } | change
        answer = signed(shared, account, "POST", "/api/v3/order", request)
        assert answer["code"] == code

    def test_at_most_two_hundred_open_orders_on_a_symbol(self, exchange: Any) -> None:
        limit = price_of(exchange) / 2 // 1
        for _ in range(200):
            exchange.create_order("BTC/USDT", "limit", "buy", "0.001", limit)
        with pytest.raises(ccxt.BadRequest, match="MAX_NUM_ORDERS"):
            exchange.create_order("BTC/USDT", "limit", "buy", "0.001", limit)

    @pytest.mark.parametrize(("style", "has_fills"), [("ACK", None), ("RESULT", None), ("FULL", 1)])
    def test_answers_come_in_the_style_asked_for(
        self, exchange: Any, style: str, has_fills: int | None
    ) -> None:
        answer = exchange.private_post_order(
            {
                "symbol": "BTCUSDT",
                "side": "BUY",
                "type": "MARKET",
                "quantity": "0.1",
                "newOrderRespType": style,
            }
        )
        assert ("status" in answer) == (style != "ACK")
        assert (len(answer["fills"]) if "fills" in answer else None) == has_fills


def signed(
    simulator: SimulatorProcess,
    account: SimAccount,
    method: str,
    path: str,
    params: Params,
    *,
    secret: str | None = None,
    in_body: bool = False,
) -> dict[str, Any]:
    query = urlencode({name: value for name, value in params.items() if value is not None})
    key = (account.api_secret if secret is None else secret).encode()
    query += "&signature=" + hmac.new(key, query.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": account.api_key}
    if in_body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        response = simulator.control.raw(method, path, content=query, headers=headers)
    else:
        response = simulator.control.raw(method, f"{path}?{query}", headers=headers)
    answer = response.json()
    return answer if isinstance(answer, dict) else {"list": answer}


class TestSigning:
    def now(self) -> str:
        return str(int(time.time() * 1000))

    def test_a_wrong_secret_is_refused(self, shared: SimulatorProcess, account: SimAccount) -> None:
        wrong = signed(
            shared, account, "GET", "/api/v3/account", {"timestamp": self.now()}, secret="no"
        )
        assert wrong == {"code": -1022, "msg": "Signature for this request is not valid."}

    @pytest.mark.parametrize(("key", "code"), [("unknownkey", -2015), ("not a key!", -2014)])
    def test_a_wrong_key_is_refused(self, shared: SimulatorProcess, key: str, code: int) -> None:
        stranger = SimAccount("x", key, "y")
        answer = signed(shared, stranger, "GET", "/api/v3/account", {"timestamp": self.now()})
        assert answer["code"] == code

    def test_a_signature_is_needed(self, shared: SimulatorProcess, account: SimAccount) -> None:
        response = shared.control.raw(
            "GET",
            "/api/v3/account",
            params={"timestamp": self.now()},
            headers={"X-MBX-APIKEY": account.api_key},
        )
        assert response.json()["code"] == -1102

    @pytest.mark.parametrize("in_body", [False, True])
    def test_delete_takes_its_parameters_in_query_or_body(
        self, shared: SimulatorProcess, account: SimAccount, exchange: Any, in_body: bool
    ) -> None:
        limit = price_of(exchange) / 2 // 1
        order = exchange.create_order("BTC/USDT", "limit", "buy", "0.1", limit)
        answer = signed(
            shared,
            account,
            "DELETE",
            "/api/v3/order",
            {"symbol": "BTCUSDT", "orderId": order["id"], "timestamp": self.now()},
            in_body=in_body,
        )
        assert answer["status"] == "CANCELED"

    def test_the_record_holds_requests_without_secrets(
        self, shared: SimulatorProcess, account: SimAccount, exchange: Any
    ) -> None:
        exchange.create_order(
            "BTC/USDT", "market", "buy", "0.1", None, {"clientOrderId": account.name + "r"}
        )
        entries = shared.control.requests(client_order_id=account.name + "r")
        assert [(e["method"], e["path"], e["status"]) for e in entries] == [
            ("POST", "/api/v3/order", 200)
        ]
        text = json.dumps(shared.control.requests(account=account.name))
        assert account.api_secret not in text
        assert account.api_key not in text
        assert "signature" not in text
        (order,) = shared.control.orders(client_order_id_prefix=account.name)
        assert [state["status"] for state in order["states"]] == ["new", "filled"]
        assert len(order["fills"]) == 1


class TestBudget:
    def test_weight_is_told_and_enforced(self, simulator: Factory) -> None:
        process = simulator(weight_limit=50)
        control = process.control
        first = control.raw("GET", "/api/v3/ping")
        before = int(first.headers["X-MBX-USED-WEIGHT-1M"])
        klines = {"symbol": "BTCUSDT", "interval": "1m"}
        second = control.raw("GET", "/api/v3/klines", params=klines)
        # A minute may have begun in between.
        assert int(second.headers["X-MBX-USED-WEIGHT-1M"]) in (before + 2, 2)
        statuses = []
        for _ in range(40):
            response = control.raw("GET", "/api/v3/exchangeInfo")
            statuses.append(response.status_code)
            if response.status_code != 200:
                assert response.json()["code"] == -1003
                assert int(response.headers["Retry-After"]) >= 1
        assert 429 in statuses
        assert statuses[-1] == 418
        assert "IP banned until" in response.json()["msg"]
        assert control.raw("GET", "/api/v3/ping").status_code == 418

    def test_too_many_orders_in_ten_seconds(self, simulator: Factory) -> None:
        process = simulator(spread_bps=0)
        account = process.control.create_account("alice", {"USDT": "1000000"})
        exchange = process.ccxt(account)
        exchange.load_markets()

        def place_many() -> None:
            for _ in range(210):  # a window may end in between
                exchange.create_order("BTC/USDT", "market", "buy", 0.001)

        with pytest.raises(ccxt.DDoSProtection, match="-1015"):
            place_many()
        headers = exchange.last_response_headers
        assert int(headers["X-MBX-ORDER-COUNT-10S"]) == 101
        exchange.close()


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


class TestBinding:
    def test_other_hosts_are_refused(self, exchange: Any) -> None:
        exchange.urls["api"]["public"] = "https://example.com/api/v3"
        with pytest.raises(ForeignHost, match="nothing was sent"):
            exchange.fetch_ticker("BTC/USDT")

    def test_a_dead_simulator_is_a_network_error(self, simulator: Factory) -> None:
        process = simulator()
        exchange = process.ccxt()
        exchange.load_markets()
        process.stop()
        with pytest.raises(ccxt.NetworkError):
            exchange.fetch_ticker("BTC/USDT")
        exchange.close()


def test_orders_fill_as_the_market_moves(simulator: Factory) -> None:
    """A limit below the market waits, is reached by the tape, and fills as a maker."""
    process = simulator(seed=11, start=START, spread_bps=0, taker_fee="0.002", maker_fee="0.0005")
    account = process.control.create_account("alice", {"USDT": "100000"})
    exchange = process.ccxt(account)
    exchange.load_markets()
    limit = round(exchange.fetch_ticker("BTC/USDT")["last"] * 0.999, 2)
    order = exchange.create_order("BTC/USDT", "limit", "buy", 0.1, limit)
    for _ in range(48):
        process.control.advance(by_ms=HOUR_MS)
        if exchange.fetch_order(order["id"], "BTC/USDT")["status"] == "closed":
            break
    (trade,) = exchange.fetch_my_trades("BTC/USDT")
    assert trade["price"] <= limit
    assert trade["takerOrMaker"] == "maker"
    assert trade["fee"] == {"currency": "BTC", "cost": 0.00005}
    bar = exchange.fetch_ohlcv("BTC/USDT", "1m", trade["timestamp"] // MINUTE_MS * MINUTE_MS, 1)[0]
    assert bar[3] <= trade["price"] <= bar[2]
    exchange.close()
