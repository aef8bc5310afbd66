"""Market data in: plans, jobs that fill history, and following the present."""

from app.services.collection.service import CollectionService, Followed

__all__ = ["CollectionService", "Followed"]
