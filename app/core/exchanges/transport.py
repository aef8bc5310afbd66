"""One request over HTTP, and its answer read with a limit and a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.core.exchanges.errors import BadVenueAnswer, ProxyUnreachable, VenueUnreachable
from app.core.ports import Clock

# One answer, from the send to the last byte. requests' own timeout is per read, so that a
# server which sends a byte every few seconds would hold the thread for ever.
TIMEOUT_S: Final = 10.0
_CONNECT_TIMEOUT_S: Final = 5.0
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Sending:
    """A request as ccxt built it.

    Attributes:
        limit: largest answer accepted, bytes.
    """

    url: str
    method: str
    headers: Any
    body: str | None
    limit: int


@dataclass(slots=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Sends over a ccxt client's own session. Safe to share by threads.

    Args:
        exchange: venue id, for errors.
        timeout_s: seconds from the send to the last byte of the answer.
    """

    def __init__(self, exchange: str, clock: Clock, timeout_s: float) -> None:
        self._exchange = exchange
        self._clock = clock
        self._timeout_s = timeout_s

    def send(self, client: Any, sending: Sending, proxy: str | None = None) -> Reply:
        """Send once, and read the whole answer.

        Args:
            proxy: URL of the proxy to go by.

        Raises:
            BadVenueAnswer: the answer was too large.
            ProxyUnreachable: the proxy could not be reached, or took no connection.
            VenueUnreachable: no whole answer came in time.
        """
        import requests
        import urllib3

        deadline = self._clock.monotonic() + self._timeout_s
        client.session.cookies.clear()
        try:
            with client.session.request(
                sending.method,
                sending.url,
                data=sending.body.encode() if sending.body else None,
                headers=client.prepare_request_headers(sending.headers),
                timeout=(min(_CONNECT_TIMEOUT_S, self._timeout_s), self._timeout_s),
                # A redirect would carry the API key's header to wherever it points.
                allow_redirects=False,
                stream=True,
                proxies=None if proxy is None else {"http": proxy, "https": proxy},
            ) as response:
                content = self._read(response, deadline, sending.limit)
                return Reply(response.status_code, response.headers, content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            unmet = (requests.exceptions.ProxyError, requests.exceptions.ConnectTimeout)
            kind = ProxyUnreachable if proxy and isinstance(error, unmet) else VenueUnreachable
            raise kind(self._exchange, _said(error)) from None

    def _read(self, response: Any, deadline: float, limit: int) -> bytes:
        parts, size = [], 0
        for chunk in response.iter_content(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise BadVenueAnswer(self._exchange, f"the answer was larger than {limit} bytes")
            if self._clock.monotonic() > deadline:
                raise VenueUnreachable(
                    self._exchange, f"the answer took longer than {self._timeout_s:g} s"
                )
            parts.append(chunk)
        return b"".join(parts)


def _said(error: Exception) -> str:
    """Why no whole answer came. Of the error's own text nothing: it holds the signed URL, or the
    proxy's with its password.
    """
    import requests
    from urllib3 import exceptions as http

    inner = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(error, requests.exceptions.ProxyError):
        return "no connection, the proxy gives none"
    if isinstance(inner, http.NameResolutionError):
        return "no connection, its name was not found"
    if isinstance(error, (requests.Timeout, http.TimeoutError)):
        return "no whole answer came in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection"
    if isinstance(inner, http.NewConnectionError):
        return f"no connection, {_of_system(inner)}"
    return "no whole answer came: the connection broke"


def _of_system(error: Exception) -> str:
    """The system's words for a connection that was not made, such as Connection refused."""
    words = getattr(error.__cause__, "strerror", None)
    return str(words or "it was refused").lower()
