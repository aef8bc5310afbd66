"""What the streams need from outside, and how long they wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.core.exchanges.streaming_frames import Feed, MarketFrame, UserFrame


class Line(Protocol):
    """An open socket."""

    async def close(self) -> None:
        """Let go of it."""
        ...


class MarketLine(Line, Protocol):
    """A socket with market feeds.

    Attributes:
        unanswered: requests that the venue has not confirmed yet.
    """

    unanswered: int

    async def subscribe(self, feeds: Iterable[Feed]) -> None:
        """Ask for feeds."""
        ...

    async def unsubscribe(self, feeds: Iterable[Feed]) -> None:
        """Take feeds back."""
        ...

    async def receive(self) -> MarketFrame | None:
        """The next frame, or None for one that carries nothing."""
        ...


class UserLine(Line, Protocol):
    """A socket with the user data of one account.

    Attributes:
        answers: how many requests the venue has answered.
    """

    answers: int

    async def ping(self) -> None:
        """Ask the venue for an answer."""
        ...

    async def receive(self) -> UserFrame | None:
        """The next event, or None for one that carries nothing."""
        ...


class VenueStreams(Protocol):
    """Where the sockets of one venue are opened."""

    async def market(self) -> MarketLine:
        """A socket for market feeds.

        Raises:
            VenueError: none could be opened.
        """
        ...

    async def user(self, credentials: Mapping[str, str], offset_ms: int) -> UserLine:
        """A socket with the user data of one account.

        Raises:
            VenueError: none could be opened, or the keys were refused.
        """
        ...


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """What a user data stream is opened with.

    Attributes:
        offset_ms: the venue's wall clock less ours.
    """

    exchange: str
    credentials: Mapping[str, str]
    offset_ms: int


#: Opens the keys of an account. Blocks; raises Unavailable where this process may not.
Keys = Callable[[str], AccountKeys]


@dataclass(frozen=True, slots=True)
class StreamTiming:
    """How long everything may take. Seconds of this machine.

    Attributes:
        look_s: between two looks at what is wanted.
        lease_s: a dead process's streams are free after this.
        renew_s: between two renewals of a lease.
        silence_s: a feed that says nothing for so long is checked; of a socket that is dead
            this is noticed after at most ``1.25 * silence_s``, of a feed that never spoke after
            twice as much.
        backoff_s: first pause before a socket is opened again; doubles up to ``backoff_max_s``.
        connects: sockets opened in five minutes, at most. Binance allows 300 for one address,
            which two processes and a person with a browser may share.
        drain_s: how long a stop waits for what has arrived to be written.
    """

    look_s: float = 0.5
    lease_s: float = 10.0
    renew_s: float = 3.0
    silence_s: float = 12.0
    backoff_s: float = 0.25
    backoff_max_s: float = 10.0
    connects: int = 100
    drain_s: float = 5.0
