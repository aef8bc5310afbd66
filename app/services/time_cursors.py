"""Ranges of time, and cursors of lists by time: the time at which the next page begins."""

from __future__ import annotations

import re
from typing import Final

from app.core.errors import InvalidInput
from app.repositories.base import bad_cursor

_TIME: Final = re.compile(r"0|[1-9][0-9]{0,12}", re.ASCII)
# 2200-01-01T00:00Z, as of a start: what is later, no page begins with.
_LATEST_MS: Final = 7_258_118_400_000


def check_range(start: int | None, end: int | None) -> None:
    """Refuse a range that ends before it begins: read as it stands, nothing would be in it.

    Raises:
        InvalidInput: no time lies in [start, end), both given.
    """
    if start is not None and end is not None and start >= end:
        raise InvalidInput(
            f"the end must lie after the start: {end} does not lie after {start}, both in ms",
            code="empty-range",
        )


def page_start(cursor: str | None, start: int | None, end: int | None) -> int | None:
    """Where a page of [start, end) begins, ms: at its cursor, if it has one.

    Args:
        cursor: ``next_cursor`` of the page before, asked for with the same start and end.

    Raises:
        InvalidInput: the range is empty, or the cursor is no time or lies outside of it.
    """
    check_range(start, end)
    if cursor is None:
        return start
    if not _TIME.fullmatch(cursor):
        raise bad_cursor()
    found = int(cursor)
    first = 0 if start is None else start
    stop = _LATEST_MS if end is None else end
    if not first <= found < stop:
        raise bad_cursor()
    return found
