"""What differs from market to market, at every venue alike: listing, halts, quiet bars, files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from tests.integration.simulator.conftest import START
from tests.support.simulator import SimulatorProcess
from tests.support.venues import client

Factory = Callable[..., SimulatorProcess]
Rows = list[list[Decimal]]


@dataclass(frozen=True)
class Door:
    """How one venue is asked for bars of one market, oldest first."""

    venue: str
    symbol: str
    path: str
    bars: Callable[[Any], list[list[Any]]]
    names: dict[str, str]
    turnover: int

    def ask(self, simulator: SimulatorProcess, interval: str, **span: int) -> Rows:
        """Bars as exact numbers: time, prices, volume, and what the venue adds."""
        path = self.path.replace("INTERVAL", self.names[interval])
        for name, value in span.items():
            path += f"&{self.names[name]}={value}"
        answer = simulator.control.raw("GET", path)
        assert answer.status_code == 200, answer.text
        return [[Decimal(field) for field in row] for row in self.bars(answer.json())]


_BINANCE = {"1m": "1m", "1h": "1h", "limit": "limit", "start": "startTime", "end": "endTime"}
_OKX = {"1m": "1m", "1h": "1H", "limit": "limit"}
_BYBIT = {"1m": "1", "1h": "60", "limit": "limit", "start": "start", "end": "end"}


def _okx(body: Any) -> list[list[Any]]:
    return list(reversed(body["data"]))


def _bybit(body: Any) -> list[list[Any]]:
    return list(reversed(body["result"]["list"]))


DOORS = [
    Door("binance", "BTC/USDT", "/api/v3/klines?symbol=BTCUSDT&interval=INTERVAL",
         list, _BINANCE, 7),
    Door("binanceusdm", "BTC/USDT:USDT", "/fapi/v1/klines?symbol=BTCUSDT&interval=INTERVAL",
         list, _BINANCE, 7),
    Door("okx", "BTC/USDT", "/api/v5/market/candles?instId=BTC-USDT&bar=INTERVAL",
         _okx, _OKX, 6),
    Door("okx", "BTC/USDT:USDT", "/api/v5/market/candles?instId=BTC-USDT-SWAP&bar=INTERVAL",
         _okx, _OKX, 7),
    Door("bybit", "BTC/USDT",
         "/v5/market/kline?category=spot&symbol=BTCUSDT&interval=INTERVAL", _bybit, _BYBIT, 6),
    Door("bybit", "BTC/USDT:USDT",
         "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=INTERVAL", _bybit, _BYBIT, 6),
]  # fmt: skip
every_door = pytest.mark.parametrize("door", DOORS, ids=lambda d: f"{d.venue} {d.symbol}")


def test_quiet_bars_are_flat_at_the_last_close_or_not_there(simulator: Factory) -> None:
    for symbol, doors in (
        ("BTC/USDT", [each for each in DOORS if each.symbol == "BTC/USDT"]),
        ("BTC/USDT:USDT", [each for each in DOORS if each.symbol == "BTC/USDT:USDT"]),
    ):
        options = {"seed": 7, "start": START, "weight_limit": 0, "quiet": symbol}
        filled = simulator(**options)
        omitted = simulator(**options, quiet_bars="omitted")
        for door in doors:
            shown = door.ask(filled, "1m", limit=300)
            left = door.ask(omitted, "1m", limit=100)
            times = [int(row[0]) for row in shown]
            assert times == list(range(times[0], START + 1, MINUTE_MS))
            closed = shown[:-1]
            quiet = [index for index, row in enumerate(closed) if row[5] == 0 and index]
            assert len(quiet) > 100, "more than a third of it"
            for index in quiet:
                assert set(shown[index][1:5]) == {shown[index - 1][4]}
            traded = [row for row in closed if row[5] > 0]
            assert left[-len(traded) :] == traded[-len(left) :]
            assert len(left) == 100, "a page is as full as the venue's, however far back it reaches"


@every_door
def test_an_hour_is_made_of_the_minutes_that_the_venue_shows(
    simulator: Factory, door: Door
) -> None:
    options = {"seed": 7, "start": START, "weight_limit": 0, "quiet": door.symbol}
    for kind in ("filled", "omitted"):
        venue = simulator(**options, quiet_bars=kind)
        minutes = door.ask(venue, "1m", limit=300)
        hours = {int(row[0]): row for row in door.ask(venue, "1h", limit=5)}
        for opened in range(START - 2 * HOUR_MS, START, HOUR_MS):
            part = [row for row in minutes if opened <= row[0] < opened + HOUR_MS]
            if not part:
                assert opened not in hours
                continue
            made = hours[opened]
            assert made[1:5] == [
                part[0][1], max(row[2] for row in part),
                min(row[3] for row in part), part[-1][4],
            ]  # fmt: skip
            for field in (5, door.turnover):
                assert made[field] == sum(row[field] for row in part)


@every_door
def test_before_its_listing_a_symbol_has_no_bars(simulator: Factory, door: Door) -> None:
    venue = simulator(seed=7, start=START, weight_limit=0)
    before = door.ask(venue, "1m", limit=60)
    listed = START - 30 * MINUTE_MS
    venue.control.change_instrument(door.symbol, venue=door.venue, listed_ms=listed)
    rows = door.ask(venue, "1m", limit=60)
    assert rows == [row for row in before if row[0] >= listed]
    (hour,) = door.ask(venue, "1h", limit=2)[:1]
    assert hour[0] == START - HOUR_MS, "the hour in which it was listed has what is left of it"
    assert hour[1] == rows[0][1]
    if "end" in door.names:
        assert door.ask(venue, "1m", end=listed - 1) == []
    if door.symbol == "BTC/USDT:USDT" and door.venue == "binanceusdm":
        path = "/fapi/v1/markPriceKlines?symbol=BTCUSDT&interval=1m&limit=60"
        marks = venue.control.raw("GET", path).json()
        assert [row[0] for row in marks] == [row[0] for row in rows]
        assert (
            venue.control.raw("GET", "/fapi/v1/fundingRate?symbol=BTCUSDT").json()[0]["fundingTime"]
            >= START
        ), "nothing was paid before there was anybody to pay"
    for other in DOORS:
        if (other.venue, other.symbol) != (door.venue, door.symbol):
            assert len(other.ask(venue, "1m", limit=60)) == 60, "elsewhere nothing changed"


def test_a_symbol_that_is_yet_to_be_listed_appears_when_its_time_comes(simulator: Factory) -> None:
    venue = simulator(seed=7, start=START, weight_limit=0)
    exchanges = {name: client(name, venue) for name in ("binanceusdm", "okx", "bybit")}
    for name in exchanges:
        venue.control.change_instrument(
            "ETH/USDT:USDT", venue=name, listed_ms=START + 10 * MINUTE_MS
        )
    for exchange in exchanges.values():
        assert "ETH/USDT:USDT" not in exchange.load_markets(True)
    venue.control.advance(by_ms=15 * MINUTE_MS)
    for name, exchange in exchanges.items():
        assert exchange.load_markets(True)["ETH/USDT:USDT"]["active"], name
        rows = exchange.fetch_ohlcv("ETH/USDT:USDT", "1m")
        assert rows[0][0] == START + 10 * MINUTE_MS, name
        exchange.close()


def test_a_delisted_symbol_ends_at_each_venue_in_its_way(simulator: Factory) -> None:
    venue = simulator(seed=7, start=START, weight_limit=0)
    ends = START + 5 * MINUTE_MS
    for name in ("binanceusdm", "okx", "bybit"):
        venue.control.change_instrument("BTC/USDT:USDT", venue=name, delisted_ms=ends)
    venue.control.change_instrument("BTC/USDT", delisted_ms=ends)
    venue.control.advance(by_ms=20 * MINUTE_MS)

    spot, usdm, bybit = DOORS[0], DOORS[1], DOORS[5]
    for door in (spot, usdm, bybit):
        assert door.ask(venue, "1m", limit=3)[-1][0] == ends - MINUTE_MS
    assert not venue.ccxt().load_markets()["BTC/USDT"]["active"]
    exchanges = {name: client(name, venue) for name in ("binanceusdm", "okx", "bybit")}
    markets = {name: exchange.load_markets() for name, exchange in exchanges.items()}
    assert not markets["binanceusdm"]["BTC/USDT:USDT"]["active"]
    for name in ("okx", "bybit"):
        assert "BTC/USDT:USDT" not in markets[name]
        assert "BTC/USDT" in markets[name]
    gone = venue.control.raw("GET", "/api/v5/market/candles?instId=BTC-USDT-SWAP")
    assert gone.json()["code"] == "51001"
    for exchange in exchanges.values():
        exchange.close()


def test_a_halt_may_be_told_beforehand(simulator: Factory) -> None:
    venue = simulator(seed=7, start=START, weight_limit=0)
    for name in ("binanceusdm", "okx", "bybit"):
        for status, after in (("HALT", 10), ("TRADING", 20)):
            venue.control.change_instrument(
                "BTC/USDT:USDT", venue=name, status=status, from_ms=START + after * MINUTE_MS
            )
    exchanges = [client(name, venue) for name in ("binanceusdm", "okx", "bybit")]
    for is_active in (True, False, True):
        for exchange in exchanges:
            assert exchange.load_markets(True)["BTC/USDT:USDT"]["active"] is is_active
        venue.control.advance(by_ms=10 * MINUTE_MS)
    for exchange in exchanges:
        exchange.close()


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"symbol": "BTC/USDT", "venue": "nasdaq"}, "is not simulated"),
        ({"symbol": "BTC/USDT", "venue": "binanceusdm"}, "is not listed at binanceusdm"),
        ({"symbol": "BTC/USDT", "from_ms": 5}, "give the status too"),
        ({"symbol": "BTC/USDT", "listed_ms": 9, "delisted_ms": 8}, "after the listing"),
        ({"symbol": "BTC/USDT", "listed_ms": "soon"}, "whole number"),
    ],
)
def test_changes_that_make_no_sense_are_refused_in_a_sentence(
    shared: SimulatorProcess, body: dict[str, Any], wrong: str
) -> None:
    answer = shared.control.raw("POST", "/control/instruments", json=body)
    assert answer.status_code in (404, 422)
    assert wrong in answer.json()["error"]


# -- files ------------------------------------------------------------------------------------


def _file(folder: Path) -> Path:
    """Two hours of minutes, of which the second and the fourth are missing or without trades."""
    lines = ["timestamp_ms,open,high,low,close,volume"]
    for minute in range(120):
        if minute == 1:
            continue
        price = 20_000 + minute
        volume = "0" if minute == 3 else "2.5"
        opened = START - 120 * MINUTE_MS + minute * MINUTE_MS
        lines.append(f"{opened},{price},{price + 1}.37,{price - 1},{price}.5,{volume}")
    file = folder / "bars.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_a_file_is_shown_by_every_venue_to_the_last_digit(
    simulator: Factory, tmp_path: Path
) -> None:
    file = _file(tmp_path)
    venue = simulator(seed=7, weight_limit=0, replay={"BTC/USDT": file, "BTC/USDT:USDT": file})
    for door in DOORS:
        rows = door.ask(venue, "1m", limit=200)
        assert len(rows) == 119, "a gap of the file stays one"
        prices = [Decimal(text) for text in ("20002", "20003.37", "20001", "20002.5")]
        assert rows[1][:5] == [START - 118 * MINUTE_MS, *prices]
        # OKX counts contracts first and coins behind them.
        is_in_contracts = door.venue == "okx" and door.symbol == "BTC/USDT:USDT"
        assert rows[1][6 if is_in_contracts else 5] == Decimal("2.5")


def test_a_file_of_a_contract_alone_begins_where_it_ends(
    simulator: Factory, tmp_path: Path
) -> None:
    venue = simulator(seed=7, weight_limit=0, replay={"BTC/USDT:USDT": _file(tmp_path)})
    assert venue.control.market_ms == START
    assert len(DOORS[1].ask(venue, "1m", limit=200)) == 119
    assert len(DOORS[0].ask(venue, "1m", limit=200)) == 200, "the spot market is no file"


def test_a_contract_follows_a_spot_market_that_is_a_file(
    simulator: Factory, tmp_path: Path
) -> None:
    venue = simulator(seed=7, weight_limit=0, replay={"BTC/USDT": _file(tmp_path)})
    spot, linear = DOORS[0].ask(venue, "1m", limit=200), DOORS[5].ask(venue, "1m", limit=200)
    assert [row[0] for row in spot] == [row[0] for row in linear]
    assert all(abs(a[4] / b[4] - 1) < Decimal("0.005") for a, b in zip(spot, linear, strict=True))
    index = "/fapi/v1/indexPriceKlines?pair=BTCUSDT&interval=1m&limit=200"
    rows = venue.control.raw("GET", index).json()
    assert [Decimal(row[4]) for row in rows] == [row[4] for row in spot]


def test_bars_without_a_trade_are_left_out_of_a_file_too(
    simulator: Factory, tmp_path: Path
) -> None:
    venue = simulator(
        seed=7, weight_limit=0, replay={"BTC/USDT": _file(tmp_path)}, quiet_bars="omitted"
    )
    for door in DOORS:
        assert len(door.ask(venue, "1m", limit=200)) == 118


# -- faults and the record ----------------------------------------------------------------------


@every_door
def test_faults_strike_and_the_record_tells(simulator: Factory, door: Door) -> None:
    venue = simulator(seed=7, start=START, weight_limit=0)
    path = door.path.replace("INTERVAL", door.names["1m"])
    bare = path.partition("?")[0]
    venue.control.add_fault(action="error_before", path=bare, count=1)
    venue.control.add_fault(action="status", path=bare, count=1, nth=2)
    venue.control.add_fault(action="body", body="truncated", path=bare, count=1, nth=3)
    before = time.monotonic()
    answers = [venue.control.raw("GET", path) for _ in range(4)]
    assert time.monotonic() - before < 10
    assert answers[0].status_code >= 500
    assert answers[1].status_code in (403, 429)
    for answer in answers[:2]:
        body = answer.json()
        assert body.get("code") or body.get("retCode")
    with pytest.raises(ValueError, match=r"."):
        answers[2].json()
    assert answers[3].status_code == 200
    entries = venue.control.requests(path=bare)
    assert [entry["faults"] for entry in entries] == [["error_before"], ["status"], ["body"], []]
    assert all(entry["market_ms"] == START for entry in entries)
    assert all(entry["params"] for entry in entries)


@every_door
def test_while_everything_is_out_of_service_nothing_is_answered(
    simulator: Factory, door: Door
) -> None:
    venue = simulator(seed=7, start=START, weight_limit=0)
    venue.control.maintain("all")
    assert venue.control.raw("GET", door.path.replace("INTERVAL", "1m")).status_code == 503
    venue.control.maintain("none")
    assert len(door.ask(venue, "1h", limit=3)) == 3


def test_days_are_long_enough_to_see(shared: SimulatorProcess) -> None:
    """A year of daily bars does not hold up the other clients of the simulator."""
    path = "/v5/market/kline?category=linear&symbol=ETHUSDT&interval=D&limit=365"
    rows = shared.control.raw("GET", path).json()["result"]["list"]
    assert len(rows) == 365
    assert int(rows[-1][0]) == START - 364 * DAY_MS
