"""The task queue: one Celery queue per class of work, JSON only, ids as arguments."""

from __future__ import annotations

from typing import Any, Final

import structlog
from celery import Celery
from kombu import Exchange, Queue

_log = structlog.get_logger(__name__)

#: Queue of each task by the first part of its name.
QUEUES: Final = ("collection", "strategies", "orders", "alerts", "maintenance", "backtests")
_DELIVERY_LIMIT: Final = 5


def make_celery(broker_url: str) -> Celery:
    """The Celery application of one process, tasks not yet registered."""
    embedded = broker_url.startswith("memory:")
    celery = Celery("tidemark", broker=broker_url)
    exchange = Exchange("tidemark.tasks", type="topic", durable=True)
    arguments: dict[str, Any] = (
        {} if embedded else {"x-queue-type": "quorum", "x-delivery-limit": _DELIVERY_LIMIT}
    )
    celery.conf.update(
        task_queues=[
            Queue(name, exchange, routing_key=name, queue_arguments=arguments) for name in QUEUES
        ],
        task_default_exchange="tidemark.tasks",
        task_default_exchange_type="topic",
        task_default_queue="maintenance",
        task_default_routing_key="maintenance",
        task_routes=[route],
        # Only JSON, in both directions: a pickle in the queue must never run.
        task_serializer="json",
        accept_content=["json"],
        result_serializer="json",
        # Results are rows; a result backend would be a second truth.
        result_backend=None,
        task_ignore_result=True,
        # At least once: a killed worker's message comes back. Effects are made once by rows.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        # Long queues stay fair; embedded needs more, since its transport polls (2x slower at 1).
        worker_prefetch_multiplier=2 if embedded else 1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        # Short: the sweeper drives on what could not be published, so nobody waits here.
        task_publish_retry=not embedded,
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0.1, "interval_max": 0.5},
        broker_transport_options=(
            {"polling_interval": 0.002} if embedded else {"confirm_publish": True}
        ),
        timezone="UTC",
        enable_utc=True,
        worker_send_task_events=not embedded,
        task_send_sent_event=not embedded,
    )
    return celery


def route(name: str, *_args: Any, **_kwargs: Any) -> dict[str, str]:
    """Queue and routing key of a task: the first part of its name."""
    queue = name.partition(".")[0]
    if queue not in QUEUES:
        queue = "maintenance"
    return {"queue": queue, "routing_key": queue}


class CeleryQueue:
    """A ``Queue`` over Celery."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def publish(self, task: str, *ids: str) -> bool:
        """Ask for ``task(*ids)``; False if the broker did not take it. Never raises."""
        try:
            self._celery.send_task(task, args=list(ids))
        except Exception as error:  # noqa: BLE001 - kombu raises its transports' own errors
            _log.warning("task_not_published", task=task, error=type(error).__name__)
            return False
        return True


class NoQueue:
    """A ``Queue`` that takes nothing: for CLI commands beside a runtime that sweeps rows."""

    def publish(self, task: str, *ids: str) -> bool:  # noqa: ARG002
        """Do nothing; the runtime's sweeper finds the row within a second."""
        return False
