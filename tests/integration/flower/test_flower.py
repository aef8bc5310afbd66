"""Flower for real: it sees queues and tasks, and can change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.adapters.celery_queue import make_celery
from app.cli.services.machine import LOOPBACK, free_port
from app.cli.services.rabbitmq import WatchedRabbitMQServer
from app.cli.supervision.table import WORKERS, flower_arguments, worker_arguments
from app.config import Settings
from app.repositories.database import open_engine
from app.repositories.migrating import upgrade
from tests.support.record import ROOT
from tests.support.simulator import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


@contextmanager
def process(log: Path, arguments: tuple[str, ...], **environment: str) -> Iterator[None]:
    """A process of the full stack's table."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    with log.open("w") as output:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=log.parent,
            env={**kept, "PYTHONPATH": str(ROOT), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Flower over a private RabbitMQ with workers of two queues, as the supervisor starts them."""
    directory = tmp_path_factory.mktemp("flower")
    port = free_port()
    with ExitStack() as stack:
        server = stack.enter_context(WatchedRabbitMQServer())
        settings = Settings(data_dir=directory, broker_url=server.app_url)
        record = open_engine(settings.sqlalchemy_url)
        upgrade(record)  # a worker without a record does not start
        record.dispose()
        common = {
            "TIDEMARK_BROKER_URL": server.app_url,
            "TIDEMARK_DATA_DIR": str(directory),
            "TIDEMARK_ENVIRONMENT": "testing",
        }
        for worker in WORKERS:
            if worker.name in ("orders", "collection"):
                log = directory / f"{worker.name}.log"
                stack.enter_context(process(log, worker_arguments(worker, settings), **common))
        watching = {
            **common,
            "TIDEMARK_BROKER_URL": server.flower_url,
            "FLOWER_BROKER_API": server.flower_api,
            "FLOWER_UNAUTHENTICATED_API": "true",
        }
        log = directory / "flower.log"
        stack.enter_context(process(log, flower_arguments(LOOPBACK, port), **watching))
        client = stack.enter_context(
            httpx.Client(base_url=f"http://{LOOPBACK}:{port}/flower", trust_env=False, timeout=30)
        )
        wait_until(lambda: _answers(client), 60)
        queue = make_celery(server.app_url)
        # Flower's list begins with the first event that it hears; until then they are sent anew.
        wait_until(lambda: _seen_after_sending(queue, client), 90)
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthcheck").status_code == 200
    except httpx.TransportError:
        return False


def _seen_after_sending(queue: Any, client: httpx.Client) -> bool:
    queue.send_task("orders.send", args=["00000000-0000-7000-8000-000000000001"])
    queue.send_task("collection.follow", args=["00000000-0000-7000-8000-000000000002"])
    found = {each["name"] for each in tasks(client).values() if each.get("worker")}
    return {"orders.send", "collection.follow"} <= found


def tasks(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Flower's tasks by id."""
    found: dict[str, dict[str, Any]] = client.get("/api/tasks").json()
    return found


def test_it_sees_the_tasks_of_both_queues_with_their_workers(flower: httpx.Client) -> None:
    wait_until(
        lambda: (
            {"orders", "collection"}
            <= {
                each["worker"].partition("@")[0]
                for each in tasks(flower).values()
                if each.get("worker") and each["state"] in ("SUCCESS", "FAILURE")
            }
        ),
        60,
    )
    seen = list(tasks(flower).values())
    by_name = {each["name"]: each for each in seen if each.get("worker")}
    assert by_name["orders.send"]["worker"].startswith("orders@")
    assert by_name["collection.follow"]["worker"].startswith("collection@")
    # Tasks carry ids, so there is nothing else to see.
    assert "00000000-0000-7000-8000-000000000001" in by_name["orders.send"]["args"]


def test_it_sees_every_queue_and_its_length(flower: httpx.Client) -> None:
    def known() -> set[str]:
        found = flower.get("/api/queues/length").json()["active_queues"]
        return {each["name"] for each in found}

    wait_until(lambda: {"orders", "maintenance", "collection"} <= known(), 60)


@pytest.mark.parametrize(
    "path",
    [
        "/api/worker/shutdown/orders@host",
        "/api/worker/pool/restart/orders@host",
        "/api/worker/pool/grow/orders@host",
        "/api/worker/pool/shrink/orders@host",
        "/api/worker/pool/autoscale/orders@host",
        "/api/worker/queue/add-consumer/orders@host",
        "/api/worker/queue/cancel-consumer/orders@host",
        "/api/task/apply/orders.send",
        "/api/task/async-apply/orders.send",
        "/api/task/send-task/orders.send",
        "/api/task/abort/1",
        "/api/task/timeout/orders.send",
        "/api/task/rate-limit/orders.send",
        "/api/task/revoke/1",
    ],
)
def test_it_refuses_everything_that_changes_something(flower: httpx.Client, path: str) -> None:
    answer = flower.post(path, json={})
    assert answer.status_code == 403, answer.text
    assert "Read only" in answer.text


def test_the_list_of_refusals_is_complete() -> None:
    """Every handler of Flower's API that takes a POST is in the test above."""
    from flower.urls import handlers

    posts = {
        each[0].removeprefix("/api").removesuffix("(.+)")
        for each in handlers
        if isinstance(each, tuple) and each[0].startswith("/api") and "post" in vars(each[1])
    }
    marks = test_it_refuses_everything_that_changes_something.pytestmark  # type: ignore[attr-defined]
    tried = next(mark.args[1] for mark in marks if mark.name == "parametrize")
    covered = {path.removeprefix("/api").rpartition("/")[0] + "/" for path in tried}
    assert posts == covered
