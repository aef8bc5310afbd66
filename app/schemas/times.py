"""Times at the edge: RFC 3339 with ``Z`` in resources, milliseconds in market data."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from app.core.errors import InvalidInput

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: 2200-01-01T00:00Z. A later time is a unit mixed up: microseconds, nanoseconds.
LATEST_MS: Final = 7_258_118_400_000
_MILLIS: Final = re.compile(r"[0-9]{1,13}", re.ASCII)
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def rfc3339(ms: int) -> str:
    """A time as text, exact to the millisecond: ``2026-03-01T00:00:00.000Z``."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> int:
    """Milliseconds of ``1772323200000``, of ``2026-03-01T00:00:00Z`` or of ``2026-03-01`` (UTC).

    Raises:
        InvalidInput: it is none of these, has no time zone, or is not from 1970 to 2200.
    """
    if _MILLIS.fullmatch(text):
        return _within(int(text))
    try:
        if _DATE.fullmatch(text):
            moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
        elif _RFC3339.fullmatch(text):
            moment = datetime.fromisoformat(text.upper())
        else:
            raise _malformed()
    except ValueError:
        raise _malformed() from None
    return _within((moment - _EPOCH) // timedelta(milliseconds=1))


def _within(ms: int) -> int:
    if not 0 <= ms <= LATEST_MS:
        raise InvalidInput("a time must lie between 1970 and 2200", code="invalid-time")
    return ms


def _malformed() -> InvalidInput:
    return InvalidInput(
        "a time is written as 2026-03-01T00:00:00Z, as 2026-03-01 (midnight UTC) or as "
        "milliseconds since 1970",
        code="invalid-time",
    )
