"""Imports that end before their end: what came in by then is told, and why none follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.errors import NotFetched
from app.models import JobRow
from app.services.attempts import EXHAUSTED, take
from app.services.importing import ImportOrder
from app.services.jobs import JobService
from tests.integration.market.importing import DAY, Importing, file, walk
from tests.integration.market.test_importing_archives import JANUARY, order, publish
from tests.support.record import CountingIds, Hints


def cancelling(world: Importing) -> JobService:
    return JobService(world.units, Hints(), world.clock, CountingIds())


def got(world: Importing, job_id: str) -> JobRow:
    with world.units.read() as unit:
        return unit.jobs.get(job_id)


def waits_for_its_second_day(world: Importing) -> str:
    """An import whose archive gives the first day of two, and not the second one; the job."""
    publish(world, "2026-03-01", 24, JANUARY + 59 * DAY)

    def calls(url: str) -> None:
        if "2026-03-02" in url:
            raise NotFetched("HTTP 503", was_reached=True)

    world.archive.calls = calls
    job = world.jobs.start(order(JANUARY + 59 * DAY, JANUARY + 61 * DAY))
    assert world.jobs.run(job.id) == "queued"
    assert (got(world, job.id).error or {})["code"] == "not-fetched"
    return job.id


@pytest.mark.parametrize("how", ["at once", "by the worker"])
def test_an_import_that_is_cancelled_as_it_waits_tells_what_came_in(
    here: Importing, how: str
) -> None:
    job_id = waits_for_its_second_day(here)
    if how == "at once":
        cancelling(here).cancel(job_id)
    else:
        here.units.run(lambda unit: setattr(unit.jobs.lock(job_id), "cancel_requested", True))
        assert here.jobs.run(job_id) == "cancelled"
    ended = got(here, job_id)
    assert (ended.state, ended.error) == ("cancelled", None)
    assert ((ended.result or {})["new"], (ended.result or {})["files"]) == (24, 1)


def test_an_import_whose_attempts_break_off_tells_what_came_in(
    here: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.services.importing import jobs as import_jobs

    for name in ("AAA_USDT-1m.csv", "MMM_USDT-1m.csv"):
        file(tmp_path / "data", *walk(range(9)), name=name)
    whole = import_jobs.checked_chunks

    def broken(path: Path, *more: object, **options: object) -> object:
        if path.name.startswith("MMM"):
            raise ZeroDivisionError
        return whole(path, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(import_jobs, "checked_chunks", broken)
    ended = here.finished(ImportOrder(str(tmp_path / "data"), "binance"))
    assert (ended.state, (ended.error or {})["code"]) == ("failed", EXHAUSTED)
    assert [each["symbol"] for each in (ended.result or {})["series"]] == ["AAA/USDT"]
    assert (ended.result or {})["new"] == 9


def test_an_import_that_kills_its_workers_tells_what_came_in(here: Importing) -> None:
    job_id = waits_for_its_second_day(here)
    here.clock.now += DAY
    for _ in range(20):
        job = here.units.run(lambda unit: take(unit, job_id, str(unit.now_ms), 90_000))
        here.clock.now += DAY
        if job is not None and job.state == "failed":
            break
    ended = got(here, job_id)
    assert (ended.state, (ended.error or {})["code"]) == ("failed", EXHAUSTED)
    assert (ended.result or {})["new"] == 24


def test_an_import_that_is_cancelled_before_it_begins_has_nothing_to_tell(
    here: Importing, tmp_path: Path
) -> None:
    path = file(tmp_path, *walk(range(9)))
    job = here.jobs.start(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    cancelling(here).cancel(job.id)
    assert (got(here, job.id).state, got(here, job.id).result) == ("cancelled", None)
