"""Kline series, klines, revisions and quarantine."""

from __future__ import annotations

from app.repositories.base import Repository


class KlineRepository(Repository):
    """Kline series, klines, revisions and quarantine."""
