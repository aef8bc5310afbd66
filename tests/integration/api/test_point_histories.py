"""Funding rates and open interest over the API."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from app.core.market.intervals import HOUR_MS
from app.repositories.points import Point
from app.repositories.unit import Unit
from app.services.importing import ImportOrder
from tests.support.api import ApiClient, TradingDay
from tests.support.record import START_MS


def test_funding_rates_and_open_interest_come_in_pages(api: ApiClient, day: TradingDay) -> None:
    rates = [Point(START_MS + n * 8 * HOUR_MS + 3, Decimal("0.0001") * n, None) for n in range(5)]
    interest = Point(START_MS, Decimal("1000.5"), Decimal(50_000_000))

    def store(unit: Unit) -> None:
        names = ("binance", "BTC/USDT")
        funding = unit.points.series(*names, "funding", "", unit.now_ms)
        unit.points.store(funding.id, rates, "test", unit.now_ms)
        hours = unit.points.series(*names, "open_interest", "1h", unit.now_ms)
        unit.points.store(hours.id, [interest], "test", unit.now_ms)

    day.container.units.run(store)
    series = "exchange=binance&symbol=BTC/USDT"
    first = api.get(f"/funding?{series}&limit=3").json()
    assert [each["rate"] for each in first["data"]] == ["0", "0.0001", "0.0002"]
    assert first["next_cursor"] == str(rates[3].ts)
    rest = api.get(f"/funding?{series}&cursor={first['next_cursor']}").json()
    assert ([each["ts"] for each in rest["data"]], rest["has_more"]) == (
        [rates[3].ts, rates[4].ts],
        False,
    )
    found = api.get(f"/open-interest?{series}&interval=1h").json()["data"]
    assert found == [{"ts": START_MS, "quantity": "1000.5", "value": "50000000"}]
    for path, status in (
        (f"/open-interest?{series}&interval=5m", 404),
        ("/funding?exchange=binance&symbol=NO/SUCH", 422),
        ("/funding?exchange=binance&symbol=ETH/USDT", 404),
        (f"/points/coverage?{series}&history=open_interest:5m", 404),
        (f"/points/coverage?{series}&history=news", 422),
    ):
        assert api.get(path).status_code == status


def test_funding_rates_are_accounted_for(api: ApiClient, day: TradingDay) -> None:
    begin = day.container.market_clock.now_ms("binance") // HOUR_MS * HOUR_MS - 41 * HOUR_MS
    rates = [Point(begin + n * 8 * HOUR_MS + 3, Decimal("0.0001"), None) for n in (0, 1, 2, 4, 5)]

    def store(unit: Unit) -> None:
        series = unit.points.series("binance", "ETH/USDT", "funding", "", unit.now_ms)
        unit.points.store(series.id, rates, "test", unit.now_ms)

    day.container.units.run(store)
    asked = "/points/coverage?exchange=binance&symbol=ETH/USDT&history=funding"
    found = api.get(asked).json()
    assert (found["start"], found["every_ms"]) == (begin + 3, 8 * HOUR_MS)
    assert (found["expected"], found["present"]) == (6, 5)
    lacking = {"start": begin + 24 * HOUR_MS, "end": begin + 32 * HOUR_MS, "count": 1}
    assert found["gaps"] == [{**lacking, "state": "pending"}]
    whole = api.get(f"{asked}&end={begin + 24 * HOUR_MS}").json()
    assert (whole["expected"], whole["present"], whole["gaps"]) == (3, 3, [])


def test_funding_rates_of_a_file_are_read_as_the_file_states_them(
    api: ApiClient, day: TradingDay, tmp_path: Path
) -> None:
    first = START_MS - 3 * 8 * HOUR_MS
    path = tmp_path / "BTC_USDT_USDT-8h-funding.json"
    path.write_text(f"[[{first + 17},-0.0021933400000000002],[{first + 8 * HOUR_MS},1e-05]]")
    importing = day.container.importing
    job = importing.start(ImportOrder(str(path), "binanceusdm"))
    assert importing.run(job.id) == "succeeded"
    found = api.get("/funding?exchange=binanceusdm&symbol=BTC/USDT:USDT").json()["data"]
    assert [(each["ts"], each["rate"], each["mark_price"]) for each in found] == [
        (first + 17, "-0.00219334", None),
        (first + 8 * HOUR_MS, "0.00001", None),
    ]
