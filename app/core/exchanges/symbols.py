"""Each venue's own name of a unified symbol.

Unified symbols are ccxt's: ``BTC/USDT`` is spot, ``BTC/USDT:USDT`` the perpetual that is
margined and settled in USDT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from app.core.errors import UnknownName


def is_swap(symbol: str) -> bool:
    """Whether a unified symbol names a perpetual."""
    return ":" in symbol


def joined(symbol: str) -> str:
    """``BTC/USDT`` and ``BTC/USDT:USDT`` are both ``BTCUSDT``."""
    return symbol.partition(":")[0].replace("/", "")


def dashed(symbol: str) -> str:
    """``BTC/USDT`` is ``BTC-USDT`` and ``BTC/USDT:USDT`` is ``BTC-USDT-SWAP``."""
    pair, swap, _ = symbol.partition(":")
    return pair.replace("/", "-") + ("-SWAP" if swap else "")


def of_bybit(symbol: str) -> str:
    """As ``joined``, but perpetuals settled in USDC are ``BTCPERP``."""
    base, _, quote = symbol.partition("/")
    return f"{base}PERP" if quote == "USDC:USDC" else joined(symbol)


NAMES: Final[Mapping[str, Callable[[str], str]]] = {
    "binance": joined,
    "binanceusdm": joined,
    "okx": dashed,
    "bybit": of_bybit,
}


def native_id(exchange: str, symbol: str) -> str:
    """A venue's own name of a symbol.

    Raises:
        UnknownName: the venue's names follow no rule that is known here.
    """
    try:
        return NAMES[exchange](symbol)
    except KeyError:
        raise UnknownName(
            f"how {exchange[:40]!r} names its symbols is not known; known are {', '.join(NAMES)}"
        ) from None
