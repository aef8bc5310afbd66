"""WebSocket connections: ordered sending that never blocks the market, and frame faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from simulator.faults import Action, Faults
from simulator.venue import Maintenance, Venue

# A client that is this far behind is cut off, as at the venue.
_MOST_WAITING: Final = 100_000


class Connection:
    """One client's socket: what is sent is queued, and ``write`` works the queue off."""

    def __init__(self, socket: web.WebSocketResponse, faults: Faults) -> None:
        self._socket = socket
        self._faults = faults
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()
        self._held_back: str | None = None
        self._silent = False

    def send(self, value: Any) -> None:
        """Queue an answer; faults do not touch it."""
        self.send_text(orjson.dumps(value).decode())

    def send_text(self, text: str) -> None:
        """Queue an answer that is written already."""
        self._put(text)

    def publish(self, text: str, stream: str, event: str, account: str | None = None) -> None:
        """Queue a frame of a stream, unless a fault has it otherwise."""
        rules = self._faults.for_frame(stream, event, account)
        actions = {rule.action for rule in rules}
        late = [rule.ms for rule in rules if rule.action is Action.WS_DELAY]
        if late:
            # Later frames that nothing delays overtake it, as between a venue's own servers.
            asyncio.get_running_loop().call_later(
                sum(late) / 1000, self._pass_on, text, actions - {Action.WS_DELAY}
            )
        else:
            self._pass_on(text, actions)

    def _pass_on(self, text: str, actions: set[Action]) -> None:
        if Action.WS_SILENT in actions:
            self._silent = True
        if Action.WS_CUT in actions:
            self._put(None)
            return
        if self._silent or Action.WS_DROP in actions:
            return
        if Action.WS_REORDER in actions and self._held_back is None:
            self._held_back = text
            return
        self._put(text)
        if Action.WS_DUPLICATE in actions:
            self._put(text)
        if self._held_back is not None:
            self._put(self._held_back)
            self._held_back = None

    def cut(self) -> None:
        """Close the socket once what is queued was sent."""
        self._put(None)

    async def write(self) -> None:
        """Send what is queued until the client is gone or is to be cut."""
        while (text := await self._waiting.get()) is not None:
            try:
                await self._socket.send_str(text)
            except ConnectionError:
                return
        await self._socket.close()

    def _put(self, text: str | None) -> None:
        if self._waiting.qsize() >= _MOST_WAITING:
            text = None
        self._waiting.put_nowait(text)


def refuse_offline(venue: Venue) -> None:
    """Open no socket while the whole venue is out of service.

    Raises:
        HTTPServiceUnavailable: it is.
    """
    if venue.maintenance is Maintenance.ALL:
        raise web.HTTPServiceUnavailable(text="System is under maintenance.")


async def texts(socket: web.WebSocketResponse) -> AsyncIterator[str]:
    """What a client sends as text."""
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            yield str(message.data)


def decoded(text: str) -> dict[str, Any] | None:
    """The JSON object that a client sent; None if it is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
