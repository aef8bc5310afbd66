"""Tasks over a real RabbitMQ, with the rights that an installation gives.

One worker serves most stories: it must live through every message that is thrown at it.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kombu
import pytest

from app.adapters.celery_queue import CeleryQueue, make_celery
from app.adapters.rabbit_dead_letters import RabbitDeadLetters
from app.adapters.rabbit_topology import MAX_TASK_BODY, QUEUES, TASKS
from app.core.ports import DeadLetter
from app.services.dead_letters import DeadLetterService
from tests.integration.messaging.conftest import ProvisionedRabbitMQ, worker
from tests.support.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.slow]


@dataclass
class World:
    """A broker, a worker of ``orders``, and what it did."""

    broker: ProvisionedRabbitMQ
    queue: CeleryQueue
    process: subprocess.Popen[bytes]
    path: Path

    @property
    def letters(self) -> RabbitDeadLetters:
        return RabbitDeadLetters(self.broker.url)

    def runs(self) -> list[str]:
        return self.path.read_text().splitlines()

    def works(self, order_id: str) -> None:
        """The worker still takes orders."""
        assert self.queue.publish("orders.send", order_id)
        until(lambda: f"orders.send {order_id}" in self.runs(), what=f"{order_id} was sent")
        assert self.process.poll() is None

    def throw(self, body: Any, queue: str = "orders", **properties: Any) -> None:
        """Put a message into a queue as a stranger would."""
        with kombu.Connection(self.broker.url) as connection:
            connection.Producer().publish(body, exchange=TASKS, routing_key=queue, **properties)

    def dead(self, count: int = 1) -> list[DeadLetter]:
        """The dead letters, once there are so many."""
        found: list[DeadLetter] = []

        def enough() -> bool:
            found[:] = self.letters.all()
            return len(found) >= count

        until(enough, what=f"{count} dead letters")
        return found


@pytest.fixture(scope="module")
def shared(
    broker: ProvisionedRabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    path = tmp_path_factory.mktemp("queue") / "runs"
    path.touch()
    queue = CeleryQueue(make_celery(broker.url))
    with worker(broker.url, path, "orders") as process:
        yield World(broker, queue, process, path)
    queue.close()


@pytest.fixture
def world(shared: World) -> World:
    shared.letters.drop({letter.id for letter in shared.letters.all()})
    return shared


def _headers(task: str) -> dict[str, Any]:
    return {"task": task, "id": "an-id", "lang": "py"}


def _json(document: Any) -> dict[str, Any]:
    return {
        "body": json.dumps(document).encode(),
        "content_type": "application/json",
        "content_encoding": "utf-8",
    }


class _Canary:
    """Runs a command where somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def _poison(tmp_path: Path) -> dict[str, dict[str, Any]]:
    good = [["order"], {}, {}]
    send = _headers("orders.send")
    return {
        "not JSON": {**_json(good), "body": b"{nonsense", "headers": send},
        "JSON of another shape": {**_json({"order": 1}), "headers": send},
        "no task named": {**_json(good), "headers": {}},
        "a task that nobody knows": {**_json(good), "headers": _headers("orders.unheard_of")},
        "too few ids": {**_json([[], {}, {}]), "headers": send},
        "a number for an id": {**_json([[7], {}, {}]), "headers": send},
        "named arguments": {**_json([["o"], {"x": "y"}, {}]), "headers": send},
        "a pickle": {
            "body": pickle.dumps([[_Canary(tmp_path / "canary")], {}, {}]),
            "content_type": "application/x-python-serialize",
            "content_encoding": "binary",
            "headers": send,
        },
        "bytes that are no text": {**_json(good), "body": b"\xff\xfe\x00", "headers": send},
        "another charset": {**_json(good), "content_encoding": "nonsense", "headers": send},
        "an id that is none": {**_json(good), "headers": {**send, "id": {"a": "b"}}},
        "no id": {**_json(good), "headers": {"task": "orders.send"}},
        "a task to follow": {
            **_json([["order"], {}, {"errbacks": [{"task": "x", "args": []}]}]),
            "headers": send,
        },
        "too big": {**_json([["x" * MAX_TASK_BODY], {}, {}]), "headers": send},
    }


@pytest.mark.parametrize("kind", sorted(_poison(Path())))
def test_a_poisonous_message_ends_with_the_dead_and_the_worker_lives(
    world: World, tmp_path: Path, kind: str
) -> None:
    world.throw(**_poison(tmp_path)[kind])
    (letter,) = world.dead()
    assert (letter.queue, letter.reason, letter.deaths) == ("orders", "rejected", 1)
    assert letter.first_at > 1_700_000_000_000
    assert not (tmp_path / "canary").exists()
    world.works(f"after {kind}")


@pytest.mark.parametrize(
    "header",
    [
        {"timelimit": "boo"},
        {"stamped_headers": 5},
        {"stamps": "x"},
        {"retries": "many"},
        {"eta": "2099-01-01T00:00:00Z"},
        {"eta": {"no": "time"}},
        {"expires": "2001-01-01T00:00:00Z"},
        {"group": ["x"]},
        {"shadow": 7},
        {"argsrepr": {"a": 1}},
        {"origin": ["x"]},
    ],
    ids=str,
)
def test_a_hint_is_taken_without_what_no_hint_has(world: World, header: dict[str, Any]) -> None:
    """Celery reads headers before it looks at the task; a bad one would end the worker."""
    order = f"with {header}"
    world.throw(**_json([[order], {}, {}]), headers={**_headers("orders.send"), **header})
    until(lambda: f"orders.send {order}" in world.runs(), what="it was sent")
    world.works(f"after {header}")
    assert world.letters.all() == []


def test_a_film_in_the_queue_ends_with_the_dead(world: World) -> None:
    """Below the broker's own limit of a megabyte, which closes the publisher's channel."""
    film = b'"' + b"x" * 900_000 + b'"'
    world.throw(film, content_type="application/json", content_encoding="utf-8",
                headers=_headers("orders.send"))  # fmt: skip
    (letter,) = world.dead()
    assert letter.fault is not None
    assert "900002 bytes" in letter.fault
    world.works("after the film")


def test_dead_letters_go_back_or_go_away(world: World) -> None:
    """A release that lacks a task meets its hint; the next release knows it."""
    service = DeadLetterService(world.letters)
    world.throw(**_json([["first"], {}, {}]), headers=_headers("orders.unheard_of"))
    world.throw(**_json([["second"], {}, {}]), headers=_headers("orders.unheard_of"))
    world.throw(**_json([["third"], {}, {}]), headers=_headers("orders.send"), queue="alerts")
    until(lambda: _depth(world.broker, "alerts") == 1)
    first, second = sorted(world.dead(2), key=lambda letter: letter.ids)
    assert (first.task, first.ids, first.fault) == ("orders.unheard_of", ("first",), None)
    assert len({each.id for each in service.all()}) == 2, "looking at them moves nothing"
    assert service.drop([second.id]) == [second.id]
    assert [each.id for each in service.all()] == [first.id]
    assert service.requeue(None) == [first.id]
    (again,) = world.dead()  # the worker refused it once more: it was in its queue
    assert again.ids == ("first",)
    assert again.deaths == 1, "it begins anew"
    assert service.drop(None) == [again.id]
    assert service.all() == []
    with kombu.Connection(world.broker.url) as connection:
        connection.default_channel.queue_purge("alerts")


def _depth(broker: ProvisionedRabbitMQ, queue: str) -> int:
    with kombu.Connection(broker.url) as connection:
        declared = connection.default_channel.queue_declare(queue, passive=True)
        return int(declared.message_count)


def test_a_task_that_kills_its_process_is_dead_after_its_limit(
    broker: ProvisionedRabbitMQ, tmp_path: Path
) -> None:
    """A prefork pool, whose children alone can be killed: delivered 1 + 5 times, then dead."""
    path = tmp_path / "runs"
    path.touch()
    queue, letters = CeleryQueue(make_celery(broker.url)), RabbitDeadLetters(broker.url)
    letters.drop({letter.id for letter in letters.all()})
    with worker(broker.url, path, "backtests", "prefork", "killed") as process:
        assert queue.publish("backtests.kill", "job-1")
        until(letters.all, 100, "the task is dead")
        assert process.poll() is None
    (letter,) = letters.all()
    assert (letter.task, letter.ids, letter.queue) == ("backtests.kill", ("job-1",), "backtests")
    assert letter.reason == "delivery_limit"
    assert len(path.read_text().splitlines()) == 6
    letters.drop({letter.id})
    queue.close()


def test_the_queues_are_quorum_and_no_countdown_queues_exist(world: World) -> None:
    listed = world.broker.control("list_queues", "-p", "tidemark", "name", "type").splitlines()
    kinds = dict(line.split("\t") for line in listed if "\t" in line)
    assert {kinds[name] for name in (*QUEUES, "tidemark.dead")} == {"quorum"}
    assert not [name for name in kinds if name.startswith("celery_delayed")]


def test_flower_sees_a_hint_when_it_is_sent_and_when_it_runs(world: World, tmp_path: Path) -> None:
    """With the rights of its own user, which may listen to events and nothing else."""
    from celery.events.receiver import EventReceiver

    seen: list[tuple[str, str]] = []

    def note(event: dict[str, Any]) -> None:
        seen.append((event["type"], str(event.get("args", ""))))

    flower = make_celery(world.broker.url_of("tidemark_flower"))
    with flower.connection_for_read() as connection:
        receiver = EventReceiver(connection, handlers={"*": note}, app=flower)
        listening = threading.Thread(
            target=receiver.capture,
            kwargs={"limit": None, "timeout": 60, "wakeup": False},
            daemon=True,
        )
        listening.start()

        def both() -> bool:
            assert world.queue.publish("orders.send", "watched")
            sent = any(kind == "task-sent" and "watched" in args for kind, args in seen)
            return sent and any(kind == "task-succeeded" for kind, _ in seen)

        until(both, 30, "Flower saw the task")
        receiver.should_stop = True
        listening.join(10)


def _refused(work: Callable[[Any], Any], url: str) -> None:
    with (
        pytest.raises(Exception, match="ACCESS_REFUSED"),
        kombu.Connection(url) as connection,
    ):
        work(connection.default_channel)


def test_each_user_can_do_what_it_needs_and_no_more(world: World) -> None:
    broker = world.broker
    broker.control("add_vhost", "elsewhere")
    broker.control("add_user", "admin", broker.password)
    broker.control("set_permissions", "-p", "tidemark", "admin", ".*", ".*", ".*")
    with kombu.Connection(broker.url_of("admin")) as connection:
        connection.default_channel.queue_declare("payroll", durable=True, auto_delete=False)
    app, flower = broker.url, broker.url_of("tidemark_flower")
    with pytest.raises(Exception, match=r"NOT_ALLOWED|not allowed|access to vhost"):
        kombu.Connection(broker.url_of("tidemark_app", "elsewhere")).connect()
    _refused(lambda channel: channel.queue_delete("payroll"), app)
    _refused(lambda channel: channel.queue_purge("payroll"), app)
    _refused(lambda channel: channel.basic_get("payroll"), app)
    _refused(lambda channel: channel.queue_declare("mine", durable=True), app)
    _refused(lambda channel: channel.basic_get("orders"), flower)
    _refused(lambda channel: channel.queue_purge("orders"), flower)
    _refused(lambda channel: channel.queue_bind("orders", "celeryev", "#"), flower)
    for name in ("guest", "tidemark"):
        with pytest.raises(Exception, match="ACCESS_REFUSED"):
            kombu.Connection(broker.url_of(name, password=name)).connect()
    assert "guest" not in broker.control("list_users")
    world.works("after all that")
