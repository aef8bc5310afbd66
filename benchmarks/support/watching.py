"""What is seen from outside while the stack works: frames, events, starts of tasks.

Each runs on a thread of the benchmark's own process and notes wall time, ms.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from celery.events.receiver import EventReceiver

from app.adapters.celery_queue import make_celery
from app.adapters.rabbit_listener import RabbitListener

# Steps of the protocol before the venue's word.
_BEFORE_ACK: Final = frozenset({"created", "sending", "retry", "unknown"})


def wall_ms() -> float:
    """Wall time, ms."""
    return time.time_ns() / 1e6


class Frames:
    """The venue's own kline frames, received on a connection beside the stack's.

    Attributes:
        closed: wall time of each closed bar's frame by (symbol, open ms).
    """

    def __init__(self, url: str, symbols: Sequence[str]) -> None:
        self._names = {symbol.replace("/", ""): symbol for symbol in symbols}
        streams = "/".join(f"{name.lower()}@kline_1m" for name in self._names)
        self._url = f"{url}/stream?streams={streams}"
        self.closed: dict[tuple[str, int], float] = {}
        self._open = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._open.wait(30):
            raise TimeoutError("the simulator's streams did not open")
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(10)

    async def _read(self) -> None:
        import aiohttp

        async with aiohttp.ClientSession() as session, session.ws_connect(self._url) as socket:
            self._open.set()
            while not self._stop.is_set():
                try:
                    message = await socket.receive(timeout=0.5)
                except TimeoutError:
                    continue
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                at = wall_ms()
                kline = json.loads(message.data)["data"]["k"]
                if kline["x"]:
                    self.closed.setdefault((self._names[kline["s"]], kline["t"]), at)


class Acknowledgements:
    """The first event of each order that says what the venue answered.

    It is published after the commit, so its arrival is later than the commit.

    Attributes:
        seen: wall time by order id.
    """

    def __init__(self, broker_url: str) -> None:
        self.seen: dict[str, float] = {}
        self._listener = RabbitListener(broker_url)

    def __enter__(self) -> Self:
        self._listener.subscribe("orders.#", self._take)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._listener.close()

    def _take(self, _topic: str, body: dict[str, Any]) -> None:
        if body["kind"] not in _BEFORE_ACK:
            self.seen.setdefault(body["order_id"], wall_ms())


class Tasks:
    """Celery's own events of tasks, as Flower gets them.

    Attributes:
        started: wall time at which a worker first began a task, by (task, its first argument).
    """

    def __init__(self, broker_url: str) -> None:
        self.started: dict[tuple[str, str], float] = {}
        self._named: dict[str, tuple[str, str]] = {}
        self._app = make_celery(broker_url)
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(30):
            raise TimeoutError("the broker did not answer")
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        with self._app.connection() as connection:
            handlers: dict[str, Callable[[dict[str, Any]], None]] = {
                "task-received": self._received,
                "task-started": self._started,
            }
            receiver: Any = EventReceiver(connection, handlers=handlers, app=self._app)
            with receiver.consumer_context(wakeup=False) as (line, _channel, _consumers):
                self._ready.set()
                while not self._stop.is_set():
                    try:
                        line.drain_events(timeout=0.5)
                    except TimeoutError:
                        continue

    def _received(self, event: dict[str, Any]) -> None:
        # Celery sends the arguments as their repr: ('an id',).
        first = str(event.get("args", "")).strip("()[], ").partition(",")[0].strip("'\" ")
        self._named[event["uuid"]] = (event["name"], first)

    def _started(self, event: dict[str, Any]) -> None:
        known = self._named.get(event["uuid"])
        if known is not None:
            self.started.setdefault(known, event["timestamp"] * 1000)
