"""Files by URL: whole, resumed, and of no host that must not be reached."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.adapters.downloads import Downloads
from app.core.errors import InvalidInput, NotFetched, Unavailable

CONTENT = bytes(range(256)) * 1_000


class Served:
    """What the server does next."""

    def __init__(self) -> None:
        self.cut_after: int | None = None
        self.status: int | None = None
        self.ranges: list[str | None] = []
        self.url = ""


@pytest.fixture
def served() -> Iterator[Served]:
    """A server of one file on loopback that can cut a download."""
    state = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            body = CONTENT[start:]
            status = state.status or (206 if asked else 200)
            if "absent" in self.path:
                status = 404
            elif start >= len(CONTENT):
                status, body = 416, b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if state.cut_after is None else body[: state.cut_after])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/data/BTCUSDT-1m-2024-01.zip"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_comes_whole(served: Served, tmp_path: Path) -> None:
    path = Downloads(loopback_only=True).fetch(served.url, tmp_path)
    assert path is not None
    assert path.name.endswith("-BTCUSDT-1m-2024-01.zip")
    assert path.read_bytes() == CONTENT
    assert Downloads(loopback_only=True).fetch(served.url + "absent", tmp_path) is None


def test_a_download_that_was_cut_goes_on_where_it_was(served: Served, tmp_path: Path) -> None:
    fetcher = Downloads(loopback_only=True)
    served.cut_after = 100_000
    with pytest.raises(Unavailable, match="cannot be fetched now"):
        fetcher.fetch(served.url, tmp_path)
    served.cut_after = None
    path = fetcher.fetch(served.url, tmp_path)
    assert path is not None
    assert path.read_bytes() == CONTENT
    assert served.ranges[0] is None
    assert served.ranges[1] is not None
    assert int(served.ranges[1].removeprefix("bytes=").rstrip("-")) > 0
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_server_that_fails_is_asked_again_later(served: Served, tmp_path: Path) -> None:
    served.status = 503
    with pytest.raises(Unavailable, match="HTTP 503"):
        Downloads(loopback_only=True).fetch(served.url, tmp_path)


@pytest.mark.parametrize(
    ("url", "loopback_only", "sentence"),
    [
        ("https://data.binance.vision/a.zip", True, "a simulated exchange is in use"),
        ("http://data.binance.vision/a.zip", False, "must begin with https"),
        ("ftp://127.0.0.1/a.zip", False, "must begin with https"),
        ("file:///etc/passwd", False, "must begin with https"),
        ("https://user:secret@example.org/a.zip", False, "must hold no user or password"),
        ("http://[oops/a.zip", False, "is no URL"),
    ],
)
def test_hosts_and_schemes_that_must_not_be_reached(
    tmp_path: Path, url: str, loopback_only: bool, sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence) as refused:
        Downloads(loopback_only=loopback_only).fetch(url, tmp_path)
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("status", [301, 400, 401, 403, 410, 451])
def test_a_refusal_that_time_does_not_mend_is_bad_input(
    served: Served, tmp_path: Path, status: int
) -> None:
    served.status = status
    with pytest.raises(InvalidInput, match=f"was answered with HTTP {status}"):
        Downloads(loopback_only=True).fetch(served.url, tmp_path)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_said_to(served: Served, tmp_path: Path, status: int) -> None:
    served.status = status
    with pytest.raises(NotFetched, match=f"was answered with HTTP {status}") as raised:
        Downloads(loopback_only=True).fetch(served.url, tmp_path)
    assert raised.value.was_reached


def test_a_closed_port_is_told_from_a_server_that_fails(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.zip"
        with pytest.raises(NotFetched, match=r"127.0.0.1 cannot be reached \(.*refused") as raised:
            Downloads(loopback_only=True).fetch(url, tmp_path)
    assert not raised.value.was_reached
