"""What is known of each expected bar."""

from __future__ import annotations

from app.repositories.base import Repository


class CoverageRepository(Repository):
    """What is known of each expected bar."""
