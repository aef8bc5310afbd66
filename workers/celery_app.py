"""Celery's entry point: ``celery -A workers.celery_app worker -Q orders``."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import structlog
from celery import Celery
from celery.signals import (
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
)

from app.adapters.celery_queue import CeleryQueue, make_celery
from app.config import Settings, load_settings, settings_or_exit
from workers import backtests, collection, heartbeat, maintenance, orders, strategies
from workers.beat_schedule import BEAT_SCHEDULE
from workers.runtime import install, is_installed

if TYPE_CHECKING:
    from app.wiring import Container

_log = structlog.get_logger(__name__)

#: The modules whose tasks this application serves.
TASK_MODULES = (backtests, collection, maintenance, orders, strategies)


def build_celery(settings: Settings) -> Celery:
    """The Celery application with every task and the beat schedule."""
    celery = make_celery(settings.broker_url)
    celery.conf.beat_schedule = BEAT_SCHEDULE
    celery.conf.beat_schedule_filename = str(settings.beat_file)
    heartbeat.install(celery)
    return celery


app = build_celery(settings_or_exit())


@setup_logging.connect
def _configure_logs(**_kwargs: Any) -> None:
    """Worker and beat log as every process does; Celery sets up nothing of its own then.

    Where they are threads of somebody else's process, it has its own way already.
    """
    if is_installed() and not _built:
        return
    from app.logs import configure_logs

    settings = load_settings()
    configure_logs(settings.log_level, settings.log_format)


@worker_init.connect
def _build_in_worker(sender: Any, **_kwargs: Any) -> None:
    """One container for a pool of threads; a pool of processes has one in each.

    A worker on a thread of somebody else's process takes the container that is there.
    """
    if is_installed():
        return
    # Celery asks for it later, and what is said before would show the parts' secrets.
    _configure_logs()
    from celery.concurrency import get_implementation
    from celery.concurrency.prefork import TaskPool

    from app.wiring.whole import whole_or_exit

    queues = sender.app.amqp.queues.consume_from
    try:
        # A worker for orders fails closed: it sends nothing on a record that it cannot look at.
        whole_or_exit(load_settings(), must_answer="orders" in queues)
        if issubclass(get_implementation(sender.pool_cls), TaskPool):
            return
        _build_container(can_read_keys="orders" in queues)
        _reconcile_first(queues)
    except Exception:  # noqa: BLE001
        # Celery would log it and let the worker take tasks, its accounts not compared.
        _log.critical("worker_not_started", exc_info=True)
        raise SystemExit(1) from None


@worker_process_init.connect
def _build_in_child(**_kwargs: Any) -> None:
    """Connections must not cross a fork, so each process builds its own parts.

    Backtests run in such pools, and nothing that needs an account's keys.
    """
    _build_container(can_read_keys=False)


@worker_shutdown.connect
@worker_process_shutdown.connect
def _close_container(**_kwargs: Any) -> None:
    """Mark what was sent, and let go of connections and strategy hosts."""
    if _built:
        install(None)
        _built.pop().close()


_built: list[Container] = []


def _build_container(*, can_read_keys: bool) -> None:
    from app.wiring import Container

    settings = load_settings()
    container = Container(settings, CeleryQueue(app), can_read_keys=can_read_keys)
    container.start_background()
    install(container)
    _built.append(container)


def _reconcile_first(queues: Collection[str]) -> None:
    """A worker that may send orders starts: whoever sent before may have died midway."""
    if _built and "orders" in queues:
        _built[0].gate.require_reconciliation("a worker for orders was started")


@task_prerun.connect
def _bind_task(task_id: str, task: Any, **_kwargs: Any) -> None:
    structlog.contextvars.bind_contextvars(task_id=task_id, task=task.name)


@task_postrun.connect
def _unbind_task(**_kwargs: Any) -> None:
    structlog.contextvars.clear_contextvars()
