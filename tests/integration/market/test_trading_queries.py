"""Cancels and queries at Binance spot: what each answer means, and what none of them proves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import InvalidInput
from app.core.exchanges.errors import BadVenueAnswer, OrderNotKnown, VenueRetryLater, VenueUnknown
from app.core.orders.types import Balance, OrderStatus, Side
from tests.integration.market.binance_orders import CANCELLED, OPEN, ORDER
from tests.integration.market.venue import Edge
from tests.support.record import START_MS
from tests.support.stub_venue import Reply, StubVenue

D = Decimal


def test_a_cancel_goes_by_our_id(venue: StubVenue, edge: Edge) -> None:
    venue.on("DELETE", ORDER, Reply(CANCELLED))
    response = edge.trade.cancel_order("BTC/USDT", "tm0a1b2c")
    assert (response.status, response.filled_quantity) == (OrderStatus.CANCELLED, D("0.0004"))
    assert venue.asked[0].params["origClientOrderId"] == "tm0a1b2c"
    assert venue.asked[0].params["timestamp"] == str(START_MS)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply({"code": -2011, "msg": "Unknown order sent."}, 400), OrderNotKnown),
        (Reply({"code": -1000, "msg": "unknown"}, 500), VenueUnknown),
        (Reply({**CANCELLED, "origClientOrderId": "tm0other"}), BadVenueAnswer),
        (Reply(b"<html>", 200), BadVenueAnswer),
        (Reply(b"", 418), VenueRetryLater),
    ],
)
def test_what_a_refused_cancel_proves(
    venue: StubVenue, edge: Edge, reply: Reply, expected: type[Exception]
) -> None:
    venue.on("DELETE", ORDER, reply)
    with pytest.raises(expected):
        edge.trade.cancel_order("BTC/USDT", "tm0a1b2c")


def test_a_query_finds_the_order(venue: StubVenue, edge: Edge) -> None:
    venue.on("GET", ORDER, Reply(OPEN))
    found = edge.trade.get_order_status("BTC/USDT", "tm0a1b2c")
    assert found is not None
    assert found.status is OrderStatus.PARTIALLY_FILLED
    assert found.fills == ()


def test_only_the_venues_own_word_means_that_there_is_no_order(
    venue: StubVenue, edge: Edge
) -> None:
    venue.on("GET", ORDER, Reply({"code": -2013, "msg": "Order does not exist."}, 400))
    assert edge.trade.get_order_status("BTC/USDT", "tm0a1b2c") is None
    for reply in (
        Reply({"code": -2013, "msg": "Order does not exist."}, 503),
        Reply({"code": -2013, "msg": "Order does not exist."}, 200),
        Reply(b"", 404),
        Reply(b"<html>Order does not exist.</html>", 400),
        Reply({"code": -2011, "msg": "Unknown order sent."}, 400),
    ):
        venue.on("GET", ORDER, reply)
        with pytest.raises(VenueUnknown):
            edge.trade.get_order_status("BTC/USDT", "tm0a1b2c")


def test_open_orders_of_one_symbol_and_of_all(venue: StubVenue, edge: Edge) -> None:
    venue.on("GET", "/api/v3/openOrders", Reply([OPEN]))
    catalogue = {"symbols": [{"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT"}]}
    venue.on("GET", "/api/v3/exchangeInfo", Reply(catalogue))
    for found in (edge.trade.open_orders("BTC/USDT"), edge.trade.open_orders()):
        assert [(order.symbol, order.client_order_id) for order in found] == [
            ("BTC/USDT", "tm0a1b2c")
        ]
    answers: list[Any] = [
        {},
        [None],
        [{**OPEN, "symbol": "ETHUSDT"}],
        [{**OPEN, "clientOrderId": None}],
    ]
    for answer in answers:
        venue.on("GET", "/api/v3/openOrders", Reply(answer))
        with pytest.raises(BadVenueAnswer):
            edge.trade.open_orders("BTC/USDT")


def trade(identity: int, **changed: Any) -> dict[str, Any]:
    row = {
        "symbol": "BTCUSDT",
        "id": identity,
        "orderId": 28,
        "price": "50000.1",
        "qty": "0.001",
        "commission": "0.05",
        "commissionAsset": "USDT",
        "time": START_MS,
        "isBuyer": False,
        "isMaker": True,
    }
    return row | changed


def test_own_trades_are_read_page_by_page_from_the_last_known(venue: StubVenue, edge: Edge) -> None:
    first = [trade(identity) for identity in range(101, 1101)]
    venue.on("GET", "/api/v3/myTrades", Reply(first), Reply([trade(2000)]))
    fills = edge.trade.own_trades("BTC/USDT", "100")
    assert [int(fill.trade_id) for fill in fills] == [*range(101, 1101), 2000]
    assert (fills[0].side, fills[0].is_maker, fills[0].fee) == (Side.SELL, True, D("0.05"))
    assert [asked.params["fromId"] for asked in venue.asked] == ["101", "1101"]


@pytest.mark.parametrize(
    "rows",
    [
        [trade(1, symbol="ETHUSDT")],
        [trade(100)],
        [trade(102), trade(101)],
        [trade(101, qty="0")],
        [trade(101, price="NaN")],
        [trade(101, isMaker=None)],
        [trade(101, commission=None)],
        {},
    ],
)
def test_own_trades_that_make_no_sense_are_refused(venue: StubVenue, edge: Edge, rows: Any) -> None:
    venue.on("GET", "/api/v3/myTrades", Reply(rows))
    with pytest.raises(BadVenueAnswer):
        edge.trade.own_trades("BTC/USDT", "100")


def test_a_trade_id_of_another_venue_is_refused(edge: Edge) -> None:
    with pytest.raises(InvalidInput):
        edge.trade.own_trades("BTC/USDT", "fill-7")


def held(asset: str, free: Any, locked: Any = "0") -> dict[str, Any]:
    return {"asset": asset, "free": free, "locked": locked}


def test_balances_and_positions(venue: StubVenue, edge: Edge) -> None:
    answer = {"balances": [held("BTC", "0.5", "0.1"), held("ETH", "0.00000000")]}
    venue.on("GET", "/api/v3/account", Reply(answer))
    assert edge.trade.get_balance() == [Balance("BTC", D("0.5"), D("0.1"))]
    assert edge.trade.get_positions() == []


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"balances": {}},
        {"balances": [held("BTC", "-1")]},
        {"balances": [held("BTC", None)]},
        {"balances": [held("BTC", 1.5)]},
        {"balances": [held("BTC", "1"), held("BTC", "2")]},
    ],
)
def test_a_balance_that_makes_no_sense_is_never_an_empty_one(
    venue: StubVenue, edge: Edge, answer: Any
) -> None:
    venue.on("GET", "/api/v3/account", Reply(answer))
    with pytest.raises(BadVenueAnswer):
        edge.trade.get_balance()
