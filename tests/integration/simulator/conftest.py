"""Simulators for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.simulator import SimulatorProcess, simulator

__all__ = ["shared", "simulator"]

# 2026-02-01T00:00Z
START = 1_769_904_000_000


@pytest.fixture(scope="package")
def shared() -> Iterator[SimulatorProcess]:
    """One simulator for every test that leaves the clock and other accounts alone."""
    with SimulatorProcess(seed=7, start=START, spread_bps=0, weight_limit=0) as process:
        yield process
