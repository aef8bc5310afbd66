"""Binance's REST interface over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

import orjson

from simulator.dialects.binance import errors, market_data, trading, wallet
from simulator.dialects.binance.api import Call, Route
from simulator.dialects.binance.budget import Budget
from simulator.dialects.binance.errors import BinanceError
from simulator.dialects.binance.signing import authenticate, signed_payload
from simulator.exchange import Account
from simulator.venue import Maintenance, Venue

ROUTES: Final[dict[tuple[str, str], Route]] = {
    **market_data.ROUTES,
    **trading.ROUTES,
    **wallet.ROUTES,
}
PREFIXES: Final = ("/api/", "/sapi/", "/fapi/", "/dapi/")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived, before anything was checked."""

    method: str
    path: str
    query: str
    body: str
    api_key: str | None

    def params(self) -> dict[str, str]:
        """Parameters of the query and the body; the query wins, as at the venue."""
        pairs = parse_qsl(self.body, keep_blank_values=True)
        return dict(pairs) | dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: status, JSON and headers.

    Attributes:
        code: Binance's error code, or None.
    """

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    code: int | None = None
    content_type: str = "application/json"


class BinanceRest:
    """Checks and answers requests of one venue."""

    def __init__(self, venue: Venue, budget: Budget) -> None:
        self.venue = venue
        self.budget = budget

    def owner(self, request: Request) -> str | None:
        """Name of the account whose key the request shows, whether or not it is signed."""
        account = self._shown_account(request)
        return None if account is None else account.name

    async def prepare(self, request: Request) -> None:
        """Do the long part of a request beforehand, without holding up the others."""
        if request.path != "/api/v3/klines":
            return
        try:
            for _ in market_data.prepare_klines(Call(self.venue, request.params())):
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
        route = ROUTES.get((request.method, request.path))
        params = request.params()
        self.budget.spend(1 if route is None else route.weigh(params))
        if route is None:
            raise _not_found(request)
        payload = signed_payload(request.query, request.body)
        account = authenticate(
            self.venue.exchange, route.security, request.api_key, params, payload
        )
        params.pop("signature", None)
        return self.call(route, params, account)

    def _shown_account(self, request: Request) -> Account | None:
        key = request.api_key
        return None if key is None else self.venue.exchange.account_by_key(key)


def _not_found(request: Request) -> BinanceError:
    if any(path == request.path for _, path in ROUTES):
        return BinanceError(-1000, f"{request.method} is not supported here.", status=405)
    return BinanceError(-1000, f"Path {request.path} is not simulated.", status=404)
