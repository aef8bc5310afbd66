"""Fixtures of the stories: an exchange, and installations that trade at it.

A directory's conftest imports what its stories use.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.installation import Installation, installed
from tests.support.simulator import SimulatorProcess
from tests.support.strategies_of_stories import Counter, Deaf, Holder

STRATEGIES: Final = {"holder": Holder, "counter": Counter, "deaf": Deaf}


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatorProcess]:
    """A simulated exchange whose market stands still until a story moves it."""
    with SimulatorProcess(seed=7, weight_limit=0, spread_bps=0) as process:
        yield process


@pytest.fixture
def here(exchange: SimulatorProcess, tmp_path: Path) -> Iterator[Installation]:
    """An installation on SQLite."""
    with installed(exchange, tmp_path, strategies=STRATEGIES) as installation:
        yield installation


@pytest.fixture
def anywhere(
    exchange: SimulatorProcess, tmp_path: Path, database_url: str
) -> Iterator[Installation]:
    """An installation on SQLite, and another on MariaDB."""
    with installed(
        exchange, tmp_path, database_url=database_url, strategies=STRATEGIES
    ) as installation:
        yield installation
