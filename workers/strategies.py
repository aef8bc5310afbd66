"""Queue ``strategies``: evaluation of running instances."""

from __future__ import annotations

from workers.runtime import container, task


@task("strategies.evaluate")
def evaluate(instance_id: str) -> None:
    """Take the closed bars and order events that an instance has not seen."""
    container().evaluator.evaluate(instance_id)
