"""Orders at Binance spot: what is sent, once, and what each answer means."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from app.adapters.venue_clock import MeasuredClock
from app.core.errors import InvalidInput
from app.core.exchanges.errors import (
    BadVenueAnswer,
    BudgetExhausted,
    OrderNotKnown,
    RateLimited,
    VenueKeyRefused,
    VenueRejected,
    VenueRetryLater,
    VenueRulesRefused,
    VenueUnknown,
    VenueUnreachable,
)
from app.core.exchanges.loopback import bind_sync
from app.core.exchanges.session import VenueSession
from app.core.exchanges.trading import BinanceSpotTrade, trade_adapter
from app.core.orders.types import (
    Balance,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    VenueFill,
)
from app.core.ports import Purpose
from tests.integration.market.venue import KEYS, Edge
from tests.support.record import START_MS
from tests.support.stub_venue import Reply, StubVenue

ORDER = "/api/v3/order"
D = Decimal
MARKET = OrderRequest(
    symbol="BTC/USDT",
    side=Side.BUY,
    type=OrderType.MARKET,
    quantity=D("0.00100"),
    client_order_id="tm0a1b2c",
    timestamp_ms=START_MS - 1_234,
    recv_window_ms=2_000,
    price=D("50000"),  # what the risk gate reckoned with; it must not be sent
)
LIMIT = replace(MARKET, type=OrderType.LIMIT, price=D("50000.10"))
FILLED = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "orderListId": -1,
    "clientOrderId": "tm0a1b2c",
    "transactTime": START_MS + 5,
    "price": "0.00000000",
    "origQty": "0.00100000",
    "executedQty": "0.00100000",
    "status": "FILLED",
    "type": "MARKET",
    "side": "BUY",
    "fills": [
        {
            "price": "50000.10",
            "qty": "0.00060000",
            "commission": "0.00000060",
            "commissionAsset": "BTC",
            "tradeId": 56,
        },
        {
            "price": "50000.20",
            "qty": "0.00040000",
            "commission": "0.00000040",
            "commissionAsset": "BTC",
            "tradeId": 57,
        },
    ],
}
OPEN = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "clientOrderId": "tm0a1b2c",
    "price": "50000.10",
    "origQty": "0.00100000",
    "executedQty": "0.00040000",
    "status": "PARTIALLY_FILLED",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "side": "BUY",
    "time": START_MS,
}


@pytest.fixture
def venue() -> Iterator[StubVenue]:
    with StubVenue() as stub:
        yield stub


@pytest.fixture
def edge(venue: StubVenue) -> Edge:
    return Edge(venue.url)


def signature_of(params: dict[str, str]) -> str:
    text = urlencode({name: value for name, value in params.items() if name != "signature"})
    return hmac.new(KEYS["secret"].encode(), text.encode(), hashlib.sha256).hexdigest()


def test_a_market_order_is_an_amount_with_the_rows_own_timestamp(
    venue: StubVenue, edge: Edge
) -> None:
    venue.on("POST", ORDER, Reply(FILLED))
    edge.trade.place_order(MARKET)
    (asked,) = venue.asked
    sent = dict(asked.params)
    assert sent.pop("signature") == signature_of(asked.params)
    assert sent == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quantity": "0.001",
        "newClientOrderId": "tm0a1b2c",
        "newOrderRespType": "FULL",
        "timestamp": str(START_MS - 1_234),
        "recvWindow": "2000",
    }
    assert asked.headers["X-MBX-APIKEY"] == "the-key"


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        (
            {"type": OrderType.LIMIT, "time_in_force": TimeInForce.IOC, "price": D("50000.10")},
            {"type": "LIMIT", "price": "50000.1", "timeInForce": "IOC"},
        ),
        (
            {"type": OrderType.STOP, "stop_price": D("49000"), "side": Side.SELL},
            {"type": "STOP_LOSS", "stopPrice": "49000", "side": "SELL"},
        ),
        (
            {"type": OrderType.STOP_LIMIT, "stop_price": D("49000"), "price": D("48900")},
            {
                "type": "STOP_LOSS_LIMIT",
                "stopPrice": "49000",
                "price": "48900",
                "timeInForce": "GTC",
            },
        ),
    ],
)
def test_other_types_send_what_they_need(
    venue: StubVenue, edge: Edge, change: dict[str, Any], sent: dict[str, str]
) -> None:
    venue.on("POST", ORDER, Reply({**FILLED, "status": "NEW", "executedQty": "0", "fills": []}))
    response = edge.trade.place_order(replace(MARKET, **{"price": None, **change}))
    assert response.status is OrderStatus.ACKNOWLEDGED
    asked = venue.asked[0].params
    assert {name: asked.get(name) for name in sent} == sent
    assert {"price", "stopPrice", "timeInForce"} & set(asked) == set(sent) - {"type", "side"}


def test_fills_of_the_answer(venue: StubVenue, edge: Edge) -> None:
    venue.on("POST", ORDER, Reply(FILLED))
    response = edge.trade.place_order(MARKET)
    assert (response.status, response.venue_order_id) == (OrderStatus.FILLED, "28")
    assert response.filled_quantity == response.quantity == D("0.001")
    assert response.fills[1] == VenueFill(
        trade_id="57",
        venue_order_id="28",
        symbol="BTC/USDT",
        side=Side.BUY,
        price=D("50000.20"),
        quantity=D("0.0004"),
        fee=D("0.0000004"),
        fee_asset="BTC",
        timestamp=START_MS + 5,
        is_maker=False,
    )


def with_fill(**part: Any) -> dict[str, Any]:
    return {**FILLED, "fills": [{**FILLED["fills"][0], **part}]}  # type: ignore[index]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"id": None, "status": None},
        {**FILLED, "orderId": None},
        {**FILLED, "clientOrderId": "tm0other"},
        {**FILLED, "clientOrderId": None},
        {**FILLED, "symbol": "ETHUSDT"},
        {**FILLED, "status": "DONE"},
        {**FILLED, "status": None},
        {**FILLED, "origQty": "NaN"},
        {**FILLED, "origQty": "-0.001"},
        {**FILLED, "executedQty": "0.002"},
        {**FILLED, "executedQty": "0.0005"},
        {**FILLED, "executedQty": None},
        {**FILLED, "fills": None},
        with_fill(qty="0.002"),
        with_fill(qty="Infinity"),
        with_fill(price="0"),
        with_fill(tradeId=None),
        with_fill(commission=None),
        with_fill(commissionAsset=""),
        {**FILLED, "side": "HOLD"},
        {**FILLED, "transactTime": None},
    ],
)
def test_an_answer_to_an_order_that_makes_no_sense_leaves_it_unknown(
    venue: StubVenue, edge: Edge, answer: Any
) -> None:
    venue.on("POST", ORDER, Reply(answer))
    with pytest.raises(BadVenueAnswer) as bad:
        edge.trade.place_order(MARKET)
    assert isinstance(bad.value, VenueUnknown)
    assert len(venue.asked) == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(b"", cut_after=0, announced=10), VenueUnreachable),
        (Reply(FILLED, cut_after=40), VenueUnreachable),
        (Reply(b"<html>", 502), VenueUnknown),
        (Reply(b"<html>", 403), VenueUnknown),
        (Reply({"code": -1000, "msg": "unknown"}, 500), VenueUnknown),
        (Reply({"code": -1007, "msg": "Timeout waiting"}, 408), VenueUnknown),
        (Reply({"code": -2010, "msg": "Duplicate order sent."}, 400), VenueUnknown),
        (Reply({"code": -2010, "msg": "Account has insufficient balance"}, 400), VenueRejected),
        (Reply({"code": -1013, "msg": "Filter failure: LOT_SIZE"}, 400), VenueRulesRefused),
        (Reply({"code": -2015, "msg": "Invalid API-key"}, 401), VenueKeyRefused),
        (Reply({"code": -1021, "msg": "outside of the recvWindow"}, 400), VenueRetryLater),
        (Reply({"code": -1008, "msg": "overloaded"}, 503), VenueRetryLater),
        (Reply({"code": -1015, "msg": "Too many new orders"}, 429), RateLimited),
    ],
)
def test_what_a_refused_order_proves(
    venue: StubVenue, edge: Edge, reply: Reply, expected: type[Exception]
) -> None:
    venue.on("POST", ORDER, reply)
    with pytest.raises(expected) as failed:
        edge.trade.place_order(LIMIT)
    assert type(failed.value) is expected
    assert len(venue.asked) == 1, "an order is never sent twice"
    assert "the-" not in str(failed.value)
    assert "signature" not in str(failed.value)


def test_a_key_refused_after_it_worked_is_still_a_refusal(venue: StubVenue, edge: Edge) -> None:
    refused = Reply({"code": -2015, "msg": "Invalid API-key, IP, or permissions."}, 401)
    venue.on("POST", ORDER, Reply(FILLED), refused)
    edge.trade.place_order(MARKET)
    with pytest.raises(VenueRejected):
        edge.trade.place_order(MARKET)


def test_too_many_orders_stop_orders_and_nothing_else(venue: StubVenue, edge: Edge) -> None:
    venue.on("POST", ORDER, Reply({"code": -1015, "msg": "Too many new orders"}, 429))
    venue.on("DELETE", ORDER, Reply(CANCELLED))
    with pytest.raises(RateLimited) as limited:
        edge.trade.place_order(LIMIT)
    assert limited.value.retry_after_ms == 10_000
    assert edge.trade.cancel_order("BTC/USDT", "tm0a1b2c").status is OrderStatus.CANCELLED


def test_a_send_does_not_wait_for_the_budget(venue: StubVenue, edge: Edge) -> None:
    edge.budget.acquire("binance", 4_800, Purpose.ORDER, 0.0)
    with pytest.raises(BudgetExhausted):
        edge.trade.place_order(MARKET)
    assert venue.asked == []
    assert edge.clock.now == START_MS


def test_a_limit_order_without_its_price_is_not_sent(venue: StubVenue, edge: Edge) -> None:
    with pytest.raises(InvalidInput, match="price"):
        edge.trade.place_order(replace(LIMIT, price=None))
    with pytest.raises(InvalidInput, match="stop price"):
        edge.trade.place_order(replace(LIMIT, type=OrderType.STOP_LIMIT))
    assert venue.asked == []


CANCELLED = {
    **OPEN,
    "clientOrderId": "the-cancels-own-id",
    "origClientOrderId": "tm0a1b2c",
    "status": "CANCELED",
}


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


def test_a_query_is_signed_when_nothing_is_left_to_wait_for(venue: StubVenue, edge: Edge) -> None:
    """A client that takes seconds to build, then a budget that lets it wait for its minute."""
    session = VenueSession(
        "binance",
        edge.budget,
        edge.clock,
        bind=lambda client: (edge.clock.advance(7_000), bind_sync(client, venue.url))[1],
        credentials=KEYS,
    )
    trade = BinanceSpotTrade(session)
    venue.on("GET", "/api/v3/account", Reply({"balances": []}))
    trade.get_balance()
    assert venue.asked[-1].params["timestamp"] == str(edge.clock.now_ms())
    assert edge.clock.now_ms() == START_MS + 7_000

    minute_end = START_MS + 60_000
    edge.clock.now = minute_end - 1_000
    edge.budget.correct("binance", 6_000)
    trade.get_balance()
    assert edge.clock.now_ms() >= minute_end
    assert venue.asked[-1].params["timestamp"] == str(edge.clock.now_ms())


def test_queries_and_cancels_are_signed_with_the_venues_time(venue: StubVenue, edge: Edge) -> None:
    theirs = MeasuredClock("binance", edge.clock, lambda: edge.clock.now_ms() - 4_200)
    theirs.synchronise(1_000)
    trade = trade_adapter(
        "binance", KEYS, edge.budget, edge.clock, base_url=venue.url, venue_clock=theirs
    )
    venue.on("GET", "/api/v3/account", Reply({"balances": []}))
    trade.get_balance()
    assert venue.asked[-1].params["timestamp"] == str(edge.clock.now_ms() - 4_200)
    # An order brings its own, which is committed already.
    venue.on("POST", ORDER, Reply(FILLED))
    trade.place_order(MARKET)
    assert venue.asked[-1].params["timestamp"] == str(MARKET.timestamp_ms)


def test_a_refused_timestamp_has_the_venues_clock_measured_anew(
    venue: StubVenue, edge: Edge
) -> None:
    asked = []

    def ask() -> int:
        asked.append(edge.clock.now_ms())
        return edge.clock.now_ms()

    theirs = MeasuredClock("binance", edge.clock, ask)
    theirs.synchronise(1_000)
    trade = trade_adapter(
        "binance", KEYS, edge.budget, edge.clock, base_url=venue.url, venue_clock=theirs
    )
    late = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
    venue.on("POST", ORDER, Reply(late, status=400))
    with pytest.raises(VenueRetryLater):
        trade.place_order(MARKET)
    theirs.synchronise(1_000)
    assert len(asked) == 2
