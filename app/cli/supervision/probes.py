"""How the supervisor asks a process whether it is well."""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import Path
from typing import Final

from app.cli.supervision.process import Probe
from workers.signs import complaint

_TIMEOUT_S: Final = 5.0
# Signs of life come every second, beat's every five.
_SILENT_S: Final = 12.0


def heartbeat(path: Path) -> Probe:
    """Reads the file that the process keeps fresh; see `workers.signs`."""

    def probe() -> str | None:
        return complaint(path, _SILENT_S)

    return probe


def http_answer(url_path: str, *, port: int = 0, unix: Path | None = None) -> Probe:
    """Asks over HTTP. Any answer is life: a 503 of a process whose database is down is its
    right word, and starting it again would mend nothing."""

    def probe() -> str | None:
        status = _status(url_path, port, unix)
        return None if isinstance(status, int) else status

    return probe


def _status(url_path: str, port: int, unix: Path | None) -> int | str:
    """The status of a GET, or in words why there is none."""
    connection = _UnixConnection(unix) if unix else http.client.HTTPConnection("127.0.0.1", port)
    connection.timeout = _TIMEOUT_S
    try:
        connection.request("GET", url_path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer to GET {url_path} ({type(error).__name__})"
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(os.fspath(self._path))
