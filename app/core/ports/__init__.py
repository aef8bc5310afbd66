"""What the domain and the services need from outside, as protocols, one file for each area.

``app.adapters`` and ``app.core.exchanges`` implement them, ``app.wiring`` chooses which;
services receive them as arguments. Everything is imported from here.
"""

from app.core.ports.budget import ALWAYS, OWN, Addresses, Purpose, RequestBudget, Usage
from app.core.ports.clocks import Clock, MarketClock, Skew, VenueClock
from app.core.ports.market import DataSource, MarketAdapter, PriceCache, Ticks
from app.core.ports.platform import (
    Bus,
    DeadLetter,
    DeadLetters,
    FileFetcher,
    Ids,
    Queue,
    UnitOfWork,
)
from app.core.ports.trading import KeyVault, TradeAdapter

__all__ = [
    "ALWAYS",
    "OWN",
    "Addresses",
    "Bus",
    "Clock",
    "DataSource",
    "DeadLetter",
    "DeadLetters",
    "FileFetcher",
    "Ids",
    "KeyVault",
    "MarketAdapter",
    "MarketClock",
    "PriceCache",
    "Purpose",
    "Queue",
    "RequestBudget",
    "Skew",
    "Ticks",
    "TradeAdapter",
    "UnitOfWork",
    "Usage",
    "VenueClock",
]
