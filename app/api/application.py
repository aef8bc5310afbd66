"""The HTTP application over a set of services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from app.api.dependencies import Services
from app.api.docs_page import docs_router
from app.api.openapi import TAGS, install
from app.api.problems import (
    error_response,
    field_problems,
    internal_error,
    problem_response,
)
from app.api.requests import RequestFrame
from app.api.routes import (
    accounts,
    backtests,
    instances,
    jobs,
    market,
    orders,
    plans,
    points,
    quality,
    retention,
    risk,
    sources,
    strategies,
    system,
)
from app.core.errors import TidemarkError

_log = structlog.get_logger("tidemark.http")
_ROUTERS: Final[tuple[APIRouter, ...]] = (
    system.router,
    system.guarded,
    market.router,
    quality.router,
    points.router,
    sources.router,
    sources.files,
    plans.router,
    retention.router,
    jobs.router,
    strategies.router,
    strategies.files,
    instances.router,
    backtests.router,
    accounts.router,
    orders.router,
    risk.router,
)
_DESCRIPTION: Final = """\
Self-hosted quantitative crypto trading.

Send the token as `Authorization: Bearer tdm_…`. Money is text, times are RFC 3339 in UTC, times
of bars are milliseconds. Lists are pages `{data, next_cursor, has_more}`. Errors are problems
(RFC 9457) with a stable `code`. An order needs an `Idempotency-Key`."""


def build_app(
    services: Services, *, docs: bool, failures: Mapping[type[Exception], int]
) -> FastAPI:
    """The application.

    Args:
        docs: serve the documentation page and the OpenAPI document.
        failures: errors of the database's driver, each 409 or 503.
    """
    app = FastAPI(
        title="Tidemark",
        version=services.version,
        description=_DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    app.state.services = services
    for router in _ROUTERS:
        app.include_router(router)
    if docs:
        app.include_router(docs_router())
    app.add_middleware(RequestFrame)
    app.add_exception_handler(TidemarkError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    for kind, status in failures.items():
        app.add_exception_handler(kind, _on_conflict if status == 409 else _on_database_down)
    install(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _trace(request: Request) -> str:
    trace_id: str = request.state.trace_id
    return trace_id


def _on_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TidemarkError)  # noqa: S101 - registered for it
    answer = error_response(error, _trace(request))
    if answer.status_code >= 500:
        _log.warning(
            "request_refused",
            trace_id=_trace(request),
            code=error.error_code,
            reason=error.message,
            exc_info=answer.status_code == 500,
        )
    return answer


def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return problem_response(
        422,
        "invalid-request",
        "the request does not fit; see errors",
        _trace(request),
        errors=field_problems(error.errors()),
    )


def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if error.status_code == 404:
        return problem_response(404, "not-found", "there is nothing here", _trace(request))
    if error.status_code == 405:
        # Of no router here are the documentation page and its document, which are read.
        allow = ", ".join(sorted(_methods_of(request.url.path))) or "GET"
        return problem_response(
            405,
            "method-not-allowed",
            f"this resource takes {allow}",
            _trace(request),
            headers={"Allow": allow},
        )
    if error.status_code >= 500:
        return internal_error(_trace(request))
    return problem_response(
        error.status_code, "invalid-request", "the request cannot be served", _trace(request)
    )


def _methods_of(path: str) -> set[str]:
    """Every method that some route of the path takes; the framework names the first's alone."""
    found: set[str] = set()
    for router in _ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.path_regex.match(path):
                found |= route.methods or set()
    return found


def _on_conflict(request: Request, _error: Exception) -> JSONResponse:
    return problem_response(
        409,
        "conflict",
        "another request changed the same thing at the same time; look, and try again",
        _trace(request),
    )


def _on_database_down(request: Request, error: Exception) -> JSONResponse:
    _log.warning("database_unavailable", trace_id=_trace(request), error=type(error).__name__)
    return problem_response(
        503,
        "unavailable",
        "the database does not answer; try again shortly",
        _trace(request),
        headers={"Retry-After": "2"},
    )
