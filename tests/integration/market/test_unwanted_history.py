"""Old history beside a plan: what lies between them is nobody's, and nobody asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.errors import InvalidInput
from app.core.market.intervals import DAY_MS
from tests.integration.market.collecting import Collecting, M
from tests.integration.market.verified import MINUTES, figures, minutes
from tests.support.record import START_MS, record

#: Days from the old history to the first day of the plan.
BETWEEN = 6


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    """Two minutes of noon, and no plan that keeps them; the venue has all minutes until today."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, range(722))
        plan = world.plan(since_ms=START_MS + 720 * M)
        world.finish(world.service.start(plan.id)[0].id)
        world.service.plans.enable(plan.id, enabled=False)
        world.list_bars(range(722, (BETWEEN + 2) * MINUTES + 60))
        yield world


def verified(world: Collecting, days: int) -> dict[str, int]:
    job = world.service.verify(minutes(), days)
    while world.service.run_verification(job.id) == "queued":
        pass
    return world.job(job.id).result or {}


def test_a_verification_leaves_out_the_days_between_history_and_a_plan(world: Collecting) -> None:
    plan = world.plan(name="now", since_ms=START_MS + (BETWEEN + 1) * DAY_MS)
    world.finish(world.service.start(plan.id)[0].id)
    world.venue.asked.clear()
    result = verified(world, 800)
    assert (result["slices_done"], result["slices_total"]) == (2, 2)
    assert result["skipped_days"] == 800 - 2
    assert len(world.stored()) == 2 + MINUTES + 60, "nothing that nobody wants was stored"
    assert [(day.expected, day.compared, day.missed) for day in figures(world)] == [
        (2, 2, 0),
        (MINUTES, MINUTES, 0),
    ]
    assert all(
        end <= START_MS + DAY_MS or start >= START_MS + BETWEEN * DAY_MS
        for _, start, end, _ in world.venue.asked
    )
    whole = world.quality.coverage("binance", "BTC/USDT", "1m")
    assert (whole.expected, whole.counts["pending"]) == (2 + MINUTES + 60, 0)
    assert whole.profile is not None
    assert whole.profile.gaps.bars == 0, "nor is the time between a gap of what is traded"
    assert world.quality.quality("binance", "BTC/USDT", "1m", None, None).profile == whole.profile


def test_days_behind_history_that_no_plan_keeps_are_refused_with_what_to_do(
    world: Collecting,
) -> None:
    with pytest.raises(InvalidInput, match=r"ask for at least 8 days, or have a plan") as refused:
        world.service.verify(minutes(), 3)
    assert refused.value.error_code == "nothing-to-verify"
    result = verified(world, 8)
    assert (result["slices_total"], result["skipped_days"]) == (1, 7)
    assert len(world.stored()) == 2
