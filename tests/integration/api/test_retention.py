"""Retention by the API."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.market.coverage import CoverageState, Span
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.klines import KlineRow
from app.repositories.unit import Unit
from tests.support.api import ApiClient, TradingDay

DAYS = 30
BODY = {"exchange": "binance", "symbol": "BTC/*", "interval": "1h", "keep_days": 10}


@pytest.fixture(scope="module", autouse=True)
def bars(day: TradingDay) -> None:
    """Thirty days of hours of BTC/USDT, up to the market's present."""
    end = day.market_clock.now
    one = Decimal(1)
    rows = [KlineRow(ts, *([one] * 5)) for ts in range(end - DAYS * DAY_MS, end, HOUR_MS)]

    def work(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1h", unit.now_ms)
        unit.klines.lock_series(series.id)
        unit.klines.store(series.id, rows, covered=False, source="t", now_ms=unit.now_ms)
        span = Span(rows[0].open_ts, end, CoverageState.PRESENT)
        unit.coverage.save(series.id, [], [span])

    day.container.units.run(work)


def test_a_rule_is_set_previewed_applied_and_deleted(api: ApiClient, day: TradingDay) -> None:
    assert api.get("/retention").json() == []
    made = api.post("/retention", BODY)
    assert made.status_code == 200
    rule = made.json()
    assert rule == {**BODY, "id": rule["id"]}
    assert api.get("/retention").json() == [rule]
    (freed,) = api.get("/retention/preview").json()
    assert freed == {
        "exchange": "binance",
        "symbol": "BTC/USDT",
        "interval": "1h",
        "kind": "trade",
        "rule_id": rule["id"],
        "keep_days": 10,
        "cut": day.market_clock.now - 10 * DAY_MS,
        "bars": 480,
        "megabytes": 0.048,
    }
    assert day.container.retention.apply().bars == 480
    series = {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1h"}
    coverage = api.get("/coverage", params=series).json()
    assert (coverage["counts"]["retired"], coverage["counts"]["present"]) == (480, 240)
    gaps = api.get("/gaps", params=series).json()["data"]
    assert [(each["state"], each["bars"]) for each in gaps] == [("retired", 480)]
    assert gaps[0]["proof"]["rule"] == rule["id"]
    assert api.get("/retention/preview").json() == []
    assert api.delete(f"/retention/{rule['id']}").status_code == 204
    assert api.delete(f"/retention/{rule['id']}").status_code == 404
    assert api.post("/retention/collect-again").json() == {"bars": 480}
    assert api.get("/coverage", params=series).json()["counts"]["pending"] == 480


@pytest.mark.parametrize(
    "changed",
    [
        {"keep_days": 7},
        {"keep_days": 40_000},
        {"interval": "7m"},
        {"exchange": "**"},
        {"symbol": ""},
        {"kind": "trade"},
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(api: ApiClient, changed: dict[str, object]) -> None:
    answer = api.post("/retention", {**BODY, **changed})
    assert answer.status_code == 422
    assert api.get("/retention").json() == []


def test_days_must_be_said_and_null_means_for_ever(api: ApiClient) -> None:
    assert api.post("/retention", {"interval": "1d"}).status_code == 422
    made = api.post("/retention", {"interval": "1d", "keep_days": None}).json()
    assert (made["exchange"], made["symbol"], made["keep_days"]) == ("*", "*", None)
    api.delete(f"/retention/{made['id']}")
