"""Jobs whose process was killed, without a runtime: told from running ones, and gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.cli import driving
from app.cli.locking import RuntimeLock
from app.cli.session import Session
from app.services.attempts import take
from app.services.importing import ImportOrder
from app.wiring import Container
from tests.integration.cli.conftest import Tidemark
from tests.support.api import container_in

T = 1_767_225_600_000


@pytest.fixture
def container(data_dir: Path) -> Iterator[Container]:
    """The installation's parts; nothing runs."""
    with container_in(data_dir) as found:
        yield found


def killed_import(container: Container, folder: Path, *, lease_left_ms: int = 0) -> str:
    """An import whose process was killed before its first chunk; the job."""
    path = folder / "BTC_USDT-1m.csv"
    path.write_text("".join(f"{T + n * 60_000},1,1,1,1,1\n" for n in range(5)))
    job_id = container.importing.start(ImportOrder(str(path), "binance")).id
    container.units.run(lambda unit: take(unit, job_id, "gone", lease_left_ms))
    assert container.jobs.get(job_id).state == "running"
    return job_id


def test_a_job_whose_process_was_killed_is_told_from_one_that_runs(
    tidemark: Tidemark, container: Container, tmp_path: Path
) -> None:
    job_id = killed_import(container, tmp_path)
    assert "interrupted" in tidemark("job", "list").out
    assert "interrupted" in tidemark("job", "show", job_id).out
    # For programs the states are the five that they know.
    assert [each["state"] for each in tidemark("job", "list", "--json").document["data"]] == [
        "running"
    ]
    alive = killed_import(container, tmp_path, lease_left_ms=90_000)
    assert "interrupted" not in tidemark("job", "show", alive).out


def test_resumed_without_a_runtime_it_is_worked_on_to_its_end(
    tidemark: Tidemark, container: Container, tmp_path: Path
) -> None:
    job_id = killed_import(container, tmp_path)
    told = tidemark("job", "resume", job_id)
    assert (told.code, told.out, told.err) == (0, f"Job {job_id} has succeeded.\n", "")
    job = container.jobs.get(job_id)
    assert (job.state, (job.result or {})["new"]) == ("succeeded", 5)


def test_while_its_lease_runs_on_the_command_says_until_when_it_waits(
    tidemark: Tidemark, container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = killed_import(container, tmp_path, lease_left_ms=60_000)
    say = driving._say_who_is_waited_for

    def say_and_let_time_pass(session: Session, job_ids: Sequence[str]) -> None:
        say(session, job_ids)
        container.units.run(lambda unit: setattr(unit.jobs.lock(job_id), "lease_until", 0))

    monkeypatch.setattr(driving, "_say_who_is_waited_for", say_and_let_time_pass)
    told = tidemark("job", "resume", job_id)
    assert (told.code, told.out) == (0, f"Job {job_id} has succeeded.\n")
    assert "is another process's; if that has gone, it goes on here at" in told.err


def test_an_import_that_was_cancelled_is_tried_again_here(
    tidemark: Tidemark, container: Container, tmp_path: Path
) -> None:
    job_id = killed_import(container, tmp_path)
    assert tidemark("job", "pause", job_id).out.startswith(f"Job {job_id} rests; resume it with")
    assert tidemark("job", "cancel", job_id).code == 0
    told = tidemark("job", "retry", job_id, "--json")
    assert (told.code, told.document["state"]) == (0, "succeeded")
    assert told.document["result"]["new"] == 5


def test_beside_a_runtime_it_is_left_to_that(
    tidemark: Tidemark, container: Container, data_dir: Path, tmp_path: Path
) -> None:
    job_id = killed_import(container, tmp_path)
    with RuntimeLock(data_dir):
        told = tidemark("job", "resume", job_id)
    assert (told.code, told.out) == (0, f"Job {job_id} goes on.\n")
    assert container.jobs.get(job_id).state == "running"


def test_what_fails_then_is_no_success(
    tidemark: Tidemark, container: Container, tmp_path: Path
) -> None:
    job_id = killed_import(container, tmp_path)
    (tmp_path / "BTC_USDT-1m.csv").unlink()
    told = tidemark("job", "resume", job_id, "--json")
    assert (told.code, told.document["state"]) == (1, "failed")
    assert "the import job failed: " in told.err


def test_one_that_another_process_may_still_work_on_is_cancelled_by_that_or_later_here(
    tidemark: Tidemark, container: Container, tmp_path: Path
) -> None:
    job_id = killed_import(container, tmp_path, lease_left_ms=60_000)
    told = tidemark("job", "cancel", job_id).out
    assert "to be cancelled by whoever works on it; if that process has gone, cancel it" in told
    assert "cancelling" in tidemark("job", "list").out
    container.units.run(lambda unit: setattr(unit.jobs.lock(job_id), "lease_until", 0))
    assert tidemark("job", "cancel", job_id).out == f"Job {job_id} is cancelled.\n"
