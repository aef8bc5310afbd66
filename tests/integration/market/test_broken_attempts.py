"""Jobs whose attempts break off: told at once, tried some times, ended, and cancelled all along."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import InvalidInput, NotFetched
from app.models import BacktestRow, JobRow, StrategyRow, StrategyVersionRow
from app.repositories.unit import Unit, Units
from app.services.attempts import BROKEN, EXHAUSTED, MOST, take
from app.services.importing import ImportOrder
from app.services.jobs import TASKS, JobService, new_job
from tests.integration.market.collecting import SYMBOL, Collecting
from tests.integration.market.importing import Importing, file, walk
from tests.support.record import START_MS, CountingIds, Hints, record
from tests.support.waiting import until

MINUTE = 60_000
LEASE_MS = 90_000


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Collecting]:
    """A venue of some pages, on SQLite."""
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        world = Collecting(engine)
        world.list_bars(range(8_000))
        yield world


def started(world: Collecting) -> str:
    plan = world.service.plans.create("minutes", "binance", [SYMBOL], ["1m"], START_MS)
    (job,) = world.service.start(plan.id)
    return job.id


def bare_job(units: Units, kind: str) -> str:
    """A job of a kind whose work this test leaves undone."""

    def work(unit: Unit) -> str:
        job = new_job(unit, f"a-{kind}", kind, {})
        if kind == "backtest":
            at = {"created_at": unit.now_ms}
            texts = {"origin": "builtin", "title": "s", "parameters": {}}
            unit.session.add(StrategyRow(id="s", name="s", **texts, **at))
            unit.flush()
            made = {"sha256": "", "source": "", "app_version": "1", "talib_version": "1"}
            unit.session.add(StrategyVersionRow(id="v", strategy_id="s", **made, **at))
            unit.flush()
            names = {"id": "b", "job_id": job.id, "version_id": "v", "strategy": "s"}
            unit.backtests.add(BacktestRow(**names, spec={}, status="queued", **at))
        return job.id

    return units.run(work)


def got(units: Units, job_id: str) -> JobRow:
    with units.read() as unit:
        return unit.jobs.get(job_id)


def cancelling(world: Importing) -> JobService:
    return JobService(world.units, Hints(), world.clock, CountingIds())


def run_to_the_end(clock: Any, run: Callable[[], str], job: Callable[[], JobRow]) -> list[JobRow]:
    """The row after each attempt."""
    seen: list[JobRow] = []
    while not seen or seen[-1].state == "queued":
        assert len(seen) < 50
        clock.now = max(clock.now, seen[-1].not_before if seen else 0)
        run()
        seen.append(job())
    return seen


def attempts(world: Importing, job_id: str) -> list[JobRow]:
    return run_to_the_end(
        world.clock, lambda: world.jobs.run(job_id), lambda: got(world.units, job_id)
    )


def test_an_unforeseen_error_is_told_at_once_and_ends_the_import_after_some_attempts(
    here: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = here.jobs.start(ImportOrder(str(file(tmp_path, *walk(range(5)))), "binance", "B/C", "1m"))

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a word that nobody chose")

    monkeypatch.setattr("app.services.importing.jobs.checked_chunks", broken)
    seen = run_to_the_end(
        here.clock, lambda: here.jobs.run(job.id), lambda: got(here.units, job.id)
    )
    assert [each.state for each in seen] == ["queued"] * (MOST - 1) + ["failed"]
    assert seen[0].error == {
        "code": BROKEN,
        "message": "attempt 1 of 5 at this place broke off with ZeroDivisionError; its traceback "
        "is in the log",
    }
    assert [each.not_before - seen[0].created_at for each in seen[:2]] == [4_000, 12_000]
    assert (seen[-1].error or {})["code"] == EXHAUSTED
    assert "5 attempts in a row broke off, the last one with ZeroDivision" in str(seen[-1].error)
    (told,) = here.events.on("risk.alert.warning")
    assert (told["kind"], told["job_id"]) == ("job-failed", job.id)


def test_so_it_ends_a_collection_that_gets_no_further(filled: Collecting) -> None:
    job_id = started(filled)
    filled.venue.failures = [ZeroDivisionError() for _ in range(50)]
    seen = run_to_the_end(
        filled.clock, lambda: filled.service.run_job(job_id), lambda: filled.job(job_id)
    )
    assert len(seen) == MOST
    assert (seen[-1].state, (seen[-1].error or {})["code"]) == ("failed", EXHAUSTED)


@pytest.mark.parametrize("kind", TASKS)
def test_a_job_that_kills_its_worker_again_and_again_fails(here: Importing, kind: str) -> None:
    job_id = bare_job(here.units, kind)
    killed = 0
    for _ in range(200):
        job = here.units.run(lambda unit: take(unit, job_id, str(unit.now_ms), LEASE_MS))
        if job is not None and job.state == "failed":
            break
        killed += job is not None and job.state == "running"
        here.clock.now += LEASE_MS
    ended = got(here.units, job_id)
    assert (ended.state, killed) == ("failed", MOST)
    assert "as its worker was killed or lost" in (ended.error or {})["message"]
    assert len(here.events.on("risk.alert.warning")) == 1
    if kind == "backtest":
        with here.units.read() as unit:
            assert getattr(unit.backtests.of_job(job_id), "status", None) == "failed"


def test_restarts_of_a_job_that_gets_on_do_not_count(filled: Collecting) -> None:
    job_id = started(filled)
    asked = iter(range(1_000))

    class Gone(BaseException):
        pass

    def kill() -> None:
        if next(asked) % 2:
            raise Gone

    filled.venue.before = kill
    restarts = 0
    while filled.job(job_id).state in ("queued", "running"):
        try:
            filled.service.run_job(job_id)
        except Gone:
            restarts += 1
        filled.clock.advance(LEASE_MS)
    assert restarts > MOST
    assert filled.job(job_id).state == "succeeded"
    assert filled.stored() == filled.everything()


def test_a_step_that_takes_longer_than_the_lease_keeps_it(
    here: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow download; the sweeper looks for jobs whose holders have gone meanwhile."""
    monkeypatch.setattr("app.services.importing.jobs.LEASE_MS", 300)
    due: list[str] = []

    def slow(_url: str) -> None:
        here.clock.now += 250
        until(lambda: got(here.units, job_id).lease_until == here.clock.now + 300)
        here.clock.now += 250
        with here.units.read() as unit:
            due.extend(job.id for job in unit.jobs.due(here.clock.now))

    here.archive.calls = slow
    job_id = here.jobs.start(remote(1)).id
    assert here.jobs.run(job_id) == "failed"
    assert due == []
    # Its archive has nothing, and was asked to the end by one holder.
    ended = got(here.units, job_id)
    assert (ended.attempt, (ended.error or {})["code"]) == (1, "nothing-there")


@pytest.mark.parametrize("kind", TASKS)
def test_a_cancel_is_heard_before_work_begins_and_where_the_holder_has_gone(
    here: Importing, kind: str
) -> None:
    service, job_id = cancelling(here), bare_job(here.units, kind)
    assert here.units.run(lambda unit: take(unit, job_id, "gone", LEASE_MS)) is not None
    # The holder may live, and would end its slice first.
    assert service.cancel(job_id).state == "running"
    here.units.run(lambda unit: setattr(unit.jobs.lock(job_id), "paused", kind == "collection"))
    here.clock.now += LEASE_MS
    with here.units.read() as unit:
        assert [job.id for job in unit.jobs.due(here.clock.now)] == [job_id]
    left = here.units.run(lambda unit: take(unit, job_id, "next", LEASE_MS))
    assert left is not None
    assert (left.state, got(here.units, job_id).state) == ("cancelled", "cancelled")
    if kind == "backtest":
        with here.units.read() as unit:
            assert getattr(unit.backtests.of_job(job_id), "status", None) == "cancelled"


@pytest.mark.parametrize("what", ["a file", "in a folder", "a folder"])
def test_a_name_that_is_not_utf_8_is_one_sentence_that_names_it(
    here: Importing, tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "data"
    bad = os.fsencode(folder) + (b"\xfe" if what == "a folder" else b"")
    path = bad + b"/AA_BB-1m\xff.csv"
    file(Path(os.fsdecode(bad)), *walk(range(3)), name=os.fsdecode(path.rpartition(b"/")[2]))
    source = {"a file": path, "in a folder": bad, "a folder": bad}[what]
    with pytest.raises(InvalidInput, match=r"the name of \S+\\xf[ef]\S* is not UTF-8; rename it"):
        here.jobs.start(ImportOrder(os.fsdecode(source), "binance", "AA/BB", "1m"))


def test_a_file_beside_that_is_no_data_is_named_as_it_can_be(
    here: Importing, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    file(folder, *walk(range(3)), name="AA_BB-1m.csv")
    file(folder, name=os.fsdecode(b"r\xe9sum\xe9.pdf"))
    result = here.result(folder)
    assert result["skipped"] == [[r"r\xe9sum\xe9.pdf", "its name is not that of market data"]]


BASE = "https://archive.test"


def remote(days: int) -> ImportOrder:
    end = START_MS + days * 86_400_000
    return ImportOrder(BASE, "binance", "BTC/USDT", "1h", start=START_MS, end=end)


@pytest.mark.parametrize(
    ("was_reached", "least_s", "most_s", "sentence"),
    [
        (False, 5, 30, "away; 3 tries were in vain: is the URL right?"),
        (True, 3_000, 5_400, "away; it was tried for an hour: import again"),
    ],
)
def test_an_archive_that_never_answers_ends_the_import(
    here: Importing, *, was_reached: bool, least_s: int, most_s: int, sentence: str
) -> None:
    def away(_url: str) -> None:
        raise NotFetched("away", was_reached=was_reached)

    here.archive.calls = away
    job_id = here.jobs.start(remote(1)).id
    began = here.clock.now
    seen = attempts(here, job_id)
    assert seen[0].error == {"code": "not-fetched", "message": "away"}
    assert seen[-1].state == "failed"
    assert sentence in (seen[-1].error or {})["message"]
    assert least_s * 1000 <= here.clock.now - began <= most_s * 1000


def test_an_archive_that_was_there_before_is_waited_for(here: Importing) -> None:
    answers = iter([None] + [NotFetched("away", was_reached=False)] * 5)

    def calls(_url: str) -> None:
        failure = next(answers, None)
        if failure is not None:
            raise failure

    here.archive.calls = calls
    ended = here.finished(remote(2))
    assert (ended.error or {})["code"] == "nothing-there", "both answers came: it has no file"
