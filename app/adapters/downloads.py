"""Files by URL, whole or not at all, gone on with where a download was cut."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from app.core.errors import InvalidInput, NotFetched, NotGiven, NotYetWhole, TidemarkError

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S: Final = 30.0
_PART: Final = ".part"
# Of the answers that blame the request, those that another time may differ.
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class Downloads:
    """Fetches files. Safe to share by threads that fetch different ones.

    Args:
        loopback_only: refuse every other host, as where a simulated exchange is in use: then
            nothing may come from the real ones.
        monotonic: seconds of a clock that is never set.
    """

    def __init__(
        self, *, loopback_only: bool, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._loopback_only = loopback_only
        self._monotonic = monotonic

    def require_allowed(self, url: str) -> None:
        """See ``FileFetcher``."""
        self._checked(url)

    def fetch(self, url: str, folder: Path, most_s: float) -> Path | None:
        """See ``FileFetcher``."""
        import httpx

        is_loopback = self._checked(url)
        # Files of one name lie in several folders of an archive.
        path = folder / hashlib.sha256(url.encode()).hexdigest()[:16] / url.rsplit("/", 1)[-1]
        part = path.with_name(path.name + _PART)
        until = self._monotonic() + most_s
        # A call and its answer may each take so long, and then the last block.
        timeout = min(_TIMEOUT_S, most_s / 2)
        try:
            if path.is_file():
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            # No redirects: the host that was allowed answers, or none does.
            with httpx.Client(timeout=timeout, trust_env=not is_loopback) as client:
                return path if self._received(client, url, part, path, until) else None
        except httpx.ConnectError as error:
            host = urlsplit(url).hostname
            raise NotFetched(
                f"{url[:200]} cannot be fetched now: {host} cannot be reached ({_why(error)})",
                was_reached=False,
            ) from None
        except (httpx.HTTPError, OSError) as error:
            raise NotFetched(
                f"{url[:200]} cannot be fetched now ({_why(error)})", was_reached=True
            ) from None

    def _received(
        self, client: httpx.Client, url: str, part: Path, path: Path, until: float
    ) -> bool:
        """Get what is lacking of a file; False where there is none."""
        have = part.stat().st_size if part.is_file() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with client.stream("GET", url, headers=headers) as response:
            status = response.status_code
            if status == HTTPStatus.NOT_FOUND:
                return False
            if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                # What is here is whole, or not of this file: its checksum tells.
                part.replace(path)
                return True
            if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise _answered(url, status)
            goes_on = status == HTTPStatus.PARTIAL_CONTENT
            with part.open("ab" if goes_on else "wb") as file:
                for block in response.iter_raw():
                    file.write(block)
                    if self._monotonic() >= until:
                        raise _slow(url, response, file.tell(), is_anew=bool(have) and not goes_on)
        part.replace(path)
        return True

    def _checked(self, url: str) -> bool:
        """Whether the URL is of this machine.

        Raises:
            InvalidInput: it must not be fetched.
        """
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            raise InvalidInput(f"{url[:80]!r} is no URL") from None
        is_loopback = _is_loopback(host)
        if self._loopback_only and not is_loopback:
            raise InvalidInput(
                f"{host[:60]!r} is not this machine, and a simulated exchange is in use; nothing "
                "was fetched"
            )
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
            raise InvalidInput(f"{url[:80]!r} must begin with https://")
        if not is_loopback and parts.username is not None:
            raise InvalidInput("a URL of an archive must hold no user or password")
        return is_loopback


def _slow(url: str, response: httpx.Response, have: int, *, is_anew: bool) -> TidemarkError:
    """What it means that a file took too long.

    Args:
        have: bytes of it by now.
        is_anew: the host began it anew although a part was here: so it would each time.
    """
    said = f"{url[:200]} comes slowly: {have:,}"
    if is_anew:
        return NotGiven(
            f"{said} bytes by the time there is, and its host begins anew each time; fetch it with "
            "another program and import the file"
        )
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        return NotYetWhole(f"{said} bytes so far")
    # Of a part that is gone on with, the length is that of the rest.
    whole = int(length) + have - response.num_bytes_downloaded
    return NotYetWhole(f"{said} of {whole:,} bytes so far")


def _answered(url: str, status: int) -> TidemarkError:
    """What an answer without a file means: the next one may have it, or none will."""
    said = f"{url[:200]} was answered with HTTP {status}"
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return NotFetched(said, was_reached=True)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return NotGiven(f"{said}; it has moved: give the URL where it is now")
    return NotGiven(f"{said}: the host does not give it; give another URL")


def _why(error: Exception) -> str:
    """What went wrong, in words of the system where it has some."""
    said = str(error).strip()
    return f"{type(error).__name__}: {said[:100]}" if said else type(error).__name__


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
