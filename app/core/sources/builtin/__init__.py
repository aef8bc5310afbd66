"""Data sources that come with Tidemark, by the name under which they are added."""

from __future__ import annotations

from typing import Final

from app.core.sources.base import DataSource
from app.core.sources.builtin.fear_greed import FearGreed

SOURCES: Final[dict[str, type[DataSource]]] = {"fear_greed": FearGreed}
