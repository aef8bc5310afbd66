"""How long a venue wants to be left alone, and what it says about what is left."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from app.core.exchanges.outcomes import Refusal

# Binance documents bans from 2 minutes to 3 days; where none is stated 10 minutes are kept,
# which is what Bybit asks for.
UNSTATED_BAN_MS: Final = 10 * 60_000
_LONGEST_BAN_MS: Final = 3 * 24 * 3_600_000
_BANNED_UNTIL: Final = re.compile(r"banned until ([0-9]{13})\b", re.IGNORECASE)
#: HTTP statuses by which a venue says that it answers nobody at this address. 403 is Bybit's,
#: and everywhere that of the firewall in front, which a client that asks on only annoys.
_BAN_STATUSES: Final = frozenset({403, 418})
_BINANCE: Final = frozenset({"binance", "binanceusdm"})
# Header of the weight that Binance has counted in the present minute.
_USED_WEIGHT: Final = "X-MBX-USED-WEIGHT-1M"
# Headers of the requests that Bybit still takes, and of when it counts anew.
_BYBIT_LEFT: Final = "X-Bapi-Limit-Status"
_BYBIT_RESET: Final = "X-Bapi-Limit-Reset-Timestamp"
# Binance counts orders over 10 s, OKX each endpoint over 2 s, Bybit over 1 s.
_BINANCE_ORDERS_MS: Final = 10_000
_OKX_WINDOW_MS: Final = 2_000
_BYBIT_WINDOW_MS: Final = 1_000
# A reset further away than this is a clock that is wrong, not a limit.
_LONGEST_RESET_MS: Final = 60_000
#: Codes by which a venue says that we ask too often, besides HTTP 429.
_TOO_OFTEN: Final[Mapping[str, frozenset[str]]] = {
    "binance": frozenset({"-1003", "-1015"}),
    "binanceusdm": frozenset({"-1003", "-1015"}),
    "okx": frozenset({"50011", "50061"}),
    "bybit": frozenset({"429", "10006", "10018", "170005", "170222"}),
}
#: Those of them that count the orders of one account, not the requests of this address.
_ORDERS: Final[Mapping[str, frozenset[str]]] = {
    "binance": frozenset({"-1015"}),
    "binanceusdm": frozenset({"-1015"}),
    "okx": frozenset({"50061"}),
    "bybit": frozenset({"170005"}),
}


def retry_after_ms(header: str | None) -> int | None:
    """Milliseconds of a ``Retry-After`` header in seconds, at most 3 days; None if it has none.

    Binance sends seconds; the header's other form, a date, is read as absent.
    """
    seconds = _count(header)
    return None if seconds is None else min(seconds * 1000, _LONGEST_BAN_MS)


def ban_end(refusal: Refusal, now_ms: int, wait_ms: int | None) -> int | None:
    """Wall time at which the ban that ``refusal`` speaks of ends, ms; None if it is no ban.

    The text's own end wins over ``Retry-After``; an end in the past, or beyond the three days
    that Binance documents, is not believed.
    """
    stated = _BANNED_UNTIL.search(refusal.text)
    if refusal.status not in _BAN_STATUSES and stated is None:
        return None
    if stated is not None and now_ms < int(stated[1]) <= now_ms + _LONGEST_BAN_MS:
        return int(stated[1])
    return now_ms + (wait_ms or UNSTATED_BAN_MS)


def pause_ms(
    exchange: str, refusal: Refusal, headers: Mapping[str, str], now_ms: int
) -> int | None:
    """How long to send nothing because we asked too often, ms; None where that is not why.

    ``Retry-After`` is the caller's to prefer.
    """
    if refusal.status != 429 and refusal.code not in _TOO_OFTEN.get(exchange, frozenset()):
        return None
    if exchange == "okx":
        return _OKX_WINDOW_MS
    if exchange == "bybit":
        return (_reset(headers, now_ms) or now_ms + _BYBIT_WINDOW_MS) - now_ms
    if orders_only(exchange, refusal):
        return _BINANCE_ORDERS_MS
    # Binance counts by the minute, and a minute is long enough for a venue that nobody knows.
    return 60_000 - now_ms % 60_000


def orders_only(exchange: str, refusal: Refusal) -> bool:
    """Whether the venue counted the orders of one account, and takes other requests."""
    return refusal.code in _ORDERS.get(exchange, frozenset())


def used_weight(exchange: str, headers: Mapping[str, str]) -> int | None:
    """Weight that the venue has counted in the present minute; None where it does not say."""
    return _count(headers.get(_USED_WEIGHT)) if exchange in _BINANCE else None


def exhausted_until(exchange: str, headers: Mapping[str, str], now_ms: int) -> int | None:
    """Wall time, ms, before which the venue takes no further request; None if it takes one."""
    if exchange != "bybit" or _count(headers.get(_BYBIT_LEFT)) != 0:
        return None
    return _reset(headers, now_ms)


def _reset(headers: Mapping[str, str], now_ms: int) -> int | None:
    text = headers.get(_BYBIT_RESET, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) == 13):
        return None
    return int(text) if now_ms < int(text) <= now_ms + _LONGEST_RESET_MS else None


def _count(header: str | None) -> int | None:
    text = (header or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
