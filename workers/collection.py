"""Queue ``collection``: market data in."""

from __future__ import annotations

from workers.runtime import container, task


@task("collection.run_job")
def run_job(job_id: str) -> None:
    """Work on a collection job for one slice."""
    container().collection.run_job(job_id)


@task("collection.import_files")
def import_files(job_id: str) -> None:
    """Work on an import of files for one slice."""
    container().importing.run(job_id)


@task("collection.follow")
def follow(plan_id: str) -> None:
    """Bring every series of a plan up to the last closed bar."""
    container().collection.follow(plan_id)


@task("collection.choose_symbols")
def choose_symbols(exchange: str) -> None:
    """Bring new listings of a venue into the plans that choose their symbols."""
    container().collection.choose_symbols(exchange)


@task("collection.run_source")
def run_source(source_id: str) -> None:
    """Ask a data source for what is new."""
    container().source_runner.run(source_id)


@task("collection.verify")
def verify(job_id: str) -> None:
    """Work on a verification job for one slice."""
    container().collection.run_verification(job_id)


@task("collection.roll_up")
def roll_up(series_id: str) -> None:
    """Make the hours and days that minutes lack, for one slice."""
    container().roll_ups.roll_up(int(series_id))
