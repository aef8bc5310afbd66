"""Orders at Binance spot: what is sent, once, and what each answer means."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from app.core.errors import InvalidInput
from app.core.exchanges.errors import (
    BadVenueAnswer,
    BudgetExhausted,
    RateLimited,
    VenueKeyRefused,
    VenueRejected,
    VenueRetryLater,
    VenueRulesRefused,
    VenueUnknown,
    VenueUnreachable,
)
from app.core.orders.types import OrderStatus, OrderType, Side, TimeInForce, VenueFill
from app.core.ports import Purpose
from tests.integration.market.binance_orders import CANCELLED, FILLED, LIMIT, MARKET, ORDER
from tests.integration.market.venue import KEYS, Edge
from tests.support.record import START_MS
from tests.support.stub_venue import Reply, StubVenue

D = Decimal


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
