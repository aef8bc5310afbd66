"""Queue ``backtests``: one child process each."""

from __future__ import annotations

from celery import shared_task

from workers.runtime import container


@shared_task(name="backtests.run")
def run(job_id: str) -> None:
    """Run the backtest of a job."""
    container().backtests.run(job_id)
