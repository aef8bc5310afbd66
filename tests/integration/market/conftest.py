"""What several files of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.market.importing import here, world
from tests.integration.market.venue import Edge
from tests.support.stub_venue import StubVenue

#: Of the files on importing; the others have a world of their own.
__all__ = ["here", "world"]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Chunks of a hundred bars, so that a small file has many."""
    from app.services.importing import chunks

    monkeypatch.setattr(chunks, "MOST", 100)
    return 100


@pytest.fixture
def venue() -> Iterator[StubVenue]:
    """A venue whose answers the test scripts."""
    with StubVenue() as stub:
        yield stub


@pytest.fixture
def edge(venue: StubVenue) -> Edge:
    """The adapters at it."""
    return Edge(venue.url)
