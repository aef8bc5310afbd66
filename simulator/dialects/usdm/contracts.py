"""Which contracts a request means."""

from __future__ import annotations

from simulator.dialects.binance import params as read
from simulator.dialects.binance.api import Call
from simulator.dialects.binance.errors import BinanceError
from simulator.listings import USDM, Perpetual


def perpetual(call: Call, name: str = "symbol") -> Perpetual:
    """The contract that a mandatory parameter names.

    Raises:
        BinanceError: missing, or not listed (yet).
    """
    symbol = read.text(call.params, name)
    found = call.venue.listings[USDM].perpetuals.get(symbol)
    if found is None or not found.market.is_listed(call.now):
        raise BinanceError(-1121, "Invalid symbol.")
    return found


def all_or_one(call: Call) -> list[Perpetual]:
    """The contract that ``symbol`` names, else all that are listed.

    Raises:
        BinanceError: there is no such contract.
    """
    if "symbol" in call.params:
        return [perpetual(call)]
    every = call.venue.listings[USDM].perpetuals.values()
    return [each for each in every if each.market.is_listed(call.now)]
