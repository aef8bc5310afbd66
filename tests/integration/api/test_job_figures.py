"""A job shows how far it is, how fast, and what its venue lets it do."""

from __future__ import annotations

from typing import Any

import pytest

from app.adapters.budget import InProcessBudget
from app.adapters.pacing import Paces
from app.core.exchanges.errors import BudgetExhausted
from app.core.market.intervals import MINUTE_MS
from app.core.ports import Purpose
from app.models import JobRow
from app.repositories.unit import Unit
from app.services.job_venues import JobVenues
from app.services.jobs import finish, new_job
from app.services.pace import eta_s, put_off
from tests.support.api import ApiClient, TradingDay
from tests.support.record import START_MS, ManualClock

PROGRESS = {"slices_done": 12, "slices_total": 44, "rows": 12_000, "rows_per_s": 3_100, "eta_s": 9}


class Bans:
    """No ban is known before the test."""

    def bans(self) -> dict[str, int]:
        """None."""
        return {}

    def save_ban(self, scope: str, until_ms: int, reason: str) -> None:
        """Nowhere."""


@pytest.fixture
def job_id(day: TradingDay) -> str:
    """A collection job that has begun."""
    made = day.container.ids.new()
    params = {"plan_id": made, "exchange": "binance", "symbol": "BTC/USDT", "interval": "1m"}

    def work(unit: Unit) -> None:
        job = new_job(unit, made, "collection", params)
        job.state, job.progress = "running", PROGRESS

    day.container.units.run(work)
    return made


def test_the_budget_of_its_venue_and_a_ban_that_counts_down(
    api: ApiClient, day: TradingDay, job_id: str
) -> None:
    budget = day.container.budget
    budget.correct("binance", 1_200)
    shown = api.get(f"/jobs/{job_id}").json()
    assert shown["progress"] == PROGRESS
    assert shown["venue"] == {
        "exchange": "binance",
        "budget_used": 1_200,
        "budget_limit": 6_000,
        "banned_until": None,
        "ban_s": None,
        "is_polite": False,
        "polite_until": None,
    }
    now = day.container.clock.now_ms()
    budget.ban("binance", now + 10 * MINUTE_MS, "418")
    venue = api.get(f"/jobs/{job_id}").json()["venue"]
    assert 590 <= venue["ban_s"] <= 600
    assert venue["banned_until"].endswith("Z")
    assert (venue["is_polite"], venue["polite_until"][10:]) == (True, venue["banned_until"][10:])
    listed = api.get("/jobs").json()["data"]
    assert [each["venue"]["ban_s"] is not None for each in listed if each["id"] == job_id] == [True]

    def end(unit: Unit) -> None:
        finish(unit, unit.jobs.lock(job_id), "succeeded")

    day.container.units.run(end)
    assert api.get(f"/jobs/{job_id}").json()["venue"] is None


def job(kind: str = "collection", state: str = "running", exchange: str = "okx") -> JobRow:
    params: dict[str, Any] = {"exchange": exchange} if kind != "backtest" else {}
    return JobRow(id=f"{kind}-{exchange}-{state}", kind=kind, state=state, params=params)


def test_all_addresses_count_together_and_the_first_ban_to_end_is_the_one_that_is_waited_for() -> (
    None
):
    clock = ManualClock()
    budget = InProcessBudget(clock, Bans())
    venues = JobVenues(budget, lambda: ["", "second"], clock)
    budget.acquire("okx", 5, Purpose.DATA, 0.0, ["second"])
    budget.ban("okx", START_MS + 60_500, "429")
    found = venues.of(job())
    assert found is not None
    assert (found.used, found.limit, found.ban_s) == (5, 2 * 1_200, None)
    budget.ban("okx", START_MS + 30_001, "429", "second")
    found = venues.of(job())
    assert found is not None
    assert (found.banned_until, found.ban_s) == (START_MS + 30_001, 31)
    clock.advance(30_000)
    found = venues.of(job())
    assert found is not None
    assert found.ban_s == 1
    clock.advance(1)
    found = venues.of(job())
    assert found is not None
    assert found.ban_s is None


def test_the_eta_has_in_it_what_the_job_waits_for() -> None:
    """3.3 s of work are left; the next minute's budget comes in 41 s, and then a ban of 90 s."""
    clock = ManualClock()
    budget = InProcessBudget(clock, Bans())
    venues = JobVenues(budget, lambda: [""], clock)
    row = job(state="queued")
    row.progress, row.paused, row.not_before = {"eta_s": 3.3}, False, START_MS + 41_000

    def shown() -> float | None:
        found = venues.of(row)
        assert found is not None
        eta: float | None = found.progress_of(row)["eta_s"]
        return eta

    assert shown() == 44.3
    clock.advance(40_000)
    assert shown() == 4.3
    clock.advance(40_000)
    assert shown() == 3.3
    budget.ban("okx", clock.now_ms() + 90_000, "418")
    # After it the venue is asked politely: with rests, the work takes half as long again.
    assert shown() == pytest.approx(90 + 1.5 * 3.3, abs=0.1)
    row.paused = True
    assert shown() == 3.3
    row.paused, row.progress = False, {"eta_s": None}
    assert shown() is None


def test_only_live_jobs_that_ask_a_venue_show_one_and_a_count_elsewhere_is_not_guessed() -> None:
    clock = ManualClock()
    venues = JobVenues(InProcessBudget(clock, Bans()), lambda: [""], clock)
    rows = [
        job(),
        job("verification", "queued", "bybit"),
        job("import"),
        job("backtest"),
        job(state="succeeded"),
    ]
    found = venues.of_all(rows, counts_here=False)
    assert {each: load.used for each, load in found.items()} == {
        "collection-okx-running": None,
        "verification-bybit-queued": None,
    }
    assert [venues.of(each) is None for each in rows] == [False, False, True, True, True]


class Polite:
    """A collection of one page after the other from a venue that is treated gently."""

    def __init__(self, pages: int) -> None:
        self.clock = ManualClock()
        self.budget = InProcessBudget(
            self.clock,
            Bans(),
            paces=Paces(polite=("okx",)),
            sleep=lambda s: self.clock.advance(round(s * 1000)),
        )
        self.row = job()
        self.row.paused, self.row.not_before = False, 0
        self.row.progress = {"slices_done": 0, "slices_total": pages, "work_ms": 0}
        self.shown: list[tuple[int, float]] = []

    def page(self) -> None:
        """Ask for the next page, put off as often as it takes."""
        while True:
            began = self.clock.now
            try:
                self.budget.acquire("okx", 1, Purpose.DATA, 5.0)
            except BudgetExhausted as error:
                self.row.progress = put_off(self.row.progress, error, error.retry_after_ms)
                self.row.not_before = self.clock.now + error.retry_after_ms
                self.look()
                self.clock.advance(error.retry_after_ms)
                continue
            self.clock.advance(100)
            done = {
                "slices_done": self.row.progress["slices_done"] + 1,
                "work_ms": self.row.progress["work_ms"] + self.clock.now - began,
            }
            moved = {**self.row.progress, **done}
            self.row.progress = {**moved, "eta_s": eta_s(moved)}
            return self.look()

    def look(self) -> None:
        """Keep what a person sees now."""
        found = JobVenues(self.budget, lambda: [""], self.clock).of(self.row)
        assert found is not None
        self.shown.append((self.clock.now, found.progress_of(self.row)["eta_s"]))


@pytest.mark.parametrize("before", [0, 3, 19])
def test_the_eta_of_a_polite_job_is_right_from_its_first_page_on(before: int) -> None:
    """Sixty pages take four or five minutes, wherever the rests fall.

    Args:
        before: requests of others before the job begins, which bring its first rest nearer.
    """
    world = Polite(60)
    for _ in range(before):
        world.budget.acquire("okx", 1, Purpose.DATA, 5.0)
    for _ in range(60):
        world.page()
    assert len(world.shown) > 60
    for at, eta in world.shown:
        left = (world.clock.now - at) / 1000
        assert left - 31 <= eta <= left * 1.15 + 31, (at - START_MS, eta, left)
