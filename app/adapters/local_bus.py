"""The bus inside one process, with the same routing keys as the topic exchange."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog

_log = structlog.get_logger(__name__)
Handler = Callable[[str, dict[str, Any]], None]
# A subscriber that is this far behind loses the oldest events; they are in the outbox table.
_BACKLOG = 10_000


class LocalBus:
    """Delivers events to handlers on one thread, in the order of their publication."""

    def __init__(self) -> None:
        self._handlers: dict[int, tuple[str, Handler]] = {}
        self._lock = threading.Lock()
        self._next = 0
        self._events: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue(_BACKLOG)
        self._thread: threading.Thread | None = None

    def publish(self, topic: str, body: Mapping[str, Any]) -> None:
        """Hand an event to the delivery thread; nobody waits for its handlers."""
        with self._lock:
            listening = bool(self._handlers)
        if not listening:
            return
        try:
            self._events.put_nowait((topic, dict(body)))
        except queue.Full:
            _log.warning("bus_backlog_full", topic=topic)

    def offer(self, topic: str, body: Mapping[str, Any], taken: Callable[[], None]) -> None:
        """Send one event; memory takes it at once."""
        self.publish(topic, body)
        taken()

    def subscribe(self, pattern: str, handler: Handler) -> Callable[[], None]:
        """Call ``handler(topic, body)`` for matching events; returns how to stop."""
        with self._lock:
            token, self._next = self._next, self._next + 1
            self._handlers[token] = (pattern, handler)
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name="bus", daemon=True)
                self._thread.start()

        def stop() -> None:
            with self._lock:
                self._handlers.pop(token, None)

        return stop

    def close(self) -> None:
        """Deliver what is queued and stop the thread."""
        thread = self._thread
        if thread is not None:
            self._events.put(None)
            thread.join(timeout=5)
            self._thread = None

    def _deliver(self) -> None:
        while (item := self._events.get()) is not None:
            topic, body = item
            with self._lock:
                handlers = list(self._handlers.values())
            for pattern, handler in handlers:
                if topic_matches(pattern, topic):
                    self._call(handler, topic, body)

    def _call(self, handler: Handler, topic: str, body: dict[str, Any]) -> None:
        try:
            handler(topic, body)
        except Exception:  # noqa: BLE001
            # One listener must not silence the others; the failure is logged in full.
            _log.exception("bus_handler_failed", topic=topic)


def topic_matches(pattern: str, key: str) -> bool:
    """Whether a binding pattern matches a key: ``*`` is one part, ``#`` any number."""
    return _matches(pattern.split("."), key.split("."))


def _matches(pattern: list[str], key: list[str]) -> bool:
    if not pattern:
        return not key
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_matches(rest, key[skip:]) for skip in range(len(key) + 1))
    return bool(key) and head in ("*", key[0]) and _matches(rest, key[1:])
