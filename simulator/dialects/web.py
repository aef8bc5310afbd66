"""REST as OKX and Bybit speak it: every answer in an envelope, a number of requests per window."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from simulator.dialects.http import Answer, Request
from simulator.faults import Rule
from simulator.venue import Maintenance, Venue

# What fits the tape's 64-bit times; a longer number is no time.
_MOST_DIGITS: Final = 18


class VenueError(Exception):
    """An answer with a code.

    Attributes:
        status: of HTTP; some venues refuse with 200.
        retry_after: seconds, where the venue states any.
    """

    def __init__(
        self, code: int, message: str, *, status: int = 200, retry_after: int | None = None
    ) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Call:
    """One request for public data."""

    venue: Venue
    params: Mapping[str, str]

    @property
    def now(self) -> int:
        """Market time, ms."""
        return self.venue.clock.now()

    def whole(self, name: str) -> int | None:
        """An optional whole number; an empty text is none.

        Raises:
            ValueError: it is not a whole number.
        """
        value = self.params.get(name, "")
        if not value:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS):
            raise ValueError(name)
        return int(value)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many requests of one kind are answered in a window of the wall clock."""

    count: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        handler: answers a JSON value, or bytes that are JSON already.
        allowance: of requests to this endpoint.
        prepare: computes in short turns what the handler will need, where that takes long.
    """

    handler: Callable[[Call], Any]
    allowance: Allowance
    prepare: Callable[[Call], Iterator[None]] | None = None


class Counters:
    """Requests by window of the wall clock; every client is one IP here.

    Args:
        is_limited: whether allowances hold; the counters count in any case.
        wall: the wall clock, ms.
    """

    def __init__(self, wall: Callable[[], int], *, is_limited: bool) -> None:
        self.is_limited = is_limited
        self._wall = wall
        self._windows: dict[str, tuple[int, int]] = {}

    def count(self, kind: str, allowance: Allowance) -> int:
        """Charge a request; returns how many of its window are left, below 0 if too many."""
        window = self._wall() // allowance.window_ms
        begun, used = self._windows.get(kind, (window, 0))
        used = used + 1 if begun == window else 1
        self._windows[kind] = (window, used)
        return allowance.count - used if self.is_limited else allowance.count


class WebRest(ABC):
    """Answers requests for public data in one venue's envelope.

    Args:
        routes: the endpoints, all of them GET, by path.
        is_limited: whether too many requests are refused.
        wall: the wall clock by which they are counted, ms.
    """

    def __init__(
        self,
        venue: Venue,
        routes: Mapping[str, Route],
        wall: Callable[[], int],
        *,
        is_limited: bool,
    ) -> None:
        self.venue = venue
        self.wall = wall
        self.counters = Counters(wall, is_limited=is_limited)
        self._routes = routes

    @abstractmethod
    def envelope(self, data: bytes) -> bytes:
        """The answer that carries data, which are JSON."""

    @abstractmethod
    def refusal(self, error: VenueError) -> Answer:
        """The answer that carries an error."""

    @abstractmethod
    def charge(self, path: str, allowance: Allowance) -> dict[str, str]:
        """Charge a request; returns the headers that tell of it.

        Raises:
            VenueError: it is one too many.
        """

    @abstractmethod
    def malformed(self, name: str) -> VenueError:
        """A parameter that is no number."""

    @abstractmethod
    def not_found(self) -> VenueError:
        """A path or a method that is not simulated."""

    @abstractmethod
    def offline(self) -> VenueError:
        """Any request while everything is out of service."""

    @abstractmethod
    def of_rule(self, rule: Rule) -> VenueError:
        """The refusal that a fault rule orders."""

    def owner(self, _: Request) -> str | None:
        """See ``Dialect.owner``: public data have no owner."""
        return None

    async def prepare(self, request: Request) -> None:
        """See ``Dialect.prepare``."""
        route = self._routes.get(request.path)
        if route is None or route.prepare is None:
            return
        try:
            for _ in route.prepare(Call(self.venue, request.params())):
                await asyncio.sleep(0)
        except (VenueError, ValueError):
            return  # answering the request will say what is wrong with it

    def answer(self, request: Request) -> Answer:
        """See ``Dialect.answer``."""
        try:
            return self._answered(request)
        except VenueError as error:
            return self.refusal(error)

    def fault(self, rule: Rule) -> Answer:
        """See ``Dialect.fault``."""
        return self.refusal(self.of_rule(rule))

    def _answered(self, request: Request) -> Answer:
        if self.venue.maintenance is Maintenance.ALL:
            raise self.offline()
        route = self._routes.get(request.path)
        if route is None or request.method != "GET":
            raise self.not_found()
        headers = self.charge(request.path, route.allowance)
        try:
            made = route.handler(Call(self.venue, request.params()))
        except ValueError as error:
            raise self.malformed(str(error)) from None
        data = made if isinstance(made, bytes) else orjson.dumps(made)
        return Answer(200, self.envelope(data), headers)
