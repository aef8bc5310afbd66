"""What a venue does to bars: takes them out, puts them back, states them anew, spoils a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.support.simulator import SimulatorProcess

MINUTE = 60_000
SYMBOL = "BTC/USDT"
KLINES = "/api/v3/klines"


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(seed=5, weight_limit=0) as process:
        yield process


@pytest.fixture
def venue(running: SimulatorProcess) -> Iterator[SimulatorProcess]:
    yield running
    running.control.clear_faults()
    running.control.maintain("none")
    running.control.restore(SYMBOL)


def shown(venue: SimulatorProcess, start: int, end: int, interval: str = "1m") -> list[Any]:
    """The rows that a client gets of [start, end)."""
    asked = {"symbol": "BTCUSDT", "interval": interval, "startTime": start, "endTime": end - 1}
    answer = venue.control.raw("GET", KLINES, params=asked)
    assert answer.status_code == 200, answer.text
    rows: list[Any] = answer.json()
    return rows


@pytest.fixture
def hour(venue: SimulatorProcess) -> int:
    """The last hour that is over."""
    return venue.control.market_ms // (60 * MINUTE) * 60 * MINUTE - 60 * MINUTE


def test_the_record_has_what_clients_get_past_every_fault(
    venue: SimulatorProcess, hour: int
) -> None:
    got = shown(venue, hour, hour + 60 * MINUTE)
    venue.control.add_fault(action="refuse", path="*")
    venue.control.maintain("all")
    recorded = venue.control.klines(SYMBOL, "1m", hour, hour + 60 * MINUTE)
    assert [row[0] for row in recorded] == [row[0] for row in got]
    for ours, theirs in zip(recorded, got, strict=True):
        columns = [*range(1, 6), 7]
        assert [Decimal(text) for text in ours[1:7]] == [Decimal(theirs[at]) for at in columns]
        assert ours[7] == theirs[8]


def test_the_record_ends_with_the_last_closed_bar(venue: SimulatorProcess) -> None:
    now = venue.control.market_ms
    (last,) = venue.control.klines(SYMBOL, "1m", now - MINUTE, now + 10 * MINUTE)
    assert last[0] == now // MINUTE * MINUTE - MINUTE
    assert len(venue.control.klines(SYMBOL, "1m", now, now + MINUTE)) == 0


def test_bars_that_are_taken_out_are_out_of_every_interval_until_they_are_put_back(
    venue: SimulatorProcess, hour: int
) -> None:
    end = hour + 60 * MINUTE
    (whole,) = shown(venue, hour, end, "1h")
    venue.control.omit(SYMBOL, hour + 10 * MINUTE, hour + 15 * MINUTE)
    minutes = shown(venue, hour, end)
    out = range(hour + 10 * MINUTE, hour + 15 * MINUTE, MINUTE)
    assert [row[0] for row in minutes] == [
        opened for opened in range(hour, end, MINUTE) if opened not in out
    ]
    (part,) = shown(venue, hour, end, "1h")
    assert Decimal(part[5]) == sum(Decimal(row[5]) for row in minutes) < Decimal(whole[5])
    assert len(venue.control.klines(SYMBOL, "1m", hour, end)) == 55
    venue.control.restore(SYMBOL)
    assert shown(venue, hour, end, "1h") == [whole]
    assert len(shown(venue, hour, end)) == 60


def test_a_venue_that_took_out_everything_goes_on_answering(venue: SimulatorProcess) -> None:
    now = venue.control.market_ms
    venue.control.omit(SYMBOL, 0, now + 60 * MINUTE)
    for asked in ({}, {"startTime": 0}, {"startTime": 0, "limit": 1}):
        answer = venue.control.raw(
            "GET", KLINES, params={"symbol": "BTCUSDT", "interval": "1m", **asked}
        )
        assert (answer.status_code, answer.json()) == (200, [])
    assert venue.control.klines(SYMBOL, "1m", 0, now) == []


def test_a_bar_that_is_stated_anew_has_its_new_volume_in_every_interval(
    venue: SimulatorProcess, hour: int
) -> None:
    (before,) = shown(venue, hour, hour + MINUTE)
    (whole,) = shown(venue, hour, hour + 60 * MINUTE, "1h")
    venue.control.revise(SYMBOL, hour, "34.9")
    (after,) = shown(venue, hour, hour + MINUTE)
    assert (after[:5], Decimal(after[5])) == (before[:5], Decimal("34.9"))
    (now,) = shown(venue, hour, hour + 60 * MINUTE, "1h")
    assert Decimal(now[5]) - Decimal(whole[5]) == Decimal("34.9") - Decimal(before[5])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"edit": "bend", "symbol": SYMBOL}, "edit must be one of"),
        ({"edit": "omit", "symbol": "X/Y", "from_ms": 0, "to_ms": MINUTE}, "is not listed"),
        ({"edit": "omit", "symbol": SYMBOL, "from_ms": 5, "to_ms": 6}, "no bar opens"),
        ({"edit": "omit", "symbol": SYMBOL, "from_ms": 0, "to_ms": 1 << 53}, "from 1970 to 2200"),
        ({"edit": "revise", "symbol": SYMBOL, "from_ms": 5, "volume": "1"}, "no bar opens at 5"),
    ],
)
def test_wrong_edits_are_refused(venue: SimulatorProcess, body: Any, words: str) -> None:
    response = venue.control.raw("POST", "/control/klines", json=body)
    assert response.status_code in (404, 422)
    assert words in response.json()["error"]


def spoilt(venue: SimulatorProcess, hour: int, body: str, **more: Any) -> Any:
    venue.control.add_fault(action="body", body=body, path=KLINES, **more)
    asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": hour, "limit": 6}
    return venue.control.raw("GET", KLINES, params=asked)


def test_rows_come_twice_in_disorder_or_overlapping(venue: SimulatorProcess, hour: int) -> None:
    opens = [hour + number * MINUTE for number in range(6)]
    for body, order in {
        "doubled": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
        "shuffled": [1, 3, 5, 0, 2, 4],
        "overlapping": [0, 1, 2, 3, 4, 5, 3, 4, 5],
    }.items():
        rows = spoilt(venue, hour, body).json()
        venue.control.clear_faults()
        assert [row[0] for row in rows] == [opens[number] for number in order]


def test_one_close_is_no_number(venue: SimulatorProcess, hour: int) -> None:
    assert [row[4] == "NaN" for row in spoilt(venue, hour, "nan").json()] == [
        False, False, False, True, False, False,
    ]  # fmt: skip


def test_a_key_stands_twice(venue: SimulatorProcess, hour: int) -> None:
    seen: list[list[str]] = []

    def pairs(found: list[tuple[str, Any]]) -> None:
        seen.append([name for name, _ in found])

    json.loads(spoilt(venue, hour, "duplicate_key").text, object_pairs_hook=pairs)
    venue.control.clear_faults()
    venue.control.add_fault(action="body", body="duplicate_key", path="/api/v3/time")
    answer = venue.control.raw("GET", "/api/v3/time").text
    json.loads(answer, object_pairs_hook=pairs)
    assert seen == [["again", "again"], ["again", "again", "serverTime"]]


def test_a_page_comes_with_the_status_of_the_rule(venue: SimulatorProcess, hour: int) -> None:
    answer = spoilt(venue, hour, "html", status=403)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html")
    assert answer.text.startswith("<html>")
