"""What can be traded: instruments and their filters."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.core.money import ONE, ZERO


class InstrumentType(StrEnum):
    """Kind of contract."""

    SPOT = "spot"
    SWAP = "swap"


class InstrumentStatus(StrEnum):
    """Whether the venue takes orders for it now."""

    TRADING = "trading"
    HALTED = "halted"
    DELISTED = "delisted"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument of one venue, with the filters that its orders must pass.

    Quantities are base units everywhere inside Tidemark; ``contract_size`` is used by the
    gateway alone.

    Attributes:
        exchange: venue id, as ccxt names it (``binance``).
        symbol: unified symbol (``BTC/USDT``).
        native_id: the venue's own name (``BTCUSDT``).
        tick_size: price step, in quote units.
        step_size: quantity step, in base units.
        min_quantity: smallest order quantity; 0 where the venue states none.
        max_quantity: largest order quantity, or None.
        min_notional: smallest price × quantity, in quote units; 0 where none is stated.
        contract_size: base units per contract; 1 for spot.
    """

    exchange: str
    symbol: str
    native_id: str
    base: str
    quote: str
    type: InstrumentType
    status: InstrumentStatus
    tick_size: Decimal
    step_size: Decimal
    min_quantity: Decimal = ZERO
    max_quantity: Decimal | None = None
    min_notional: Decimal = ZERO
    contract_size: Decimal = ONE
