"""Market adapters and sessions of a venue: real, or at a simulator on loopback.

Trade adapters are made in ``trading``, which few may import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.core.errors import UnknownName
from app.core.exchanges.markets.base import VenueMarket
from app.core.exchanges.markets.binance import BinanceSpotMarket
from app.core.exchanges.markets.binanceusdm import BinanceUsdmMarket
from app.core.exchanges.markets.bybit import BybitMarket
from app.core.exchanges.markets.okx import OkxMarket
from app.core.exchanges.session import VenueSession
from app.core.exchanges.transport import TIMEOUT_S
from app.core.ports import Addresses, Clock, MarketAdapter, RequestBudget

#: Venues that have market adapters of their own.
VENUES: Final[Mapping[str, type[VenueMarket]]] = {
    "binance": BinanceSpotMarket,
    "binanceusdm": BinanceUsdmMarket,
    "okx": OkxMarket,
    "bybit": BybitMarket,
}
#: Venues at which accounts trade, and whose live streams are read.
TRADED: Final = ("binance",)


def market_adapter(
    exchange: str,
    budget: RequestBudget,
    clock: Clock,
    *,
    base_url: str | None = None,
    timeout_s: float = TIMEOUT_S,
    addresses: Addresses | None = None,
) -> MarketAdapter:
    """Public market data of a venue: by an adapter of its own, or by ccxt's unified calls.

    Args:
        base_url: of a simulator on loopback; None is the real venue.
        timeout_s: from the send to the last byte of an answer, seconds.
        addresses: by which data are asked for; None is the own address alone.

    Raises:
        UnknownName: ccxt knows no such exchange, or the simulator does not.
    """
    own = VENUES.get(exchange)
    if own is not None:
        return own(open_session(exchange, budget, clock, base_url, None, timeout_s, addresses))
    if base_url is not None:
        raise UnknownName(
            f"exchange {exchange[:40]!r} is not simulated; use one of {', '.join(VENUES)}"
        )
    from app.core.exchanges.markets.generic import GenericMarket, check_known
    from app.core.exchanges.unified import UnifiedSession

    check_known(exchange)
    return GenericMarket(
        UnifiedSession(exchange, budget, clock, timeout_s=timeout_s, addresses=addresses)
    )


def open_session(
    exchange: str,
    budget: RequestBudget,
    clock: Clock,
    base_url: str | None,
    credentials: Mapping[str, str] | None,
    timeout_s: float,
    addresses: Addresses | None = None,
) -> VenueSession:
    """Requests to a venue, real or at a simulator, with at most one set of credentials.

    Raises:
        UnknownName: there is no adapter for the venue.
    """
    if exchange not in VENUES:
        raise UnknownName(
            f"exchange {exchange[:40]!r} is not supported; use one of {', '.join(VENUES)}"
        )
    bind = None if base_url is None else _binding(base_url, timeout_s)
    return VenueSession(
        exchange,
        budget,
        clock,
        bind=bind,
        credentials=credentials,
        timeout_s=timeout_s,
        addresses=addresses,
    )


def _binding(base_url: str, timeout_s: float) -> Callable[[Any], None]:
    def bind(client: Any) -> None:
        from app.core.exchanges.loopback import bind_sync

        bind_sync(client, base_url, read_seconds=timeout_s)

    return bind
