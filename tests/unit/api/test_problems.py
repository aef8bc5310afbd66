"""From errors to HTTP: one table, and nothing of an internal error in it."""

from __future__ import annotations

import json

import pytest

from app.api.problems import ApiProblem, error_response, field_problems, status_of
from app.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    TidemarkError,
    Unavailable,
    UnknownName,
)
from app.core.exchanges.errors import (
    BadVenueAnswer,
    BudgetExhausted,
    RateLimited,
    VenueRejected,
    VenueUnreachable,
)
from app.core.strategies.errors import BadStrategyFile, StrategyTimedOut


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("x"), 422),
        (UnknownName("x"), 422),
        (BadStrategyFile("x"), 422),
        (NotFound("x"), 404),
        (Conflict("x"), 409),
        (Conflict("x", code="already-terminal"), 409),
        (Unavailable("x"), 503),
        (RateLimited("binance", "x"), 503),
        (BudgetExhausted("binance", "x", retry_at=0), 503),
        (VenueRejected("binance", "x"), 502),
        (VenueUnreachable("binance", "x"), 502),
        (BadVenueAnswer("binance", "x"), 502),
        (StrategyTimedOut("mine", "x"), 422),
        (TidemarkError("x"), 500),
        (ApiProblem("malformed-json", "x"), 400),
        (ApiProblem("risk-denied", "x", status=422), 422),
    ],
)
def test_each_error_has_its_status(error: TidemarkError, status: int) -> None:
    assert status_of(error) == status
    answer = error_response(error, "t")
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)


def test_the_venue_says_when_to_try_again() -> None:
    answer = error_response(RateLimited("binance", "slow down", retry_after_ms=1_200), "t")
    assert answer.headers["retry-after"] == "2"


def test_an_internal_error_keeps_its_words_to_itself() -> None:
    answer = error_response(TidemarkError("row 7 of table x"), "trace")
    body = json.loads(bytes(answer.body))
    assert body["code"] == "internal-error"
    assert body["trace_id"] == "trace"
    assert "row 7" not in str(body)


def test_pointers_say_where_and_hide_names_that_are_no_names() -> None:
    found = field_problems(
        [
            {"loc": ("body", "a", 3, "b"), "type": "missing", "msg": "Field required"},
            {"loc": ("query", "limit"), "type": "int_parsing", "msg": "x"},
            {"loc": ("body", "<script>"), "type": "extra_forbidden", "msg": "x"},
            {"loc": (), "type": "model_type", "msg": "Value error, y"},
        ]
    )
    assert [each["pointer"] for each in found] == ["#/a/3/b", "query/limit", "#/?", "#"]
    assert [each["code"] for each in found][2:] == ["extra-forbidden", "model-type"]
    assert found[3]["detail"] == "y"
