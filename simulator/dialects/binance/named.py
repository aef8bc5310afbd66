"""Binance's way with streams: names in the address or in a SUBSCRIBE, frames plain or wrapped."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from simulator.dialects.broadcast import Broadcast
from simulator.sockets import Connection, decoded


class NamedStreams(Broadcast):
    """Streams named as in ``btcusdt@kline_1m``.

    Below ``/stream`` frames are wrapped in ``{"stream": …, "data": …}``, below ``/ws`` not.
    """

    def _opened(self, connection: Connection, request: web.Request) -> None:
        path = self._stem(request)
        names = _named(path.removeprefix("/ws").removeprefix("/stream"))
        names += _named(request.query.get("streams", ""))
        self._take(connection, names, is_wrapped=not path.startswith("/ws"))

    def _stem(self, request: web.Request) -> str:
        """The path without what stands before ``/ws`` or ``/stream``."""
        return request.path

    def _heard(self, connection: Connection, request: web.Request, text: str, /) -> None:
        message = decoded(text)
        if message is None:
            connection.send({"error": {"code": 3, "msg": "Invalid JSON: expected value"}})
            return
        number, method = message.get("id"), message.get("method")
        names = message.get("params", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            connection.send(_error(2, "Invalid request: invalid params", number))
        elif method == "SUBSCRIBE":
            self._take(connection, names, is_wrapped=not self._stem(request).startswith("/ws"))
            connection.send({"result": None, "id": number})
        elif method == "UNSUBSCRIBE":
            for name in names:
                self._unsubscribe(connection, name)
            connection.send({"result": None, "id": number})
        elif method == "LIST_SUBSCRIPTIONS":
            connection.send({"result": self._of(connection), "id": number})
        else:
            connection.send(_error(2, "Invalid request: unknown method", number))

    def _take(self, connection: Connection, names: list[str], *, is_wrapped: bool) -> None:
        # The venue takes names that it does not know, and never sends anything for them.
        for name in names:
            self._subscribe(connection, name, is_wrapped=is_wrapped)

    def _wrapped(self, name: str, text: str) -> str:
        return f'{{"stream":"{name}","data":{text}}}'


def _named(text: str) -> list[str]:
    """Streams named in a path or query; ccxt's running number is none."""
    return [name for name in text.split("/") if "@" in name]


def _error(code: int, text: str, number: Any) -> dict[str, Any]:
    return {"error": {"code": code, "msg": text}, "id": number}
