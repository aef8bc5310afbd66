"""Data sources over HTTP: added, asked, read page by page, and refused with a code."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import ApiClient, TradingDay

MOOD = """\
from decimal import Decimal
from tidemark import DataSource, IntParameter, Observation


class Mood(DataSource):
    \"\"\"How the crowd feels.\"\"\"

    days = IntParameter(3, low=1, high=9)

    def observe(self, since):
        for day in range(self.days):
            yield Observation("mood", day * 86_400_000, Decimal(day) / 4, self.symbols[0],
                              label=f"day {day}, so far")
        yield Observation("mood", 0, 0.5)
"""


def code_of(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


@pytest.fixture(scope="module")
def mood(api: ApiClient, day: TradingDay) -> dict[str, Any]:
    """A source of five days that was asked once."""
    body = {"name": "mood", "source": MOOD, "every": "90s", "symbols": ["BTC/USDT"]}
    made = api.post("/data-sources", {**body, "params": {"days": 5}})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/api/v1/data-sources/mood"
    day.container.source_runner.run(made.json()["id"])
    found: dict[str, Any] = api.get("/data-sources/mood").json()
    return found


def test_a_source_says_what_it_is_and_how_its_last_run_went(mood: dict[str, Any]) -> None:
    assert (mood["title"], mood["every"], mood["origin"]) == ("How the crowd feels.", "90s", "file")
    assert mood["parameters"]["properties"]["days"]["maximum"] == 9
    assert mood["params"] == {"days": 5}
    assert mood["error"] is None
    counts = {name: mood["result"][name] for name in ("observed", "stored", "quarantined", "end")}
    assert counts == {"observed": 6, "stored": 5, "quarantined": 1, "end": "whole"}
    assert mood["quarantined"] == 1
    assert mood["series"] == [
        {
            "exchange": "source:mood",
            "kind": "mood",
            "symbol": "BTC/USDT",
            "newest": "1970-01-05T00:00:00.000Z",
        }
    ]


def test_its_points_are_read_in_pages(api: ApiClient, mood: dict[str, Any]) -> None:
    asked = {"exchange": mood["exchange"], "kind": "mood", "symbol": "BTC/USDT", "limit": 2}
    values: list[str] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = api.get("/points", params={**asked, "start": 0, "cursor": cursor}).json()
        values += [each["value"] for each in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
    assert values == ["0", "0.25", "0.5", "0.75", "1"]
    some = api.get("/points", params={**asked, "start": "1970-01-02T00:00:00Z", "end": 86_400_001})
    assert some.json()["data"] == [
        {"ts": 86_400_000, "value": "0.25", "second": None, "label": "day 1, so far"}
    ]
    table = api.get("/points", params={**asked, "format": "csv"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["next-cursor"] == str(2 * 86_400_000)
    assert table.text == (
        'ts,value,second,label\n0,0,,"day 0, so far"\n86400000,0.25,,"day 1, so far"\n'
    )


def test_what_was_refused_is_shown_with_its_reason(api: ApiClient, mood: dict[str, Any]) -> None:
    (refused,) = api.get("/data-sources/mood/quarantine").json()
    assert refused["reason"] == "its value was float; give a Decimal"
    assert refused["row"] == ["mood", 0, "float 0.5", None, None, None]
    assert refused["source"] == f"source:mood@{mood['sha256'][:12]}"


def test_a_source_is_switched_off_and_on_asked_and_removed(api: ApiClient, day: TradingDay) -> None:
    body = {"name": "fear-greed", "builtin": "fear_greed", "every": "1d"}
    made = api.post("/data-sources", {**body, "params": {"location": "sample"}, "enabled": False})
    assert (made.json()["enabled"], made.json()["file"]) == (False, "fear_greed")
    assert code_of(api.post("/data-sources/fear-greed/run")) == (422, "invalid-input")
    assert api.post("/data-sources/fear-greed/enable").json()["enabled"] is True
    asked = api.post("/data-sources/fear-greed/run")
    assert asked.status_code == 202
    assert day.container.source_runner.run(asked.json()["id"]).kept.stored == 40
    names = [each["name"] for each in api.get("/data-sources").json()["data"]]
    assert "fear-greed" in names
    assert api.post("/data-sources/fear-greed/disable").json()["enabled"] is False
    assert api.delete("/data-sources/fear-greed").status_code == 204
    assert code_of(api.get("/data-sources/fear-greed")) == (404, "not-found")
    # What it gave stays.
    kept = api.get("/points", params={"exchange": "source:fear-greed", "kind": "fear_greed"})
    assert len(kept.json()["data"]) == 40


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"source": "x = 1"}, "bad-source-file"),
        ({"source": MOOD.replace("def observe", "def look")}, "bad-source-file"),
        ({"source": "import os\nos._exit(3)"}, "source-crashed"),
        ({"params": {"days": 10}}, "bad-parameter"),
        ({"every": "1s"}, "invalid-input"),
        ({"builtin": "fear_greed"}, "invalid-input"),
        ({"source": None}, "invalid-input"),
        ({"source": None, "builtin": "nothing"}, "unknown-name"),
        ({"name": "Mood"}, "invalid-request"),
        ({"more": 1}, "invalid-request"),
    ],
)
def test_what_cannot_be_added_is_a_problem_with_a_code(
    api: ApiClient, changed: dict[str, Any], code: str
) -> None:
    body = {"name": "other", "source": MOOD, "every": "1h", **changed}
    assert code_of(api.post("/data-sources", body)) == (422, code)


def test_points_that_are_not_there_are_not_found(api: ApiClient, mood: dict[str, Any]) -> None:
    asked = {"exchange": "source:mood", "kind": "mood"}
    answer = api.get("/points", params=asked)
    assert code_of(answer) == (404, "not-found")
    assert "it has mood BTC/USDT" in answer.json()["detail"]
    for exchange in ("source:", "source:A", "mood:x", "SOURCE:mood"):
        answer = api.get("/points", params={**asked, "exchange": exchange})
        assert code_of(answer) == (422, "invalid-request")
    assert api.get("/points", params=asked, token=None).status_code == 401
