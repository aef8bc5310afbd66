"""Streams of Binance spot: one WebSocket for many feeds, read frame by frame.

ccxt.pro gives the URLs, the transport (which ``loopback`` leads to a simulator), and the
signature of the user data stream. Its ``watch_*`` methods are not used, for the simulated venue
as little as for the real one: they drop the flag that says a bar is closed and round every
number to a float's text, open one socket for each subscription, notice a dead one after minutes
and hand a reader the latest state instead of every event. What is read here are the raw frames.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.core.errors import UnknownName
from app.core.exchanges.decoding import Reader, decode
from app.core.exchanges.errors import BadVenueAnswer, RateLimited, VenueError, VenueUnreachable
from app.core.exchanges.streaming_frames import (
    PARSERS,
    BalancesChanged,
    Feed,
    MarketFrame,
    UserFrame,
    name_of,
    order_report,
)

CONNECT_S: Final = 10.0
# The venue takes five messages in a second, pings and pongs among them, and drops who sends more.
_NAMES_PER_MESSAGE: Final = 100
_MESSAGE_PAUSE_S: Final = 0.3
#: Subscriptions that one socket may have.
MOST_FEEDS: Final = 1024
_USER_WINDOW_MS: Final = 5_000
# Answers that another attempt may not get: states of the venue, and its codes for being
# disconnected, asked too often, too slow, and for a timestamp outside of the window.
_BUSY: Final = frozenset({418, 429, 500, 502, 503, 504})
_PASSING: Final = frozenset({-1001, -1003, -1007, -1021})


class StreamClosed(VenueUnreachable):
    """The socket has ended, or said that it will."""

    code = "stream-closed"


class StreamRefused(VenueError):
    """The venue answered a subscription with an error."""

    code = "stream-refused"


class BinanceStreams:
    """Opens streams of Binance spot. Use it inside the event loop that reads them.

    Args:
        base_url: of a simulator on loopback; None is the real venue.
    """

    exchange: Final = "binance"

    def __init__(self, base_url: str | None = None) -> None:
        self._base_url = base_url

    async def market(self) -> MarketSocket:
        """A new socket for market feeds, nothing subscribed yet.

        Raises:
            VenueUnreachable: no connection came about.
            RateLimited: the venue refused the connection, for there were too many.
        """
        client = await self._client({})
        base = str(client.urls["api"]["ws"]["spot"])
        # Combined, so that every frame names its stream.
        return MarketSocket(await self._opened(client, base.removesuffix("/ws") + "/stream"))

    async def user(self, credentials: Mapping[str, str], offset_ms: int) -> UserSocket:
        """A new socket with the user data of one account.

        Args:
            credentials: ``apiKey`` and ``secret``.
            offset_ms: the venue's wall clock less ours.

        Raises:
            VenueUnreachable, RateLimited: as ``market``.
            StreamRefused: the venue did not accept the keys.
        """
        client = await self._client(credentials)
        client.options["timeDifference"] = -offset_ms
        client.options["recvWindow"] = _USER_WINDOW_MS
        wire = await self._opened(client, str(client.urls["api"]["ws"]["ws-api"]["spot"]))
        socket = UserSocket(wire)
        try:
            await socket.subscribe(client.sign_params({}))
        except BaseException:
            await socket.close()
            raise
        return socket

    async def _client(self, credentials: Mapping[str, str]) -> Any:
        # Three seconds of one core at the first time: not on the loop that reads the sockets.
        await asyncio.to_thread(_import_ccxt)
        import ccxt.pro

        client = getattr(ccxt.pro, self.exchange)({**credentials, "enableRateLimit": False})
        if self._base_url is None:
            client.open()
        else:
            from app.core.exchanges.loopback import bind_async

            bind_async(client, self._base_url)
        return client

    async def _opened(self, client: Any, url: str) -> Wire:
        import aiohttp

        try:
            async with asyncio.timeout(CONNECT_S):
                socket = await client.session.ws_connect(url, autoping=True, heartbeat=None)
        except aiohttp.WSServerHandshakeError as error:
            await _release(client)
            if error.status in (418, 429):
                raise RateLimited(
                    self.exchange, "too many connections", retry_after_ms=60_000
                ) from None
            raise VenueUnreachable(
                self.exchange, f"the stream was refused with HTTP {error.status}"
            ) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await _release(client)
            raise VenueUnreachable(
                self.exchange, f"no stream could be opened: {type(error).__name__}"
            ) from None
        except BaseException:
            await _release(client)
            raise
        return Wire(self.exchange, client, socket)


class Wire:
    """One WebSocket with its own transport: JSON objects out, JSON objects in."""

    def __init__(self, exchange: str, client: Any, socket: Any) -> None:
        self.exchange = exchange
        self._client = client
        self._socket = socket
        self._next_id = 0

    async def ask(self, method: str, params: Any) -> int:
        """Send a request; the id that its answer will carry.

        Raises:
            StreamClosed: the socket has ended.
        """
        self._next_id += 1
        request = {"method": method, "params": params, "id": self._next_id}
        try:
            await self._socket.send_str(json.dumps(request))
        except (OSError, RuntimeError) as error:
            raise StreamClosed(
                self.exchange, f"the stream has ended: {type(error).__name__}"
            ) from None
        return self._next_id

    async def receive(self) -> dict[str, Any]:
        """The next object.

        Raises:
            StreamClosed: the socket has ended.
            BadVenueAnswer: a frame is not a JSON object.
        """
        from aiohttp import WSMsgType

        message = await self._socket.receive()
        if message.type is not WSMsgType.TEXT:
            raise StreamClosed(self.exchange, f"the stream ended with {message.type.name}")
        frame = decode(self.exchange, message.data.encode())
        if not isinstance(frame, dict):
            raise BadVenueAnswer(self.exchange, "a frame is not an object")
        return frame

    async def close(self) -> None:
        """Let go of socket and transport; a venue that does not answer is not waited for."""
        try:
            async with asyncio.timeout(1.0):
                await self._socket.close()
        except (OSError, TimeoutError):
            pass  # it is gone, which is what was wanted
        await _release(self._client)


class MarketSocket:
    """Market feeds over one socket.

    Attributes:
        unanswered: requests that the venue has not confirmed yet.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._feeds: dict[str, Feed] = {}
        self.unanswered = 0

    async def subscribe(self, feeds: Iterable[Feed]) -> None:
        """Ask for feeds. Their frames come once the venue has taken them, which it answers.

        Raises:
            StreamClosed: the socket has ended.
        """
        named = {name_of(feed): feed for feed in feeds}
        self._feeds |= named
        await self._send("SUBSCRIBE", sorted(named))

    async def unsubscribe(self, feeds: Iterable[Feed]) -> None:
        """Take feeds back.

        Raises:
            StreamClosed: the socket has ended.
        """
        names = sorted(name_of(feed) for feed in feeds)
        for name in names:
            self._feeds.pop(name, None)
        await self._send("UNSUBSCRIBE", names)

    async def receive(self) -> MarketFrame | None:
        """The next frame; None for an answer to a request, and for feeds no longer wanted.

        Raises:
            StreamClosed: the socket has ended.
            StreamRefused: the venue refused a subscription.
            BadVenueAnswer: a frame makes no sense.
        """
        frame = await self._wire.receive()
        if "error" in frame:
            raise StreamRefused(self._wire.exchange, f"refused: {_said(frame['error'])}")
        if "result" in frame:
            self.unanswered -= 1
            return None
        feed = self._feeds.get(str(frame.get("stream")))
        if feed is None:
            return None
        reader = Reader(self._wire.exchange, f"stream {frame['stream']}")
        return PARSERS[feed.kind](reader, feed, reader.object(frame.get("data")))

    async def close(self) -> None:
        """Let go of the socket."""
        await self._wire.close()

    async def _send(self, method: str, names: list[str]) -> None:
        for start in range(0, len(names), _NAMES_PER_MESSAGE):
            if start:
                await asyncio.sleep(_MESSAGE_PAUSE_S)
            self.unanswered += 1
            await self._wire.ask(method, names[start : start + _NAMES_PER_MESSAGE])


class UserSocket:
    """User data of one account over one socket of the WebSocket API."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.answers = 0

    async def subscribe(self, signed: Mapping[str, Any]) -> None:
        """Subscribe with signed parameters and wait for the venue's word.

        Raises:
            StreamRefused: it did not accept the keys.
            VenueUnreachable: it did not answer in time, or refused for a reason that passes.
        """
        number = await self._wire.ask("userDataStream.subscribe.signature", dict(signed))
        try:
            async with asyncio.timeout(CONNECT_S):
                while (answer := await self._wire.receive()).get("id") != number:
                    pass
        except TimeoutError:
            raise VenueUnreachable(
                self._wire.exchange, "the user data stream was not confirmed"
            ) from None
        if answer.get("status") != 200:
            kind = VenueUnreachable if _for_now(answer) else StreamRefused
            raise kind(
                self._wire.exchange,
                f"the user data stream was refused: {_said(answer.get('error'))}",
            )

    async def ping(self) -> None:
        """Ask for an answer, which ``answers`` counts: whether the line still carries.

        Raises:
            StreamClosed: the socket has ended.
        """
        await self._wire.ask("ping", {})

    async def receive(self) -> UserFrame | None:
        """The next event; None for an answer, and for events that say nothing to us.

        Raises:
            StreamClosed: the socket, or its subscription, has ended.
            BadVenueAnswer: a frame makes no sense.
        """
        frame = await self._wire.receive()
        reader = Reader(self._wire.exchange, "user data")
        if "event" not in frame:
            self.answers += 1
            return None
        event = reader.object(frame["event"])
        kind = event.get("e")
        if kind == "executionReport":
            return order_report(reader, event)
        if kind in ("outboundAccountPosition", "balanceUpdate"):
            return BalancesChanged(reader.integer(event, "E"))
        if kind == "eventStreamTerminated":
            raise StreamClosed(self._wire.exchange, "the venue ended the user data stream")
        return None

    async def close(self) -> None:
        """Let go of the socket."""
        await self._wire.close()


def market_streams(exchange: str, base_url: str | None = None) -> BinanceStreams:
    """Streams of a venue.

    Args:
        base_url: of a simulator on loopback; None is the real venue.

    Raises:
        UnknownName: there is no adapter for the venue.
    """
    if exchange != BinanceStreams.exchange:
        raise UnknownName(f"exchange {exchange[:40]!r} has no streams; binance has")
    return BinanceStreams(base_url)


def _import_ccxt() -> None:
    import ccxt.pro  # noqa: F401


async def _release(client: Any) -> None:
    client.timeout_on_exit = 0
    await client.close()


def _for_now(answer: Mapping[str, Any]) -> bool:
    """Whether a refusal says nothing of the keys: the venue is busy, or the request was late."""
    error = answer.get("error")
    code = error.get("code") if isinstance(error, Mapping) else None
    return answer.get("status") in _BUSY or code in _PASSING


def _said(error: Any) -> str:
    if not isinstance(error, dict):
        return "without a reason"
    return f"{error.get('code')} {str(error.get('msg'))[:120]}"
