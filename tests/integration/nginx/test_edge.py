"""The edge: what nginx refuses before it costs the API anything, and what it lets through."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest

from app.cli.services.machine import LOOPBACK, find_program
from tests.support.edge import Upstream, nginx, upstream
from tests.support.record import ROOT

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
# The configured 5 s, and room for a busy machine.
CUT_S = 20.0


@pytest.fixture(scope="module")
def behind() -> Iterator[Upstream]:
    """What nginx hands requests to."""
    with upstream() as made:
        yield made


@pytest.fixture(scope="module")
def edge(behind: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The real nginx with the project's configuration; its port."""
    salt = b"salt"
    digest = hashlib.sha1(b"seventeen apples" + salt).digest()  # noqa: S324 - nginx's format
    passwords = f"looker:{{SSHA}}{base64.b64encode(digest + salt).decode()}\n"
    with nginx(tmp_path_factory.mktemp("edge"), behind.port, behind.port, passwords) as port:
        yield port


def get(port: int, path: str, **options: object) -> httpx.Response:
    return httpx.request(
        str(options.pop("method", "GET")),
        f"http://{LOOPBACK}:{port}{path}",
        trust_env=False,
        timeout=30,
        **options,  # type: ignore[arg-type]
    )


def connected(port: int) -> socket.socket:
    made = socket.create_connection((LOOPBACK, port), timeout=CUT_S)
    made.settimeout(CUT_S)
    return made


def raw(port: int, request: bytes) -> bytes:
    """Send bytes and read until the other end closes, or has answered whole."""
    with connected(port) as client:
        client.sendall(request)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    answer = b""
    try:
        while chunk := client.recv(65_536):
            answer += chunk
    except ConnectionResetError:
        pass
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# -- Slow clients --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="idle"),
        pytest.param(b"GET /api/v1/orders HTTP/1.1\r\nHost: t", id="slow header"),
        pytest.param(
            b"POST /api/v1/orders HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{",
            id="slow body",
        ),
    ],
)
def test_a_slow_client_is_cut_off_and_the_api_never_hears_of_it(
    edge: int, behind: Upstream, begun: bytes
) -> None:
    before = len(behind.seen)
    began = time.monotonic()
    with connected(edge) as client:
        client.sendall(begun)
        answer = read_all(client)  # raises if nobody cuts it within CUT_S
    assert time.monotonic() - began > 4
    assert answer == b"" or status_of(answer) == 408
    assert len(behind.seen) == before


# -- Malformed and oversized ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        pytest.param(
            b"POST /api/v1/orders HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            id="CL and TE",
        ),
        pytest.param(
            b"POST /api/v1/orders HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n"
            b"Content-Length: 6\r\n\r\nhello",
            400,
            id="two CL",
        ),
        pytest.param(
            b"POST /api/v1/orders HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
            400,
            id="negative CL",
        ),
        pytest.param(
            b"GET /api/v1/orders HTTP/1.1\r\nHost: t\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n",
            400,
            id="100 kB header",
        ),
        pytest.param(b"GET /api/v1/orders HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param(
            b"TRACE /api/v1/orders HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
            405,
            id="TRACE",
        ),
        pytest.param(
            b"BREW /api/v1/orders HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
            405,
            id="invented method",
        ),
        pytest.param(
            b"POST /api/v1/orders HTTP/1.1\r\nHost: t\r\nContent-Length: 104857600\r\n"
            b"Connection: close\r\n\r\n",
            413,
            id="100 MB body",
        ),
    ],
)
def test_what_is_malformed_or_too_large_never_reaches_the_api(
    edge: int, behind: Upstream, request_line: bytes, expected: int
) -> None:
    before = len(behind.seen)
    assert status_of(raw(edge, request_line)) == expected
    assert len(behind.seen) == before


def test_a_body_too_large_is_refused_as_a_problem(edge: int) -> None:
    answer = get(edge, "/api/v1/strategies", method="POST", content=b"x" * 300_000)
    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["code"] == "body-too-large"
    assert answer.headers["x-content-type-options"] == "nosniff"


# -- What passes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v1/orders", "/", "/nowhere", "/health", "/metrics"])
def test_every_answer_carries_the_security_headers_once(edge: int, path: str) -> None:
    answer = get(edge, path)
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value], name
    assert len(answer.headers.get_list("content-security-policy")) == 1
    assert len(answer.headers.get_list("cache-control")) == 1
    assert "nginx/" not in answer.headers.get("server", "")


def test_the_api_is_told_the_true_client_and_not_what_it_claims(
    edge: int, behind: Upstream
) -> None:
    # The test connects from loopback, which proxies.conf trusts: the last untrusted hop counts.
    get(edge, "/api/v1/orders", headers={"X-Forwarded-For": "203.0.113.9, 127.0.0.1"})
    method, path, headers = behind.seen[-1]
    assert (method, path) == ("GET", "/api/v1/orders")
    assert headers["x-forwarded-for"] == "203.0.113.9"
    assert headers["x-forwarded-proto"] == "http"
    assert "forwarded" not in headers


def test_metrics_and_readiness_are_not_for_the_world(edge: int) -> None:
    assert get(edge, "/metrics").status_code == 404
    stranger = {"X-Forwarded-For": "203.0.113.9"}
    assert get(edge, "/ready", headers=stranger).status_code == 403
    assert get(edge, "/ready").status_code == 200
    assert get(edge, "/docs").text.startswith("<!doctype html>")  # the UI's page, not the API's


def test_a_websocket_passes(edge: int, behind: Upstream) -> None:
    async def talk() -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{LOOPBACK}:{edge}/ws", timeout=_ws_timeout()) as socket,
        ):
            await socket.send_str("tick")
            message = await socket.receive(timeout=CUT_S)
            return str(message.data)

    assert asyncio.run(talk()) == "echo tick"
    assert behind.seen[-1][1] == "/ws"
    assert behind.seen[-1][2]["upgrade"] == "websocket"


def _ws_timeout() -> aiohttp.ClientWSTimeout:
    return aiohttp.ClientWSTimeout(ws_close=CUT_S)


def test_static_files_are_cached_by_their_hashed_names_alone(edge: int) -> None:
    asset = get(edge, "/assets/app-1a2b.js")
    assert asset.status_code == 200
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    page = get(edge, "/accounts/7")  # a route of the UI
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-cache"
    assert get(edge, "/api/v1/orders").headers["cache-control"] == "no-store"
    assert get(edge, "/", method="POST").status_code == 403


def test_large_answers_are_compressed(edge: int) -> None:
    answer = get(edge, "/api/v1/klines?size=20000")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.num_bytes_downloaded < 2_000
    assert len(answer.text) == 20_000


# -- Numbers -------------------------------------------------------------------------------------


def test_one_client_cannot_take_every_connection(edge: int) -> None:
    """Fifty requests at a time are one client's share; a fifty-first is told so, others pass."""
    # Counted from the header on: the bodies of these are still awaited.
    head = (
        b"POST /api/v1/orders HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 203.0.113.7\r\n"
        b"Content-Length: 10\r\n\r\n"
    )
    held = [connected(edge) for _ in range(50)]
    try:
        for client in held:
            client.sendall(head)
        refused = _until_refused(edge, "203.0.113.7")
        assert refused.json()["code"] == "rate-limited"
        assert refused.headers["retry-after"] == "1"
        other = get(edge, "/api/v1/orders", headers={"X-Forwarded-For": "203.0.113.8"})
        assert other.status_code == 200
    finally:
        for client in held:
            client.close()


def _until_refused(edge: int, address: str) -> httpx.Response:
    """nginx counts a connection when it has read its header, a moment after it was sent."""
    deadline = time.monotonic() + 4  # the held requests are cut after 5 s
    while True:
        answer = get(edge, "/api/v1/orders", headers={"X-Forwarded-For": address})
        if answer.status_code == 429 or time.monotonic() > deadline:
            assert answer.status_code == 429
            return answer


def test_a_flood_is_answered_429_and_the_rest_of_it_passes(edge: int) -> None:
    with httpx.Client(
        base_url=f"http://{LOOPBACK}:{edge}",
        headers={"X-Forwarded-For": "203.0.113.20"},
        trust_env=False,
        timeout=30,
    ) as client:
        answers = [client.get("/api/v1/orders").status_code for _ in range(400)]
    assert set(answers) == {200, 429}
    assert answers[:100] == [200] * 100


# -- Flower --------------------------------------------------------------------------------------


def test_flower_wants_its_password(edge: int, behind: Upstream) -> None:
    before = len(behind.seen)
    assert get(edge, "/flower/").status_code == 401
    assert get(edge, "/flower/", auth=("looker", "wrong")).status_code == 401
    assert len(behind.seen) == before
    assert get(edge, "/flower/", auth=("looker", "seventeen apples")).status_code == 200
    assert "authorization" not in behind.seen[-1][2]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_flower_is_only_looked_at(edge: int, behind: Upstream, method: str) -> None:
    before = len(behind.seen)
    answer = get(
        edge,
        "/flower/api/task/revoke/1",
        method=method,
        auth=("looker", "seventeen apples"),
        headers={"X-Forwarded-For": "203.0.113.30"},
    )
    assert answer.status_code == 403
    assert len(behind.seen) == before


def test_passwords_cannot_be_guessed_quickly(edge: int) -> None:
    guesses = [
        get(
            edge,
            "/flower/",
            auth=("looker", f"guess {number}"),
            headers={"X-Forwarded-For": "203.0.113.40"},
        ).status_code
        for number in range(60)
    ]
    assert set(guesses) == {401, 429}
    assert guesses.count(401) < 45


# -- The configuration itself --------------------------------------------------------------------


def test_the_tls_example_is_a_valid_configuration(tmp_path: Path) -> None:
    copy = tmp_path / "nginx"
    shutil.copytree(ROOT / "nginx", copy)
    (copy / "logs").mkdir()
    (copy / "tls").mkdir()
    (copy / "temp").mkdir(exist_ok=True)
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=example.org", "-keyout", str(copy / "tls/privkey.pem")),
            *("-out", str(copy / "tls/fullchain.pem")),
        ],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    (copy / "listen.conf").write_text((copy / "listen-tls.conf").read_text())
    tested = subprocess.run(
        [
            find_program("nginx", "nginx"),
            *("-t", "-p", f"{copy}/", "-c", str(copy / "tidemark.conf"), "-e", "stderr"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stderr
