"""Bus, prices and request budget: between processes where there is a broker and a Redis."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from app.adapters.budget import BanStore, InProcessBudget
from app.adapters.local_bus import LocalBus
from app.adapters.pacing import SHORT_WINDOWS, Paces, ShortWindow
from app.adapters.prices import InProcessPriceCache
from app.adapters.waiting import DEFAULT_WEIGHT, WEIGHTS
from app.config import Settings
from app.core.ports import Bus, Clock, DeadLetters, PriceCache, RequestBudget, Ticks

# The venue whose weight the setting states.
_REFERENCE: Final = WEIGHTS["binance"]


class LivePrices(PriceCache, Ticks, Protocol):
    """The latest price of each symbol, and each as it comes."""


def make_bus(settings: Settings) -> Bus:
    """Events: in memory where the queue is, else on the broker."""
    if settings.is_embedded:
        return LocalBus()
    from app.adapters.rabbit_bus import RabbitBus

    return RabbitBus(settings.broker_url)


def make_dead_letters(settings: Settings) -> DeadLetters | None:
    """The broker's dead letters; None where there is no broker."""
    if settings.is_embedded:
        return None
    from app.adapters.rabbit_dead_letters import RabbitDeadLetters

    return RabbitDeadLetters(settings.broker_url)


def make_prices(settings: Settings) -> LivePrices:
    """Live prices: shared where there is a Redis."""
    if not settings.redis_url:
        return InProcessPriceCache()
    from app.adapters.redis_prices import RedisPrices

    return RedisPrices(settings.redis_url)


def make_budget(
    settings: Settings, clock: Clock, bans: BanStore, venues: Collection[str]
) -> RequestBudget:
    """The request budget: of all processes where there is a Redis, else of this one."""
    weights = {venue: _scaled(settings, WEIGHTS.get(venue, DEFAULT_WEIGHT)) for venue in venues}
    paces = _paces(settings)
    if not settings.redis_url:
        return InProcessBudget(clock, bans, weights=weights, paces=paces)
    from app.adapters.redis_budget import RedisBudget

    return RedisBudget(settings.redis_url, clock, bans, weights=weights, paces=paces)


def _paces(settings: Settings) -> Paces:
    short = {
        venue: ShortWindow(window.length_ms, _scaled(settings, window.limit))
        for venue, window in SHORT_WINDOWS.items()
    }
    return Paces(short, settings.polite_venues)


def _scaled(settings: Settings, limit: int) -> int:
    """A limit by the setting, which speaks of Binance: the others grow and shrink with it."""
    return max(1, limit * settings.venue_weight // _REFERENCE)
