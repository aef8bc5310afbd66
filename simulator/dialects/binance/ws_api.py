"""Binance's WebSocket API: the REST endpoints by another road, and the user data stream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from simulator.dialects.binance import events
from simulator.dialects.binance.errors import BinanceError
from simulator.dialects.binance.rest import ROUTES, BinanceRest
from simulator.dialects.binance.signing import authenticate
from simulator.faults import Faults
from simulator.ledger import Holding
from simulator.observing import OrderEvent
from simulator.record import Record
from simulator.sockets import Connection, decoded, refuse_offline, texts
from simulator.venue import Venue

_SUBSCRIBE: Final = "userDataStream.subscribe.signature"
_UNSUBSCRIBE: Final = "userDataStream.unsubscribe"
_ACCOUNT_ROUTE: Final = ("GET", "/api/v3/account")
_METHODS: Final = {
    "ping": ("GET", "/api/v3/ping"),
    "time": ("GET", "/api/v3/time"),
    "exchangeInfo": ("GET", "/api/v3/exchangeInfo"),
    "depth": ("GET", "/api/v3/depth"),
    "klines": ("GET", "/api/v3/klines"),
    "trades.recent": ("GET", "/api/v3/trades"),
    "trades.aggregate": ("GET", "/api/v3/aggTrades"),
    "ticker.24hr": ("GET", "/api/v3/ticker/24hr"),
    "ticker.price": ("GET", "/api/v3/ticker/price"),
    "ticker.book": ("GET", "/api/v3/ticker/bookTicker"),
    "account.status": _ACCOUNT_ROUTE,
    "order.place": ("POST", "/api/v3/order"),
    "order.test": ("POST", "/api/v3/order/test"),
    "order.status": ("GET", "/api/v3/order"),
    "order.cancel": ("DELETE", "/api/v3/order"),
    "openOrders.status": ("GET", "/api/v3/openOrders"),
    "openOrders.cancelAll": ("DELETE", "/api/v3/openOrders"),
    "allOrders": ("GET", "/api/v3/allOrders"),
    "myTrades": ("GET", "/api/v3/myTrades"),
}


class WsApi:
    """The WebSocket API of one venue; an observer of its exchange."""

    def __init__(self, venue: Venue, rest: BinanceRest, record: Record, faults: Faults) -> None:
        self._venue = venue
        self._rest = rest
        self._record = record
        self._faults = faults
        self._subscriptions: dict[int, tuple[Connection, str]] = {}
        self._next_subscription = 0
        venue.exchange.observers.append(self)

    def add_routes(self, app: web.Application) -> None:
        """Mount the API where clients look for it."""
        app.router.add_get("/ws-api/v3", self._serve)

    # -- user data ------------------------------------------------------------------------

    def on_order(self, event: OrderEvent) -> None:
        """See ``Observer.on_order``."""
        if not self._subscriptions:
            return
        market = self._venue.markets[event.order.ticket.symbol]
        report = events.execution_report(event, market, self._venue.clock.now())
        self._tell(event.order.account, report)

    def on_commit(self, balances: Mapping[str, Mapping[str, Holding]]) -> None:
        """See ``Observer.on_commit``."""
        for account, changed in balances.items():
            self._tell(account, events.account_position(changed, self._venue.clock.now()))

    def _tell(self, account: str, event: dict[str, Any]) -> None:
        for number, (connection, owner) in list(self._subscriptions.items()):
            if owner == account:
                text = orjson.dumps({"subscriptionId": number, "event": event}).decode()
                connection.publish(text, "user", event["e"], account)

    # -- requests -------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        refuse_offline(self._venue)
        socket = web.WebSocketResponse(autoping=True, compress=False)
        await socket.prepare(request)
        connection = Connection(socket, self._faults)
        self._venue.on_offline.append(connection.cut)
        writer = asyncio.create_task(connection.write())
        try:
            async for text in texts(socket):
                connection.send(self._answer(connection, decoded(text)))
        finally:
            self._venue.on_offline.remove(connection.cut)
            self._leave(connection)
            writer.cancel()
        return socket

    def _answer(self, connection: Connection, message: dict[str, Any] | None) -> dict[str, Any]:
        number = None if message is None else message.get("id")
        try:
            if message is None:
                raise BinanceError(-1135, "Invalid JSON Request")
            result = self._process(connection, message)
        except BinanceError as error:
            return {"id": number, "status": error.status, "error": error.body()}
        return {"id": number, "status": 200, "result": result, "rateLimits": []}

    def _process(self, connection: Connection, message: dict[str, Any]) -> Any:
        method, given = message.get("method"), message.get("params", {})
        if not isinstance(method, str) or not isinstance(given, dict):
            raise BinanceError(-1135, "Invalid JSON Request")
        params = {str(name): _text(value) for name, value in given.items()}
        key = params.get("apiKey")
        shown = None if key is None else self._venue.exchange.account_by_key(key)
        entry = self._record.note(
            self._venue.clock.now(),
            "ws_api",
            method,
            "/ws-api/v3",
            params,
            None if shown is None else shown.name,
        )
        try:
            result = self._run(connection, method, params)
        except BinanceError as error:
            entry.outcome, entry.status, entry.code = "answered", error.status, error.code
            raise
        entry.outcome, entry.status = "answered", 200
        return result

    def _run(self, connection: Connection, method: str, params: dict[str, str]) -> Any:
        if method == _UNSUBSCRIBE:
            return self._unsubscribe(connection, params)
        is_subscription = method == _SUBSCRIBE
        where = _ACCOUNT_ROUTE if is_subscription else _METHODS.get(method)
        if where is None:
            raise BinanceError(-1000, f"Unknown method {method[:60]}.")
        route = ROUTES[where]
        self._rest.budget.spend(2 if is_subscription else route.weigh(params))
        payload = "&".join(f"{k}={v}" for k, v in sorted(params.items()) if k != "signature")
        account = authenticate(
            self._venue.exchange, route.security, params.get("apiKey"), params, payload
        )
        if is_subscription and account is not None:
            return self._subscribe(connection, account.name)
        for name in ("signature", "apiKey"):
            params.pop(name, None)
        return orjson.loads(self._rest.call(route, params, account, "WebSocket API"))

    def _subscribe(self, connection: Connection, account: str) -> Any:
        number = self._next_subscription
        self._next_subscription += 1
        self._subscriptions[number] = (connection, account)
        return {"subscriptionId": number}

    def _unsubscribe(self, connection: Connection, params: dict[str, str]) -> Any:
        wanted = params.get("subscriptionId")
        for number, (owner, _) in list(self._subscriptions.items()):
            if owner is connection and wanted in (None, str(number)):
                del self._subscriptions[number]
        return {}

    def _leave(self, connection: Connection) -> None:
        self._unsubscribe(connection, {})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(orjson.dumps(value).decode())
