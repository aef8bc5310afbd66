"""How often a source is asked, and how long one that failed is left alone."""

from __future__ import annotations

import re
from typing import Final

from app.core.errors import InvalidInput

_UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TEXT: Final = re.compile(r"([1-9][0-9]{0,4})([smhd])", re.ASCII)
# A run starts a process, which costs a third of a second of a core.
MIN_MS: Final = 30_000
MAX_MS: Final = 31 * 86_400_000
_FIRST_RETRY_MS: Final = 30_000
_LONGEST_RETRY_MS: Final = 3_600_000


def period_ms(text: str) -> int:
    """Milliseconds of ``90s``, ``5m``, ``1h``, ``1d``.

    Raises:
        InvalidInput: it has another form, or is shorter than 30 s or longer than 31 days.
    """
    found = _TEXT.fullmatch(text)
    length = int(found[1]) * _UNITS[found[2]] if found else 0
    if not MIN_MS <= length <= MAX_MS:
        raise InvalidInput(f"{text[:20]!r} is no period; write 30s to 31d, as in 90s, 5m, 1h or 1d")
    return length


def period_text(ms: int) -> str:
    """A period as ``period_ms`` reads it, in the largest unit that fits."""
    unit = next(name for name in ("d", "h", "m", "s") if ms % _UNITS[name] == 0)
    return f"{ms // _UNITS[unit]}{unit}"


def retry_pause_ms(every_ms: int, failures: int) -> int:
    """How long to wait after so many failures in a row: 30 s, then twice as long each time.

    It ends at the source's own period, or at an hour where that is longer.
    """
    longest = max(every_ms, _LONGEST_RETRY_MS)
    # Beyond 2^20 the figure would only grow: it is a year.
    return min(_FIRST_RETRY_MS << min(failures - 1, 20), longest)
