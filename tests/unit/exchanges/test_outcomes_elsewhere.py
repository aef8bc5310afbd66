"""What each refusal of Binance's futures, OKX and Bybit proves."""

from __future__ import annotations

import json

import pytest

from app.core.exchanges.envelopes import error_of
from app.core.exchanges.limits import (
    ban_end,
    exhausted_until,
    orders_only,
    pause_ms,
    used_weight,
)
from app.core.exchanges.outcomes import TABLES, Action, Outcome, Refusal, outcome

CREATE, CANCEL, QUERY = Action.CREATE, Action.CANCEL, Action.QUERY
ALL = (CREATE, CANCEL, QUERY)
REJECTED, OUTDATED, KEY = Outcome.REJECTED, Outcome.OUTDATED, Outcome.KEY_REFUSED
LATER, UNKNOWN, FINAL = Outcome.RETRY_LATER, Outcome.UNKNOWN, Outcome.FINAL
NOW = 1_772_323_215_000

BINANCEUSDM = [
    (400, "-2019", "Margin is insufficient.", (CREATE,), REJECTED),
    (400, "-2022", "ReduceOnly Order is rejected.", (CREATE,), REJECTED),
    (400, "-5022", "Post Only order will be rejected.", (CREATE,), REJECTED),
    (400, "-4131", "PERCENT_PRICE filter limit.", (CREATE,), REJECTED),
    (400, "-4164", "Order's notional must be no smaller than 100", (CREATE,), OUTDATED),
    (400, "-4014", "Price not increased by tick size.", (CREATE,), OUTDATED),
    (400, "-4116", "ClientOrderId is duplicated.", (CREATE,), UNKNOWN),
    # What is true of spot is true here.
    (400, "-2013", "Order does not exist.", (QUERY, CANCEL), FINAL),
    (400, "-1121", "Invalid symbol.", ALL, OUTDATED),
    (503, "-1008", "Server is currently overloaded.", ALL, LATER),
    (503, None, "", ALL, UNKNOWN),
    (408, "-1007", "Timeout waiting for response from backend server.", ALL, UNKNOWN),
    (418, "-1003", "banned", ALL, LATER),
    (401, "-2015", "Invalid API-key, IP, or permissions for action.", ALL, KEY),
]
OKX = [
    (200, "50004", "API endpoint request timeout", ALL, UNKNOWN),
    (400, "50004", "API endpoint request timeout", ALL, UNKNOWN),
    (200, "50026", "System error. Try again later", ALL, UNKNOWN),
    (200, "51149", "Order timed out. Please try again later.", (CREATE,), UNKNOWN),
    (200, "51016", "Client order ID already exists.", (CREATE,), UNKNOWN),
    (502, None, "", ALL, UNKNOWN),
    (500, "51008", "Insufficient balance", (CREATE,), UNKNOWN),
    (200, "77777", "something new", ALL, UNKNOWN),
    (200, None, "", ALL, UNKNOWN),
    (429, "50011", "Requests too frequent.", ALL, LATER),
    (200, "50011", "Requests too frequent.", ALL, LATER),
    (200, "50061", "Order rate limit reached.", (CREATE,), LATER),
    (503, "50001", "Service temporarily unavailable.", ALL, LATER),
    (200, "50013", "Systems are busy.", ALL, LATER),
    (200, "51290", "The matching engine is upgrading", (CREATE,), LATER),
    (401, "50102", "Timestamp request expired.", ALL, LATER),
    (401, "50111", "Invalid OK-ACCESS-KEY.", ALL, KEY),
    (401, "50113", "Invalid Sign.", ALL, KEY),
    (401, "50105", "Incorrect OK-ACCESS-PASSPHRASE.", ALL, KEY),
    (401, "50110", "Your IP is not in your API key's trusted IPs.", ALL, KEY),
    (200, "51008", "Insufficient balance", (CREATE,), REJECTED),
    (200, "51131", "Insufficient balance", (CREATE,), REJECTED),
    (200, "51006", "Order price is not within the price limit", (CREATE,), REJECTED),
    (200, "51010", "Request unsupported under current account mode", (CREATE,), REJECTED),
    (200, "51000", "Parameter clOrdId error", ALL, REJECTED),
    (200, "51020", "Your order should meet or exceed the minimum", (CREATE,), OUTDATED),
    (200, "51121", "Order quantity must be a multiple of the lot size", (CREATE,), OUTDATED),
    (200, "51001", "Instrument ID doesn't exist.", ALL, OUTDATED),
    (200, "51400", "Cancellation failed as the order doesn't exist.", (CANCEL,), FINAL),
    (200, "51402", "Cancellation failed as the order is completed.", (CANCEL,), FINAL),
    (200, "51410", "Order is being cancelled", (CANCEL,), FINAL),
    (200, "51603", "Order does not exist", (CANCEL, QUERY), FINAL),
    # About the order asked for, so they prove nothing about a new one.
    (200, "51400", "Cancellation failed as the order doesn't exist.", (CREATE, QUERY), UNKNOWN),
    (200, "51603", "Order does not exist", (CREATE,), UNKNOWN),
]
BYBIT = [
    (200, "10000", "Server Timeout", ALL, UNKNOWN),
    (200, "10016", "System error. Please try again later.", ALL, UNKNOWN),
    (200, "170007", "Timeout waiting for response from backend server.", ALL, UNKNOWN),
    (200, "170146", "Order creation timeout", (CREATE,), UNKNOWN),
    (200, "170147", "Order cancellation timeout", (CANCEL,), UNKNOWN),
    (200, "170032", "Network error. Please try again later", ALL, UNKNOWN),
    (200, "110072", "OrderLinkedID is duplicate", (CREATE,), UNKNOWN),
    (200, "170141", "Duplicate clientOrderId", (CREATE,), UNKNOWN),
    (504, None, "", ALL, UNKNOWN),
    (500, "110007", "ab not enough for new order", (CREATE,), UNKNOWN),
    (200, "424242", "something new", ALL, UNKNOWN),
    (403, None, "", ALL, LATER),
    (429, None, "", ALL, LATER),
    (200, "10006", "Too many visits!", ALL, LATER),
    (200, "10018", "exceed ip rate limit", ALL, LATER),
    (200, "10002", "invalid request, please check your timestamp", ALL, LATER),
    (200, "10003", "API key is invalid.", ALL, KEY),
    (200, "10004", "error sign!", ALL, KEY),
    (200, "33004", "apikey already expired", ALL, KEY),
    (200, "10005", "Permission denied", ALL, KEY),
    (200, "10010", "Unmatched IP", ALL, KEY),
    (200, "110007", "ab not enough for new order", (CREATE,), REJECTED),
    (200, "170131", "Balance insufficient", (CREATE,), REJECTED),
    (200, "110017", "Reduce-only rule not satisfied", (CREATE,), REJECTED),
    (200, "10001", "params error: qty", ALL, REJECTED),
    (200, "10001", "params error: symbol invalid BTCUSD", ALL, OUTDATED),
    (200, "110094", "Order does not meet minimum order value 5USDT", (CREATE,), OUTDATED),
    (200, "170140", "Transaction amount lower than the minimum.", (CREATE,), OUTDATED),
    (200, "170136", "Order quantity lower than the minimum.", (CREATE,), OUTDATED),
    (200, "170137", "Order volume decimal too long", (CREATE,), OUTDATED),
    (200, "110001", "order not exists or too late to cancel", (CANCEL, QUERY), FINAL),
    (200, "170213", "Order does not exist.", (CANCEL, QUERY), FINAL),
    (200, "110008", "Order has been finished or canceled", (CANCEL,), FINAL),
    (200, "170142", "Order has been canceled", (CANCEL,), FINAL),
    (200, "170143", "Cannot be found on order book", (CANCEL,), FINAL),
    (200, "170213", "Order does not exist.", (CREATE,), UNKNOWN),
]
ROWS = [
    (exchange, *row)
    for exchange, rows in (("binanceusdm", BINANCEUSDM), ("okx", OKX), ("bybit", BYBIT))
    for row in rows
]


@pytest.mark.parametrize(("exchange", "status", "code", "text", "actions", "expected"), ROWS)
def test_a_refusal_proves(
    exchange: str,
    status: int,
    code: str | None,
    text: str,
    actions: tuple[Action, ...],
    expected: Outcome,
) -> None:
    for action in actions:
        assert outcome(exchange, action, Refusal(status, code, text)) is expected


@pytest.mark.parametrize("exchange", ["okx", "bybit"])
def test_no_code_stands_in_two_rows_that_speak_of_the_same(exchange: str) -> None:
    seen: set[tuple[str, Action]] = set()
    for rule in TABLES[exchange]:
        if rule.text is not None:
            continue
        for action in rule.actions or ALL:
            pairs = {(code, action) for code in rule.codes or ()}
            assert not pairs & seen, rule.why
            seen |= pairs


def test_a_venue_without_a_table_may_be_asked_again_after_a_429() -> None:
    assert outcome("kraken", QUERY, Refusal(429)) is LATER
    assert outcome("kraken", QUERY, Refusal(400)) is UNKNOWN


@pytest.mark.parametrize(
    ("exchange", "body", "expected"),
    [
        ("okx", {"code": "0", "data": [], "msg": ""}, None),
        ("okx", {"code": 0, "data": []}, None),
        ("okx", {"data": []}, None),
        ("okx", [], None),
        ("okx", {"code": "51001", "msg": "No such instrument"}, ("51001", "No such instrument")),
        ("okx", {"code": 50011, "msg": None}, ("50011", "")),
        ("okx", {"code": None, "msg": "?"}, ("?", "?")),
        (
            "okx",
            {"code": "1", "msg": "failed", "data": [{"sCode": "51008", "sMsg": "No funds"}]},
            ("51008", "No funds"),
        ),
        (
            "okx",
            {"code": "2", "msg": "some", "data": [{"sCode": "0"}, {"sCode": "51020"}]},
            ("51020", "some"),
        ),
        ("okx", {"code": "1", "msg": "failed", "data": [None]}, ("1", "failed")),
        ("okx", {"code": "1", "msg": "failed", "data": "?"}, ("1", "failed")),
        ("bybit", {"retCode": 0, "retMsg": "OK"}, None),
        ("bybit", {"retCode": "0", "retMsg": "OK"}, None),
        ("bybit", {"result": {}}, None),
        ("bybit", {"retCode": 10001, "retMsg": "params error"}, ("10001", "params error")),
        ("bybit", {"retCode": True, "retMsg": 7}, ("?", "")),
        ("binanceusdm", {"code": 200, "msg": "success"}, None),
        ("binanceusdm", {"code": -1121, "msg": "Invalid symbol."}, ("-1121", "Invalid symbol.")),
        ("kraken", {"error": ["EGeneral:Unknown"]}, None),
    ],
)
def test_a_refusal_is_read_out_of_the_body(
    exchange: str, body: object, expected: tuple[str, str] | None
) -> None:
    assert error_of(exchange, json.loads(json.dumps(body))) == expected


@pytest.mark.parametrize(
    ("exchange", "name"), [("binance", "code"), ("okx", "code"), ("bybit", "retCode")]
)
def test_a_code_of_a_thousand_digits_is_told_short(exchange: str, name: str) -> None:
    """It goes into messages and rows."""
    refusal = error_of(exchange, {name: -(10**1_000), "msg": "no"})
    assert refusal is not None
    assert refusal[0] == "-1" + 18 * "0"


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal(418), NOW + 600_000),
        (Refusal(403), NOW + 600_000),
        (Refusal(429, "50011"), None),
        (Refusal(401), None),
    ],
)
def test_an_address_that_is_shut_out_is_silent_for_ten_minutes(
    refusal: Refusal, expected: int | None
) -> None:
    assert ban_end(refusal, NOW, None) == expected


@pytest.mark.parametrize(
    ("exchange", "refusal", "headers", "expected"),
    [
        ("binance", Refusal(429, "-1003"), {}, 45_000),
        ("binanceusdm", Refusal(429, "-1015"), {}, 10_000),
        ("okx", Refusal(429, "50011"), {}, 2_000),
        ("okx", Refusal(200, "50061"), {}, 2_000),
        ("okx", Refusal(200, "50013"), {}, None),
        ("bybit", Refusal(200, "10006"), {}, 1_000),
        ("bybit", Refusal(200, "10006"), {"X-Bapi-Limit-Reset-Timestamp": str(NOW + 300)}, 300),
        # A clock that is wrong, or a text that is none.
        ("bybit", Refusal(200, "10006"), {"X-Bapi-Limit-Reset-Timestamp": str(NOW * 2)}, 1_000),
        ("bybit", Refusal(200, "10006"), {"X-Bapi-Limit-Reset-Timestamp": "soon"}, 1_000),
        ("bybit", Refusal(200, "10016"), {}, None),
        ("kraken", Refusal(429), {}, 45_000),
        ("kraken", Refusal(503), {}, None),
    ],
)
def test_a_pause_is_as_long_as_the_venue_counts(
    exchange: str, refusal: Refusal, headers: dict[str, str], expected: int | None
) -> None:
    assert pause_ms(exchange, refusal, headers, NOW) == expected


def test_limits_of_orders_stop_orders_alone() -> None:
    assert orders_only("binance", Refusal(429, "-1015"))
    assert orders_only("okx", Refusal(200, "50061"))
    assert not orders_only("okx", Refusal(429, "50011"))
    assert not orders_only("kraken", Refusal(429))


def test_headers_are_believed_where_the_venue_sends_them() -> None:
    assert used_weight("binanceusdm", {"X-MBX-USED-WEIGHT-1M": "1234"}) == 1234
    assert used_weight("binance", {"X-MBX-USED-WEIGHT-1M": "-1"}) is None
    assert used_weight("okx", {"X-MBX-USED-WEIGHT-1M": "1234"}) is None
    left = {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": str(NOW + 500)}
    assert exhausted_until("bybit", left, NOW) == NOW + 500
    assert exhausted_until("bybit", {**left, "X-Bapi-Limit-Status": "9"}, NOW) is None
    assert exhausted_until("okx", left, NOW) is None
