"""Who may ask, and what every answer carries."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.api.application import _ROUTERS
from app.services.doctor import Check
from tests.support.api import ApiClient, TradingDay, api_over

OPEN = {"/health", "/ready"}
ROUTES = sorted(
    (method, route.path)
    for router in _ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_but_liveness_and_readiness_asks_for_the_token(
    api: ApiClient, method: str, path: str
) -> None:
    filled = (
        path.replace("{account}", "demo").replace("{name}", "x").replace("{", "").replace("}", "")
    )
    response = api.request(method, f"/{filled}", token=None, content=b"{not json")
    if path in OPEN:
        assert response.status_code == 200
        return
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json()["code"] == "unauthorized"


@pytest.mark.parametrize(
    "value",
    [
        "Bearer tdm_" + "A" * 43,
        "Bearer ",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Basic dXNlcjpwYXNz",
        "tdm_token",
        "Bearer tdm_" + "A" * 300,
    ],
)
def test_another_token_is_refused(api: ApiClient, value: str) -> None:
    response = api.get("/meta", token=None, headers={"Authorization": value})
    assert response.status_code == 401


def test_every_answer_carries_the_headers_that_protect_it(api: ApiClient) -> None:
    for path in ("//health", "/meta", "/orders", "//nothing", "//docs"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert len(headers["x-request-id"]) == 32


def test_a_path_that_is_none_is_a_problem_too(api: ApiClient) -> None:
    response = api.get("//api/v2/orders")
    assert response.status_code == 404
    assert response.json()["code"] == "not-found"


def test_what_is_unforeseen_is_a_500_that_tells_nothing(
    day: TradingDay, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("the innermost words")

    monkeypatch.setattr(day.container.risk, "halts", fail)
    response = api.get("/risk/halts")
    assert response.status_code == 500
    assert response.json()["code"] == "internal-error"
    assert "innermost" not in response.text


def test_a_database_that_is_away_is_a_503(
    day: TradingDay, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise OperationalError("SELECT password", {}, OSError("refused"))

    monkeypatch.setattr(day.container.risk, "halts", gone)
    response = api.get("/risk/halts")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "password" not in response.text


def test_readiness_names_what_is_down(day: TradingDay) -> None:
    with api_over(day.container) as api:
        ready = api.get("//ready", token=None)
        assert [check["component"] for check in ready.json()["checks"]] == [
            "database",
            "migrations",
            "broker",
            "disk",
        ]
        services = api.app.state.services
        down = Check("broker", lambda: (False, "the broker does not answer; start it"))
        object.__setattr__(services, "readiness", (down,))
        response = api.get("//ready", token=None)
    assert response.status_code == 503
    assert response.json()["code"] == "not-ready"
    assert "start it" in response.json()["detail"]


def test_what_runs_stays_ready_while_a_newer_release_has_widened_the_schema(
    day: TradingDay,
) -> None:
    with day.container.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with api_over(day.container) as api:
        assert api.get("//ready", token=None).status_code == 200


def test_documentation_is_served_only_where_the_settings_say_so(day: TradingDay) -> None:
    assert day.container.settings.api_docs
    with api_over(day.container) as api:
        assert api.get("//docs", token=None).status_code == 200
    settings = day.container.settings
    day.container.settings = settings.model_copy(update={"api_docs": False})
    try:
        with api_over(day.container) as api:
            for path in ("//docs", "//docs/page.js"):
                assert api.get(path, token=None).status_code == 404
            assert api.get("//openapi.json", token=None).status_code == 404
    finally:
        day.container.settings = settings
