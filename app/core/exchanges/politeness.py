"""The polite profile: how a venue is asked that has banned us, or that a setting names."""

from __future__ import annotations

from typing import Final

#: One request in 3 s is slower than a person who clicks through a venue's pages, and a back-fill
#: still stores 20,000 bars a minute at 1,000 a page.
POLITE_GAP_MS: Final = 3_000
#: A firewall that watches for steady streams sees one end every minute.
POLITE_BATCH: Final = 20
POLITE_REST_MS: Final = 30_000
#: Binance's bans grow from 2 minutes to 3 days for those who come back as they were.
POLITE_AFTER_BAN_MS: Final = 24 * 3_600_000
_BATCH_MS: Final = POLITE_BATCH * POLITE_GAP_MS


def polite_ms(requests: int, addresses: int = 1) -> int:
    """How long so many requests take from now on, by addresses that are all treated gently."""
    each = -(-requests // max(1, addresses))
    return each * POLITE_GAP_MS + each // POLITE_BATCH * POLITE_REST_MS


def with_rests(work_ms: float) -> float:
    """How long work takes whose requests keep their gaps already, with the rests between."""
    return work_ms * (_BATCH_MS + POLITE_REST_MS) / _BATCH_MS
