"""Data sources: what is registered, when it is asked, and what is kept of its answers."""

from app.services.sources.catalogue import NewSource, SourceCatalogue
from app.services.sources.running import SourceRunner

__all__ = ["NewSource", "SourceCatalogue", "SourceRunner"]
