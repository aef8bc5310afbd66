"""Binance's REST interface over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import orjson

from simulator.dialects.binance import errors, market_data, trading, wallet
from simulator.dialects.binance.api import Call, Route
from simulator.dialects.binance.budget import Budget
from simulator.dialects.binance.errors import BinanceError
from simulator.dialects.binance.signing import authenticate, signed_payload
from simulator.dialects.http import Answer, Request
from simulator.exchange import Account
from simulator.faults import Rule
from simulator.venue import Maintenance, Venue

ROUTES: Final[dict[tuple[str, str], Route]] = {
    **market_data.ROUTES,
    **trading.ROUTES,
    **wallet.ROUTES,
}
PREFIXES: Final = ("/api/", "/sapi/", "/dapi/")


class BinanceRest:
    """Checks and answers requests of one venue.

    Args:
        routes: the endpoints by method and path.
    """

    def __init__(
        self,
        venue: Venue,
        budget: Budget,
        routes: Mapping[tuple[str, str], Route] = ROUTES,
    ) -> None:
        self.venue = venue
        self.budget = budget
        self._routes = routes

    def owner(self, request: Request) -> str | None:
        """Name of the account whose key the request shows, whether or not it is signed."""
        account = self._shown_account(request)
        return None if account is None else account.name

    async def prepare(self, request: Request) -> None:
        """Do the long part of a request beforehand, without holding up the others."""
        route = self._routes.get((request.method, request.path))
        if route is None or route.prepare is None:
            return
        try:
            for _ in route.prepare(Call(self.venue, request.params())):
                await asyncio.sleep(0)
        except BinanceError:
            return

    def answer(self, request: Request) -> Answer:
        """Process one request."""
        owner = self.owner(request)
        try:
            body = self._body(request)
        except BinanceError as error:
            return self.refusal(error, owner)
        return Answer(200, body, self.budget.headers(owner))

    def refusal(self, error: BinanceError, owner: str | None = None) -> Answer:
        """The answer that carries an error."""
        headers = self.budget.headers(owner)
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        return Answer(error.status, orjson.dumps(error.body()), headers, error.code)

    def fault(self, rule: Rule) -> Answer:
        """See ``Dialect.fault``."""
        return self.refusal(errors.of_rule(rule))

    def refuse_offline(self) -> None:
        """Nothing, unless the whole venue is out of service.

        Raises:
            BinanceError: it is.
        """
        if self.venue.maintenance is Maintenance.ALL:
            raise errors.offline()

    def call(
        self,
        route: Route,
        params: dict[str, str],
        account: Account | None,
        interface: str = "Rest API",
    ) -> bytes:
        """Run one endpoint for a client that is known already.

        Raises:
            BinanceError: the endpoint refuses.
        """
        if route.trades and self.venue.maintenance is not Maintenance.NONE:
            raise errors.no_trading(interface)
        if route.is_order and account is not None:
            self.budget.count_order(account.name)
        made = route.handler(Call(self.venue, params, account))
        return made if isinstance(made, bytes) else orjson.dumps(made)

    def _body(self, request: Request) -> bytes:
        self.refuse_offline()
        route = self._routes.get((request.method, request.path))
        params = request.params()
        self.budget.spend(1 if route is None else route.weigh(params))
        if route is None:
            raise self._not_found(request)
        payload = signed_payload(request.query, request.body)
        account = authenticate(
            self.venue.exchange, route.security, request.api_key, params, payload
        )
        params.pop("signature", None)
        return self.call(route, params, account)

    def _shown_account(self, request: Request) -> Account | None:
        key = request.api_key
        return None if key is None else self.venue.exchange.account_by_key(key)

    def _not_found(self, request: Request) -> BinanceError:
        if any(path == request.path for _, path in self._routes):
            return BinanceError(-1000, f"{request.method} is not supported here.", status=405)
        return BinanceError(-1000, f"Path {request.path} is not simulated.", status=404)
