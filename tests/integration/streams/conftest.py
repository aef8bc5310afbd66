"""A simulator for each story: killing it, and its faults, must not reach another."""

from __future__ import annotations

from collections.abc import Iterator

# Ten seconds on a busy machine, which no story should wait for.
import ccxt.pro  # noqa: F401
import pytest

from tests.support.simulator import SimulatorProcess
from tests.support.stories import anywhere, here

__all__ = ["anywhere", "exchange", "here"]


@pytest.fixture
def exchange() -> Iterator[SimulatorProcess]:
    """A simulated exchange whose market stands still until a story moves it."""
    with SimulatorProcess(seed=7, weight_limit=0, spread_bps=10) as process:
        yield process
