"""Ticks of other processes, by Redis pub/sub: channel ``ticks:{exchange}:{symbol}``."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from app.adapters.prices import TickHandlers
from app.adapters.redis_link import open_redis

_log = structlog.get_logger(__name__)
_PREFIX: Final = "ticks:"
_PAUSE_S: Final = 0.5
# How soon a new subscription is noticed by a thread that listens.
_LOOK_S: Final = 0.1
# How long ``follow`` waits for Redis to confirm a subscription.
_FOLLOW_S: Final = 1.0
_STEP_S: Final = 1.0


class RedisTicks:
    """Listens to the channels of the symbols that somebody in this process follows.

    Args:
        handlers: who follows what.
        heard: called with each tick's text, exchange and symbol, on the listening thread.
    """

    def __init__(
        self, url: str, handlers: TickHandlers, heard: Callable[[bytes, str, str], None]
    ) -> None:
        self._url = url
        self._handlers = handlers
        self._heard = heard
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._change = threading.Condition()
        self._followed: set[tuple[str, str]] = set()
        self._stopping = threading.Event()

    def follow(self) -> None:
        """Listen to what the handlers want; waits a moment for Redis to say that it does."""
        if self._pid != os.getpid():
            self._reset()
        with self._change:
            if self._stopping.is_set():
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ticks", daemon=True)
                self._thread.start()
            self._change.wait_for(lambda: self._handlers.symbols() <= self._followed, _FOLLOW_S)

    def close(self) -> None:
        """Stop listening."""
        self._stopping.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(3.0)

    def _run(self) -> None:
        well = True
        while not self._stopping.is_set():
            client = open_redis(self._url, _STEP_S)
            try:
                with client.pubsub() as channel:  # type: ignore[no-untyped-call]
                    self._listen(channel)
            except (RedisError, OSError, ValueError) as error:
                if well:
                    _log.warning("ticks_interrupted", error=type(error).__name__)
                well = False
                self._stopping.wait(_PAUSE_S)
            else:
                well = True
            finally:
                client.close()
                self._note(set())

    def _listen(self, channel: Any) -> None:
        asked: set[tuple[str, str]] = set()
        silent = 0
        while not self._stopping.is_set():
            wanted = self._handlers.symbols()
            if not wanted and not asked:
                self._stopping.wait(_LOOK_S)
                continue
            if wanted - asked:
                channel.subscribe(*(_channel(each) for each in wanted - asked))
            if asked - wanted:
                channel.unsubscribe(*(_channel(each) for each in asked - wanted))
            asked = wanted
            message = channel.get_message(timeout=_LOOK_S)
            silent = 0 if message is not None else silent + 1
            if message is not None:
                self._take(message)
            elif silent % 50 == 0:
                channel.ping()  # its answer, or its absence, shows whether the line is dead

    def _take(self, message: dict[str, Any]) -> None:
        symbol = _symbol(message.get("channel"))
        if symbol is None:
            return
        if message["type"] == "subscribe":
            self._note(self._followed | {symbol})
        elif message["type"] == "unsubscribe":
            self._note(self._followed - {symbol})
        elif message["type"] == "message":
            self._heard(message["data"], *symbol)

    def _note(self, followed: set[tuple[str, str]]) -> None:
        with self._change:
            self._followed = followed
            self._change.notify_all()


def _channel(symbol: tuple[str, str]) -> str:
    return f"{_PREFIX}{symbol[0]}:{symbol[1]}"


def _symbol(channel: Any) -> tuple[str, str] | None:
    """(exchange, symbol) of a channel; a symbol may hold colons, an exchange's id does not."""
    text = channel.decode("utf-8", "replace") if isinstance(channel, bytes) else ""
    if not text.startswith(_PREFIX):
        return None
    exchange, _, symbol = text[len(_PREFIX) :].partition(":")
    return exchange, symbol
