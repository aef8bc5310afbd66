"""Queue ``backtests``: one child process each."""

from __future__ import annotations

from workers.runtime import container, task


@task("backtests.run")
def run(job_id: str) -> None:
    """Run the backtest of a job."""
    container().backtests.run(job_id)
