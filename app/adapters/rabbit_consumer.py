"""The worker's side of the queue: what cannot be a task of ours becomes a dead letter.

Celery acknowledges a message that it cannot decode, which loses it, and leaves wrong arguments to
fail within the task, which acknowledges it as well. Here each such message is rejected, so that
the broker puts it into ``tidemark.dead``; the worker goes on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import structlog
from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.delayed_delivery import DelayedDelivery
from celery.worker.consumer.events import Events
from kombu.common import ignore_errors

from app.adapters.celery_queue import prefetch_of
from app.adapters.rabbit_topology import Hint, MalformedHint, declare_tasks, read_hint

_log = structlog.get_logger(__name__)
# For the bytes of one event to leave; a broker that takes none for longer is connected to anew.
_EVENT_S = 2
# How often the events of tasks are sent. Celery sends each at once, which took a tenth of the
# CPU time of an order's tasks and half of the messages that the broker had of them.
_TELL_S = 0.25
_DELAYED = f"{DelayedDelivery.__module__}:{DelayedDelivery.__name__}"


class EventTimer(bootsteps.StartStopStep):
    """Sends what has gathered of the tasks' events, four times a second and at the end."""

    requires = (Events,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._timer: Any = None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Begin, each time that the worker has connected."""
        self._timer = consumer.timer.call_repeatedly(_TELL_S, consumer.event_dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        """Send the rest; what a lost line does not take is sent by the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if consumer.event_dispatcher:
            ignore_errors(consumer, consumer.event_dispatcher.flush)

    shutdown = stop


class GuardedConsumer(Consumer):
    """Celery's consumer, which lets only task messages of ours through."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[valid-type, misc]
        """Without native delayed delivery: 28 queues for countdowns, which are not used here."""

        default_steps: ClassVar[list[Any]] = [
            *(step for step in Consumer.Blueprint.default_steps if step != _DELAYED),
            EventTimer,
        ]

    def __init__(self, *args: Any, **options: Any) -> None:
        threads = options.get("initial_prefetch_count", 2) // options.get("prefetch_multiplier", 1)
        multiplier = prefetch_of(set(options["app"].amqp.queues.consume_from))
        options["initial_prefetch_count"] = threads * multiplier
        options["prefetch_multiplier"] = multiplier
        super().__init__(*args, **options)

    def connect(self) -> Any:
        """Connect, and make what a broker without data lacks."""
        connection = super().connect()
        with connection.channel() as channel:
            declare_tasks(channel)
        return connection

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """The line of the worker's own events. None waits for the broker's word: one whose disk
        is full gives none, and the loop that sends them takes the tasks, too."""
        connection = self.app.connection_for_write(url=url, heartbeat=heartbeat)
        connection.transport_options = {
            **(connection.transport_options or {}),
            "confirm_publish": False,
            "write_timeout": _EVENT_S,
        }
        return self.ensure_connected(connection)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]
        """Leave the event in its buffer, which ``EventTimer`` sends as a whole."""

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """Celery's handler behind our own gate."""
        handle: Callable[[Any], Any] = super().create_task_handler(*args, **options)

        def gate(message: Any) -> Any:
            try:
                hint = self._hint(message)
            except MalformedHint as fault:
                return self._refuse(message, str(fault))
            message.headers = hint.headers()
            return handle(message)

        return gate

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Reject what cannot be read; Celery itself would acknowledge it."""
        self._refuse(message, f"it cannot be decoded ({type(exc).__name__})")

    def _refuse(self, message: Any, fault: str) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        _log.error(
            "message_refused",
            fault=fault,
            task=str(headers.get("task"))[:100],
            task_id=str(headers.get("id"))[:100],
            queue=str((message.delivery_info or {}).get("routing_key"))[:100],
        )
        message.reject_log_error(_log, self.connection_errors)  # type: ignore[attr-defined]

    def _hint(self, message: Any) -> Hint:
        """A message that some task here takes.

        Raises:
            MalformedHint: none does.
        """
        hint = read_hint(
            message.content_type, message.content_encoding, message.headers, message.body
        )
        task = self.app.tasks.get(hint.task)
        if task is None:
            raise MalformedHint("no worker of this release knows the task")
        try:
            _signature(task).bind(*hint.ids)
        except TypeError as error:
            raise MalformedHint(f"the task does not take these ids ({error})") from None
        return hint


@cache
def _signature(task: Any) -> inspect.Signature:
    return inspect.signature(task.run)
