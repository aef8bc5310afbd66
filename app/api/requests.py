"""Around every request: a trace id, one log line, headers that no answer lacks, no traceback."""

from __future__ import annotations

import time
import uuid
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import docs_page
from app.api.problems import internal_error

_log = structlog.get_logger("tidemark.http")
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STRICT: Final = "default-src 'none'; frame-ancestors 'none'"


class RequestFrame:
    """ASGI middleware, the outermost one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace_id = uuid.uuid4().hex
        scope.setdefault("state", {})["trace_id"] = trace_id
        began = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in _headers_for(scope, trace_id).items():
                    headers.setdefault(name, value)
                # Until the answer began: what a browser's tools show as the server's part.
                headers["Server-Timing"] = f"app;dur={(time.perf_counter() - began) * 1000:.1f}"
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:  # noqa: BLE001 - the last line: nobody above would answer the client
            _log.error("request_failed", trace_id=trace_id, route=_route(scope), exc_info=True)
            if status == 0:
                await internal_error(trace_id)(scope, receive, sending)
        finally:
            _log.info(
                "http_request",
                method=scope["method"],
                route=_route(scope),
                status=status,
                ms=round((time.perf_counter() - began) * 1000, 1),
                trace_id=trace_id,
            )


def _headers_for(scope: Scope, trace_id: str) -> dict[str, str]:
    policy = docs_page.POLICY if scope["path"].startswith(docs_page.PATH) else _STRICT
    return {**_HEADERS, "Content-Security-Policy": policy, "X-Request-Id": trace_id}


def _route(scope: Scope) -> str:
    """The route's pattern; a path that has none is not repeated: it is whatever a client sent."""
    return getattr(scope.get("route"), "path", "unmatched")
