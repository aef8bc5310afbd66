"""How many requests a venue answers in a window, by a clock that is moved by hand."""

from __future__ import annotations

import json

import pytest

from simulator.build import build_venue
from simulator.dialects.bybit.rest import BybitRest
from simulator.dialects.http import Answer, Request
from simulator.dialects.okx.rest import OkxRest
from simulator.dialects.web import WebRest
from simulator.options import Options

START = 1_769_904_000_000  # 2026-02-01T00:00Z


class Wall:
    """A wall clock."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


def ask(api: WebRest, path: str, query: str = "") -> Answer:
    return api.answer(Request("GET", path, query, "", None))


def test_okx_answers_forty_requests_for_candles_in_two_seconds(wall: Wall) -> None:
    api = OkxRest(build_venue(Options(start_ms=START)), wall, is_limited=True)
    path, query = "/api/v5/market/candles", "instId=BTC-USDT&limit=1"
    assert [ask(api, path, query).status for _ in range(40)] == [200] * 40
    refused = ask(api, path, query)
    assert (refused.status, json.loads(refused.body)["code"]) == (429, "50011")
    # Another endpoint counts by itself.
    assert ask(api, "/api/v5/market/ticker", "instId=BTC-USDT").status == 200
    wall.now += 2_000
    assert ask(api, path, query).status == 200


def test_bybit_refuses_the_hundred_and_first_of_a_second_and_shuts_out_who_goes_on(
    wall: Wall,
) -> None:
    api = BybitRest(build_venue(Options(start_ms=START)), wall, is_limited=True)
    answers = [ask(api, "/v5/market/time") for _ in range(600)]
    codes = [json.loads(answer.body)["retCode"] for answer in answers]
    assert codes == [0] * 100 + [10006] * 500
    assert {answer.status for answer in answers} == {200}
    assert answers[0].headers["X-Bapi-Limit-Status"] == "99"
    assert int(answers[0].headers["X-Bapi-Limit-Reset-Timestamp"]) == START + 1_000
    assert ask(api, "/v5/market/time").status == 403
    wall.now += 599_999
    assert ask(api, "/v5/market/tickers", "category=spot").status == 403
    wall.now += 1
    assert ask(api, "/v5/market/time").status == 200


def test_without_limits_nobody_is_refused(wall: Wall) -> None:
    api = BybitRest(build_venue(Options(start_ms=START)), wall, is_limited=False)
    assert {ask(api, "/v5/market/time").status for _ in range(2_000)} == {200}
