"""A job in one line."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from app.cli.driving import _Troubles
from app.cli.jobs import print_jobs, words_of
from app.models import JobRow
from app.schemas.jobs import Job, JobVenue

AT = "2026-03-01T00:00:00.000Z"
PROGRESS = {
    "slices_done": 12,
    "slices_total": 44,
    "rows": 12_000,
    "rows_per_s": 3_100,
    "eta_s": 9.5,
}


def job(progress: dict[str, Any], venue: JobVenue | None = None) -> Job:
    return Job(
        id="00000000-0000-7000-8000-000000000001",
        kind="collection",
        state="running",
        params={},
        progress=progress,
        result=None,
        error=None,
        attempt=1,
        cancel_requested=False,
        paused=False,
        not_before=None,
        created_at=AT,
        started_at=AT,
        finished_at=None,
        venue=venue,
    )


def venue(used: int | None, ban_s: int | None) -> JobVenue:
    until = None if ban_s is None else AT
    return JobVenue(
        exchange="binance", budget_used=used, budget_limit=6_000, banned_until=until, ban_s=ban_s
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (job({}), "–"),
        (job(PROGRESS), "12/44 slices · 12,000 rows · 3,100 rows/s · ETA 9.5 s"),
        (
            job(PROGRESS, venue(1_200, 540)),
            "12/44 slices · 12,000 rows · 3,100 rows/s · ETA 9.5 s · budget 1,200/6,000 · "
            "banned for 540 s more",
        ),
        (
            job({"slices_done": 0, "slices_total": 44}, venue(None, None)),
            "0/44 slices · budget ?/6,000",
        ),
        (
            job(
                {"slices_done": 0, "slices_total": 44},
                venue(None, None).model_copy(update={"is_polite": True, "polite_until": AT}),
            ),
            "0/44 slices · budget ?/6,000 · asked politely until 2026-03-01T00:00Z",
        ),
        (
            job({}, venue(None, None).model_copy(update={"is_polite": True})),
            "budget ?/6,000 · asked politely",
        ),
        (job({"bars_done": 10, "bars_total": 2_000}), "10/2,000 bars"),
    ],
)
def test_a_job_says_how_far_it_is_and_what_its_venue_lets_it_do(found: Job, words: str) -> None:
    assert words_of(found) == words


@pytest.mark.parametrize(
    ("code", "words"), [("unwanted", "12 rows · its plan was deleted"), ("venue-error", "12 rows")]
)
def test_a_cancelled_job_says_why_where_nobody_asked_for_it(code: str, words: str) -> None:
    ended = {"state": "cancelled", "error": {"code": code, "message": "its plan was deleted"}}
    assert words_of(job({"rows": 12}).model_copy(update=ended)) == words


@pytest.mark.parametrize("width", [80, 100, 240])
def test_a_list_of_jobs_fits_the_terminal_and_cuts_no_id(width: int) -> None:
    venue = JobVenue(
        exchange="binance", budget_used=5_980, budget_limit=6_000, banned_until=AT, ban_s=86_400
    )
    jobs = [
        job({**PROGRESS, "slices_total": 104_400, "rows": 123_456_789, "eta_s": 123_456}, venue),
        job({}).model_copy(update={"kind": "verification", "state": "succeeded"}),
    ]
    out = StringIO()
    print_jobs(Console(file=out, width=width), jobs)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert [each.id in out.getvalue() for each in jobs] == [True, True]
    assert "123,456,789 rows" in out.getvalue()
    assert len(lines) <= (6 if width < 140 else 7)


def test_an_empty_list_of_jobs_says_so() -> None:
    out = StringIO()
    print_jobs(Console(file=out, width=80), [])
    assert out.getvalue() == "No job.\n"


def test_a_job_that_waits_says_for_what() -> None:
    error = {"code": "venue-unreachable", "message": "binance: no connection"}
    waits = job(PROGRESS).model_copy(update={"state": "queued", "error": error})
    assert words_of(waits).endswith(" · binance: no connection")
    assert "no connection" not in words_of(waits.model_copy(update={"state": "cancelled"}))


def test_trouble_is_told_once_until_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    troubles, row = _Troubles(), JobRow(kind="collection", state="queued", not_before=1_000)
    row.params = {"exchange": "binance"}
    told = []
    for code, message in [
        ("venue-unreachable", "binance: no connection"),
        ("venue-unreachable", "binance: no connection"),
        ("rate-limited", "binance: slow down"),
        ("", ""),
        ("rate-limited", "binance: slow down"),
    ]:
        row.error = {"code": code, "message": message} if code else None
        troubles.tell([row, row])
        told.append(capsys.readouterr().err)
    slow = "tidemark: binance: slow down; tried again at 00:00:01 UTC\n"
    away = "tidemark: binance cannot be reached: no connection; tried again at 00:00:01 UTC\n"
    assert told == [away, "", slow, "", slow]


def test_a_job_that_rests_says_how_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    row = JobRow(id="7", kind="collection", state="queued", not_before=1_000, paused=True)
    troubles = _Troubles()
    for _ in range(2):
        troubles.tell([row])
    assert capsys.readouterr().err == (
        "tidemark: job 7 rests; resume it with: tidemark job resume 7\n"
    )
    row.paused = False
    troubles.tell([row])
    assert not capsys.readouterr().err
