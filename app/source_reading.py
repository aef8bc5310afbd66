"""Files for data sources: by path, ``file://`` or ``http(s)://`` address, within limits."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

MOST_BYTES: Final = 16 * 1024 * 1024
_LONGEST_S: Final = 20.0
_AGENT: Final = "tidemark-data-source"


def fetch(location: str, seconds: float) -> bytes:
    """The bytes of a file.

    Args:
        seconds: how long the other side may keep silent; at most 20.

    Raises:
        OSError: it cannot be had, or is larger than 16 MB.
    """
    if not location.strip():
        raise OSError("nothing says what to fetch; set the parameter that names it: -p NAME=VALUE")
    parts = urlsplit(location)
    if parts.scheme in ("http", "https"):
        return _from_network(location, max(0.1, min(seconds, _LONGEST_S)))
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise OSError("a file:// address names no host; write file:///path")
        return _from_disk(Path(unquote(parts.path)))
    return _from_disk(Path(location))


def _from_disk(path: Path) -> bytes:
    if path.is_dir():
        raise OSError("it is a directory; name a file")
    with path.open("rb") as file:
        found = file.read(MOST_BYTES + 1)
    _check_size(found)
    return found


def _from_network(url: str, seconds: float) -> bytes:
    import httpx

    found = bytearray()
    try:
        with (
            httpx.Client(
                timeout=seconds, follow_redirects=True, headers={"User-Agent": _AGENT}
            ) as client,
            client.stream("GET", url) as response,
        ):
            if not response.is_success:
                raise OSError(f"it was answered with HTTP {response.status_code}")
            for block in response.iter_bytes():
                found += block
                _check_size(found)
    except httpx.HTTPError as error:
        # Without the address, which may hold a key; a failure to connect does not name it.
        why = str(error) if isinstance(error, httpx.ConnectError) else type(error).__name__
        raise OSError(f"it cannot be fetched ({why})") from None
    return bytes(found)


def _check_size(found: bytes | bytearray) -> None:
    if len(found) > MOST_BYTES:
        raise OSError(f"it is larger than {MOST_BYTES // 1024**2} MB")
