"""What each venue lists: spot and perpetual markets under its own names, ticks and steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from app.core.market.intervals import MINUTE_MS
from simulator.instruments import Spec
from simulator.market import Market
from simulator.premium import OpenInterest, Premium

if TYPE_CHECKING:
    from simulator.payments import Payments

BINANCE: Final = "binance"
USDM: Final = "binanceusdm"
OKX: Final = "okx"
BYBIT: Final = "bybit"


@dataclass(frozen=True, slots=True)
class Terms:
    """What one venue writes into an instrument's entry.

    Attributes:
        contract: base units of one contract; 1 where quantities are base units.
    """

    tick: str
    step: str
    min_quantity: str
    contract: str = "1"


# The venues' ticks and steps, where they differ from Binance spot's.
_SPOT_TERMS: Final[dict[str, dict[str, Terms]]] = {
    OKX: {
        "BTC/USDT": Terms("0.1", "0.00000001", "0.00001"),
        "ETH/USDT": Terms("0.01", "0.000001", "0.0001"),
        "BNB/USDT": Terms("0.1", "0.000001", "0.001"),
    },
    BYBIT: {
        "BTC/USDT": Terms("0.1", "0.000001", "0.000001"),
        "ETH/USDT": Terms("0.01", "0.00001", "0.00001"),
        "BNB/USDT": Terms("0.1", "0.0001", "0.0001"),
    },
}
_PERPETUAL_TERMS: Final[dict[str, dict[str, Terms]]] = {
    USDM: {
        "BTC/USDT:USDT": Terms("0.1", "0.001", "0.001"),
        "ETH/USDT:USDT": Terms("0.01", "0.001", "0.001"),
    },
    OKX: {
        "BTC/USDT:USDT": Terms("0.1", "0.0001", "0.0001", "0.01"),
        "ETH/USDT:USDT": Terms("0.01", "0.001", "0.001", "0.1"),
    },
    BYBIT: {
        "BTC/USDT:USDT": Terms("0.1", "0.001", "0.001"),
        "ETH/USDT:USDT": Terms("0.05", "0.01", "0.01"),
    },
}
# Decimals of mark and index prices: Binance prints eight, the others their tick's.
_MARK_TICK: Final = {USDM: Decimal("0.00000001")}
# First bars of Binance's contracts; all venues of the simulation list them together.
PERPETUALS: Final[dict[str, int]] = {
    "BTC/USDT:USDT": 1_569_398_400_000,
    "ETH/USDT:USDT": 1_574_841_600_000,
}
# Decimals of the derived tapes: the finest tick and the coarsest step of the venues.
TAPE_STEP_DECIMALS: Final[dict[str, int]] = {"BTC/USDT:USDT": 3, "ETH/USDT:USDT": 2}


@dataclass(frozen=True, slots=True)
class Perpetual:
    """One perpetual contract, settled in its quote currency.

    Attributes:
        market: where it trades; quantities are base units.
        mark, index: prices that nobody trades at.
        contract: base units of one contract.
        payments: what a file says was paid of funding; None where the premium makes it.
    """

    market: Market
    mark: Market
    index: Market
    contract: Decimal
    premium: Premium
    open_interest: OpenInterest
    payments: Payments | None = None

    @property
    def spec(self) -> Spec:
        """The entry of the traded market."""
        return self.market.spec

    def open_units(self, ts: int) -> Decimal:
        """Base units open at the last five minutes' mark."""
        mark = ts - ts % (5 * MINUTE_MS)
        return self.open_interest.at(np.array([mark], dtype=np.int64))[0]


@dataclass(frozen=True, slots=True)
class Listing:
    """One venue's instruments by the venue's names."""

    venue: str
    spot: dict[str, Market] = field(default_factory=dict)
    perpetuals: dict[str, Perpetual] = field(default_factory=dict)

    def markets(self) -> Iterator[Market]:
        """Everything that trades."""
        yield from self.spot.values()
        for perpetual in self.perpetuals.values():
            yield perpetual.market

    def market(self, symbol: str) -> Market | None:
        """The market of a symbol as in ``BTC/USDT`` or ``BTC/USDT:USDT``."""
        return next((each for each in self.markets() if each.spec.symbol == symbol), None)

    def mark(self, symbol: str) -> Market | None:
        """The mark price of a perpetual's symbol, which is listed and delisted with it."""
        found = (each for each in self.perpetuals.values() if each.spec.symbol == symbol)
        return next((each.mark for each in found), None)


def spot_spec(venue: str, spec: Spec, *, is_replayed: bool) -> Spec:
    """A spot instrument as a venue lists it.

    A replayed market keeps its tick, so that the venue shows the file's prices.
    """
    native = f"{spec.base}-{spec.quote}" if venue == OKX else spec.base + spec.quote
    terms = _SPOT_TERMS.get(venue, {}).get(spec.symbol)
    if terms is None:
        return replace(spec, native=native)
    tick = spec.tick if is_replayed else Decimal(terms.tick)
    return replace(
        spec,
        native=native,
        tick=tick,
        step=min(spec.step, Decimal(terms.step)),
        min_quantity=Decimal(terms.min_quantity),
    )


def perpetual_spec(venue: str, symbol: str, spot: Spec) -> Spec:
    """A perpetual as a venue lists it."""
    terms = _PERPETUAL_TERMS[venue][symbol]
    native = f"{spot.base}-{spot.quote}-SWAP" if venue == OKX else spot.base + spot.quote
    return replace(
        spot,
        symbol=symbol,
        native=native,
        tick=Decimal(terms.tick),
        step=Decimal(terms.step),
        min_quantity=Decimal(terms.min_quantity),
        max_quantity=Decimal(1000),
        listed_ms=PERPETUALS[symbol],
        cross_of=None,
    )


def contract_of(venue: str, symbol: str) -> Decimal:
    """Base units of one contract."""
    return Decimal(_PERPETUAL_TERMS[venue][symbol].contract)


def mark_spec(venue: str, spec: Spec) -> Spec:
    """The entry of a mark or an index price: the perpetual's, with the venue's decimals."""
    return replace(spec, tick=_MARK_TICK.get(venue, spec.tick))
