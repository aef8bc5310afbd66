"""Who may ask spot, how often, and where requests go at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import ccxt
import pytest

from app.core.exchanges.loopback import ForeignHost
from tests.integration.simulator.spot import price_of, signed
from tests.support.simulator import SimAccount, SimulatorProcess

Factory = Callable[..., SimulatorProcess]


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
