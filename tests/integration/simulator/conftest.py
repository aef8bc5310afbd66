"""Simulators for the tests of this folder, and a spot account at the one that they share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.simulator import SimAccount, SimulatorProcess, simulator

__all__ = ["account", "exchange", "shared", "simulator"]

# 2026-02-01T00:00Z
START = 1_769_904_000_000
_names = iter(f"user{number}" for number in range(1000))


@pytest.fixture(scope="package")
def shared() -> Iterator[SimulatorProcess]:
    """One simulator for every test that leaves the clock and other accounts alone."""
    with SimulatorProcess(seed=7, start=START, spread_bps=0, weight_limit=0) as process:
        yield process


@pytest.fixture
def account(shared: SimulatorProcess) -> SimAccount:
    """A funded spot account of the test's own."""
    balances = {"USDT": "1000000", "BTC": "10", "ETH": "50"}
    return shared.control.create_account(next(_names), balances)


@pytest.fixture
def exchange(shared: SimulatorProcess, account: SimAccount) -> Iterator[Any]:
    """ccxt that trades spot for it. A file about another venue has its own."""
    made = shared.ccxt(account)
    made.load_markets()
    yield made
    made.close()
