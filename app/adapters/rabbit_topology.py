"""What exists on the broker: exchanges, queues and their limits, and what a task message is.

Every process declares all of it when it connects, so a broker that lost its data is made whole by
whoever comes first. The arguments of a queue that exists cannot be changed: a change here needs
the queue to be deleted on the broker, which the sweeper makes good.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from kombu import Exchange, Queue

#: Queue of each task by the first part of its name.
QUEUES: Final = ("collection", "strategies", "orders", "alerts", "maintenance", "backtests")
TASKS: Final = "tidemark.tasks"
EVENTS: Final = "tidemark.events"
DEAD: Final = "tidemark.dead"
CELERY_EVENTS: Final = "celeryev"

# A task that kills its worker comes back this often, then it is dead.
DELIVERY_LIMIT: Final = 5
# RabbitMQ 4 gives queues without a limit one of 20 and drops what exceeds it: each look at the
# dead letters is a delivery, so theirs must never be reached. (-1 is not understood before 4.0.)
_NO_LIMIT: Final = 1_000_000_000
# Hints beyond it are refused, and the sweeper gives them again: an outage of the workers must
# not fill the broker's disk. At one kilobyte each, 100 MB per queue.
_LONGEST_QUEUE: Final = 100_000
# The oldest go first; rows are the truth, and a message is only evidence.
_MOST_DEAD: Final = 20_000
#: A task's message is a name and some ids: a few hundred bytes.
MAX_TASK_BODY: Final = 16 * 1024
_MAX_ID: Final = 200

TASK_EXCHANGE: Final = Exchange(TASKS, type="topic", durable=True)
EVENT_EXCHANGE: Final = Exchange(EVENTS, type="topic", durable=True)
CELERY_EVENT_EXCHANGE: Final = Exchange(CELERY_EVENTS, type="topic", durable=True)
# A topic keeps the routing key, which names the queue that the message came from.
DEAD_EXCHANGE: Final = Exchange(DEAD, type="topic", durable=True)

_TASK_ARGUMENTS: Final[Mapping[str, Any]] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": DEAD,
    # The source keeps a dead message until ``tidemark.dead`` has confirmed it.
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-max-length": _LONGEST_QUEUE,
}
_DEAD_ARGUMENTS: Final[Mapping[str, Any]] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": _NO_LIMIT,
    "x-max-length": _MOST_DEAD,
}


def task_queue(name: str, *, on_broker: bool = True) -> Queue:
    """A queue of tasks; in memory it is a plain one."""
    arguments = dict(_TASK_ARGUMENTS) if on_broker else {}
    return Queue(name, TASK_EXCHANGE, routing_key=name, queue_arguments=arguments)


def dead_queue() -> Queue:
    """Where refused and too often delivered messages end."""
    return Queue(DEAD, DEAD_EXCHANGE, routing_key="#", queue_arguments=dict(_DEAD_ARGUMENTS))


def declare_tasks(channel: Any) -> None:
    """Make the exchanges and queues of tasks where they are missing."""
    CELERY_EVENT_EXCHANGE(channel).declare()
    dead_queue()(channel).declare()
    for name in QUEUES:
        task_queue(name)(channel).declare()


def declare_events(channel: Any) -> None:
    """Make the exchange of events where it is missing."""
    EVENT_EXCHANGE(channel).declare()


class MalformedHint(Exception):
    """A message is no task of ours; says in a few words what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A task's message as far as it counts.

    Attributes:
        id: the message's own.
        ids: what the task takes.
        origin: who sent it, as it says.
    """

    task: str
    id: str
    ids: tuple[str, ...]
    origin: str

    def headers(self) -> dict[str, Any]:
        """What Celery is given to read.

        It reads some twenty headers: times to wait for, limits, stamps. A hint has none of them,
        and a value that Celery cannot read ends the whole worker, again with each delivery.
        """
        return {
            "lang": "py",
            "task": self.task,
            "id": self.id,
            "root_id": self.id,
            "parent_id": None,
            "argsrepr": repr(self.ids),
            "kwargsrepr": "{}",
            "origin": self.origin,
            "ignore_result": True,
            "retries": 0,
        }


def read_hint(content_type: Any, encoding: Any, headers: Any, body: Any) -> Hint:
    """A task's message: a list of short strings, no keyword arguments, written as JSON.

    Nothing is decoded that is not declared to be JSON.

    Raises:
        MalformedHint: it is anything else.
    """
    text = as_bytes(body)
    _require_form(content_type, encoding, len(text))
    if not isinstance(headers, Mapping) or not _is_short(headers.get("task")):
        raise MalformedHint("it names no task")
    if not _is_short(headers.get("id")):
        raise MalformedHint("it has no id of its own")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedHint("its body is not JSON") from None
    origin = headers.get("origin")
    return Hint(
        task=headers["task"],
        id=headers["id"],
        ids=_ids_of(document),
        origin=origin if _is_short(origin) else "",
    )


def _require_form(content_type: Any, encoding: Any, size: int) -> None:
    if size > MAX_TASK_BODY:
        raise MalformedHint(f"its body has {size} bytes, more than {MAX_TASK_BODY}")
    if content_type != "application/json":
        raise MalformedHint(f"its content type is {str(content_type)[:60]!r}, not application/json")
    if str(encoding or "utf-8").lower() != "utf-8":
        raise MalformedHint(f"its encoding is {str(encoding)[:60]!r}, not utf-8")


def as_bytes(body: Any) -> bytes:
    """A message's body as it travelled; kombu gives text where a charset was declared."""
    return body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)


def _ids_of(document: Any) -> tuple[str, ...]:
    if not isinstance(document, list) or len(document) != 3:
        raise MalformedHint("its body is not a task's arguments")
    ids, named, further = document
    if named or not isinstance(ids, list):
        raise MalformedHint("its arguments are not a list of ids")
    if not all(_is_short(each) for each in ids):
        raise MalformedHint("its arguments are not ids")
    # Tasks that Celery would send after this one, of any name.
    if not isinstance(further, Mapping) or any(further.values()):
        raise MalformedHint("it asks for more than its task")
    return tuple(ids)


def _is_short(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= _MAX_ID
