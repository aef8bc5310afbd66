"""Names of symbols and exchanges as people and files give them, where no catalogue is asked."""

from __future__ import annotations

import re
from typing import Final

from app.core.errors import InvalidInput

#: Characters of a symbol, as its column has them.
SYMBOL_LIMIT: Final = 64
# Not all are ASCII: a venue lists coins whose names are Chinese.
_SYMBOL: Final = re.compile(r"[^\s/:\\]+/[^\s/:\\]+(?::[^\s/:\\]+)?")
_EXCHANGE: Final = re.compile(r"[a-z0-9_][a-z0-9_-]{0,31}")
_SHOWN: Final = 40


def is_symbol(text: str) -> bool:
    """Whether a text is base/quote or base/quote:settle, each of printable characters."""
    if len(text) > SYMBOL_LIMIT or not text.isprintable() or not _SYMBOL.fullmatch(text):
        return False
    # "../.." is none either.
    return all(any(char.isalnum() for char in part) for part in re.split("[/:]", text))


def require_symbol(text: str) -> None:
    """Nothing, where a text may be a symbol.

    Raises:
        InvalidInput: it cannot be one.
    """
    if not is_symbol(text):
        raise InvalidInput(
            f"symbol was {text[:_SHOWN]!r}; write it as in BTC/USDT or BTC/USDT:USDT, without "
            f"spaces, at most {SYMBOL_LIMIT} characters"
        )


def require_exchange_id(text: str) -> None:
    """Nothing, where a text may be the id of an exchange.

    Raises:
        InvalidInput: it cannot be one.
    """
    if not _EXCHANGE.fullmatch(text):
        raise InvalidInput(
            f"exchange was {text[:_SHOWN]!r}; write its id, as in binance: small letters, digits, "
            "- and _, at most 32"
        )
