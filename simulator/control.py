"""The control API: clock, accounts, deposits, what the venue itself does, faults, and the record.

Loopback only and without authentication. Bodies are JSON objects; every wrong use is
answered with ``{"error": …}`` and a 4xx status.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from aiohttp import web

from app.core.errors import InvalidInput
from app.core.money import canonical
from simulator.clock import wall_ms
from simulator.control_bodies import (
    Handler,
    amount_of,
    answering,
    json_object,
    no_such_route,
    number_of,
    read_body,
    read_query,
    text_of,
    whole_of,
    word_of,
)
from simulator.control_klines import KlineControl
from simulator.exchange import Account
from simulator.faults import Faults
from simulator.instruments import FILTERS, Status
from simulator.listings import BINANCE
from simulator.orders import Order, State
from simulator.record import Record
from simulator.venue import Change, Maintenance, Venue

_MAX_PAGE: Final = 10_000
_REQUEST_FIELDS: Final = frozenset(
    {"path", "method", "account", "transport", "outcome", "client_order_id", "status", "code"}
)
_TIMES: Final = ("from_ms", "listed_ms", "delisted_ms")
_ORDER_FIELDS: Final = frozenset({"account", "symbol", "status", "client_order_id_prefix"})


class Control:
    """Routes under ``/control``."""

    def __init__(self, venue: Venue, record: Record, faults: Faults) -> None:
        self._venue = venue
        self._record = record
        self._faults = faults
        self._klines = KlineControl(venue)

    def add_routes(self, app: web.Application) -> None:
        """Mount the control API on an application."""
        routes: dict[tuple[str, str], Handler] = {
            ("GET", "/control/clock"): self._clock,
            ("POST", "/control/advance"): self._advance,
            ("GET", "/control/accounts"): self._accounts,
            ("POST", "/control/accounts"): self._create_account,
            ("POST", "/control/deposit"): self._deposit,
            ("POST", "/control/instruments"): self._change_instrument,
            ("POST", "/control/maintenance"): self._maintain,
            ("GET", "/control/faults"): self._list_faults,
            ("POST", "/control/faults"): self._add_fault,
            ("DELETE", "/control/faults"): self._clear_faults,
            ("DELETE", "/control/faults/{id}"): self._remove_fault,
            ("GET", "/control/record/requests"): self._requests,
            ("DELETE", "/control/record/requests"): self._forget,
            ("GET", "/control/record/orders"): self._orders,
            **self._klines.routes(),
        }
        for (method, path), handler in routes.items():
            app.router.add_route(method, path, answering(handler))
        app.router.add_route("*", "/control/{rest:.*}", no_such_route)

    # -- clock ----------------------------------------------------------------------------

    async def _clock(self, _: web.Request) -> Any:
        clock = self._venue.clock
        return {"market_ms": clock.now(), "wall_ms": wall_ms(), "mode": clock.mode.value}

    async def _advance(self, request: web.Request) -> Any:
        body = await read_body(request, {"to_ms", "by_ms"})
        if len(body) != 1:
            raise InvalidInput("say how far: either to_ms or by_ms")
        if "to_ms" in body:
            to_ms = whole_of(body, "to_ms")
        else:
            to_ms = self._venue.clock.now() + whole_of(body, "by_ms")
        await self._venue.advance(to_ms)
        return await self._clock(request)

    # -- accounts -------------------------------------------------------------------------

    async def _accounts(self, _: web.Request) -> Any:
        ledger = self._venue.exchange.ledger
        return {
            "accounts": [
                {
                    "name": account.name,
                    "api_key": account.api_key,
                    "balances": {
                        asset: {"free": canonical(held.free), "locked": canonical(held.locked)}
                        for asset, held in ledger.of(account.name).items()
                    },
                }
                for account in self._venue.exchange.accounts.values()
            ]
        }

    async def _create_account(self, request: web.Request) -> Any:
        body = await read_body(request, {"name", "balances", "api_key", "api_secret"})
        name = text_of(body, "name")
        balances = {
            asset: amount_of(amount)
            for asset, amount in json_object(body.get("balances", {})).items()
        }
        if any(amount < 0 for amount in balances.values()):
            raise InvalidInput("a balance must not be negative")
        account = Account(
            name,
            text_of(body, "api_key") if "api_key" in body else self._secret("key", name),
            text_of(body, "api_secret") if "api_secret" in body else self._secret("secret", name),
        )
        if not account.api_key.isalnum() or not account.api_key.isascii():
            raise InvalidInput("api_key must be made of ASCII letters and digits")
        self._venue.exchange.open_account(account, balances)
        return {"name": name, "api_key": account.api_key, "api_secret": account.api_secret}

    def _secret(self, kind: str, name: str) -> str:
        """64 characters that follow from seed and name: the same account in every run."""
        text = f"{self._venue.seed}\x1f{kind}\x1f{name}"
        return hashlib.sha256(text.encode()).hexdigest()

    async def _deposit(self, request: web.Request) -> Any:
        body = await read_body(request, {"account", "asset", "amount"})
        account, asset = text_of(body, "account"), text_of(body, "asset")
        exchange = self._venue.exchange
        exchange.deposit(account, asset, amount_of(body.get("amount")))
        return {
            "account": account,
            "asset": asset,
            "free": canonical(exchange.ledger.free(account, asset)),
        }

    # -- the venue's own doings -----------------------------------------------------------

    async def _change_instrument(self, request: web.Request) -> Any:
        body = await read_body(request, {"symbol", "venue", "status", *FILTERS, *_TIMES})
        times = {name: whole_of(body, name) for name in _TIMES if name in body}
        change = Change(
            filters={name: amount_of(body[name]) for name in FILTERS if name in body},
            status=word_of(Status, body, "status") if "status" in body else None,
            **times,
        )
        venue = text_of(body, "venue") if "venue" in body else BINANCE
        market = self._venue.change_instrument(text_of(body, "symbol"), change, venue)
        now = self._venue.clock.now()
        return {
            "symbol": market.spec.symbol,
            "status": market.status(now).value,
            "listed_ms": market.tape.first_ts,
            "delisted_ms": market.delisted_ms,
            **{name: canonical(getattr(market.spec, name)) for name in FILTERS},
        }

    async def _maintain(self, request: web.Request) -> Any:
        body = await read_body(request, {"mode"})
        self._venue.maintain(word_of(Maintenance, body, "mode"))
        return {"mode": self._venue.maintenance.value}

    # -- faults ---------------------------------------------------------------------------

    async def _list_faults(self, _: web.Request) -> Any:
        return {"faults": [rule.to_json() for rule in self._faults.rules()]}

    async def _add_fault(self, request: web.Request) -> Any:
        return self._faults.add(await read_body(request)).to_json()

    async def _clear_faults(self, _: web.Request) -> Any:
        self._faults.clear()
        return {}

    async def _remove_fault(self, request: web.Request) -> Any:
        self._faults.remove(number_of(request.match_info["id"], "fault id"))
        return {}

    # -- record ---------------------------------------------------------------------------

    async def _requests(self, request: web.Request) -> Any:
        query = read_query(request, _REQUEST_FIELDS | {"since_seq", "limit"})
        since = number_of(query.pop("since_seq", "0"), "since_seq")
        limit = number_of(query.pop("limit", str(_MAX_PAGE)), "limit")
        found = self._record.select(query, since, min(limit, _MAX_PAGE))
        return {"requests": [entry.to_json() for entry in found]}

    async def _forget(self, _: web.Request) -> Any:
        self._record.clear()
        return {}

    async def _orders(self, request: web.Request) -> Any:
        query = read_query(request, _ORDER_FIELDS)
        if "status" in query and query["status"] not in set(State):
            raise InvalidInput(f"status must be one of {', '.join(State)}")
        prefix = query.get("client_order_id_prefix", "")
        orders = self._venue.exchange.orders.values()
        return {
            "orders": [
                order.to_json()
                for order in orders
                if order.client_id.startswith(prefix) and _is_wanted(order, query)
            ]
        }


def _is_wanted(order: Order, query: dict[str, str]) -> bool:
    facts = {
        "account": order.account,
        "symbol": order.ticket.symbol,
        "status": order.state.value,
    }
    return all(query.get(name, fact) == fact for name, fact in facts.items())
