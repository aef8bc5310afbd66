"""What every request passes between routing and its route: who asks, and in what form.

A route class, so that it runs after routing (a wrong method is a 405, whatever its body) and
before FastAPI reads the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import Message

from app.api.dependencies import services_of
from app.api.problems import ApiProblem
from app.api.strict_json import MalformedJson, check
from app.core.security.tokens import PREFIX

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

BODY_LIMIT: Final = 64 * 1024
FILE_LIMIT: Final = 300 * 1024
_QUERY_LIMIT: Final = 4_096
_BODY_SECONDS: Final = 5.0
# What a client has already sent is read up to here, so that it sees the answer and not a reset.
_DRAIN_LIMIT: Final = 1024 * 1024
_TOKEN_LIMIT: Final = 200


class OpenRoute(APIRoute):
    """A route for everybody: liveness and readiness."""

    body_limit: ClassVar[int] = BODY_LIMIT
    needs_token: ClassVar[bool] = False

    def get_route_handler(self) -> Handler:
        """FastAPI's handler behind the guard."""
        inner = super().get_route_handler()
        known = {field.alias for field in self.dependant.query_params}
        takes_body = self.body_field is not None

        async def guarded(request: Request) -> Response:
            if self.needs_token:
                await _authenticate(request)
            _check_query(request, known)
            body = await _read_body(request, self.body_limit)
            if takes_body:
                _check_body(request, body)
            return await inner(_with_body(request, body))

        return guarded


class GuardedRoute(OpenRoute):
    """A route that asks for the bearer token: every one but liveness and readiness."""

    needs_token: ClassVar[bool] = True


class FileRoute(GuardedRoute):
    """A route that takes a strategy's source text."""

    body_limit: ClassVar[int] = FILE_LIMIT


async def _authenticate(request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.startswith(PREFIX) or len(token) > _TOKEN_LIMIT:
        raise _unauthorized("send the token as `Authorization: Bearer tdm_…`")
    tokens = services_of(request).tokens
    name = tokens.known_name_of(token) or await run_in_threadpool(tokens.name_of, token)
    if name is None:
        raise _unauthorized("the token is not known or was revoked; see: tidemark system token")
    request.state.principal = name


def _unauthorized(detail: str) -> ApiProblem:
    return ApiProblem(
        "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="tidemark"'}
    )


def _check_query(request: Request, known: set[str]) -> None:
    raw: bytes = request.scope.get("query_string", b"")
    if len(raw) > _QUERY_LIMIT:
        raise ApiProblem("uri-too-long", f"the query has more than {_QUERY_LIMIT} characters")
    names = [name for name, _ in request.query_params.multi_items()]
    if len(set(names)) != len(names):
        raise ApiProblem("malformed-query", "a query parameter is given twice")
    unknown = set(names) - known
    if unknown:
        allowed = ", ".join(sorted(known)) or "none"
        raise ApiProblem(
            "invalid-request",
            f"the query holds a parameter that is not known here; known: {allowed}",
            status=422,
        )
    # Bytes that are no UTF-8 arrive as U+FFFD, and controls have no place in any parameter.
    for value in request.query_params.values():
        if "\ufffd" in value or not value.isprintable():
            raise ApiProblem("malformed-query", "the query holds characters that are not text")


async def _read_body(request: Request, limit: int) -> bytes:
    stated = request.headers.get("content-length", "")
    too_large = stated.isascii() and stated.isdigit() and int(stated[:12]) > limit
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                too_large = too_large or size > limit
                if size > _DRAIN_LIMIT:
                    break
                if not too_large:
                    chunks.append(chunk)
    except TimeoutError:
        raise ApiProblem(
            "request-timeout", "the body did not arrive in time", headers={"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise ApiProblem("malformed-json", "the client went away") from None
    if too_large:
        raise ApiProblem(
            "body-too-large",
            f"the body may have at most {limit // 1024} KiB",
            headers={"Connection": "close"},
        )
    return b"".join(chunks)


def _check_body(request: Request, body: bytes) -> None:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json":
        raise ApiProblem("unsupported-media-type", "send the body as application/json")
    charset = parameters.strip().lower().replace('"', "")
    if charset not in ("", "charset=utf-8"):
        raise ApiProblem("unsupported-media-type", "send the body in UTF-8")
    try:
        check(body)
    except MalformedJson as error:
        raise ApiProblem("malformed-json", str(error)) from None


def _with_body(request: Request, body: bytes) -> Request:
    """The request again, its body to be read once more."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)
