"""Bad inputs and their right answers: each is refused with a stable code, and none is a 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.api import guard
from tests.support.api import ApiClient, TradingDay

GOOD: dict[str, Any] = {
    "account": "demo",
    "symbol": "BTC/USDT",
    "side": "buy",
    "type": "limit",
    "quantity": "0.01",
    "limit_price": "64000",
}
HEADERS = {"Content-Type": "application/json", "Idempotency-Key": "bad-inputs"}


def order(api: ApiClient, content: bytes | str | AsyncIterator[bytes], **headers: str) -> Any:
    """POST a raw body to /orders."""
    return api.post("/orders", content=content, headers={**HEADERS, **headers})


def with_quantity(text: str) -> str:
    """A good order whose quantity is this JSON."""
    return json.dumps({**GOOD, "quantity": "Q"}).replace('"Q"', text)


def problem(response: Any) -> dict[str, Any]:
    """The problem of a refusal, checked for its form."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == response.status_code
    assert {"type", "title", "code", "detail", "trace_id"} <= set(body)
    assert body["trace_id"] == response.headers["x-request-id"]
    return body


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="empty"),
        pytest.param("quantity=1", id="a form"),
        pytest.param("{'a': 1}", id="single quotes"),
        pytest.param('{"a": 1,}', id="trailing comma"),
        pytest.param(with_quantity("NaN"), id="NaN literal"),
        pytest.param(with_quantity("Infinity"), id="Infinity literal"),
        pytest.param(with_quantity("-Infinity"), id="-Infinity literal"),
        pytest.param(with_quantity("9" * 5000), id="an integer of 5000 digits"),
        pytest.param(with_quantity('"\\ud800"'), id="lone surrogate"),
        pytest.param(with_quantity('"\\u0000"'), id="NUL"),
        pytest.param('{"quantity": "1", "quantity": "2"}', id="a key twice"),
        pytest.param(json.dumps(GOOD).encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), id="byte order mark"),
        pytest.param(b'{"symbol": "\xff\xfe"}', id="invalid UTF-8"),
        pytest.param("[" * 17 + "]" * 17, id="17 levels"),
        pytest.param("[" * 30_000, id="30,000 levels"),
    ],
)
def test_what_is_not_strict_json_is_malformed(api: ApiClient, body: bytes | str) -> None:
    response = order(api, body)
    assert response.status_code == 400
    assert problem(response)["code"] == "malformed-json"


@pytest.mark.parametrize(
    ("quantity", "code"),
    [
        ('"NaN"', "amount"),
        ('"sNaN"', "amount"),
        ('"Infinity"', "amount"),
        ("1e400", "amount"),
        ('"1e400"', "amount"),
        ('"1e999999"', "amount"),
        ('"1e2"', "amount"),
        ('"0"', "not-positive"),
        ('"-0.0"', "not-positive"),
        ('"-1"', "not-positive"),
        ('"0.' + "1" * 30 + '"', "amount"),
        ('"' + "9" * 19 + '"', "amount"),
        ("0.1", "amount"),
        ("1", "amount"),
        ("true", "amount"),
        ("null", "amount"),
        ("[]", "amount"),
        ('" 1 "', "amount"),
        ('"1_000"', "amount"),
        ('"1,000"', "amount"),
        ('"+1"', "amount"),
        ('"01"', "amount"),
        ('"1."', "amount"),
        ('".5"', "amount"),
        ('"١٢"', "amount"),
        ('""', "amount"),
    ],
)
def test_an_amount_is_a_plain_decimal_string(api: ApiClient, quantity: str, code: str) -> None:
    response = order(api, with_quantity(quantity))
    assert response.status_code == 422
    body = problem(response)
    assert body["code"] == "invalid-request"
    assert [(each["pointer"], each["code"]) for each in body["errors"]] == [("#/quantity", code)]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("symbol", "BTC/USDT'; DROP TABLE orders;--", "symbol"),
        ("symbol", "BTC/\u202eUSDT", "symbol"),
        ("symbol", "BTC/US\u200bDT", "symbol"),
        ("symbol", "", "symbol"),
        ("symbol", "B" * 65, "symbol"),
        ("symbol", 7, "symbol"),
        ("side", "BUY", "literal-error"),
        ("side", True, "literal-error"),
        ("type", "stop", "literal-error"),
        ("time_in_force", "__class__", "literal-error"),
        ("account", "../../etc/passwd", "string-pattern-mismatch"),
        ("account", "a" * 64, "string-pattern-mismatch"),
        ("tag", "<script>", "string-pattern-mismatch"),
        ("is_admin", True, "extra-forbidden"),
        ("__proto__", {}, "extra-forbidden"),
    ],
)
def test_a_field_that_does_not_fit_is_named(
    api: ApiClient, field: str, value: Any, code: str
) -> None:
    response = order(api, json.dumps({**GOOD, field: value}))
    assert response.status_code == 422
    (error,) = problem(response)["errors"]
    assert (error["pointer"], error["code"]) == (f"#/{field}", code)


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "7", "true"])
def test_a_body_that_is_no_object_does_not_fit(api: ApiClient, body: str) -> None:
    response = order(api, body)
    assert response.status_code == 422
    assert problem(response)["code"] == "invalid-request"


@pytest.mark.parametrize("symbol", ["BTC/USDТ", "XYZ/USDT", "btc/usdt", "BTC/USDT:USDT"])
def test_a_symbol_is_one_of_the_catalogue(api: ApiClient, symbol: str) -> None:
    response = order(api, json.dumps({**GOOD, "symbol": symbol}))
    assert response.status_code == 422
    assert problem(response)["code"] == "unknown-symbol"


def test_a_market_order_takes_no_price_and_a_limit_order_needs_one(api: ApiClient) -> None:
    for wrong in ({"type": "market"}, {"limit_price": None}):
        response = order(api, json.dumps({**GOOD, **wrong}))
        assert response.status_code == 422
        assert problem(response)["errors"][0]["code"] == "limit-price"


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"],
)
def test_only_json_in_utf8_is_taken(api: ApiClient, kind: str) -> None:
    response = order(api, json.dumps(GOOD), **{"Content-Type": kind})
    assert response.status_code == 415
    assert problem(response)["code"] == "unsupported-media-type"


@pytest.mark.parametrize("size", [64 * 1024 + 1, 5 * 1024 * 1024])
def test_a_large_body_is_refused_whatever_is_in_it(api: ApiClient, size: int) -> None:
    response = order(api, b"[" * size)
    assert response.status_code == 413
    assert problem(response)["code"] == "body-too-large"
    assert response.headers["connection"] == "close"


def test_a_strategy_file_may_be_larger_than_other_bodies(api: ApiClient) -> None:
    body = {"name": "large", "source": "#" * (100 * 1024) + "\n"}
    refused = api.post("/strategies", body)
    assert refused.status_code == 422  # read, and found to hold no strategy
    assert problem(refused)["code"] == "bad-strategy-file"
    assert api.post("/strategies", {**body, "source": "#" * 310_000}).status_code == 413


def test_a_body_that_does_not_arrive_is_given_up(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_BODY_SECONDS", 0.01)
    never = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"account": '
        await never.wait()

    response = order(api, slowly())
    assert response.status_code == 408
    assert problem(response)["code"] == "request-timeout"


@pytest.mark.parametrize("key", [None, "", "with space", "k" * 129, "кл"])
def test_an_order_needs_an_idempotency_key_of_plain_characters(
    api: ApiClient, key: str | None
) -> None:
    headers = {} if key is None else {"Idempotency-Key": key.encode()}
    response = api.post("/orders", GOOD, headers=headers)
    assert response.status_code == (400 if key is None else 422)
    assert problem(response)["code"] == (
        "missing-idempotency-key" if key is None else "invalid-request"
    )


@pytest.mark.parametrize(
    "order_id",
    [
        "-1",
        "1",
        "1.0",
        str(2**63),
        "1" * 5000,
        "..%2f..%2f",
        "019CB5A0-7C00-7A11-8F22-5A3C1D9E4B10",
    ],
)
def test_an_id_is_a_uuid(api: ApiClient, order_id: str) -> None:
    response = api.get(f"/orders/{order_id}")
    assert response.status_code in (404, 422)
    assert problem(response)["code"] in ("not-found", "invalid-request")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/orders?limit=1000000000", 422),
        ("/orders?limit=-1", 422),
        ("/orders?limit=0", 422),
        ("/orders?limit=1e2", 422),
        ("/orders?sort=__class__", 422),
        ("/orders?cursor=abc", 422),
        ("/orders?limit=5&limit=6", 400),
        ("/orders?account=%00", 400),
        ("/orders?account=%ff", 400),
        ("/orders?account=%E2%80%AEdemo", 400),
        ("/orders?cursor=" + "a" * 5000, 414),
        ("/orders?open=maybe", 422),
        ("/klines?exchange=binance&symbol=BTC/USDT&interval=1x", 422),
        ("/klines?exchange=binance&symbol=BTC/USDT&interval=1m&limit=5001", 422),
        ("/klines?exchange=binance&symbol=BTC/USDT&interval=1m&start=yesterday", 422),
        ("/klines?exchange=binance&symbol=BTC/USDT&interval=1m&start=2026-01-01T00:00:00", 422),
        ("/klines?exchange=binance&symbol=BTC/USDT&interval=1m&start=99999999999999999", 422),
        ("/klines?exchange=BINANCE&symbol=BTC/USDT&interval=1m", 422),
        ("/klines?exchange=binance&interval=1m", 422),
        ("/instruments?cursor=nothing", 422),
        ("/jobs?kind=other", 422),
        ("/instruments?exchange=okx&cursor=binance|BTC/USDT", 422),
    ],
)
def test_a_query_that_does_not_fit_is_refused(api: ApiClient, path: str, status: int) -> None:
    response = api.get(path)
    assert response.status_code == status
    problem(response)


@pytest.mark.parametrize("cursor", ["zzz", "binance|", "019CB5A0-7C00-7A11-8F22-5A3C1D9E4B10"])
def test_every_list_refuses_a_cursor_that_it_never_gave_out(
    api: ApiClient, day: TradingDay, cursor: str
) -> None:
    with day.container.units.read() as unit:
        instance = unit.instances.page(1).rows[0].id
    paths = api.get("//openapi.json", token=None).json()["paths"]
    given = {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1m", "kind": "funding"}
    listed = {
        path: {each["name"]: given[each["name"]] for each in asked if each.get("required")}
        for path, operations in paths.items()
        for asked in [
            [each for each in operations.get("get", {}).get("parameters", [])
             if each["in"] == "query"]
        ]
        if any(each["name"] == "cursor" for each in asked)
    }  # fmt: skip
    assert len(listed) >= 16
    for path, needed in listed.items():
        where = path.removeprefix("/api/v1").replace("{instance_id}", instance)
        response = api.get(where, params={**needed, "cursor": cursor})
        assert response.status_code == 422, path
        assert problem(response)["code"] == "invalid-cursor"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/orders", "GET, POST"),
        ("TRACE", "/orders", "GET, POST"),
        ("PATCH", "/strategies", "GET, POST"),
        ("DELETE", "/accounts", "GET, POST"),
    ],
)
def test_a_wrong_method_is_told_every_right_one(
    api: ApiClient, method: str, path: str, allow: str
) -> None:
    response = api.request(method, path, content=b"not json")
    assert response.status_code == 405
    assert response.headers["allow"] == allow
    assert problem(response)["code"] == "method-not-allowed"


def test_nothing_of_a_refused_body_comes_back(api: ApiClient) -> None:
    secret = "hunter2-in-the-wrong-field"
    body = {**GOOD, "quantity": secret, "tag": f"{secret}!", f"{secret}?": secret}
    response = order(api, json.dumps(body))
    assert response.status_code == 422
    assert secret not in response.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/backtests", {"params": {"fast": 1e999}}),
        ("/backtests", {"start": "2026-13-01T00:00:00Z"}),
        ("/backtests", {"fee": "-0.1"}),
        ("/backtests", {"symbols": []}),
        ("/backtests", {"symbols": "BTC/USDT"}),
        ("/backtests", {"engine": "vectorbt"}),
        ("/backtests", {"compounding": "yes"}),
        ("/backtests", {"end": "2020-01-01T00:00:00Z"}),
    ],
)
def test_a_backtest_that_does_not_fit_is_refused(
    api: ApiClient, path: str, body: dict[str, Any]
) -> None:
    good = {
        "strategy": "moving_average_cross",
        "symbols": ["BTC/USDT"],
        "interval": "1h",
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-02-01T00:00:00Z",
    }
    content = json.dumps({**good, **body}).replace("Infinity", "1e999")
    response = api.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    problem(response)


@pytest.mark.parametrize(
    "path",
    [
        "/coverage?interval=1m",
        "/gaps?interval=1m",
        "/quality?interval=1m",
        "/klines?interval=1m",
        "/funding?",
        "/open-interest?interval=1h",
        "/points/coverage?history=funding",
        "/points?kind=funding",
    ],
)
@pytest.mark.parametrize("end", ["2026-11-01", "2026-11-30"])
def test_a_range_that_ends_before_it_begins_is_refused(api: ApiClient, path: str, end: str) -> None:
    series = "&exchange=binance&symbol=BTC/USDT"
    response = api.get(f"{path}{series}&start=2026-11-30&end={end}")
    assert response.status_code == 422, response.text
    assert problem(response)["code"] == "empty-range"
    assert "the end must lie after the start" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/revisions", "/quarantine"])
def test_a_cursor_that_no_row_can_have_is_refused(api: ApiClient, path: str) -> None:
    series = "?exchange=binance&symbol=BTC/USDT&interval=1m"
    for cursor in (1 << 63, 10**19 - 1, 10**19):
        response = api.get(f"{path}{series}&cursor={cursor}")
        assert (response.status_code, problem(response)["code"]) == (422, "invalid-cursor")
    largest = api.get(f"{path}{series}&cursor={(1 << 63) - 1}")
    assert largest.status_code in (200, 404)
