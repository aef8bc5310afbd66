"""Clients of the query benchmark, a process of their own: an order on stdin, times on stdout."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit


class Clients:
    """Threads with one connection each that share a list of paths.

    Args:
        pace: requests per second of each client; 0 asks again as soon as it has the answer.
    """

    def __init__(self, url: str, token: str, paths: list[str], pace: float) -> None:
        self._address = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {token}"}
        self._paths = deque(paths)
        self._pace = pace
        self.client_ms: list[float] = []
        self.service_ms: list[float] = []

    def run(self, clients: int) -> float:
        """Ask for everything; seconds that it took."""
        threads = [
            threading.Thread(target=self._ask_on, args=(number / clients,))
            for number in range(clients)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - began

    def _ask_on(self, offset: float) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        connection.connect()
        due = time.monotonic() + (offset / self._pace if self._pace else 0.0)
        while self._paths:
            try:
                path = self._paths.popleft()
            except IndexError:  # another client took the last one
                break
            if self._pace:
                time.sleep(max(0.0, due - time.monotonic()))
                due += 1 / self._pace
            self._ask(connection, path)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> None:
        began = time.perf_counter()
        connection.request("GET", path, headers=self._headers)
        answer = connection.getresponse()
        body = answer.read()
        self.client_ms.append(1000 * (time.perf_counter() - began))
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {body[:300]!r}")
        timing = answer.headers["Server-Timing"]
        self.service_ms.append(float(timing.partition("dur=")[2]))


def main() -> None:
    """Run one order."""
    order: dict[str, Any] = json.load(sys.stdin)
    expected = len(order["paths"])
    clients = Clients(order["url"], order["token"], order["paths"], order["pace"])
    seconds = clients.run(order["clients"])
    if len(clients.client_ms) != expected:
        raise SystemExit(f"{expected - len(clients.client_ms)} requests were not answered")
    json.dump(
        {"client": clients.client_ms, "service": clients.service_ms, "seconds": seconds},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
