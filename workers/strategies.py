"""Queue ``strategies``: evaluation of running instances."""

from __future__ import annotations

from celery import shared_task

from workers.runtime import container


@shared_task(name="strategies.evaluate")
def evaluate(instance_id: str) -> None:
    """Take the closed bars and order events that an instance has not seen."""
    container().evaluator.evaluate(instance_id)
