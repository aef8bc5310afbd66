"""Accounts, limits, plans, jobs, strategies, instances, backtests: made, listed, looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import Unavailable
from app.core.market.instruments import Instrument, InstrumentStatus
from app.services.jobs import TASKS
from tests.integration.market.collecting import Venue
from tests.support.api import ApiClient, TradingDay

NOBODY = "019cb5a0-7c00-7a11-8f22-5a3c1d9e4b10"
PLAN = {
    "name": "majors",
    "symbols": ["BTC/USDT", "ETH/USDT"],
    "intervals": ["1m", "1h"],
    "since": "2026-02-01T00:00:00Z",
}
INSTANCE = {
    "name": "ma-btc",
    "strategy": "moving_average_cross",
    "account": "demo",
    "symbols": ["BTC/USDT"],
    "interval": "1m",
    "capital": "5000",
    "params": {"fast": 5, "slow": 20},
    "max_position": "4000",
}
BACKTEST = {
    "strategy": "moving_average_cross",
    "symbols": ["BTC/USDT"],
    "interval": "1h",
    "start": "2026-01-01T00:00:00Z",
    "end": 1772323200000,
}


@pytest.fixture(autouse=True, scope="module")
def _builtins(day: TradingDay) -> None:
    day.container.catalogue.sync_builtins()


def test_accounts_are_found_by_name_and_id_and_keep_their_keys(
    day: TradingDay, api: ApiClient
) -> None:
    by_name = api.get("/accounts/demo").json()
    assert by_name == api.get(f"/accounts/{day.account_id}").json()
    assert "credentials" not in str(by_name)
    assert api.get("/accounts").json()["data"] == [by_name]
    assert api.get("/accounts/demo/positions").json()["data"] == []
    assert api.get("/fills?account=demo").json()["data"] == []
    assert api.get("/accounts/nobody").status_code == 404
    assert api.get("/fills?account=nobody").status_code == 404


def test_an_account_needs_the_simulated_exchange(api: ApiClient) -> None:
    body = {"name": "second", "balances": {"USDT": "10000"}}
    response = api.post("/accounts", body)
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert "tidemark up" in response.json()["detail"]
    assert response.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " x"},
        {"kind": "live"},
        {"balances": {}},
        {"balances": {"USDT": "0"}},
        {"balances": {"US DT": "1"}},
        {"balances": {"USDT": 1}},
    ],
)
def test_an_account_that_does_not_fit_is_refused(api: ApiClient, wrong: dict[str, Any]) -> None:
    response = api.post("/accounts", {"name": "x", "balances": {"USDT": "1"}, **wrong})
    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")


def test_a_limit_is_set_and_its_version_grows(api: ApiClient) -> None:
    rule = {"kind": "max_order_value", "params": {"max_value": "5000.50"}}
    first = api.request("PUT", "/risk/rules", json=rule).json()
    assert first["params"] == {"max_value": "5000.5"}
    second = api.request("PUT", "/risk/rules", json={**rule, "enabled": False}).json()
    assert (second["id"], second["version"]) == (first["id"], first["version"] + 1)
    assert api.get("/risk/rules").json()["data"] == [second]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"kind": "no_such_rule"}, 422),
        ({"params": {"other": "1"}}, 422),
        ({"params": {"max_value": "-1"}}, 422),
        ({"scope": "everything"}, 422),
        ({"scope": "symbol:binance:BTC/USDT"}, 422),
        ({"scope": f"account:{NOBODY}"}, 404),
    ],
)
def test_a_limit_that_does_not_fit_is_refused(
    api: ApiClient, wrong: dict[str, Any], status: int
) -> None:
    rule = {"kind": "max_order_value", "params": {"max_value": "5000"}}
    assert api.request("PUT", "/risk/rules", json={**rule, **wrong}).status_code == status


def test_a_halt_of_a_symbol_stands_until_it_is_lifted(api: ApiClient) -> None:
    scope = "symbol:binance:BTC/USDT"
    first = api.post("/risk/halt", {"scope": scope, "reason": "odd prices"}).json()
    again = api.post("/risk/halt", {"scope": scope, "reason": "still"}).json()
    assert again == first
    assert first["set_by"] == "api:tests"
    assert api.post("/risk/resume", {"scope": scope}).json()["lifted"] == 1
    assert api.post("/risk/resume", {"scope": scope}).json()["lifted"] == 0


@pytest.mark.parametrize("kind", TASKS)
def test_jobs_are_listed_by_every_kind_that_there_is(api: ApiClient, kind: str) -> None:
    assert api.get(f"/jobs?kind={kind}").status_code == 200


def test_a_plan_is_made_listed_switched_and_deleted(api: ApiClient) -> None:
    made = api.post("/plans", PLAN)
    assert made.status_code == 201
    where = f"/{made.headers['location']}"
    assert made.json()["since"] == "2026-02-01T00:00:00.000Z"
    assert api.get(where).json() == made.json()
    assert api.post("/plans", PLAN).json()["code"] == "conflict"
    assert api.post(f"{where}/disable").json()["enabled"] is False
    assert api.post(f"{where}/enable").json()["enabled"] is True
    assert [each["name"] for each in api.get("/plans").json()["data"]] == ["majors"]
    started = api.post(f"{where}/collect")
    assert started.status_code == 202
    jobs = started.json()["jobs"]
    assert len(jobs) == 4
    assert {job["id"] for job in api.get("/jobs?kind=collection").json()["data"]} == {
        job["id"] for job in jobs
    }
    # Live jobs are not doubled.
    assert {job["id"] for job in api.post(f"{where}/collect").json()["jobs"]} == {
        job["id"] for job in jobs
    }
    cancelled = api.post(f"/jobs/{jobs[0]['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert api.post(f"/jobs/{jobs[0]['id']}/cancel").json()["code"] == "already-terminal"
    assert api.delete(where).status_code == 204
    assert api.get(where).status_code == 404


def test_a_plan_says_which_of_its_symbols_are_skipped_and_why(
    api: ApiClient, day: TradingDay
) -> None:
    units, ids = day.container.units, day.container.ids
    with units.read() as unit:
        listed = unit.instruments.get("binance", "ETH/USDT")
    halted = replace(listed, status=InstrumentStatus.HALTED)
    made = api.post("/plans", {**PLAN, "name": "some", "enabled": False}).json()
    assert (made["skipped"], made["full"]) == ([], None)
    units.run(lambda unit: unit.system.begin_alarm(f"plan-full:{made['id']}", "full", unit.now_ms))
    assert "make another plan" in api.get(f"/plans/{made['id']}").json()["full"]

    def state(instrument: Instrument) -> None:
        units.run(
            lambda unit: unit.instruments.refresh(
                "binance", [instrument], ids.new, unit.now_ms, among=["ETH/USDT"]
            )
        )

    state(halted)
    try:
        shown = api.get(f"/plans/{made['id']}").json()["skipped"]
        assert [each["symbol"] for each in shown] == ["ETH/USDT"]
        assert shown[0]["reason"].startswith("halted: its venue does not trade it now")
        (row,) = (each for each in api.get("/plans").json()["data"] if each["name"] == "some")
        assert row["skipped"] == shown
    finally:
        state(listed)
        api.delete(f"/plans/{made['id']}")


def test_a_plan_does_not_begin_in_the_future(api: ApiClient) -> None:
    refused = api.post("/plans", {**PLAN, "name": "later", "since": "2099-01-01T00:00:00Z"})
    assert (refused.status_code, refused.json()["code"]) == (422, "future-start")
    assert "2099-01-01 00:00:00 UTC is in the future of binance" in refused.json()["detail"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbols": ["NO/SUCH"]},
        {"intervals": ["1w"]},
        {"intervals": ["7m"]},
        {"since": "soon"},
        {"since": -1},
        {"since": True},
        {"priority": 1001},
        {"name": "line\nbreak"},
    ],
)
def test_a_plan_that_does_not_fit_is_refused(api: ApiClient, wrong: dict[str, Any]) -> None:
    assert api.post("/plans", {**PLAN, "name": "wrong", **wrong}).status_code == 422


def test_strategies_show_their_parameters(api: ApiClient) -> None:
    names = [each["name"] for each in api.get("/strategies").json()["data"]]
    assert "moving_average_cross" in names
    found = api.get("/strategies/moving_average_cross").json()
    assert {"fast", "slow"} <= set(found["parameters"]["properties"])


def test_whatever_is_asked_for_by_a_name_or_id_that_nothing_has_is_not_found(
    api: ApiClient,
) -> None:
    paths = api.get("//openapi.json", token=None).json()["paths"]
    asked = 0
    for path, operations in paths.items():
        for method, operation in operations.items():
            if "{" not in path or "requestBody" in operation:
                continue
            named = re.sub(r"\{(name|account)\}", "nobody", path.removeprefix("/api/v1"))
            answer = api.request(method.upper(), re.sub(r"\{\w+\}", NOBODY, named))
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), path
            assert "404" in operation["responses"], path
            asked += 1
    assert asked > 30
    for of in (f"/orders?instance={NOBODY}", f"/risk/decisions?instance={NOBODY}"):
        assert api.get(of).status_code == 404
    assert api.get("/orders?account=nobody").status_code == 404


def test_an_instance_is_made_started_looked_at_and_stopped(api: ApiClient) -> None:
    made = api.post("/instances", INSTANCE)
    assert made.status_code == 201
    where = f"/{made.headers['location']}"
    detail = api.get(where).json()
    assert (detail["status"], detail["strategy"]) == ("created", "moving_average_cross")
    assert detail["quota"]["max_position"] == "4000"
    silent = api.post(f"{where}/start")
    assert (silent.status_code, silent.json()["code"]) == (409, "not-collected")
    assert api.post("/plans", PLAN).status_code == 201
    started = api.post(f"{where}/start").json()
    assert started["status"] == "running"
    assert api.post(f"{where}/start").json()["code"] == "conflict"
    for part in ("signals", "decisions", "equity"):
        assert api.get(f"{where}/{part}").json()["data"] == []
    assert [each["id"] for each in api.get("/instances").json()["data"]] == [detail["id"]]
    assert api.post(f"{where}/stop").json()["status"] == "stopped"
    too_much = api.post("/instances", {**INSTANCE, "name": "rich", "capital": "99999"})
    refused = api.post(f"/{too_much.headers['location']}/start")
    assert (refused.status_code, refused.json()["code"]) == (409, "capital-exceeded")


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"params": {"fast": 0}}, 422, "bad-parameter"),
        ({"params": {"fats": 5}}, 422, "bad-parameter"),
        ({"strategy": "nothing"}, 422, "unknown-strategy"),
        ({"account": "nobody"}, 404, "not-found"),
        ({"symbols": ["BTC/USDT", "BTC/USDT"]}, 422, "invalid-input"),
        ({"capital": "0"}, 422, "invalid-request"),
        ({"capital": 5000}, 422, "invalid-request"),
        ({"max_orders_per_day": -1}, 422, "invalid-request"),
        ({"max_orders_per_day": "7"}, 422, "invalid-request"),
    ],
)
def test_an_instance_that_does_not_fit_is_refused(
    api: ApiClient, wrong: dict[str, Any], status: int, code: str
) -> None:
    response = api.post("/instances", {**INSTANCE, "name": "wrong", **wrong})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_parts_of_an_instance_that_is_none_are_not_found(api: ApiClient) -> None:
    for part in ("", "/signals", "/decisions", "/equity"):
        assert api.get(f"/instances/{NOBODY}{part}").status_code == 404


def test_a_backtest_is_a_job_at_its_location(api: ApiClient) -> None:
    made = api.post("/backtests", BACKTEST)
    assert made.status_code == 202
    job = api.get(f"/{made.headers['location']}").json()
    assert (job["kind"], job["state"]) == ("backtest", "queued")
    found = api.get(f"/backtests/{made.json()['id']}").json()
    assert found["spec"]["cash"] == "10000"
    assert found["result"] is None
    assert [each["id"] for each in api.get("/backtests").json()["data"]] == [found["id"]]


def test_a_file_is_a_strategy_from_then_on(api: ApiClient) -> None:
    source = (
        "from tidemark import BaseStrategy\n\n\n"
        "class Idle(BaseStrategy):\n"
        '    """Does nothing."""\n\n'
        "    def on_kline(self, kline):\n"
        "        return None\n"
    )
    made = api.post("/strategies", {"name": "idle", "source": source})
    assert made.status_code == 201, made.text
    assert made.json()["title"] == "Does nothing."
    assert api.get("/strategies/idle").json()["origin"] == "file"
    taken = api.post("/strategies", {"name": "moving_average_cross", "source": source})
    assert taken.status_code == 422
    bad = api.post("/strategies", {"name": "bad", "source": "import os\nos.abort("})
    assert (bad.status_code, bad.json()["code"]) == (422, "bad-strategy-file")


def test_a_simulated_account_is_opened_where_its_exchange_runs(
    day: TradingDay, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, Mapping[str, Decimal]]] = []

    def add(name: str, exchange: str, balances: Mapping[str, Decimal]) -> Any:
        opened.append((name, balances))
        return day.container.accounts.get("demo")

    monkeypatch.setattr(day.container.accounts, "add_simulated", add)
    response = api.post("/accounts", {"name": "second", "balances": {"USDT": "10000.5"}})
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/accounts/{day.account_id}"
    assert opened == [("second", {"USDT": Decimal("10000.5")})]


def test_an_account_that_no_worker_opens_in_time_is_a_202_that_says_where_to_look(
    day: TradingDay, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulated(*_: Any) -> dict[str, str]:
        return {"apiKey": "key", "secret": "canary-secret"}

    monkeypatch.setattr(day.container.simulator, "open_account", simulated)
    monkeypatch.setattr(day.container.accounts, "_sleep", lambda _: None)
    response = api.post("/accounts", {"name": "second", "balances": {"USDT": "10000.5"}})
    assert response.status_code == 202
    assert (response.json()["status"], response.json()["error"]) == ("opening", None)
    found = api.get(response.headers["location"].removeprefix("/api/v1"))
    assert found.json() == response.json()
    assert "canary-secret" not in response.text


def test_a_part_that_is_down_is_a_503_with_a_time_to_try_again(
    day: TradingDay, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> Any:
        raise Unavailable("the venue's clock cannot be asked")

    monkeypatch.setattr(day.container.market_data, "get_latest_price", down)
    response = api.get("/prices?exchange=binance&symbol=BTC/USDT")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"


def test_a_plan_may_choose_its_symbols(
    api: ApiClient, day: TradingDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = Venue(catalogue=day.container.market_data.instruments("binance"))
    monkeypatch.setitem(day.container._markets, "binance", venue)
    wanted = {"pattern": "*/USDT", "top": 2, "intervals": ["1h"], "since": PLAN["since"]}
    made = api.post("/plans", json={"name": "largest", **wanted})
    assert made.status_code == 201, made.text
    plan = made.json()
    assert (plan["pattern"], plan["top"], plan["after"]) == ("*/USDT", 2, [])
    assert plan["kind"] == "trade"
    assert len(plan["symbols"]) == 2
    later = {**PLAN, "name": "later", "symbols": plan["symbols"]}
    assert api.post("/plans", json={**later, "after": ["largest"]}).json()["after"] == ["largest"]
    marks = api.post("/plans", json={**PLAN, "name": "marks", "kind": "mark"})
    assert (marks.status_code, marks.json()["kind"]) == (201, "mark"), marks.text
    for changed, code in (
        ({"kind": "candle"}, "invalid-request"),
        ({"symbols": ["BTC/USDT"]}, "invalid-input"),
        ({"pattern": "*/NONE"}, "invalid-input"),
        ({"top": 0}, "invalid-request"),
        ({"after": ["nobody"]}, "not-found"),
    ):
        refused = api.post("/plans", json={"name": "other", **wanted, **changed})
        assert refused.json()["code"] == code, refused.text


def test_a_job_rests_goes_on_and_is_tried_again(api: ApiClient) -> None:
    body = {"name": "rest", "symbols": ["BTC/USDT"], "intervals": ["1m"], "since": PLAN["since"]}
    plan = api.post("/plans", json=body).json()["id"]
    (job,) = api.post(f"/plans/{plan}/collect").json()["jobs"]
    where = f"/jobs/{job['id']}"
    assert api.post(f"{where}/pause").json()["paused"] is True
    assert api.post(f"{where}/resume").json()["paused"] is False
    assert api.post(f"{where}/retry").status_code == 409
    assert api.post(f"{where}/cancel").json()["state"] == "cancelled"
    again = api.post(f"{where}/retry")
    assert again.status_code == 202
    assert again.headers["location"] == f"/api/v1/jobs/{again.json()['id']}"
    assert again.json()["params"] == job["params"]
    assert api.post(f"{where}/pause").json()["code"] == "already-terminal"
