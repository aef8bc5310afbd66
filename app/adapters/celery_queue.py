"""The task queue: one Celery queue per class of work, JSON only, ids as arguments."""

from __future__ import annotations

import os
import socket
import time
import uuid
from typing import Any, Final

import structlog
from celery import Celery
from celery.utils.time import utcoffset
from kombu.serialization import dumps

from app.adapters.rabbit_link import RabbitLink
from app.adapters.rabbit_topology import CELERY_EVENTS, QUEUES, TASKS, declare_tasks, task_queue
from app.core.errors import TidemarkError

_log = structlog.get_logger(__name__)

# A backtest is the one task that may run for long. RabbitMQ's ``consumer_timeout`` (2 h in
# deploy/rabbitmq) must lie above it: a worker that holds a message longer is cut off.
_BACKTEST_LIMIT_S: Final = 6_600
#: Messages that a worker of these queues takes in advance, per thread or process. What waits
#: there cannot be done by an idle worker elsewhere, so long or urgent work takes none.
PREFETCH: Final = {
    "collection": 1,
    "backtests": 1,
    "orders": 1,
    "strategies": 2,
    "maintenance": 4,
    "alerts": 4,
}


def make_celery(broker_url: str) -> Celery:
    """The Celery application of one process, tasks not yet registered."""
    celery = Celery("tidemark", broker=broker_url)
    on_broker = not broker_url.startswith("memory:")
    celery.conf.update(_routing(on_broker=on_broker))
    celery.conf.update(_CONTENT)
    celery.conf.update(_DELIVERY)
    celery.conf.update(_PROCESS)
    celery.conf.update(_ON_BROKER if on_broker else _IN_MEMORY)
    return celery


def _routing(*, on_broker: bool) -> dict[str, Any]:
    return {
        "task_queues": [task_queue(name, on_broker=on_broker) for name in QUEUES],
        "task_default_exchange": TASKS,
        "task_default_exchange_type": "topic",
        "task_default_queue": "maintenance",
        "task_default_routing_key": "maintenance",
        "task_routes": [route],
        # A queue that nothing declares would be a classic one without limits.
        "task_create_missing_queues": False,
    }


_CONTENT: Final[dict[str, Any]] = {
    # Only JSON, in both directions: a pickle in the queue must never run.
    "task_serializer": "json",
    "accept_content": ["json"],
    "result_serializer": "json",
    "event_serializer": "json",
    # Results are rows; a result backend would be a second truth.
    "result_backend": None,
    "task_ignore_result": True,
    "timezone": "UTC",
    "enable_utc": True,
}

_DELIVERY: Final[dict[str, Any]] = {
    # At least once: a killed worker's message comes back. Effects are made once by rows.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    # Otherwise what runs while the line is lost goes on, and is delivered again beside itself.
    "worker_cancel_long_running_tasks_on_connection_loss": True,
}

_PROCESS: Final[dict[str, Any]] = {
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "broker_connection_retry_on_startup": True,
    # For ever: the supervisor cannot mend a broker by restarting its clients.
    "broker_connection_max_retries": None,
}

_IN_MEMORY: Final[dict[str, Any]] = {
    "task_publish_retry": False,
    # kombu's default asks once a second; 2 ms costs 2 % of a core and starts tasks at once.
    "broker_transport_options": {"polling_interval": 0.002},
    # The transport polls, so one in advance doubles its throughput.
    "worker_prefetch_multiplier": 2,
    "worker_send_task_events": False,
    "task_send_sent_event": False,
}

_ON_BROKER: Final[dict[str, Any]] = {
    # Our own publishers do without Celery's (see ``CeleryQueue``); this is for beat. Short: a
    # tick that could not be sent is followed by the next.
    "task_publish_retry": True,
    "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.5},
    "broker_connection_timeout": 3.0,
    # A dead peer is noticed within 20 s; the broker frees its messages within 20 s, too.
    "broker_heartbeat": 10,
    "broker_transport_options": {
        "confirm_publish": True,
        # Data that the peer does not acknowledge ends the connection (Linux; ms).
        "socket_settings": {socket.TCP_USER_TIMEOUT: 10_000}
        if hasattr(socket, "TCP_USER_TIMEOUT")
        else {},
    },
    "task_default_queue_type": "quorum",
    "worker_detect_quorum_queues": True,
    "worker_consumer": "app.adapters.rabbit_consumer:GuardedConsumer",
    # The consumer sets the prefetch of its own queues; see ``PREFETCH``.
    "worker_prefetch_multiplier": 1,
    # Asked to stop, a worker lets its tasks end for so long; what is cut off comes back.
    "worker_soft_shutdown_timeout": 20.0,
    # Honoured by the prefork pool of ``backtests`` alone; threads cannot be killed, so what
    # runs on them has timeouts of its own.
    "task_annotations": {
        "backtests.run": {
            "time_limit": _BACKTEST_LIMIT_S,
            "soft_time_limit": _BACKTEST_LIMIT_S - 60,
        }
    },
    "worker_send_task_events": True,
    "task_send_sent_event": True,
}


def route(name: str, *_args: Any, **_kwargs: Any) -> dict[str, str]:
    """Queue and routing key of a task: the first part of its name."""
    queue = name.partition(".")[0]
    if queue not in QUEUES:
        queue = "maintenance"
    return {"queue": queue, "routing_key": queue}


def prefetch_of(queues: set[str]) -> int:
    """Messages that a worker of these queues takes in advance, per thread or process."""
    return min((PREFETCH.get(queue, 1) for queue in queues), default=1)


class CeleryQueue:
    """A ``Queue`` over Celery. Safe for threads; survives a fork.

    On RabbitMQ a hint is confirmed by the broker, and costs its publisher two seconds at the
    very most: after that, and while the broker is away or blocks publishers, hints are refused
    at once and the sweeper gives them later.
    """

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        url = str(celery.conf.broker_url or "")
        self._origin = f"{os.getpid()}@{socket.gethostname()}"
        self._link = (
            None
            if url.startswith("memory:")
            else RabbitLink(url, declare_tasks, name="hint-publisher")
        )

    def publish(self, task: str, *ids: str) -> bool:
        """Ask for ``task(*ids)``; False if the broker did not take it. Never raises."""
        try:
            if self._link is None:
                self._celery.send_task(task, args=list(ids))
            else:
                self._publish(self._link, task, ids)
        except TidemarkError as error:
            _log.warning("task_not_published", task=task, reason=error.message)
            return False
        except Exception as error:  # noqa: BLE001 - kombu raises its transports' own errors
            _log.warning("task_not_published", task=task, error=type(error).__name__)
            return False
        return True

    def close(self) -> None:
        """Send what is on its way and let go of the connection."""
        if self._link is not None:
            self._link.close()

    def _publish(self, link: RabbitLink, task: str, ids: tuple[str, ...]) -> None:
        """A message as Celery makes it, on our own connection.

        Celery's producers wait for a confirm without end where the broker blocks publishers.
        """
        task_id = str(uuid.uuid4())
        conf = self._celery.conf
        headers, properties, arguments, sent = self._celery.amqp.as_task_v2(
            task_id,
            task,
            args=ids,
            kwargs={},
            create_sent_event=bool(conf.task_send_sent_event),
            ignore_result=True,
            origin=self._origin,
        )
        content_type, encoding, text = dumps(arguments, serializer="json")
        queue = route(task)["queue"]
        link.publish(
            TASKS,
            queue,
            _bytes(text),
            {
                "content_type": content_type,
                "content_encoding": encoding,
                "headers": headers,
                "properties": properties,
            },
            mandatory=True,
        )
        if sent is not None:
            self._announce(link, sent, queue)

    def _announce(self, link: RabbitLink, sent: dict[str, Any], queue: str) -> None:
        """Tell Flower of a task that waits; nothing depends on it."""
        event = {
            **sent,
            "type": "task-sent",
            "timestamp": time.time(),
            "utcoffset": utcoffset(),
            "hostname": self._origin,
            "pid": os.getpid(),
            "clock": self._celery.clock.forward(),  # type: ignore[attr-defined]
            "queue": queue,
            "exchange": TASKS,
            "routing_key": queue,
        }
        content_type, encoding, text = dumps(event, serializer="json")
        properties = {"content_type": content_type, "content_encoding": encoding}
        link.submit(CELERY_EVENTS, "task.sent", _bytes(text), properties, lambda _taken: None)


class NoQueue:
    """A ``Queue`` that takes nothing: for CLI commands beside a runtime that sweeps rows."""

    def publish(self, task: str, *ids: str) -> bool:  # noqa: ARG002
        """Do nothing; the runtime's sweeper finds the row within a second."""
        return False


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
