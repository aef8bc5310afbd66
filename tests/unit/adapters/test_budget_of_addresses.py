"""One budget over several addresses, counted by one process."""

from __future__ import annotations

import pytest

from app.adapters.budget import InProcessBudget
from app.core.ports import Purpose
from tests.support.budget_cases import (
    BudgetCases,
    BudgetWorld,
    WorldMaker,
    any_sequence,
    check_sequence,
)


@pytest.fixture
def make_world() -> WorldMaker:
    return lambda polite=(): BudgetWorld(InProcessBudget, polite)


class TestInProcess(BudgetCases):
    """The cases, in one process."""


@any_sequence
def test_no_sequence_takes_more_than_a_minute_or_a_short_window_holds(
    make_world: WorldMaker,
    offset: int,
    steps: list[tuple[int, int, Purpose]],
    addresses: tuple[str, ...],
) -> None:
    check_sequence(make_world(), offset, steps, addresses)
