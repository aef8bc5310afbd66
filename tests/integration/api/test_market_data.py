"""Coverage, gaps, instruments, prices and days over the API."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.market.coverage import CoverageState, Span
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.klines import KlineRow
from app.core.market.validation import BadKline
from app.models import KlineDayRow
from app.repositories.unit import Unit
from tests.integration.api.two_hours import GAP, MINUTE, SERIES, bar_of, store_two_hours
from tests.support.api import ApiClient, TradingDay
from tests.support.record import START_MS


@pytest.fixture(autouse=True, scope="module")
def _stored(day: TradingDay) -> None:
    store_two_hours(day)


@pytest.mark.parametrize("path", ["klines", "gaps", "funding", "revisions", "quarantine"])
@pytest.mark.parametrize("cursor", ["abc", "-1", "1.5", "", "٣", "99999999999999999999"])
def test_a_cursor_that_no_list_gave_out_is_refused(api: ApiClient, path: str, cursor: str) -> None:
    asked = dict(part.split("=") for part in SERIES.split("&"))
    if path == "funding":
        del asked["interval"]
    refused = api.get(f"/{path}", params={**asked, "cursor": cursor})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-cursor")


@pytest.mark.parametrize("path", ["klines", "gaps"])
def test_a_cursor_of_another_range_is_refused(api: ApiClient, path: str) -> None:
    """It would show bars that were not asked for, or none as if there were none."""
    asked = f"/{path}?{SERIES}&start={START_MS + MINUTE}&end={START_MS + 9 * MINUTE}"
    for minute in (0, 9):
        refused = api.get(f"{asked}&cursor={START_MS + minute * MINUTE}")
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid-cursor")


def test_coverage_accounts_for_every_bar(api: ApiClient) -> None:
    found = api.get(f"/coverage?{SERIES}").json()
    assert found["expected"] == 120
    assert found["counts"] == {
        "present": 110,
        "pending": 0,
        "exchange_side": 10,
        "before_listing": 0,
        "after_delisting": 0,
        "retired": 0,
    }
    assert found["gaps"] == 1
    assert [part["state"] for part in found["ranges"]] == ["present", "exchange_side", "present"]
    wider = api.get(f"/coverage?{SERIES}&start={START_MS - 10 * MINUTE}").json()
    assert wider["counts"]["pending"] == 10
    cut = api.get(f"/coverage?{SERIES}&limit=1").json()
    assert (len(cut["ranges"]), cut["has_more"]) == (1, True)


def test_instruments_are_listed_in_pages(api: ApiClient) -> None:
    first = api.get("/instruments?limit=1").json()
    assert [each["symbol"] for each in first["data"]] == ["BTC/USDT"]
    assert first["data"][0]["tick_size"] == "0.01"
    second = api.get("/instruments", params={"limit": "1", "cursor": first["next_cursor"]}).json()
    assert [each["symbol"] for each in second["data"]] == ["ETH/USDT"]
    assert second["has_more"] is False
    assert api.get("/instruments?exchange=okx").json()["data"] == []


@pytest.mark.parametrize(
    "path",
    ["/instruments?exchange=nope"]
    + [
        f"/{name}?exchange=nope&symbol=BTC/USDT&interval=1m"
        for name in ("klines", "coverage", "gaps")
    ],
)
def test_an_exchange_that_nobody_knows_is_said_to_be_none(api: ApiClient, path: str) -> None:
    refused = api.get(path)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown-name")
    assert refused.json()["detail"].startswith("exchange 'nope' is not known")


def test_a_price_says_how_old_it_is(api: ApiClient) -> None:
    found = api.get("/prices", params={"exchange": "binance", "symbol": "BTC/USDT"}).json()
    assert (found["price"], found["source"], found["is_stale"]) == ("64000", "live", False)
    for exchange, symbol in (("okx", "BTC/USDT"), ("binance", "NO/USDT")):
        refused = api.get("/prices", params={"exchange": exchange, "symbol": symbol})
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown-name")


def test_a_gap_is_told_with_its_proof(api: ApiClient) -> None:
    (gap,) = api.get(f"/gaps?{SERIES}").json()["data"]
    assert (gap["start"], gap["end"]) == (
        START_MS + GAP.start * MINUTE,
        START_MS + GAP.stop * MINUTE,
    )
    assert (gap["state"], gap["bars"]) == ("exchange_side", len(GAP))
    inside = api.get(f"/gaps?{SERIES}&start={gap['start'] + MINUTE}&end={gap['end']}").json()
    assert inside["data"][0]["bars"] == len(GAP) - 1
    nothing = api.get("/gaps?exchange=binance&symbol=ETH/USDT&interval=1m")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not-found")


def test_gaps_come_in_pages(api: ApiClient) -> None:
    """Three: before the first bar, the venue's own, and behind the last bar."""
    asked = f"/gaps?{SERIES}&start={START_MS - 5 * MINUTE}&end={START_MS + 125 * MINUTE}"
    whole = api.get(asked).json()
    assert (len(whole["data"]), whole["has_more"]) == (3, False)
    page, seen = api.get(f"{asked}&limit=1").json(), []
    while True:
        seen += page["data"]
        if not page["has_more"]:
            break
        page = api.get(f"{asked}&limit=1&cursor={page['next_cursor']}").json()
    assert seen == whole["data"]


def test_revisions_and_refused_bars_come_in_pages_that_new_ones_do_not_shift(
    api: ApiClient, day: TradingDay
) -> None:
    def change(hours: range, source: str) -> None:
        def work(unit: Unit) -> None:
            series = unit.klines.series("binance", "BTC/USDT", "1h", unit.now_ms, kind="index")
            unit.klines.lock_series(series.id)
            told = {"covered": True, "source": source, "now_ms": unit.now_ms}
            for volume in (1, 2):
                bars = [_hour(n)._replace(volume=Decimal(volume)) for n in hours]
                unit.klines.store(series.id, bars, **told)
            bad = [BadKline(_hour(n).open_ts, ["nan"], "no price") for n in hours]
            unit.klines.quarantine(series.id, bad, source, unit.now_ms)

        day.container.bulk_units.run(work)

    for path in ("revisions", "quarantine"):
        change(range(30, 35) if path == "revisions" else range(50, 55), "first")
        asked = f"/{path}?{SERIES.replace('1m', '1h')}&kind=index&limit=2"
        page = api.get(asked).json()
        seen = page["data"]
        change(range(40, 43) if path == "revisions" else range(60, 63), "meanwhile")
        while page["has_more"]:
            page = api.get(f"{asked}&cursor={page['next_cursor']}").json()
            seen += page["data"]
        assert [each["source"] for each in seen[:5]] == ["first"] * 5
        opened = [each["open_ts"] for each in seen]
        assert len(set(opened)) == len(opened)
        assert opened[:5] == sorted(opened[:5], reverse=True)
        assert page["next_cursor"] is None


def _hour(number: int) -> KlineRow:
    return bar_of(0)._replace(open_ts=START_MS + number * HOUR_MS)


def test_a_revision_shows_old_and_new_and_a_refused_bar_its_reason(
    api: ApiClient, day: TradingDay
) -> None:
    def change(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms)
        unit.klines.lock_series(series.id)
        bar = bar_of(9)._replace(volume=Decimal("5.5"))
        unit.klines.store(series.id, [bar], covered=True, source="rest:binance", now_ms=unit.now_ms)
        bad = BadKline(START_MS, ["1", "nan"], "a price is not above 0")
        unit.klines.quarantine(series.id, [bad], "rest:binance", unit.now_ms)

    day.container.bulk_units.run(change)
    revision = api.get(f"/revisions?{SERIES}&limit=1").json()["data"][0]
    assert revision["open_ts"] == START_MS + 9 * MINUTE
    assert (revision["old"]["volume"], revision["new"]["volume"]) == ("10.5", "5.5")
    assert revision["source"] == "rest:binance"
    (refused,) = api.get(f"/quarantine?{SERIES}").json()["data"]
    assert (refused["row"], refused["reason"]) == (["1", "nan"], "a price is not above 0")


def test_daily_figures_are_added_up(api: ApiClient, day: TradingDay) -> None:
    def verified(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms)
        for number, differed in ((1, 0), (2, 3)):
            unit.days.put(
                KlineDayRow(
                    series_id=series.id,
                    day_ts=START_MS - number * DAY_MS,
                    expected=1_440,
                    present=1_420,
                    exchange_side=10,
                    pending=10,
                    quiet=7,
                    compared=1_420,
                    differed=differed,
                    missed=5,
                    uncompared=4,
                    derived_compared=25,
                    derived_differed=0,
                    verified_at=unit.now_ms,
                )
            )

    day.container.units.run(verified)
    found = api.get(f"/quality?{SERIES}&start={START_MS - 5 * DAY_MS}&end={START_MS}").json()
    assert [each["differed"] for each in found["days"]] == [3, 0]
    assert found["success_rate"] == pytest.approx((2_840 - 10) / 2_860)
    assert (found["missed"], found["uncompared"]) == (10, 8)
    assert found["accuracy"] == pytest.approx((2_840 - 3) / (2_840 + 8))
    empty = api.get(f"/quality?{SERIES}&start=0&end=1").json()
    assert (empty["success_rate"], empty["accuracy"], empty["days"]) == (None, None, [])


def test_what_is_traded_is_told_with_coverage_and_quality(api: ApiClient, day: TradingDay) -> None:
    """Two hours of minutes are too few to judge by; the gap and its proof are told all the same."""
    day.container.collection.activity.count_named("binance", "BTC/USDT", "1m", "trade")
    for path in (f"/coverage?{SERIES}", f"/quality?{SERIES}"):
        found = api.get(path).json()["character"]
        assert (found["verdict"], found["bars"], found["uncounted"]) == ("unknown", 110, 0)
        assert found["gaps"] == {
            "count": 1,
            "bars": len(GAP),
            "longest": len(GAP),
            "proven": len(GAP),
        }
        assert found["zero_volume"] == {"count": 0, "bars": 0, "longest": 0, "flat": 0}
        assert (found["silent"], found["is_dead"]) == (None, False)
    nothing = api.get("/coverage?exchange=binance&symbol=ETH/USDT&interval=1m").json()
    assert nothing["character"] is None


def test_a_verification_is_a_job(api: ApiClient, day: TradingDay) -> None:
    """ETH/BTC is known since three days ago, two of them over; of BTC/USDT only today is."""

    def known(unit: Unit) -> None:
        series = unit.klines.series("binance", "ETH/BTC", "5m", unit.now_ms)
        three_days = Span(START_MS - 3 * DAY_MS, START_MS, CoverageState.PENDING)
        unit.coverage.save(series.id, [], [three_days])

    day.container.bulk_units.run(known)
    body = {"exchange": "binance", "symbol": "ETH/BTC", "interval": "5m", "days": 30}
    made = api.post("/verifications", json=body)
    assert made.status_code == 202, made.text
    assert made.headers["location"] == f"/api/v1/jobs/{made.json()['id']}"
    params = made.json()["params"]
    assert (params["first_day"], params["days"]) == (START_MS - 3 * DAY_MS, 2)
    assert params["skipped_days"] == 28
    again = api.post("/verifications", json={**body, "kind": "trade"})
    assert (again.status_code, again.json()["id"]) == (202, made.json()["id"]), again.text
    other = api.post("/verifications", json={**body, "days": 1, "despite_shift": True})
    assert (other.status_code, other.json()["code"]) == (409, "verification-under-way")
    unknown = api.post("/verifications", json={**body, "kind": "candle"})
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["detail"] == "use one of trade, mark, index"
    despite = api.post("/verifications", json={**body, "despite_shift": "perhaps"})
    assert despite.status_code == 422
    refused = api.post("/verifications", json={**body, "symbol": "ETH/USDT"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-input")
    early = api.post("/verifications", json={**body, "symbol": "BTC/USDT", "interval": "1m"})
    assert (early.status_code, early.json()["code"]) == (422, "nothing-to-verify")
    assert "from 2026-03-01 on" in early.json()["detail"]
