"""Market data in: plans, jobs that fill history, and following the present."""

from app.services.collection.rounds import Followed
from app.services.collection.service import CollectionService

__all__ = ["CollectionService", "Followed"]
