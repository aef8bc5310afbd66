"""The bus over RabbitMQ: the topic exchange ``tidemark.events``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.adapters.rabbit_link import RabbitLink
from app.adapters.rabbit_listener import Handler, RabbitListener
from app.adapters.rabbit_topology import EVENTS, declare_events

_JSON: Final[Mapping[str, Any]] = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "headers": {},
}


class RabbitBus:
    """Implements ``Bus``. Safe for threads; survives a fork; connects with the first use.

    Events are persistent and confirmed. They reach whoever has a queue at the exchange at that
    moment: ``subscribe`` makes one for this process, and an operator may bind durable ones.
    """

    def __init__(self, url: str) -> None:
        self._link = RabbitLink(url, declare_events, name="event-publisher")
        self._listener = RabbitListener(url)

    def publish(self, topic: str, body: Mapping[str, Any]) -> None:
        """Send one event and wait for the broker's confirm, at most two seconds.

        Raises:
            Unavailable: the broker did not confirm it.
        """
        self._link.publish(EVENTS, topic, _encoded(body), _JSON)

    def offer(self, topic: str, body: Mapping[str, Any], taken: Callable[[], None]) -> None:
        """Send one event without waiting; ``taken()`` is called once the broker confirmed it.

        Raises:
            Unavailable: it will not be sent.
            InvalidInput: it is larger than what the broker is given.
        """

        def settled(confirmed: bool) -> None:
            if confirmed:
                taken()

        self._link.submit(EVENTS, topic, _encoded(body), _JSON, settled)

    def subscribe(self, pattern: str, handler: Handler) -> Callable[[], None]:
        """Call ``handler(topic, body)`` for matching events; returns how to stop.

        Events of the time in which the broker was away are missed: a listener that must not miss
        one reads the rows, of which an event is only the news.
        """
        return self._listener.subscribe(pattern, handler)

    def close(self) -> None:
        """Send what was offered, stop listening, and let go of the connections."""
        self._link.close()
        self._listener.close()


def _encoded(body: Mapping[str, Any]) -> bytes:
    # Plain JSON: kombu's own would mark special types, which other languages cannot read.
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
