"""``tidemark job``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.arguments import Cursor, Limit, group
from app.cli.output import Json, emit, facts, table

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rich.console import Console

    from app.cli.session import Session
    from app.models import JobRow
    from app.schemas.jobs import Job, JobVenue

app = group("Jobs: list, show, pause, resume, retry, cancel.")
# With progress and budget in a column of its own, one line for each job.
_WIDE = 140
_NO_WORDS = "–"
JobId = Annotated[str, typer.Argument(help="The job's id.")]


@app.command("list")
def list_jobs(
    kind: Annotated[
        str, typer.Option("--kind", help="collection, verification, import or backtest.")
    ] = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    from app.cli.session import session
    from app.schemas.common import listing
    from app.schemas.jobs import Job
    from app.services.jobs import is_interrupted

    with session() as here:
        page = here.container.jobs.page(limit, cursor or None, kind or None)
        loads = here.container.job_venues.of_all(page.rows, counts_here=here.counts_requests)
        now = here.container.clock.now_ms()
    found = listing(page.rows, lambda row: Job.of(row, loads.get(row.id)), page.next_cursor)
    gone = {row.id for row in page.rows if is_interrupted(row, now)}
    emit(as_json, found, lambda out: print_jobs(out, found.data, gone))


@app.command("show")
def show_job(job_id: JobId, as_json: Json = False) -> None:
    """Show a job."""
    from app.cli.session import session
    from app.schemas.jobs import Job
    from app.services.jobs import is_interrupted

    with session() as here:
        row = here.container.jobs.get(job_id)
        load = here.container.job_venues.of(row, counts_here=here.counts_requests)
        job = Job.of(row, load)
        gone = {row.id} if is_interrupted(row, here.container.clock.now_ms()) else set()
    lines = {"progress": words_of(job)} | {
        name: value for name, value in job.model_dump().items() if name not in ("progress", "venue")
    }
    lines["state"] = _state(job, gone)
    emit(as_json, job, lambda out: facts(out, lines.items()))


@app.command("cancel")
def cancel_job(job_id: JobId, as_json: Json = False) -> None:
    """End a job: a queued one at once, a running one after its slice."""
    from app.cli.session import session
    from app.schemas.jobs import Job

    with session() as here:
        row = here.container.jobs.cancel(job_id)
        job = Job.of(row)
        if here.works_alone:
            here.container.importing.tidy()
    words = f"Job {job.id} is {job.state}"
    if job.state != "cancelled":
        at = time.strftime("%H:%M:%S", time.gmtime(row.lease_until / 1000))
        words += ", to be cancelled by whoever works on it"
        words += f"; if that process has gone, cancel it again after {at} UTC"
    emit(as_json, job, lambda out: out.print(f"{words}."))


@app.command("pause")
def pause_job(job_id: JobId, as_json: Json = False) -> None:
    """Let a job rest where it is; a running one ends its slice first."""
    from app.cli.session import session
    from app.schemas.jobs import Job

    with session() as here:
        job = Job.of(here.container.jobs.pause(job_id))
    again = f"resume it with: tidemark job resume {job.id}"
    emit(as_json, job, lambda out: out.print(f"Job {job.id} rests; {again}"))


@app.command("resume")
def resume_job(job_id: JobId, as_json: Json = False) -> None:
    """Let a job go on at once, be it paused, interrupted or waiting for its time.

    Where no runtime works on it, this command does, to its end.
    """
    from app.cli.session import session

    with session() as here:
        job = here.container.jobs.resume(job_id)
        _go_on(here, job, f"Job {job.id} goes on.", as_json=as_json)


@app.command("retry")
def retry_job(job_id: JobId, as_json: Json = False) -> None:
    """Do again what a job was to do that failed or was cancelled; what it stored stays.

    Where no runtime works on it, this command does, to its end.
    """
    from app.cli.session import session

    with session() as here:
        job = here.container.jobs.retry(job_id)
        _go_on(here, job, f"Job {job.id} goes on where {job_id} ended.", as_json=as_json)


def _go_on(here: Session, job: JobRow, words: str, *, as_json: bool) -> None:
    """Leave a job to a runtime, or work on it here where none is, and say which."""
    from app.cli.driving import finish_jobs, require_success
    from app.schemas.jobs import Job

    if not here.works_alone:
        emit(as_json, Job.of(job), lambda out: out.print(words))
        return
    (ended,) = finish_jobs(here, [job.id])
    done = Job.of(ended)
    ended_so = "was cancelled" if done.state == "cancelled" else f"has {done.state}"
    emit(as_json, done, lambda out: out.print(f"Job {done.id} {ended_so}.", markup=False))
    require_success([ended])


def print_jobs(out: Console, jobs: Sequence[Job], gone: Collection[str] = ()) -> None:
    """Jobs as a table; where that is too wide, progress stands below and no id is cut.

    Args:
        gone: ids of those whose holder has gone without a word.
    """
    from rich.padding import Padding
    from rich.text import Text

    columns = ("created", "kind", "state", "progress", "id")
    if not jobs or out.width >= _WIDE:
        rows = (
            [each.created_at, each.kind, _state(each, gone), words_of(each), each.id]
            for each in jobs
        )
        table(out, columns, rows, "No job.")
        return
    line = "{:<16} {:<12} {:<11} {}".format
    out.print(line("created (UTC)", "kind", "state", "id"), style="bold")
    for each in jobs:
        at = each.created_at[:16].replace("T", " ")
        out.print(line(at, each.kind, _state(each, gone), each.id), markup=False)
        if (words := words_of(each)) != _NO_WORDS:
            out.print(Padding(Text(words), (0, 0, 0, 2)))


def _state(job: Job, gone: Collection[str]) -> str:
    if job.cancel_requested and job.state == "running":
        return "cancelling"
    return "interrupted" if job.id in gone else job.state


def words_of(job: Job) -> str:
    """How far a job is, how fast, and what its venue lets it do, in one line."""
    from app.services.jobs import UNWANTED

    state: dict[str, Any] = job.progress
    found = []
    if "slices_total" in state:
        found.append(f"{state.get('slices_done', 0):,}/{state['slices_total']:,} slices")
    elif "bars_total" in state:
        found.append(f"{state.get('bars_done', 0):,}/{state['bars_total']:,} bars")
    if state.get("trades"):
        found.append(f"{state['trades']:,} trades")
    if "rows" in state:
        found.append(f"{state['rows']:,} rows")
    if state.get("rows_per_s"):
        of = "trades" if state.get("trades") else "rows"
        found.append(f"{state['rows_per_s']:,} {of}/s")
    if state.get("eta_s"):
        found.append(f"ETA {state['eta_s']:,} s")
    # Of one that a person cancelled, what it met before is no reason.
    if job.error is not None and (job.state != "cancelled" or job.error.get("code") == UNWANTED):
        found.append(str(job.error.get("message", "")))
    if job.venue is not None:
        found += _venue_words(job.venue)
    return " · ".join(found) or _NO_WORDS


def _venue_words(venue: JobVenue) -> list[str]:
    used = "?" if venue.budget_used is None else f"{venue.budget_used:,}"
    found = [f"budget {used}/{venue.budget_limit:,}"]
    if venue.ban_s is not None:
        found.append(f"banned for {venue.ban_s:,} s more")
    if venue.is_polite:
        until = "" if venue.polite_until is None else f" until {venue.polite_until[:16]}Z"
        found.append(f"asked politely{until}")
    return found
