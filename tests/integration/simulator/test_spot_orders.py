"""Spot orders with unmodified ccxt as the client: placed, replaced, refused and filled."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from app.core.market.intervals import HOUR_MS, MINUTE_MS
from tests.integration.simulator.conftest import START
from tests.integration.simulator.spot import Params, price_of, signed
from tests.support.simulator import SimAccount, SimulatorProcess

Factory = Callable[..., SimulatorProcess]


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
