"""Orders that a venue acknowledged once, and now neither shows as open nor knows by their id.

A query may lag behind, so one look proves nothing. But venues forget as well: a test network is
set back, and what was cancelled without a fill is deleted after hours or days. Who waits for word
of such an order waits for ever, and its funds stay reserved. So it is asked for again and again,
and given up after ten minutes without a word; its trades are read each time before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: An order that is not known for so long has ended. Queries lag by seconds.
GONE_AFTER_MS: Final = 600_000
# Time between two looks counts for so much at most: a clock that jumps, or workers that were
# down, prove nothing.
_MOST_BETWEEN_MS: Final = 60_000
# An order that nobody has looked for in so long has ended in another way.
_UNASKED_MS: Final = 3_600_000


@dataclass(slots=True)
class _Absence:
    last_ms: int
    lasted_ms: int = 0


class Absences:
    """How long orders have not been known, as this process saw it; a restart begins anew."""

    def __init__(self) -> None:
        # In the order of their last looks.
        self._absent: dict[str, _Absence] = {}

    def has_ended(self, order_id: str, now_ms: int) -> bool:
        """Note one more look that did not find an order; whether it is to be given up."""
        self._forget_unasked(now_ms)
        absence = self._absent.pop(order_id, None) or _Absence(now_ms)
        absence.lasted_ms += min(max(0, now_ms - absence.last_ms), _MOST_BETWEEN_MS)
        absence.last_ms = now_ms
        self._absent[order_id] = absence
        return absence.lasted_ms >= GONE_AFTER_MS

    def forget(self, order_id: str) -> None:
        """An order was found, or has ended."""
        self._absent.pop(order_id, None)

    def _forget_unasked(self, now_ms: int) -> None:
        while self._absent:
            oldest = next(iter(self._absent))
            if abs(now_ms - self._absent[oldest].last_ms) < _UNASKED_MS:
                return
            del self._absent[oldest]
