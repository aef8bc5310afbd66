"""A forward proxy on loopback: passes plain HTTP on, and notes what passed."""

from __future__ import annotations

import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# Of one connection, not of the answer.
_OF_A_HOP = ("transfer-encoding", "connection", "date", "server")


class ForwardProxy:
    """Serves from the first moment until it is killed.

    Attributes:
        address: host and port, which is its name in the settings.
        passed: the URL and the headers of every request that it passed on.
        answer: (status, body) to give to the next request instead of the venue's, once.
    """

    def __init__(self) -> None:
        self.passed: list[tuple[str, dict[str, str]]] = []
        self.answer: tuple[int, bytes] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def kill(self) -> None:
        """Take no further connection; it may be killed already."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def pass_on(self) -> None:
                headers = dict(self.headers.items())
                instead, proxy.answer = proxy.answer, None
                status, body, answered = (*instead, []) if instead else self.fetched(headers)
                self.send_response(status)
                for name, value in answered:
                    if name.lower() not in _OF_A_HOP:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def fetched(self, headers: dict[str, str]) -> tuple[int, bytes, list[Any]]:
                proxy.passed.append((self.path, headers))
                parts = urlsplit(self.path)
                venue = HTTPConnection(parts.netloc, timeout=10)
                kept = {k: v for k, v in headers.items() if not k.lower().startswith("proxy-")}
                venue.request(self.command, f"{parts.path}?{parts.query}", headers=kept)
                reply = venue.getresponse()
                found = reply.status, reply.read(), reply.getheaders()
                venue.close()
                return found

            do_GET = do_POST = do_DELETE = pass_on  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        return Handler
