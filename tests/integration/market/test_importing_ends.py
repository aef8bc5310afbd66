"""Imports that end before their end: what came in by then is told, and why none follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.core.errors import NotFetched, NotYetWhole
from app.models import JobRow
from app.services.attempts import EXHAUSTED, take
from app.services.importing import ImportOrder
from app.services.importing.order import ImportFile
from app.services.jobs import JobService
from tests.integration.market.importing import DAY, Archive, Importing, file, walk
from tests.integration.market.test_importing_archives import JANUARY, order, publish
from tests.support.record import CountingIds, Hints, record


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


class Dripping(Archive):
    """An archive that gives a file in so many slices."""

    slices = 3

    def fetch(self, url: str, folder: Path, most_s: float) -> Path | None:
        """See ``FileFetcher``."""
        assert most_s > 0
        if not url.endswith(".CHECKSUM") and self.slices:
            self.slices -= 1
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "a.part").write_bytes(b"a part")
            raise NotYetWhole(f"{url} comes slowly: 6 of 60 bytes so far")
        return super().fetch(url, folder, most_s)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Importing]:
    """An import service whose archive is slow."""
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        archive = Dripping()
        world = Importing(engine, tmp_path, fetcher=archive)
        world.archive = archive
        publish(world, "2026-03-01", 24, JANUARY + 59 * DAY)
        yield world


def slowly(world: Importing) -> str:
    return world.jobs.start(order(JANUARY + 59 * DAY, JANUARY + 60 * DAY)).id


def left(folder: Path) -> list[str]:
    return [each.name for each in (folder / "fetched").rglob("*") if each.is_file()]


def test_a_slow_download_is_gone_on_with_slice_by_slice(slow: Importing, tmp_path: Path) -> None:
    job_id = slowly(slow)
    assert slow.jobs.run(job_id) == "queued"
    waiting = got(slow, job_id)
    assert (waiting.error or {})["code"] == "not-yet-whole"
    assert "comes slowly: 6 of 60 bytes so far" in (waiting.error or {})["message"]
    assert waiting.not_before <= slow.clock.now, "the next slice follows at once"
    assert slow.hints.sent == [("collection.import_files", job_id)] * 2
    assert left(tmp_path) == ["a.part"]
    ended = slow.driven(job_id)
    assert (ended.state, ended.error, (ended.result or {})["new"]) == ("succeeded", None, 24)
    assert left(tmp_path) == []


@pytest.mark.parametrize("how", ["while it runs", "while it waits"])
def test_a_slow_download_is_cancelled_with_its_slice_and_leaves_nothing_behind(
    slow: Importing, tmp_path: Path, how: str
) -> None:
    job_id = slowly(slow)
    assert slow.jobs.run(job_id) == "queued"
    if how == "while it runs":
        slow.units.run(lambda unit: setattr(unit.jobs.lock(job_id), "cancel_requested", True))
    else:
        service = cancelling(slow)
        assert service.cancel(job_id).state == "cancelled"
        # Whoever cancels need not be where the file is: a worker is told.
        assert slow.hints.sent[-1] == ("collection.import_files", job_id)
    slow.jobs.run(job_id)
    assert got(slow, job_id).state == "cancelled"
    assert left(tmp_path) == []


def test_what_another_live_job_fetched_stays(slow: Importing, tmp_path: Path) -> None:
    first, second = slowly(slow), slowly(slow)
    for job_id in (first, second):
        assert slow.jobs.run(job_id) == "queued"
    cancelling(slow).cancel(first)
    slow.jobs.tidy()
    assert left(tmp_path) == ["a.part"]


def test_a_fetched_file_that_takes_more_slices_is_fetched_once(
    slow: Importing, tmp_path: Path, small_chunks: int
) -> None:
    """100 bars a slice, of a month of hours."""
    slow.archive.slices = 0  # type: ignore[attr-defined]
    publish(slow, "2026-01", 31 * 24, JANUARY)
    slow.clock.cost_s = 25.0
    job_id = slow.jobs.start(order(JANUARY, JANUARY + 31 * DAY)).id
    assert slow.jobs.run(job_id) == "queued"
    assert "BTCUSDT-1h-2026-01.zip" in left(tmp_path)
    assert slow.driven(job_id).state == "succeeded"
    assert left(tmp_path) == []


@pytest.mark.parametrize("when", ["between slices", "within a slice"])
def test_a_file_that_vanishes_keeps_no_other_out(
    here: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    from app.services.importing import jobs as import_jobs

    names = ("AAA_USDT-1m.csv", "MMM_USDT-1m.csv", "ZZZ_USDT-1m.csv")
    for name in names:
        file(tmp_path / "data", *walk(range(9)), name=name)
    job = here.jobs.start(ImportOrder(str(tmp_path / "data"), "binance"))
    gone = tmp_path / "data" / names[1]
    if when == "between slices":
        here.clock.cost_s = 50.0
        assert here.jobs.run(job.id) == "queued"
        here.clock.cost_s = 0.0
        gone.unlink()
    else:
        stamp = import_jobs.stamp_of

        def vanish_first(of: ImportFile) -> Sequence[int]:
            gone.unlink(missing_ok=True)
            return stamp(of)

        monkeypatch.setattr(import_jobs, "stamp_of", vanish_first)
    ended = here.driven(job.id)
    result = ended.result or {}
    assert [len(here.stored(f"{name[:3]}/USDT")) for name in names] == [9, 0, 9]
    assert [each["file"] for each in result["left_out"]] == [names[1]]
    assert (ended.state, (ended.error or {})["code"]) == ("failed", "files-left-out")
