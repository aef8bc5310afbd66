"""Bus, prices and request budget: between processes where there is a broker and a Redis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from app.adapters.budget import DEFAULT_WEIGHT, WEIGHTS, BanStore, InProcessBudget
from app.adapters.local_bus import LocalBus
from app.adapters.prices import InProcessPriceCache
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
    settings: Settings, clock: Clock, bans: BanStore, venues: Iterable[str]
) -> RequestBudget:
    """The request budget: of all processes where there is a Redis, else of this one."""
    # The setting speaks of Binance; the weights of the others grow and shrink with it.
    weights = {
        venue: max(1, WEIGHTS.get(venue, DEFAULT_WEIGHT) * settings.venue_weight // _REFERENCE)
        for venue in venues
    }
    if not settings.redis_url:
        return InProcessBudget(clock, bans, weights=weights)
    from app.adapters.redis_budget import RedisBudget

    return RedisBudget(settings.redis_url, clock, bans, weights=weights)
