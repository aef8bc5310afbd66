"""From errors to HTTP: one table, and nothing of an internal error in it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

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
from app.core.market.klines import KlineKind
from app.core.strategies.errors import BadStrategyFile, StrategyTimedOut
from app.schemas.common import NAME_PATTERN, UID_PATTERN


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
            {"loc": (), "type": "value_error", "msg": "Value error, y"},
        ]
    )
    assert [each["pointer"] for each in found] == ["#/a/3/b", "query/limit", "#/?", "#"]
    assert [each["code"] for each in found][2:] == ["extra-forbidden", "value-error"]
    assert found[3]["detail"] == "y"


class Thing(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    number: int


@pytest.mark.parametrize(
    ("kind", "value", "detail"),
    [
        (Thing, {}, "it is required and was not given"),
        (Thing, {"number": 1, "x": 1}, "there is no such field here; leave it out, or correct its"),
        (Thing, {"number": "7"}, "write a whole number"),
        (Thing, [], "write an object, in braces"),
        (int, "1e2", "write a whole number"),
        (int, "9" * 5_000, "write a whole number"),
        (int, 1.5, "write a whole number"),
        (bool, "maybe", "write true or false"),
        (bool, [], "write true or false"),
        (str, 7, "write text, in quotes"),
        (float, "x", "write a number"),
        (list[int], 7, "write a list, in brackets"),
        (dict[str, int], 7, "write an object, in braces"),
        (Annotated[float, Field(allow_inf_nan=False)], float("inf"), "it must be a finite number"),
        (Annotated[int, Field(ge=1)], 0, "it must be at least 1"),
        (Annotated[int, Field(le=500)], 501, "it must be at most 500"),
        (Annotated[float, Field(gt=0)], 0, "it must be above 0"),
        (Annotated[float, Field(lt=1)], 1, "it must be below 1"),
        (Annotated[str, Field(min_length=1)], "", "it may not be empty"),
        (Annotated[list[int], Field(min_length=1)], [], "it may not be empty"),
        (Annotated[list[int], Field(min_length=2)], [], "it must hold at least 2 entries"),
        (Annotated[str, Field(max_length=64)], "x" * 65, "it may have at most 64 characters"),
        (Annotated[list[int], Field(max_length=2)], [1, 2, 3], "it may hold at most 2 entries"),
        (Literal["buy", "sell"], "BUY", "use one of buy, sell"),
        (Literal["a", "b", "c"], "d", "use one of a, b, c"),
        (KlineKind, "nope", "use one of trade, mark, index"),
        (Annotated[str, Field(pattern=NAME_PATTERN)], "../x", "a name begins with a letter"),
        (Annotated[str, Field(pattern=UID_PATTERN)], "1", "an id is written as it was given out"),
        (Annotated[str, Field(pattern="^x+$")], "y", "it must have the form ^x+$"),
    ],
)
def test_what_does_not_fit_is_told_in_words_that_say_what_to_write(
    kind: Any, value: Any, detail: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(kind).validate_python(value)
    (found,) = field_problems([dict(each) for each in refusal.value.errors()])
    assert found["detail"].startswith(detail)
    assert "Input should" not in found["detail"]
