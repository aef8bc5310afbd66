"""Streams of market data: who listens to what, and what they are sent as time moves."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Final

from aiohttp import web

from simulator.bars import Bars
from simulator.dialects.pages import Grid, Page, newest
from simulator.faults import Faults
from simulator.market import Market
from simulator.sockets import Connection, refuse_offline, texts
from simulator.venue import Venue

_SECOND: Final = 1_000


class Broadcast(ABC):
    """The streams behind some addresses of one venue.

    A stream is a name that connections listen to. The same second of the market is published
    once, however many steps it is made of; bars that close are published at once.

    Attributes:
        heartbeat: seconds between two pings of the venue; None if it sends none.
    """

    heartbeat: ClassVar[float | None] = None

    def __init__(self, venue: Venue, faults: Faults, paths: tuple[str, ...]) -> None:
        self._venue = venue
        self._faults = faults
        self._paths = paths
        # Names, and for each connection whether its frames are wrapped.
        self._listeners: dict[str, dict[Connection, bool]] = {}
        # Start of the stretch that is not published yet; None if all of it is.
        self._begun: int | None = None
        venue.on_step.append(self._step)
        venue.audiences.append(lambda: bool(self._listeners))

    def add_routes(self, app: web.Application) -> None:
        """Mount the streams where clients look for them."""
        for path in self._paths:
            app.router.add_get(path, self._serve)
            app.router.add_get(path + "/{rest:.*}", self._serve)

    # -- what a venue says ----------------------------------------------------------------

    def _opened(self, connection: Connection, request: web.Request) -> None:
        """A client has come, whose address may name streams."""
        del connection, request

    @abstractmethod
    def _heard(self, connection: Connection, request: web.Request, text: str, /) -> None:
        """Answer what a client sent."""

    @abstractmethod
    def _frames(
        self, name: str, before: int, now: int, *, is_last: bool
    ) -> Iterator[tuple[str, str]]:
        """(kind, JSON) of the frames of one stream for a step of time.

        ``is_last`` says that time stands still after it: only then what is no bar that has
        closed is worth a frame.
        """

    def _wrapped(self, name: str, text: str) -> str:
        """A frame for a connection that wants it wrapped."""
        del name
        return text

    # -- one client -----------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        refuse_offline(self._venue)
        socket = web.WebSocketResponse(autoping=True, compress=False, heartbeat=self.heartbeat)
        await socket.prepare(request)
        connection = Connection(socket, self._faults)
        self._venue.on_offline.append(connection.cut)
        self._opened(connection, request)
        writer = asyncio.create_task(self._write(connection, socket))
        try:
            async for text in texts(socket):
                self._heard(connection, request, text)
        finally:
            self._venue.on_offline.remove(connection.cut)
            self._leave(connection)
            writer.cancel()
        return socket

    async def _write(self, connection: Connection, socket: web.WebSocketResponse) -> None:
        await connection.write()
        self._leave(connection)
        await socket.close()

    def _subscribe(self, connection: Connection, name: str, *, is_wrapped: bool = False) -> None:
        self._listeners.setdefault(name, {})[connection] = is_wrapped

    def _unsubscribe(self, connection: Connection, name: str) -> None:
        listeners = self._listeners.get(name, {})
        listeners.pop(connection, None)
        if not listeners:
            self._listeners.pop(name, None)
            self._forgotten(name)

    def _forgotten(self, name: str) -> None:
        """Nobody listens to a stream any more."""
        del name

    def _leave(self, connection: Connection) -> None:
        for name in self._of(connection):
            self._unsubscribe(connection, name)

    def _of(self, connection: Connection) -> list[str]:
        return [name for name, listeners in self._listeners.items() if connection in listeners]

    # -- publishing -----------------------------------------------------------------------

    def _step(self, before: int, now: int, is_last: bool) -> None:
        """Publish a step of the tape: at most once in a market second, closed bars at once."""
        begun = before if self._begun is None else self._begun
        if now // _SECOND == begun // _SECOND:
            self._begun = begun
            return
        self._begun = None
        for name in list(self._listeners):
            for kind, text in self._frames(name, begun, now, is_last=is_last):
                self._publish(name, kind, text)

    def _publish(self, name: str, kind: str, text: str) -> None:
        for connection, is_wrapped in list(self._listeners.get(name, {}).items()):
            framed = self._wrapped(name, text) if is_wrapped else text
            connection.publish(framed, name, kind)


def bars_of_step(
    market: Market, grid: Grid, before: int, now: int, *, is_last: bool
) -> Iterator[tuple[Bars, bool]]:
    """Single bars of a step of time, and whether each is closed: those that closed, then the
    open one."""
    if grid.interval.length_ms < market.tape.finest.length_ms:
        return
    opened, present = grid.floor(before), grid.floor(now)
    if opened < present:
        # The step before this one has shown everything up to the bar that was open then.
        count = max(1, (present - opened) // grid.interval.length_ms)
        closed = newest(market, Page(grid, opened, present - 1, count), now)
        for index in range(len(closed)):
            yield closed.cut(index, index + 1), True
    if is_last:
        shown = newest(market, Page(grid, present, None, 1), now)
        if len(shown):
            yield shown, False
