"""Market time of each venue."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from app.adapters.venue_clock import MeasuredClock
from app.core.errors import Unavailable
from app.core.ports import Clock

# Within this the simulator's clock is not asked again: an evaluation reads it several times.
_FRESH_S: Final = 0.05
_TIMEOUT_S: Final = 5.0
_ANSWER_LIMIT: Final = 64 * 1024
_FAR_MS: Final = 2**53


class VenueTime(Protocol):
    """One venue's market time."""

    def now_ms(self) -> int:
        """The venue's time, ms.

        Raises:
            Unavailable: it cannot be asked and no recent answer is known.
        """
        ...

    def refresh(self) -> None:
        """Forget what is known; the next call asks."""
        ...


class SimulatorTime:
    """The market clock of a simulator: ``GET /control/clock``, at most every 50 ms.

    Args:
        base_url: of the simulator, on loopback.
        clock: this machine's, for the age of an answer.
        get: fetches a URL's body; the default is a plain HTTP request.
    """

    def __init__(
        self, base_url: str, clock: Clock, get: Callable[[str], bytes] | None = None
    ) -> None:
        self._url = base_url.rstrip("/") + "/control/clock"
        self._clock = clock
        self._get = get or _http_get
        self._lock = threading.Lock()
        self._known: tuple[float, int] | None = None

    def now_ms(self) -> int:
        """Market time, ms, at most 50 ms of real time old."""
        with self._lock:
            now = self._clock.monotonic()
            if self._known is None or now - self._known[0] > _FRESH_S:
                # Taken before the request: the answer is never older than we say.
                self._known = (now, self._asked())
            return self._known[1]

    def refresh(self) -> None:
        """Ask again at the next call."""
        with self._lock:
            self._known = None

    def _asked(self) -> int:
        try:
            answer = json.loads(self._get(self._url))
            now = answer["market_ms"]
        except (OSError, ValueError, TypeError, KeyError):
            raise Unavailable(
                "the simulator's clock could not be read; is the simulator running?"
            ) from None
        if type(now) is not int or not 0 <= now < _FAR_MS:
            raise Unavailable("the simulator's clock gave no time in milliseconds")
        return now


class WallTime:
    """A real venue's market time: its wall clock.

    Before the venue has answered it is this machine's own, which NTP keeps right where one trades.
    """

    def __init__(self, venue: MeasuredClock) -> None:
        self._venue = venue

    def now_ms(self) -> int:
        """The venue's wall time, ms, which is measured again every ten minutes."""
        self._venue.look()
        return self._venue.now_ms()

    def refresh(self) -> None:
        """Measure again at the next call."""
        self._venue.refresh()


class VenueClocks:
    """Market time of every venue; implements ``MarketClock``.

    Args:
        venues: the clocks of some.
        make: a clock for any other; None where there are no others.
    """

    def __init__(
        self, venues: Mapping[str, VenueTime], make: Callable[[str], VenueTime] | None = None
    ) -> None:
        self._venues = dict(venues)
        self._make = make
        self._lock = threading.Lock()

    def now_ms(self, exchange: str) -> int:
        """The venue's time, ms.

        Raises:
            Unavailable: the venue is not set up, or its clock cannot be asked.
            UnknownName: there is no such venue.
        """
        return self._venue(exchange).now_ms()

    def refresh(self, exchange: str) -> None:
        """Ask the venue's clock anew at the next call."""
        self._venue(exchange).refresh()

    def _venue(self, exchange: str) -> VenueTime:
        with self._lock:
            known = self._venues.get(exchange)
            if known is None:
                if self._make is None:
                    raise Unavailable(f"no clock is set up for the exchange {exchange[:40]!r}")
                known = self._venues[exchange] = self._make(exchange)
        return known


def _http_get(url: str) -> bytes:
    from urllib.request import ProxyHandler, build_opener

    # A proxy of the environment is no way to loopback.
    with build_opener(ProxyHandler({})).open(url, timeout=_TIMEOUT_S) as response:
        body: bytes = response.read(_ANSWER_LIMIT)
        return body
