"""Files by URL: whole, resumed, and of no host that must not be reached."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pytest

from app.adapters.downloads import Downloads
from app.core.errors import InvalidInput, NotFetched, NotGiven, NotYetWhole, Unavailable

CONTENT = bytes(range(256)) * 1_000


class Served:
    """What the server does next."""

    def __init__(self) -> None:
        self.cut_after: int | None = None
        self.status: int | None = None
        self.knows_ranges = True
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
            asked = asked if state.knows_ranges else None
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
    path = Downloads(loopback_only=True).fetch(served.url, tmp_path, 30)
    assert path is not None
    assert path.name == "BTCUSDT-1m-2024-01.zip"
    assert path.read_bytes() == CONTENT
    assert Downloads(loopback_only=True).fetch(served.url + "absent", tmp_path, 30) is None


def test_a_download_that_was_cut_goes_on_where_it_was(served: Served, tmp_path: Path) -> None:
    fetcher = Downloads(loopback_only=True)
    served.cut_after = 100_000
    with pytest.raises(Unavailable, match="cannot be fetched now"):
        fetcher.fetch(served.url, tmp_path, 30)
    served.cut_after = None
    path = fetcher.fetch(served.url, tmp_path, 30)
    assert path is not None
    assert path.read_bytes() == CONTENT
    assert served.ranges[0] is None
    assert served.ranges[1] is not None
    assert int(served.ranges[1].removeprefix("bytes=").rstrip("-")) > 0
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_server_that_fails_is_asked_again_later(served: Served, tmp_path: Path) -> None:
    served.status = 503
    with pytest.raises(Unavailable, match="HTTP 503"):
        Downloads(loopback_only=True).fetch(served.url, tmp_path, 30)


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
        Downloads(loopback_only=loopback_only).fetch(url, tmp_path, 30)
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("status", [301, 400, 401, 403, 410, 451])
def test_a_refusal_that_time_does_not_mend_is_bad_input(
    served: Served, tmp_path: Path, status: int
) -> None:
    served.status = status
    with pytest.raises(InvalidInput, match=f"was answered with HTTP {status}"):
        Downloads(loopback_only=True).fetch(served.url, tmp_path, 30)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_said_to(served: Served, tmp_path: Path, status: int) -> None:
    served.status = status
    with pytest.raises(NotFetched, match=f"was answered with HTTP {status}") as raised:
        Downloads(loopback_only=True).fetch(served.url, tmp_path, 30)
    assert raised.value.was_reached


def test_a_closed_port_is_told_from_a_server_that_fails(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.zip"
        with pytest.raises(NotFetched, match=r"127.0.0.1 cannot be reached \(.*refused") as raised:
            Downloads(loopback_only=True).fetch(url, tmp_path, 30)
    assert not raised.value.was_reached


def ticking(step_s: float) -> Callable[[], float]:
    """A clock of which each look costs time."""
    ticks = count()
    return lambda: next(ticks) * step_s


def test_a_file_that_takes_longer_than_it_may_is_gone_on_with(
    served: Served, tmp_path: Path
) -> None:
    """Each block takes ten seconds of which the call has fifteen: two blocks a call."""
    fetcher = Downloads(loopback_only=True, monotonic=ticking(10))
    path, said = None, []
    while path is None:
        assert len(said) < 10
        try:
            path = fetcher.fetch(served.url, tmp_path, 15)
        except NotYetWhole as slow:
            said.append(slow.message)
    assert path.read_bytes() == CONTENT
    assert said
    assert all("2024-01.zip comes slowly: " in each for each in said)
    assert all(each.endswith(" of 256,000 bytes so far") for each in said)
    begun = [int((each or "bytes=0-")[6:-1]) for each in served.ranges]
    assert begun == sorted(set(begun)), "nothing was asked for twice"


def test_a_file_that_is_here_is_not_asked_for_again(served: Served, tmp_path: Path) -> None:
    fetcher = Downloads(loopback_only=True)
    assert fetcher.fetch(served.url, tmp_path, 30) == fetcher.fetch(served.url, tmp_path, 30)
    assert len(served.ranges) == 1


def test_a_slow_host_that_begins_anew_each_time_is_given_up(served: Served, tmp_path: Path) -> None:
    served.knows_ranges = False
    fetcher = Downloads(loopback_only=True, monotonic=ticking(10))
    with pytest.raises(NotYetWhole):
        fetcher.fetch(served.url, tmp_path, 15)
    with pytest.raises(NotGiven, match="its host begins anew each time; fetch it with another"):
        fetcher.fetch(served.url, tmp_path, 15)
    assert Downloads(loopback_only=True).fetch(served.url, tmp_path, 15) is not None
