"""The real nginx with the project's configuration, in front of an upstream of the test's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import WSMsgType, web

from app.cli.services.machine import LOOPBACK, accepts, find_program, free_port
from tests.support.record import ROOT
from tests.support.simulator import wait_until


@dataclass
class Upstream:
    """Stands for API and Flower: answers everything, and keeps what it was asked."""

    port: int = 0
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """200 with security headers as the API sends them; an echo on /ws."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((request.method, request.path, headers))
        if request.path == "/ws":
            return await self._echo(request)
        size = int(request.query.get("size", "2"))
        text = '"' + "x" * (size - 2) + '"'
        return web.Response(
            text=text,
            content_type="application/json",
            headers={"X-Frame-Options": "DENY", "Cache-Control": "no-store"},
        )

    async def _echo(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f"echo {message.data}")
        return socket


@contextmanager
def upstream() -> Iterator[Upstream]:
    """An upstream on a thread of its own."""
    made = Upstream()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", made.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        made.port = int(runner.addresses[0][1])
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


@contextmanager
def nginx(directory: Path, api: int, flower: int, passwords: str = "") -> Iterator[int]:
    """Run nginx with nginx/tidemark.conf; its port.

    Args:
        directory: where its copy of the configuration, logs and temporary files go.
        passwords: content of ``flower.htpasswd``.
    """
    copy = directory / "nginx"
    shutil.copytree(ROOT / "nginx", copy)
    for name in ("logs", "temp", "static/assets"):
        (copy / name).mkdir(parents=True, exist_ok=True)
    (copy / "static" / "index.html").write_text("<!doctype html><title>Tidemark</title>")
    (copy / "static" / "assets" / "app-1a2b.js").write_text("export {};\n")
    (copy / "flower.htpasswd").write_text(passwords)
    port = free_port()
    for name, old, new in (
        ("listen.conf", "listen 8080", f"listen {LOOPBACK}:{port}"),
        ("upstreams.conf", "127.0.0.1:8700", f"127.0.0.1:{api}"),
        ("upstreams.conf", "127.0.0.1:5555", f"127.0.0.1:{flower}"),
    ):
        text = (copy / name).read_text()
        assert old in text
        (copy / name).write_text(text.replace(old, new))
    # As root its workers would be another user, who cannot read a test's directory.
    as_root = ["-g", "user root;"] if os.geteuid() == 0 else []
    command = [
        find_program("nginx", "nginx"),
        *("-p", f"{copy}/", "-c", str(copy / "tidemark.conf"), "-e", "stderr"),
        *as_root,
    ]
    log = (directory / "nginx.log").open("w+")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or accepts(port), 30)
        log.seek(0)
        assert process.poll() is None, log.read()
        yield port
    finally:
        process.terminate()
        process.wait(30)
        log.close()
