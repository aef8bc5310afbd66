"""One confirmed publishing connection to RabbitMQ, on a thread of its own.

Whoever publishes hands its message over and, if it wants to know, waits for the broker's confirm
for a bounded time: a socket that hangs, a broker that is away or one that blocks its publishers
(memory or disk alarm) never holds the caller. Confirms are pipelined, so many callers share the
cost of the broker's fsync.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from kombu import Connection

from app.core.errors import InvalidInput, Unavailable

_log = structlog.get_logger(__name__)

#: Longest that a caller of ``publish`` waits, seconds.
WAIT_S: Final = 2.0
# A healthy broker confirms within 100 ms (fsync of a quorum queue: p99 45 ms measured).
_CONFIRM_S: Final = 1.5
# A broker that neither confirms nor says that it is blocked is left for a new connection.
_STALLED_S: Final = 10.0
_CONNECT_S: Final = 1.0
# Of one read or write within the handshake and while declaring.
_SOCKET_S: Final = 2.0
_HEARTBEAT_S: Final = 10
_PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0)
#: Messages that wait for the connection's thread; above it callers are refused at once.
BACKLOG: Final = 10_000
# Published and not confirmed; a larger window gains nothing and is lost on a broken connection.
_WINDOW: Final = 2_000
#: Largest body; ids and events are far below it, and a broker's own limit closes the channel.
MAX_BODY: Final = 256 * 1024
_MAX_KEY: Final = 255


@dataclass(slots=True)
class _Outgoing:
    exchange: str
    routing_key: str
    body: bytes
    properties: Mapping[str, Any]
    settled: Callable[[bool], None]
    mandatory: bool
    # Set while it is on the wire.
    deadline: float = 0.0


class Waker:
    """Ends a ``select`` from another thread."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)

    def fileno(self) -> int:
        """What to select on."""
        return self._here.fileno()

    def wake(self) -> None:
        """End the present or the next ``select``."""
        try:
            self._there.send(b"w")
        except OSError:
            return  # full: it will wake anyway; closed: nobody selects any more

    def clear(self) -> None:
        """Take back every wake-up so far."""
        try:
            while self._here.recv(4096):
                pass
        except OSError:
            return

    def close(self) -> None:
        """Let go of both ends."""
        self._here.close()
        self._there.close()


def open_amqp(url: str, **options: Any) -> Any:
    """A connected ``amqp.Connection``; each step of the handshake is bounded.

    Args:
        options: arguments of ``amqp.Connection``.
    """
    client = Connection(
        url,
        connect_timeout=_CONNECT_S,
        heartbeat=_HEARTBEAT_S,
        transport_options={"read_timeout": _SOCKET_S, "write_timeout": _SOCKET_S, **options},
    )
    # Without kombu's retries: whoever calls has its own pauses.
    return client.transport.establish_connection()


def close_amqp(connection: Any) -> None:
    """Say goodbye if the broker listens, and let go of the socket in any case."""
    try:
        connection.transport.sock.settimeout(0.5)
        connection.close()
    except Exception as error:  # noqa: BLE001 - it is being thrown away
        _log.debug("amqp_close_failed", error=type(error).__name__)
        connection.collect()


class RabbitLink:
    """Publishes with confirms from one thread, which starts with the first message.

    Args:
        declare: called with the channel after each connect, to make the exchanges and queues.
        name: of the thread, and in the log.
    """

    def __init__(self, url: str, declare: Callable[[Any], None], *, name: str) -> None:
        self._url = url
        self._declare = declare
        self._name = name
        self._inherited: list[Any] = []
        self._amqp: Any = None
        self._reset()
        _LINKS.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: deque[_Outgoing] = deque()
        self._unconfirmed: dict[int, _Outgoing] = {}
        self._tag = 0
        self._down: str | None = None
        self._blocked = False
        self._stalled_at: float | None = None
        self._stopping = False
        self._waker = Waker()

    def forget_parent(self) -> None:
        """After a fork: the parent's connection is the parent's.

        It is kept, not closed: py-amqp would shut the shared socket down.
        """
        self._inherited.append((self._amqp, self._waker))
        self._amqp = None
        self._reset()

    # -- for callers -------------------------------------------------------------------

    @property
    def down(self) -> str | None:
        """Why messages are refused at present, or None."""
        return self._down

    def submit(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Mapping[str, Any],
        settled: Callable[[bool], None],
        *,
        mandatory: bool = False,
    ) -> None:
        """Hand a message over without waiting; ``settled(taken)`` is called once, elsewhere.

        Args:
            properties: ``content_type``, ``content_encoding``, ``headers`` and, under
                ``properties``, any other property of the message.
            mandatory: whether a message that reaches no queue counts as not taken.

        Raises:
            Unavailable: it will not be sent; ``settled`` is not called.
            InvalidInput: the same, and no other attempt will do.
        """
        if len(body) > MAX_BODY or len(routing_key.encode()) > _MAX_KEY:
            raise InvalidInput(
                f"a message of {len(body)} bytes to {routing_key[:60]!r} is beyond what the "
                "broker is given"
            )
        with self._lock:
            if self._stopping:
                raise Unavailable("the connection to the broker is closed")
            if self._down is not None:
                raise Unavailable(self._down)
            if len(self._waiting) >= BACKLOG:
                raise Unavailable(f"{BACKLOG} messages wait for the broker already")
            self._waiting.append(
                _Outgoing(exchange, routing_key, body, properties, settled, mandatory)
            )
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._waker.wake()

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Mapping[str, Any],
        *,
        mandatory: bool = False,
    ) -> None:
        """Send a message and wait for the confirm, at most ``WAIT_S`` seconds.

        Raises:
            Unavailable: the broker did not confirm it; it may have it all the same.
        """
        done = threading.Event()
        outcome: list[bool] = []

        def settled(taken: bool) -> None:
            outcome.append(taken)
            done.set()

        self.submit(exchange, routing_key, body, properties, settled, mandatory=mandatory)
        if not done.wait(WAIT_S):
            # Nobody after us should wait as long; the thread says when the broker is well.
            self._set_down("the broker does not answer")
            raise Unavailable("the broker did not answer in time")
        if not outcome[0]:
            raise Unavailable(self._down or "the broker refused the message")

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what was handed over, for a bounded time, and let go of the connection."""
        with self._lock:
            self._stopping = True
            thread = self._thread
        if thread is not None:
            self._waker.wake()
            thread.join(timeout_s + _SOCKET_S)
        self._fail_all()
        self._waker.close()

    # -- the thread --------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._is_over():
            try:
                self._connect()
                failures = 0
                self._serve()
            except Exception as error:  # noqa: BLE001 - py-amqp leaks even AttributeError
                self._set_down(f"the broker is away ({type(error).__name__})")
                if not failures:
                    _log.warning("broker_lost", link=self._name, error=str(error)[:200])
                self._drop()
                pause = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
                failures += 1
                self._rest(pause)
        self._fail_all()
        if self._amqp is not None:
            close_amqp(self._amqp)
            self._amqp = None

    def _is_over(self) -> bool:
        if not self._stopping:
            return False
        return self._down is not None or not (self._waiting or self._unconfirmed)

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            select.select([self._waker], [], [], left)
            self._waker.clear()

    def _connect(self) -> None:
        self._amqp = open_amqp(
            self._url, on_blocked=self._on_blocked, on_unblocked=self._on_unblocked
        )
        channel = self._channel = self._amqp.channel()
        self._declare(channel)
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        self._tag = 0
        self._blocked, self._stalled_at = False, None
        self._set_down(None)

    def _drop(self) -> None:
        amqp, self._amqp = self._amqp, None
        if amqp is not None:
            amqp.collect()
        self._fail_all()

    def _serve(self) -> None:
        while not self._is_over():
            self._send_waiting()
            busy = bool(self._unconfirmed) or self._stopping
            ready, _, _ = select.select(
                [self._amqp.transport.sock, self._waker], [], [], 0.1 if busy else 1.0
            )
            if self._waker in ready:
                self._waker.clear()
            self._read()
            self._judge_delays()
            self._amqp.heartbeat_tick()

    def _send_waiting(self) -> None:
        while self._waiting and len(self._unconfirmed) < _WINDOW:
            if self._down is not None:
                self._fail_waiting()
                return
            with self._lock:
                if not self._waiting:
                    return
                item = self._waiting.popleft()
            self._tag += 1
            item.deadline = time.monotonic() + _CONFIRM_S
            self._unconfirmed[self._tag] = item
            message = self._channel.prepare_message(
                item.body,
                content_type=item.properties.get("content_type"),
                content_encoding=item.properties.get("content_encoding"),
                headers=item.properties.get("headers") or {},
                properties={
                    **(item.properties.get("properties") or {}),
                    "delivery_mode": 2,
                    "message_id": str(self._tag),
                },
            )
            self._channel.basic_publish(
                message, item.exchange, item.routing_key, mandatory=item.mandatory
            )

    def _read(self) -> None:
        try:
            while True:
                self._amqp.drain_events(timeout=0)
        except TimeoutError:
            return  # nothing more for now

    def _judge_delays(self) -> None:
        now = time.monotonic()
        oldest = next(iter(self._unconfirmed.values()), None)
        if oldest is not None and oldest.deadline < now:
            self._stalled_at = self._stalled_at or now
            self._set_down("the broker takes messages and does not confirm them")
            self._fail_all()
        if self._blocked:
            return
        if self._stalled_at is None:
            if self._down is not None:
                self._set_down(None)  # a caller lost patience, and the connection is well
        elif now - self._stalled_at > _STALLED_S:
            raise TimeoutError("the broker confirmed nothing for 10 s")

    # -- what the broker says ----------------------------------------------------------

    def _on_ack(self, tag: int, multiple: bool) -> None:
        if self._stalled_at is not None and not self._blocked:
            self._stalled_at = None
            self._set_down(None)
        self._settle(tag, multiple, taken=True)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple, taken=False)

    def _on_return(self, _error: Any, _exchange: str, key: str, message: Any) -> None:
        """A queue is missing: that message is lost, and the next connect makes the queue."""
        item = self._unconfirmed.pop(int(message.properties.get("message_id", 0)), None)
        _log.warning("message_unroutable", link=self._name, routing_key=key)
        if item is not None:
            item.settled(False)
        self._declare(self._channel)

    def _on_blocked(self, reason: str) -> None:
        _log.warning("broker_blocks_publishers", link=self._name, reason=reason)
        self._blocked = True
        self._set_down("the broker blocks publishers until its memory or disk alarm ends")
        self._fail_all()

    def _on_unblocked(self) -> None:
        _log.info("broker_unblocked", link=self._name)
        self._blocked, self._stalled_at = False, None
        self._set_down(None)

    # -- outcomes ----------------------------------------------------------------------

    def _set_down(self, why: str | None) -> None:
        with self._lock:
            self._down = why

    def _settle(self, tag: int, multiple: bool, *, taken: bool) -> None:
        # Tags ascend in insertion order, so the ones up to a tag are at the front.
        if not multiple:
            found = [tag] if tag in self._unconfirmed else []
        else:
            found = [known for known in self._unconfirmed if known <= tag]
        for known in found:
            self._unconfirmed.pop(known).settled(taken)

    def _fail_waiting(self) -> None:
        with self._lock:
            lost, self._waiting = self._waiting, deque()
        for item in lost:
            item.settled(False)

    def _fail_all(self) -> None:
        lost, self._unconfirmed = self._unconfirmed, {}
        for item in lost.values():
            item.settled(False)
        self._fail_waiting()


_LINKS: weakref.WeakSet[RabbitLink] = weakref.WeakSet()


def _after_fork() -> None:
    for link in list(_LINKS):
        link.forget_parent()


os.register_at_fork(after_in_child=_after_fork)
