"""The task queue: what may travel in it, and what happens when it is away."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import workers
from app.adapters.celery_queue import QUEUES, CeleryQueue, NoQueue, make_celery, route
from app.services.jobs import TASKS
from app.services.schedule import PERIODS


def test_every_task_has_the_queue_of_its_name() -> None:
    from workers.celery_app import app

    tasks = [name for name in app.tasks if not name.startswith("celery.")]
    assert len(tasks) >= 12
    for name in tasks:
        assert route(name)["queue"] == name.partition(".")[0]
        assert route(name)["queue"] in QUEUES
    assert route("nonsense.task") == {"queue": "maintenance", "routing_key": "maintenance"}


def test_every_hint_that_services_give_names_a_task() -> None:
    from workers.celery_app import app

    hinted = {
        "collection.run_job",
        "collection.follow",
        "collection.roll_up",
        "collection.run_source",
        "orders.accept_signal",
        "orders.send",
        "orders.resolve",
        "orders.cancel",
        "orders.sync_account",
        "strategies.evaluate",
        *TASKS.values(),
        *PERIODS,
    }
    assert hinted <= set(app.tasks)


def test_task_files_hold_no_logic() -> None:
    """A task takes ids, calls a service, and nothing else: no task file knows SQL or ccxt."""
    for module in pkgutil.iter_modules(workers.__path__):
        loaded = importlib.import_module(f"workers.{module.name}")
        assert not {"sqlalchemy", "ccxt", "select"} & set(vars(loaded))


def test_only_json_travels_and_results_are_rows() -> None:
    for url in ("memory://localhost/", "amqp://user:x@127.0.0.1//"):
        conf = make_celery(url).conf
        assert (conf.task_serializer, list(conf.accept_content)) == ("json", ["json"])
        assert conf.result_backend is None
        assert conf.task_acks_late
        assert conf.task_reject_on_worker_lost


def test_rabbitmq_queues_are_quorum_with_a_delivery_limit() -> None:
    for queue in make_celery("amqp://user:x@127.0.0.1//").conf.task_queues:
        assert queue.queue_arguments["x-queue-type"] == "quorum"
        assert queue.queue_arguments["x-delivery-limit"] == 5


def test_a_broker_that_is_away_costs_a_hint_and_raises_nothing() -> None:
    celery = make_celery("amqp://user:x@127.0.0.1:1//")
    celery.conf.broker_transport_options = {"connect_timeout": 0.2}
    celery.conf.task_publish_retry = False
    assert CeleryQueue(celery).publish("orders.send", "1") is False
    assert NoQueue().publish("orders.send", "1") is False


@pytest.mark.broker
def test_hints_reach_a_real_rabbitmq(rabbitmq: object) -> None:
    """Published with confirms into quorum queues, and read back as JSON."""
    celery = make_celery(rabbitmq.url)  # type: ignore[attr-defined]
    assert CeleryQueue(celery).publish("orders.send", "order-1")
    with celery.connection_for_read() as connection:
        queue = next(each for each in celery.conf.task_queues if each.name == "orders")
        bound = queue(connection.default_channel)
        message = bound.get(no_ack=True)
        assert message is not None
        assert message.headers["task"] == "orders.send"
        assert message.content_type == "application/json"
        assert message.decode()[0] == ["order-1"]
