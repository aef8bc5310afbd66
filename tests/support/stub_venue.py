"""A venue on loopback that answers whatever a test tells it to, well-formed or not."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Reply:
    """One answer.

    Attributes:
        body: sent as it is; anything but bytes is sent as JSON.
        cut_after: close the connection after so many bytes of the body.
        announced: the Content-Length to state, where it is not the body's.
    """

    body: Any = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    announced: int | None = None

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    """One request: path, and the parameters of its query and its body."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the test."""


class StubVenue:
    """Serves replies by (method, path); the last one of each is repeated.

    Attributes:
        url: where it listens.
        asked: every request, in order.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._replies: dict[tuple[str, str], list[Reply]] = {}
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Answer requests for a path with these, in order; the last one again and again."""
        self._replies[method, path] = list(replies)

    def _next(self, method: str, path: str) -> Reply:
        replies = self._replies.get((method, path))
        if not replies:
            return Reply({"code": -1100, "msg": "the test has no answer for this"}, 404)
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        venue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                given = parse_qsl(parts.query) + parse_qsl(self.rfile.read(length).decode())
                venue.asked.append(
                    Asked(self.command, parts.path, dict(given), dict(self.headers.items()))
                )
                reply = venue._next(self.command, parts.path)
                content = reply.content
                self.send_response(reply.status)
                self.send_header("Content-Length", str(reply.announced or len(content)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content[: reply.cut_after])
                if reply.cut_after is not None:
                    self.close_connection = True

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        return Handler
