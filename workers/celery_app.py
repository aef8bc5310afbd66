"""Celery's entry point: ``celery -A workers.celery_app worker -Q orders``."""

from __future__ import annotations

from typing import Any

import structlog
from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_init, worker_process_init

from app.adapters.celery_queue import CeleryQueue, make_celery
from app.config import Settings, load_settings
from workers import backtests, collection, maintenance, orders, strategies
from workers.beat_schedule import BEAT_SCHEDULE
from workers.runtime import install

#: The modules whose tasks this application serves.
TASK_MODULES = (backtests, collection, maintenance, orders, strategies)


def build_celery(settings: Settings) -> Celery:
    """The Celery application with every task and the beat schedule."""
    celery = make_celery(settings.broker_url)
    celery.conf.beat_schedule = BEAT_SCHEDULE
    celery.conf.beat_schedule_filename = str(settings.beat_file)
    return celery


app = build_celery(load_settings())


@worker_init.connect
@worker_process_init.connect
def _build_container(**_kwargs: Any) -> None:
    """Connections must not cross a fork, so each process builds its own parts."""
    from app.logs import configure_logs
    from app.wiring import Container

    settings = load_settings()
    if settings.is_embedded:
        return  # the runtime that started this worker has installed its own container
    configure_logs(settings.log_level, settings.log_format)
    container = Container(settings, CeleryQueue(app))
    container.start_background()
    install(container)


@worker_init.connect
def _reconcile_first(sender: Any, **_kwargs: Any) -> None:
    """A worker that may send orders starts: whoever sent before may have died midway.

    Once per worker and before it takes a task; its pool's processes do not repeat it.
    """
    from workers.runtime import container

    if load_settings().is_embedded or "orders" not in sender.app.amqp.queues.consume_from:
        return
    container().gate.require_reconciliation("a worker for orders was started")


@task_prerun.connect
def _bind_task(task_id: str, task: Any, **_kwargs: Any) -> None:
    structlog.contextvars.bind_contextvars(task_id=task_id, task=task.name)


@task_postrun.connect
def _unbind_task(**_kwargs: Any) -> None:
    structlog.contextvars.clear_contextvars()
