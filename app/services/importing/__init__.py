"""Market history from files: planned, checked, stored and accounted for."""

from app.services.importing.jobs import ImportJobs
from app.services.importing.order import ImportOrder

__all__ = ["ImportJobs", "ImportOrder"]
