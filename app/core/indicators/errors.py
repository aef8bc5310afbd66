"""What can go wrong with an indicator."""

from __future__ import annotations

from app.core.errors import InvalidInput


class BadIndicator(InvalidInput):
    """An indicator that cannot be computed as it was declared."""

    code = "bad-indicator"


class LookAhead(InvalidInput):
    """A strategy asked for a bar that has not closed yet."""

    code = "look-ahead"
