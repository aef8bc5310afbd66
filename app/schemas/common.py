"""What all models share: strictness, money, times, pages and problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.core.errors import InvalidInput
from app.core.market.intervals import INTERVALS
from app.core.market.klines import KlineKind
from app.core.money import canonical, parse_amount
from app.schemas.times import parse_time, rfc3339

#: A plain decimal number in ASCII digits; what does not fit 18 + 18 digits is refused.
AMOUNT_PATTERN: Final = r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?$"
POSITIVE_PATTERN: Final = r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?$"
UID_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
#: Names of accounts, instances, plans.
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,62}$"
#: One line of text of a person.
LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f]+$"
#: Venue ids as ccxt writes them.
EXCHANGE_PATTERN: Final = r"^[a-z0-9_][a-z0-9_-]{0,31}$"
# Symbols are checked against the catalogue; this keeps out what can be in none: spaces,
# controls and marks that are not seen.
_NOT_SYMBOL: Final = re.compile(r"[\s\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
SYMBOL_LIMIT: Final = 64
EXAMPLE_ID: Final = "019cb5a0-7c00-7a11-8f22-5a3c1d9e4b10"


class Model(BaseModel):
    """A strict model: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, serialize_by_alias=True)


def _amount(value: object) -> Decimal:
    if not isinstance(value, str):
        raise PydanticCustomError("amount", 'amounts are decimal strings, as in "0.015"')
    try:
        return parse_amount(value)
    except InvalidInput:
        raise PydanticCustomError(
            "amount", 'write plain digits with at most 18 decimals, as in "0.015"'
        ) from None


def _positive(value: object) -> Decimal:
    amount = _amount(value)
    if amount <= 0:
        raise PydanticCustomError("not-positive", "must be above 0")
    return amount


def _not_negative(value: object) -> Decimal:
    amount = _amount(value)
    if amount < 0 or str(value).startswith("-"):
        raise PydanticCustomError("negative", "must not be below 0")
    return amount


def _symbol(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= SYMBOL_LIMIT:
        raise PydanticCustomError("symbol", 'a symbol is written as in "BTC/USDT"')
    if _NOT_SYMBOL.search(value):
        raise PydanticCustomError("symbol", "a symbol holds no spaces and no hidden characters")
    return value


def _interval(value: object) -> str:
    if not isinstance(value, str) or value not in INTERVALS:
        raise PydanticCustomError("interval", "use one of " + ", ".join(INTERVALS))
    return value


def _time(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise PydanticCustomError("time", "use RFC 3339 with a time zone, or milliseconds")
    try:
        return parse_time(str(value))
    except InvalidInput as error:
        raise PydanticCustomError("time", "{why}", {"why": error.message}) from None


def _text_schema(pattern: str, example: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example], **more})


#: An amount above 0, as a string.
Positive = Annotated[Decimal, BeforeValidator(_positive), _text_schema(POSITIVE_PATTERN, "0.015")]
#: An amount of 0 or more, as a string.
NotNegative = Annotated[
    Decimal, BeforeValidator(_not_negative), _text_schema(POSITIVE_PATTERN, "0.001")
]
Symbol = Annotated[
    str,
    BeforeValidator(_symbol),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": SYMBOL_LIMIT, "examples": ["BTC/USDT"]}
    ),
]
IntervalName = Annotated[
    str,
    BeforeValidator(_interval),
    WithJsonSchema({"type": "string", "enum": list(INTERVALS), "examples": ["1h"]}),
]
#: Kind of klines, by its name: a strict model takes an enumeration's member alone.
KindName = Annotated[KlineKind, Field(strict=False)]
#: RFC 3339 or milliseconds, as milliseconds.
TimeInput = Annotated[
    int,
    BeforeValidator(_time),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}],
            "examples": ["2026-03-01T00:00:00Z"],
        }
    ),
]
Exchange = Annotated[str, Field(pattern=EXCHANGE_PATTERN, examples=["binance"])]
Uid = Annotated[str, Field(pattern=UID_PATTERN, examples=[EXAMPLE_ID])]
EntityName = Annotated[str, Field(pattern=NAME_PATTERN, examples=["demo"])]
#: Free text of a person, shown again to people: no control characters.
Remark = Annotated[str, Field(min_length=1, max_length=300, pattern=LINE_PATTERN)]

#: Amounts and times in answers.
Money = Annotated[str, Field(pattern=AMOUNT_PATTERN, examples=["64250.1"])]
Time = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-01T00:00:00.000Z"])
]


def money(value: Decimal | None) -> str | None:
    """An amount as canonical text; None stays None."""
    return None if value is None else canonical(value)


def time_text(ms: int | None) -> str | None:
    """A time as RFC 3339; None stays None."""
    return None if ms is None else rfc3339(ms)


T = TypeVar("T")


class Listing(Model, Generic[T]):
    """A page of resources, newest first, and where the next one begins."""

    data: list[T]
    next_cursor: str | None = Field(description="pass it as `cursor` for the next page")
    has_more: bool


def listing(
    rows: Sequence[Any], make: Callable[[Any], T], next_cursor: str | None = None
) -> Listing[T]:
    """A page of rows as resources."""
    return Listing[T](
        data=[make(row) for row in rows],
        next_cursor=next_cursor,
        has_more=next_cursor is not None,
    )


class FieldProblem(Model):
    """One field that does not fit."""

    pointer: str = Field(description="where: `#/field` in the body, `query/name`, `path/name`")
    code: str
    detail: str


class Problem(Model):
    """What went wrong (RFC 9457). `code` is stable; texts are for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    trace_id: str = Field(description="find it in the server's log")
    errors: list[FieldProblem] | None = None
    rule: str | None = Field(None, description="the risk rule that refused")
    reason: str | None = Field(None, description="the rule's figures: `CODE: k=v, k=v`")
    decision_id: str | None = None
