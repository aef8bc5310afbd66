"""The queue ``tidemark.dead``: what it holds, and the ways out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from app.adapters.rabbit_link import RabbitLink, close_amqp, open_amqp
from app.adapters.rabbit_topology import (
    DEAD,
    QUEUES,
    TASKS,
    MalformedHint,
    as_bytes,
    declare_tasks,
    read_hint,
)
from app.core.errors import InvalidInput, TidemarkError, Unavailable
from app.core.ports import DeadLetter

_ID_CHARS: Final = 16
# A person waits, not an order: a busy broker may take its time.
_PATIENCE_S: Final = 15.0
# What the broker wrote on a message when it died; a requeued one begins anew.
_BROKERS_HEADERS: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")


class RabbitDeadLetters:
    """Implements ``DeadLetters``. Each call has a connection of its own; people call it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def all(self) -> list[DeadLetter]:
        """Every dead letter, oldest first; they are back in the queue when this returns."""
        with self._channel() as channel:
            return [letter for _, letter in _all_of(channel)]

    def requeue(self, ids: Container[str]) -> list[str]:
        """Put dead letters back into their queues; the ids of those that went."""
        link = RabbitLink(self._url, declare_tasks, name="requeue")

        def back(message: Any, letter: DeadLetter) -> bool:
            if letter.queue not in QUEUES:
                return False
            body = as_bytes(message.body)
            try:
                link.publish(TASKS, letter.queue, body, _properties(message), mandatory=True)
            except (InvalidInput, Unavailable):
                return False
            return True

        try:
            return self._take(ids, back)
        finally:
            link.close()

    def drop(self, ids: Container[str]) -> list[str]:
        """Delete dead letters; the ids of those that went."""
        return self._take(ids, lambda _message, _letter: True)

    def _take(self, ids: Container[str], leave: Callable[[Any, DeadLetter], bool]) -> list[str]:
        """Acknowledge the letters of these ids for which ``leave`` says that they may go."""
        gone = []
        with self._channel() as channel:
            # All are taken out before one leaves: a requeued one may be dead again at once, and
            # would be met for ever.
            wanted = [found for found in _all_of(channel) if found[1].id in ids]
            for message, letter in wanted:
                if leave(message, letter):
                    channel.basic_ack(message.delivery_tag)
                    gone.append(letter.id)
        return gone

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        """A channel; what was taken from it and not acknowledged is back when this ends.

        The broker is asked for that: of a channel that closes it hears later, and who lists the
        letters and then drops one would find none.
        """
        amqp = None
        try:
            amqp = open_amqp(self._url, read_timeout=_PATIENCE_S)
            channel = amqp.channel()
            declare_tasks(channel)
            yield channel
            channel.basic_recover(requeue=True)
        except TidemarkError:
            raise
        except Exception as error:
            # py-amqp raises its own errors, the socket's, and now and then an AttributeError.
            raise Unavailable(
                f"the broker cannot be asked for its dead letters ({type(error).__name__})"
            ) from error
        finally:
            if amqp is not None:
                close_amqp(amqp)


def _all_of(channel: Any) -> Iterator[tuple[Any, DeadLetter]]:
    """Take each message out of the queue until it says that it is empty.

    Its count is not asked for: it may be older than the last return of messages.
    """
    while (message := channel.basic_get(DEAD)) is not None:
        yield message, _letter(message)


def _letter(message: Any) -> DeadLetter:
    headers = message.properties.get("application_headers") or {}
    deaths = [each for each in headers.get("x-death") or [] if isinstance(each, Mapping)]
    task = headers.get("task")
    body = as_bytes(message.body)
    known = message.properties
    ids: tuple[str, ...] = ()
    fault: str | None = None
    try:
        ids = read_hint(known.get("content_type"), known.get("content_encoding"), headers, body).ids
    except MalformedHint as error:
        fault = str(error)
    return DeadLetter(
        id=_identity(headers, body),
        task=task[:200] if isinstance(task, str) else "",
        ids=ids,
        queue=_queue(message, headers),
        reason=str(headers.get("x-first-death-reason") or _first(deaths, "reason")),
        fault=fault,
        deaths=sum(int(each.get("count", 1)) for each in deaths),
        first_at=min((_millis(each.get("time")) for each in deaths), default=0),
    )


def _identity(headers: Mapping[str, Any], body: bytes) -> str:
    """A name that stays while the message lies there, also for one that has none of its own."""
    digest = hashlib.sha256(body)
    for part in (headers.get("id"), headers.get("x-death")):
        digest.update(repr(part).encode("utf-8", "replace"))
    return digest.hexdigest()[:_ID_CHARS]


def _queue(message: Any, headers: Mapping[str, Any]) -> str:
    known = headers.get("x-first-death-queue")
    return str(known or message.delivery_info.get("routing_key") or "")


def _first(deaths: list[Mapping[str, Any]], name: str) -> str:
    return str(deaths[-1].get(name, "")) if deaths else ""


def _millis(moment: Any) -> int:
    if isinstance(moment, datetime):
        # RabbitMQ's timestamps are seconds of UTC; py-amqp gives them without a zone.
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1000)
    return 0


def _properties(message: Any) -> dict[str, Any]:
    known = dict(message.properties)
    headers = {
        name: value
        for name, value in (known.pop("application_headers", None) or {}).items()
        if not name.startswith(_BROKERS_HEADERS)
    }
    kept = {name: known[name] for name in ("correlation_id", "reply_to") if name in known}
    return {
        "content_type": known.get("content_type"),
        "content_encoding": known.get("content_encoding"),
        "headers": headers,
        "properties": kept,
    }
