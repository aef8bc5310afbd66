"""Orders by hand: placed, replayed, refused, halted, cancelled, listed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.support.api import ApiClient, TradingDay

BUY = {
    "account": "demo",
    "symbol": "BTC/USDT",
    "side": "buy",
    "type": "limit",
    "quantity": "0.01",
    "limit_price": "63000.5",
}


def place(api: ApiClient, key: str, **changed: Any) -> Any:
    """POST a buy with changes."""
    return api.post("/orders", {**BUY, **changed}, headers={"Idempotency-Key": key})


def test_an_order_that_passes_is_committed_and_found_at_its_location(
    day: TradingDay, api: ApiClient
) -> None:
    response = place(api, "first")
    assert response.status_code == 201
    receipt = response.json()
    assert receipt["quantity"] == "0.01"
    assert receipt["limit_price"] == "63000.5"
    assert "idempotency-replayed" not in response.headers
    # 0.2 % of the value on top of it, for a fee that the venue may charge in quote.
    assert (receipt["reserved_asset"], receipt["reserve_buffer"]) == ("USDT", "0.002")
    assert Decimal(receipt["reserved_initial"]) == Decimal("630.005") * Decimal("1.002")
    found = api.get(f"/{response.headers['location']}").json()
    assert found["order_id"] == receipt["order_id"]
    assert found["status"] == "new"  # nobody sends it here
    (created,) = found["events"]
    assert (created["kind"], created["data"]["reserve_buffer"]) == ("created", "0.002")
    held = {each["asset"]: each for each in api.get("/accounts/demo/balances").json()["data"]}
    balance = held["USDT"]
    assert balance["total"] == "10000"
    assert Decimal(balance["locked"]) >= Decimal("630.005")
    assert Decimal(balance["free"]) == 10_000 - Decimal(balance["locked"])


def test_the_same_key_and_order_is_answered_again_and_makes_no_second(api: ApiClient) -> None:
    first = place(api, "twice")
    # The same amount in other words is the same order.
    again = place(api, "twice", quantity="0.010")
    assert again.status_code == first.status_code == 201
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    orders = api.get("/orders?limit=500").json()["data"]
    assert [each["order_id"] for each in orders].count(first.json()["order_id"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "0.02"},
        {"side": "sell"},
        {"limit_price": "63000"},
        {"symbol": "ETH/USDT"},
        {"time_in_force": "ioc"},
    ],
)
def test_the_same_key_for_another_order_is_refused(api: ApiClient, change: dict[str, str]) -> None:
    place(api, "mismatch")
    response = place(api, "mismatch", **change)
    assert response.status_code == 422
    assert response.json()["code"] == "idempotency-mismatch"


def test_a_refusal_names_the_rule_and_its_figures_and_is_replayed_too(api: ApiClient) -> None:
    response = place(api, "too-much", quantity="5")
    assert response.status_code == 422
    problem = response.json()
    assert (problem["code"], problem["rule"]) == ("risk-denied", "funds")
    assert problem["reason"].startswith("BALANCE_TOO_LOW: needed=")
    assert "reserve_buffer=0.002" in problem["reason"]
    again = place(api, "too-much", quantity="5")
    assert again.json()["decision_id"] == problem["decision_id"]
    assert again.headers["idempotency-replayed"] == "true"
    decisions = {each["id"]: each for each in api.get("/risk/decisions").json()["data"]}
    inputs = decisions[problem["decision_id"]]["inputs"]
    assert inputs["reserve_buffer"] == "0.002"
    assert Decimal(inputs["quote_needed"]) == 5 * Decimal(BUY["limit_price"]) * Decimal("1.002")


def test_more_decimals_than_the_instrument_has_are_refused_and_not_rounded(
    api: ApiClient,
) -> None:
    response = place(api, "precision", quantity="0.000001234")
    assert response.status_code == 422
    assert response.json()["rule"] == "instrument"


def test_while_trading_is_halted_orders_are_refused_and_cancels_pass(api: ApiClient) -> None:
    order_id = place(api, "before-halt").json()["order_id"]
    halt = api.post("/risk/halt", {"reason": "a drill"})
    assert halt.status_code == 201
    assert [each["scope"] for each in api.get("/risk/halts").json()["data"]] == ["global"]
    refused = place(api, "during-halt")
    assert (refused.status_code, refused.json()["code"]) == (409, "trading-halted")
    assert api.delete(f"/orders/{order_id}").status_code == 202
    assert api.post("/risk/resume", {}).json() == {"scope": "global", "lifted": 1}
    # The key's decision stands; a new key asks anew.
    assert place(api, "during-halt").json()["code"] == "trading-halted"
    assert place(api, "after-halt").status_code == 201


def test_a_cancelled_order_cannot_be_cancelled_again(api: ApiClient) -> None:
    order_id = place(api, "to-cancel").json()["order_id"]
    cancelled = api.post(f"/orders/{order_id}/cancel")
    assert cancelled.status_code == 202
    assert cancelled.json()["status"] == "cancelled"
    again = api.delete(f"/orders/{order_id}")
    assert (again.status_code, again.json()["code"]) == (409, "already-terminal")


def test_an_order_that_is_none_is_not_found(api: ApiClient) -> None:
    nobody = "019cb5a0-7c00-7a11-8f22-5a3c1d9e4b10"
    for response in (api.get(f"/orders/{nobody}"), api.delete(f"/orders/{nobody}")):
        assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert place(api, "no-account", account="nobody").status_code == 404


def test_orders_are_listed_newest_first_in_pages(day: TradingDay, api: ApiClient) -> None:
    made = [place(api, f"page-{n}", quantity="0.001").json()["order_id"] for n in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.get(f"/orders?limit=2&account={day.account_id}{cursor}").json()
        seen += [each["order_id"] for each in page["data"]]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen[:5] == made[::-1]
    assert len(set(seen)) == len(seen)
    for order_id in made:
        api.delete(f"/orders/{order_id}")
    working = api.get("/orders?open=true&limit=500").json()["data"]
    assert not {each["order_id"] for each in working} & set(made)
