"""Problems (RFC 9457): one table from Tidemark's errors to HTTP."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi.responses import JSONResponse

from app.core.errors import Conflict, InvalidInput, NotFound, TidemarkError, Unavailable
from app.core.exchanges.errors import VenueError, VenueRetryLater
from app.core.sources.errors import SourceError
from app.core.strategies.errors import StrategyError
from app.core.wording import field_words
from app.schemas.forms import FORMS

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER_S: Final = 2

#: Status of each class of error, the first that fits; see ``status_of``.
_CLASSES: Final[tuple[tuple[type[TidemarkError], int], ...]] = (
    (InvalidInput, 422),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (VenueRetryLater, 503),
    (VenueError, 502),
    (StrategyError, 422),
    (SourceError, 422),
)
#: Codes whose status is not that of their class.
_CODES: Final[Mapping[str, int]] = {
    "missing-idempotency-key": 400,
    "malformed-json": 400,
    "malformed-query": 400,
    "unauthorized": 401,
    "request-timeout": 408,
    "body-too-large": 413,
    "unsupported-media-type": 415,
    "uri-too-long": 414,
    "trading-halted": 409,
    "wrong-world": 409,
}
_SAFE_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class ApiProblem(TidemarkError):
    """A problem of the edge itself: authentication, form of the request.

    Attributes:
        headers: added to the answer.
        members: added to the problem: ``rule``, ``reason``, ``errors``.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.headers = dict(headers or {})
        self.members = members


def status_of(error: TidemarkError) -> int:
    """HTTP status of an error; 500 for one that no class explains."""
    if isinstance(error, ApiProblem) and error.status is not None:
        return error.status
    known = _CODES.get(error.error_code)
    if known is not None:
        return known
    return next((status for kind, status in _CLASSES if isinstance(error, kind)), 500)


def problem_response(
    status: int,
    code: str,
    detail: str,
    trace_id: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """A problem as an answer."""
    body = {
        "type": f"urn:tidemark:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "trace_id": trace_id,
        **{key: value for key, value in members.items() if value is not None},
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def error_response(error: TidemarkError, trace_id: str) -> JSONResponse:
    """The answer to one of Tidemark's own errors; nothing of an internal one is shown."""
    status = status_of(error)
    headers, members = {}, {}
    if isinstance(error, ApiProblem):
        headers, members = error.headers, error.members
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", str(_retry_after(error)))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(
        error, (Unavailable, VenueError, ApiProblem)
    ):
        return internal_error(trace_id)
    return problem_response(
        status, error.error_code, error.message, trace_id, headers=headers, **members
    )


def internal_error(trace_id: str) -> JSONResponse:
    """The answer to anything unforeseen."""
    return problem_response(
        500,
        "internal-error",
        "something went wrong here; the server's log has it under this trace id",
        trace_id,
    )


def field_problems(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Pydantic's errors as pointers, codes and our words; what was sent is not repeated."""
    return [
        {
            "pointer": _pointer(error["loc"]),
            "code": _field_code(str(error["type"])),
            "detail": field_words(
                str(error["type"]), error.get("ctx") or {}, str(error["msg"]), FORMS
            ),
        }
        for error in errors[:20]
    ]


def _pointer(location: Sequence[str | int]) -> str:
    place, *path = location or ("body",)
    parts = [str(part) if _SAFE_KEY.fullmatch(str(part)) else "?" for part in path]
    return "/".join(["#" if place == "body" else str(place), *parts])


def _field_code(kind: str) -> str:
    return kind.replace("_", "-")


def _retry_after(error: TidemarkError) -> int:
    if isinstance(error, VenueRetryLater) and error.retry_after_ms > 0:
        return math.ceil(error.retry_after_ms / 1000)
    return _RETRY_AFTER_S
