"""How long a venue wants to be left alone."""

from __future__ import annotations

import re
from typing import Final

from app.core.exchanges.outcomes import Refusal

# Binance documents bans from 2 minutes to 3 days; where none is stated 10 minutes are kept.
UNSTATED_BAN_MS: Final = 10 * 60_000
_LONGEST_BAN_MS: Final = 3 * 24 * 3_600_000
_BANNED_UNTIL: Final = re.compile(r"banned until ([0-9]{13})\b", re.IGNORECASE)


def retry_after_ms(header: str | None) -> int | None:
    """Milliseconds of a ``Retry-After`` header in seconds, at most 3 days; None if it has none.

    Binance sends seconds; the header's other form, a date, is read as absent.
    """
    text = (header or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    return min(int(text) * 1000, _LONGEST_BAN_MS)


def ban_end(refusal: Refusal, now_ms: int, wait_ms: int | None) -> int | None:
    """Wall time at which the ban that ``refusal`` speaks of ends, ms; None if it is no ban.

    The text's own end wins over ``Retry-After``; an end in the past, or beyond the three days
    that the venue documents, is not believed.
    """
    stated = _BANNED_UNTIL.search(refusal.text)
    if refusal.status != 418 and stated is None:
        return None
    if stated is not None and now_ms < int(stated[1]) <= now_ms + _LONGEST_BAN_MS:
        return int(stated[1])
    return now_ms + (wait_ms or UNSTATED_BAN_MS)
