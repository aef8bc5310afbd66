"""What every request to the venue has in common, whether it came by REST or by WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from simulator.dialects.binance.errors import BinanceError
from simulator.exchange import Account
from simulator.market import Market
from simulator.venue import Venue


class Security(StrEnum):
    """What a request must carry."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Call:
    """One checked request.

    Attributes:
        params: without the signature.
        account: who signed it; only for KEY and SIGNED routes.
    """

    venue: Venue
    params: Mapping[str, str]
    account: Account | None = None

    @property
    def owner(self) -> str:
        """Name of the account that signed.

        Raises:
            BinanceError: nobody did.
        """
        if self.account is None:
            raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
        return self.account.name

    @property
    def now(self) -> int:
        """Market time, ms."""
        return self.venue.clock.now()

    def market(self, name: str = "symbol") -> Market:
        """The market that a mandatory symbol parameter names.

        Raises:
            BinanceError: missing, or not listed.
        """
        symbol = self.params.get(name, "")
        if not symbol:
            raise BinanceError(
                -1102,
                f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
            )
        return market_of(self.venue, symbol)


def market_of(venue: Venue, native: str) -> Market:
    """The market of a venue symbol.

    Raises:
        BinanceError: not listed (yet).
    """
    market = venue.by_native.get(native)
    if market is None or not market.is_listed(venue.clock.now()):
        raise BinanceError(-1121, "Invalid symbol.")
    return market


Handler = Callable[[Call], Any]
Weight = int | Callable[[Mapping[str, str]], int]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        handler: answers a JSON value, or bytes that are JSON already.
        weight: what it costs of the request budget.
        is_order: whether it counts as a new order.
        trades: whether it places or cancels orders.
        prepare: computes in short turns what the handler will need, where that takes long.
    """

    handler: Handler
    weight: Weight = 1
    security: Security = Security.NONE
    is_order: bool = False
    trades: bool = False
    prepare: Callable[[Call], Iterator[None]] | None = None

    def weigh(self, params: Mapping[str, str]) -> int:
        """Weight of a request with these parameters."""
        return self.weight if isinstance(self.weight, int) else self.weight(params)


WEIGHT_LIMIT: Final = 6_000
ORDER_LIMIT: Final = 100
