"""How control requests are read and answered: JSON objects, and one sentence for each wrong use.

Every function that reads raises ``InvalidInput`` with that sentence.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, TypeVar

from aiohttp import web

from app.core.errors import Conflict, InvalidInput, NotFound, TidemarkError
from app.core.money import parse_amount

Handler = Callable[[web.Request], Awaitable[Any]]
W = TypeVar("W", bound=StrEnum)


def answering(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A route whose refusals are answered with their sentence."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return web.json_response(await handler(request))
        except TidemarkError as error:
            return _error(error)

    return answer


def _error(error: TidemarkError) -> web.Response:
    status = 409 if isinstance(error, Conflict) else 404 if isinstance(error, NotFound) else 422
    return web.json_response({"error": error.message}, status=status)


async def no_such_route(request: web.Request) -> web.Response:
    """The answer to whatever is not a route."""
    message = f"{request.method} {request.path} is not part of the control API"
    return web.json_response({"error": message}, status=404)


async def read_body(request: web.Request, known: set[str] | None = None) -> dict[str, Any]:
    """The JSON object of a request; ``known`` names its fields, None allows any."""
    try:
        body = json_object(json.loads(await request.text() or "{}"))
    except ValueError:
        raise InvalidInput("the body is not JSON") from None
    unknown = [] if known is None else sorted(set(body) - known)
    if unknown:
        fields = ", ".join(sorted(known or ()))
        raise InvalidInput(f"unknown field {unknown[0]!r}; known are {fields}")
    return body


def json_object(value: Any) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise InvalidInput("expected a JSON object")
    return value


def text_of(body: dict[str, Any], name: str) -> str:
    """A field that is a text."""
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > 200:
        raise InvalidInput(f"{name} must be a text of 1 to 200 characters")
    return value


def word_of(kind: type[W], body: dict[str, Any], name: str) -> W:
    """A field that is one of some words."""
    try:
        return kind(str(body.get(name)))
    except ValueError:
        raise InvalidInput(f"{name} must be one of {', '.join(kind)}") from None


def whole_of(body: dict[str, Any], name: str) -> int:
    """A field that is a time or a length of time, ms."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{name} must be a whole number of milliseconds")
    if abs(value) > 1 << 53:
        raise InvalidInput(f"{name} was {value}, which is not a time")
    return value


def amount_of(value: Any) -> Any:
    """An amount, which JSON holds as text."""
    if not isinstance(value, str):
        raise InvalidInput('amounts are texts, as in "0.015"')
    return parse_amount(value)


def read_query(request: web.Request, known: frozenset[str] | set[str]) -> dict[str, str]:
    """The query of a request, which may have these fields."""
    query = dict(request.query)
    unknown = sorted(set(query) - known)
    if unknown:
        raise InvalidInput(f"unknown filter {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return query


def number_of(text: str, name: str) -> int:
    """A whole number that stands in a path or a query."""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise InvalidInput(f"{name} must be a whole number")
    return int(text)
