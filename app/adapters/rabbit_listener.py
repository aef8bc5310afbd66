"""Listening to the topic exchange: one queue per process, one thread, handlers by pattern."""

from __future__ import annotations

import json
import os
import select
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final

import structlog
from kombu import Queue

from app.adapters.local_bus import topic_matches
from app.adapters.rabbit_link import Waker, close_amqp, open_amqp
from app.adapters.rabbit_topology import EVENTS, as_bytes, declare_events

_log = structlog.get_logger(__name__)
Handler = Callable[[str, dict[str, Any]], None]

# A process this far behind loses the oldest events; they are in the outbox table.
_LONGEST_QUEUE: Final = 10_000
_PREFETCH: Final = 200
_PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0)
# How long ``subscribe`` waits for its binding; without a broker it is made later.
_BIND_S: Final = 2.0


class RabbitListener:
    """Delivers events to handlers on one thread, in the order in which they arrive."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._inherited: list[Any] = []
        self._amqp: Any = None
        self._reset()
        _LISTENERS.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._handlers: dict[int, tuple[str, Handler]] = {}
        self._next = 0
        self._bound: set[str] = set()
        self._binding = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._waker = Waker()

    def forget_parent(self) -> None:
        """After a fork: handlers and connection are the parent's, whose sockets stay open."""
        self._inherited.append((self._amqp, self._waker))
        self._amqp = None
        self._reset()

    def subscribe(self, pattern: str, handler: Handler) -> Callable[[], None]:
        """Call ``handler(topic, body)`` for matching events; returns how to stop.

        When it returns the queue is bound, unless the broker did not answer within two seconds:
        then it is bound as soon as the broker is there.
        """
        with self._lock:
            token, self._next = self._next, self._next + 1
            self._handlers[token] = (pattern, handler)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="event-listener", daemon=True
                )
                self._thread.start()
        self._waker.wake()
        with self._binding:
            self._binding.wait_for(lambda: pattern in self._bound, _BIND_S)

        def stop() -> None:
            with self._lock:
                self._handlers.pop(token, None)
            self._waker.wake()

        return stop

    def close(self) -> None:
        """Stop listening; the broker deletes the queue."""
        with self._lock:
            self._stopping = True
            thread = self._thread
        self._waker.wake()
        if thread is not None:
            thread.join(5.0)
        self._waker.close()

    # -- the thread --------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                self._connect()
                failures = 0
                self._serve()
            except Exception as error:  # noqa: BLE001 - py-amqp leaks even AttributeError
                if not failures:
                    _log.warning("events_interrupted", error=str(error)[:200])
                self._drop()
                self._rest(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                failures += 1
        amqp, self._amqp = self._amqp, None
        if amqp is not None:
            close_amqp(amqp)

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            select.select([self._waker], [], [], left)
            self._waker.clear()

    def _drop(self) -> None:
        amqp, self._amqp = self._amqp, None
        if amqp is not None:
            amqp.collect()
        with self._lock:
            self._bound = set()

    def _connect(self) -> None:
        self._amqp = open_amqp(self._url)
        channel = self._channel = self._amqp.channel()
        declare_events(channel)
        # A name of ours and not the broker's, because the rights go by name.
        self._name = f"tidemark.bus.{os.getpid()}.{os.urandom(8).hex()}"
        Queue(
            self._name,
            exclusive=True,
            auto_delete=True,
            durable=False,
            queue_arguments={"x-max-length": _LONGEST_QUEUE, "x-overflow": "drop-head"},
        )(channel).declare()
        channel.basic_qos(0, _PREFETCH, False)
        self._bind()
        channel.basic_consume(self._name, callback=self._on_message)

    def _serve(self) -> None:
        while not self._stopping:
            self._bind()
            ready, _, _ = select.select([self._amqp.transport.sock, self._waker], [], [], 1.0)
            if self._waker in ready:
                self._waker.clear()
            self._read()
            self._amqp.heartbeat_tick()

    def _bind(self) -> None:
        """Make the queue's bindings those of the present handlers."""
        with self._lock:
            wanted = {pattern for pattern, _ in self._handlers.values()}
            bound = set(self._bound)
        for pattern in wanted - bound:
            self._channel.queue_bind(self._name, EVENTS, pattern)
        for pattern in bound - wanted:
            self._channel.queue_unbind(self._name, EVENTS, pattern)
        if wanted != bound:
            with self._binding:
                self._bound = wanted
                self._binding.notify_all()

    def _read(self) -> None:
        try:
            while not self._stopping:
                self._amqp.drain_events(timeout=0)
        except TimeoutError:
            return  # nothing more for now

    def _on_message(self, message: Any) -> None:
        topic = message.delivery_info["routing_key"]
        with self._lock:
            handlers = [each for each in self._handlers.values() if topic_matches(each[0], topic)]
        body = _decoded(topic, message.body)
        if body is not None:
            for _, handler in handlers:
                self._call(handler, topic, body)
        self._channel.basic_ack(message.delivery_tag)

    def _call(self, handler: Handler, topic: str, body: dict[str, Any]) -> None:
        try:
            handler(topic, body)
        except Exception:  # noqa: BLE001
            # One listener must not silence the others; the failure is logged in full.
            _log.exception("bus_handler_failed", topic=topic)


def _decoded(topic: str, body: Any) -> dict[str, Any] | None:
    """An event's body; None, and a line in the log, for what is no event."""
    try:
        document = json.loads(as_bytes(body))
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    _log.warning("event_not_readable", topic=topic[:200])
    return None


_LISTENERS: weakref.WeakSet[RabbitListener] = weakref.WeakSet()


def _after_fork() -> None:
    for listener in list(_LISTENERS):
        listener.forget_parent()


os.register_at_fork(after_in_child=_after_fork)
