"""The instrument catalogue."""

from __future__ import annotations

from app.repositories.base import Repository


class InstrumentRepository(Repository):
    """The instrument catalogue."""
