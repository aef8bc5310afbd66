"""Collection plans."""

from __future__ import annotations

from app.repositories.base import Repository


class PlanRepository(Repository):
    """Collection plans."""
