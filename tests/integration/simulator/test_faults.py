"""Faults on order: what a client sees, and what really happened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import ccxt
import pytest

from app.core.exchanges.loopback import bind_sync
from tests.support.simulator import SimulatorProcess, wait_until


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(seed=9, spread_bps=0, weight_limit=0) as process:
        process.control.create_account("alice", {"USDT": "1000000"})
        yield process


@pytest.fixture
def venue(running: SimulatorProcess) -> Iterator[SimulatorProcess]:
    yield running
    running.control.clear_faults()


@pytest.fixture
def exchange(running: SimulatorProcess) -> Iterator[Any]:
    account = running.control.accounts()[0]
    made = ccxt_of(running, account["api_key"])
    made.load_markets()
    yield made
    made.close()


def ccxt_of(running: SimulatorProcess, api_key: str) -> Any:
    secret = hashlib.sha256(b"9\x1fsecret\x1falice").hexdigest()
    made = running.ccxt()
    made.apiKey, made.secret = api_key, secret
    return made


def buy(exchange: Any, client_id: str, price: float = 40_000) -> Any:
    params = {"clientOrderId": client_id}
    return exchange.create_order("BTC/USDT", "limit", "buy", 0.01, price, params)


def on_orders(**rule: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/api/v3/order", **rule}


@pytest.mark.parametrize(
    ("rule", "error", "is_accepted", "outcome"),
    [
        ({"action": "lose_reply"}, ccxt.NetworkError, True, "reply_lost"),
        ({"action": "refuse"}, ccxt.NetworkError, False, "refused"),
        # ccxt maps -1000 to its plain OperationFailed: the order's outcome is unknown.
        ({"action": "error_before"}, ccxt.OperationFailed, False, "answered"),
        ({"action": "error_after"}, ccxt.OperationFailed, True, "answered"),
        (
            {"action": "error_after", "status": 500, "code": -1007},
            ccxt.RequestTimeout,
            True,
            "answered",
        ),
        (
            {"action": "status", "status": 429, "retry_after": 7},
            ccxt.DDoSProtection,
            False,
            "answered",
        ),
        (
            {"action": "status", "status": 418, "retry_after": 60},
            ccxt.DDoSProtection,
            False,
            "answered",
        ),
    ],
)
def test_a_failed_order_was_or_was_not_accepted(
    venue: SimulatorProcess,
    exchange: Any,
    rule: dict[str, Any],
    error: type[Exception],
    is_accepted: bool,
    outcome: str,
) -> None:
    client_id = "-".join(str(value) for value in rule.values())
    venue.control.add_fault(**on_orders(**rule, client_order_id=client_id))
    with pytest.raises(ccxt.OperationFailed) as caught:
        buy(exchange, client_id)
    assert isinstance(caught.value, error)
    found = venue.control.orders(client_order_id_prefix=client_id)
    assert len(found) == is_accepted
    (request,) = venue.control.requests(client_order_id=client_id)
    assert (request["outcome"], request["faults"]) == (outcome, [rule["action"]])
    if "retry_after" in rule:
        headers = exchange.last_response_headers
        assert headers["Retry-After"] == str(rule["retry_after"])


def test_a_late_order_arrives_after_the_client_gave_up(
    venue: SimulatorProcess, exchange: Any
) -> None:
    venue.control.add_fault(**on_orders(action="late_accept", ms=150, count=1))
    with pytest.raises(ccxt.NetworkError):
        buy(exchange, "late")
    with pytest.raises(ccxt.OrderNotFound):
        exchange.fetch_order(None, "BTC/USDT", {"clientOrderId": "late"})
    wait_until(lambda: venue.control.orders(client_order_id_prefix="late"))
    (request,) = venue.control.requests(client_order_id="late", method="POST")
    assert request["outcome"] == "late"
    assert request["processed_ms"] >= request["wall_ms"] + 150
    found = exchange.fetch_order(None, "BTC/USDT", {"clientOrderId": "late"})
    assert found["status"] == "open"


def test_a_late_order_whose_window_closed_is_not_accepted(
    venue: SimulatorProcess, exchange: Any
) -> None:
    venue.control.add_fault(**on_orders(action="late_accept", ms=200, count=1))
    exchange.options["recvWindow"] = 50
    with pytest.raises(ccxt.NetworkError):
        buy(exchange, "fenced")
    entry = wait_until(
        lambda: [r for r in venue.control.requests(client_order_id="fenced") if r["processed_ms"]]
    )[0]
    assert entry["code"] == -1021
    assert venue.control.orders(client_order_id_prefix="fenced") == []


def test_an_accepted_order_hides_from_queries_for_a_while(
    venue: SimulatorProcess, exchange: Any
) -> None:
    venue.control.add_fault(**on_orders(action="query_lag", ms=300, count=1))
    order = buy(exchange, "hidden")
    with pytest.raises(ccxt.OrderNotFound):
        exchange.fetch_order(order["id"], "BTC/USDT")
    assert "hidden" not in [o["clientOrderId"] for o in exchange.fetch_open_orders("BTC/USDT")]

    def appears() -> bool:
        return "hidden" in [o["clientOrderId"] for o in exchange.fetch_open_orders("BTC/USDT")]

    wait_until(appears)


def test_a_reply_can_be_lost_of_an_order_that_also_hides(
    venue: SimulatorProcess, exchange: Any
) -> None:
    venue.control.add_fault(**on_orders(action="lose_reply", client_order_id="both", count=1))
    venue.control.add_fault(**on_orders(action="query_lag", ms=60_000, client_order_id="both"))
    with pytest.raises(ccxt.NetworkError):
        buy(exchange, "both")
    with pytest.raises(ccxt.OrderNotFound):
        exchange.fetch_order(None, "BTC/USDT", {"clientOrderId": "both"})
    with pytest.raises(ccxt.InvalidOrder, match="Duplicate order sent"):
        buy(exchange, "both")


def test_a_slow_venue_times_a_client_out(venue: SimulatorProcess) -> None:
    made = ccxt_of(venue, venue.control.accounts()[0]["api_key"])
    made.load_markets()
    bind_sync(made, venue.url, read_seconds=0.1)
    venue.control.add_fault(**on_orders(action="delay", ms=400, count=1))
    with pytest.raises(ccxt.RequestTimeout):
        buy(made, "slow")
    wait_until(lambda: venue.control.orders(client_order_id_prefix="slow"))
    made.close()


@pytest.mark.parametrize(
    ("body", "check"),
    [
        ("html", lambda answer: answer["id"] is None),
        ("truncated", lambda answer: answer["id"] is None),
        ("empty", lambda answer: answer["id"] is None),
        ("null_id", lambda answer: answer["id"] is None and answer["clientOrderId"] is None),
    ],
)
def test_ccxt_swallows_bodies_that_make_no_sense(
    venue: SimulatorProcess, exchange: Any, body: str, check: Callable[[Any], bool]
) -> None:
    """Exactly what an adapter must guard against: no exception, and no order id."""
    venue.control.add_fault(**on_orders(action="body", body=body, count=1))
    assert check(buy(exchange, "garbled-" + body))
    assert len(venue.control.orders(client_order_id_prefix="garbled-" + body)) == 1


def test_rules_choose_by_number_count_and_chance(venue: SimulatorProcess, exchange: Any) -> None:
    venue.control.add_fault(action="refuse", path="/api/v3/time", nth=2)
    results = []
    for _ in range(4):
        try:
            exchange.fetch_time()
            results.append("ok")
        except ccxt.NetworkError:
            results.append("cut")
    # requests itself sends an idempotent request once only; nothing repairs the second.
    assert results == ["ok", "cut", "ok", "ok"]
    venue.control.clear_faults()
    venue.control.add_fault(action="status", status=503, path="/api/v3/p*", probability=0.5)
    codes = [venue.control.raw("GET", "/api/v3/ping").status_code for _ in range(40)]
    assert 5 < codes.count(503) < 35
    (rule,) = venue.control.faults()
    assert (rule["matched"], rule["struck"]) == (40, codes.count(503))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "action must be one of"),
        ({"action": "explode"}, "action must be one of"),
        ({"action": "refuse", "colour": "red"}, "unknown field 'colour'"),
        ({"action": "refuse", "nth": 0}, "nth was 0"),
        ({"action": "refuse", "count": True}, "count must be a whole number"),
        ({"action": "refuse", "probability": 2}, "from 0 to 1"),
        ({"action": "refuse", "path": 5}, "path must be a text"),
        ({"action": "refuse", "stream": "x"}, "matches by account"),
        ({"action": "ws_drop", "path": "x"}, "matches by account, event, stream"),
        ({"action": "delay"}, "needs ms"),
        ({"action": "ws_delay", "stream": "x"}, "needs ms"),
        ({"action": "late_accept", "ms": -1}, "ms was -1"),
        ({"action": "status", "status": 42}, "status was 42"),
        ({"action": "status", "status": 700}, "from 200 to 599"),
        ({"action": "body", "body": "poem"}, "needs body, one of"),
    ],
)
def test_wrong_rules_are_refused(venue: SimulatorProcess, rule: dict[str, Any], words: str) -> None:
    response = venue.control.raw("POST", "/control/faults", json=rule)
    assert response.status_code == 422
    assert words in response.json()["error"]
    assert venue.control.faults() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/advance", {}, 422, "either to_ms or by_ms"),
        ("POST", "/advance", {"to_ms": 1, "by_ms": 1}, 422, "either to_ms or by_ms"),
        ("POST", "/advance", {"to_ms": 1}, 422, "does not go back"),
        ("POST", "/advance", {"by_ms": -1}, 422, "does not go back"),
        ("POST", "/advance", {"by_ms": "1"}, 422, "whole number"),
        ("POST", "/advance", {"by_ms": 1.5}, 422, "whole number"),
        ("POST", "/advance", {"by_ms": 10**20}, 422, "not a time"),
        ("POST", "/advance", [1], 422, "expected a JSON object"),
        ("POST", "/accounts", {"name": "alice"}, 409, "exists already"),
        ("POST", "/accounts", {"name": "venue"}, 409, "exists already"),
        ("POST", "/accounts", {"name": ""}, 422, "name must be a text"),
        ("POST", "/accounts", {"name": "n", "balances": {"USDT": 5}}, 422, "amounts are texts"),
        ("POST", "/accounts", {"name": "n", "balances": {"USDT": "1e5"}}, 422, "not an amount"),
        ("POST", "/accounts", {"name": "n", "balances": {"USDT": "-5"}}, 422, "not be negative"),
        ("POST", "/accounts", {"name": "n", "balances": 5}, 422, "expected a JSON object"),
        ("POST", "/accounts", {"name": "n", "api_key": "ä"}, 422, "ASCII letters"),
        ("POST", "/accounts", {"name": "n", "rank": "1"}, 422, "unknown field 'rank'"),
        ("POST", "/deposit", {"account": "x", "asset": "A", "amount": "1"}, 404, "no account"),
        ("POST", "/deposit", {"account": "alice", "asset": "A", "amount": "-1"}, 409, "free"),
        ("DELETE", "/faults/99", None, 404, "no fault rule 99"),
        ("DELETE", "/faults/x", None, 422, "whole number"),
        ("GET", "/record/requests?colour=red", None, 422, "unknown filter 'colour'"),
        ("GET", "/record/requests?limit=x", None, 422, "whole number"),
        ("GET", "/record/orders?status=lost", None, 422, "status must be one of"),
        ("GET", "/nothing", None, 404, "not part of the control API"),
        ("PUT", "/clock", None, 404, "not part of the control API"),
    ],
)
def test_wrong_use_of_the_control_api_is_refused(
    venue: SimulatorProcess, method: str, path: str, body: Any, status: int, words: str
) -> None:
    response = venue.control.raw(method, f"/control{path}", json=body)
    assert response.status_code == status
    assert words in response.json()["error"]


def test_a_body_that_is_no_json_is_refused(venue: SimulatorProcess) -> None:
    response = venue.control.raw("POST", "/control/advance", content=b"{")
    assert (response.status_code, response.json()["error"]) == (422, "the body is not JSON")


def test_money_can_be_put_in_and_taken_out(venue: SimulatorProcess) -> None:
    venue.control.deposit("alice", "SOL", "3")
    venue.control.deposit("alice", "SOL", "-1")
    (alice,) = venue.control.accounts()
    assert alice["balances"]["SOL"] == {"free": "2", "locked": "0"}


def test_the_same_name_gets_the_same_keys_in_every_run(venue: SimulatorProcess) -> None:
    with SimulatorProcess(seed=9) as other:
        account = other.control.create_account("alice", {})
        assert account.api_key == venue.control.accounts()[0]["api_key"]
        given = other.control.create_account("bob", {}, api_key="k1", api_secret="s1")
        assert (given.api_key, given.api_secret) == ("k1", "s1")
