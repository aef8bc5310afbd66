"""``python -m app.cli.serve``: one API process of the full stack.

Args on the command line: ``--fd N``, a listening socket that it inherits (several processes
share one, and a restart refuses nobody: the kernel keeps the queue), else it binds
TIDEMARK_API_HOST and TIDEMARK_API_PORT itself; ``--probe PATH``, a Unix socket of its own, by
which the supervisor asks this very process.
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.services.machine import port_is_free
from app.core.errors import Unavailable

if TYPE_CHECKING:
    from fastapi import FastAPI

    from app.config import Settings

_BACKLOG = 2_048


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM; requests that run are finished."""
    import uvicorn

    from app.adapters.celery_queue import CeleryQueue, make_celery
    from app.config import settings_or_exit
    from app.logs import configure_logs
    from app.main import create_app
    from app.wiring import Container
    from app.wiring.whole import whole_or_exit

    given = _parse(arguments)
    settings = settings_or_exit()
    configure_logs(settings.log_level, settings.log_format)
    whole_or_exit(settings)
    # It takes in exchange keys, seals them, and can read none: see `app.services.opening`.
    container = Container(
        settings, CeleryQueue(make_celery(settings.broker_url)), can_read_keys=False
    )
    container.start_background()
    threading.Thread(target=_load_libraries, name="warm-up", daemon=True).start()
    app = create_app(container)
    _find_routes(app)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        limit_concurrency=2_000,
        timeout_graceful_shutdown=5,
        # nginx stands in front, and says which client it speaks for.
        proxy_headers=True,
    )
    try:
        uvicorn.Server(config).run(sockets=_sockets(given, settings.api_host, settings.api_port))
    finally:
        container.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket of the API.

    Raises:
        OSError: the port is taken or is not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    made.listen(_BACKLOG)
    made.set_inheritable(True)
    return made


def listen_for_api(settings: Settings) -> tuple[socket.socket, str]:
    """The API's listening socket, and its URL.

    Raises:
        Unavailable: it cannot be had; the sentence names the setting that would change that.
    """
    host, port = settings.api_host, settings.api_port
    try:
        listener = listen(host, port)
    except OSError as error:
        is_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        mend = "TIDEMARK_API_PORT to another port" if is_port else "TIDEMARK_API_HOST to another"
        raise Unavailable(
            f"the API cannot listen on {host}:{port} ({error.strerror}); set {mend}"
        ) from None
    host, port = listener.getsockname()[:2]
    return listener, f"http://{f'[{host}]' if ':' in host else host}:{port}"


def require_flower_port(port: int) -> None:
    """Nothing, if Flower can listen there.

    Flower itself would end at its start, again and again, and whoever has the port would pass
    for it.

    Raises:
        Unavailable: somebody listens there; the sentence names the setting.
    """
    if not port_is_free(port):
        raise Unavailable(
            f"Flower cannot listen on 127.0.0.1:{port} (it is taken); set TIDEMARK_FLOWER_PORT to "
            "another port"
        )


def _load_libraries() -> None:
    """What klines and venues need, and takes a second to load."""
    import pyarrow.csv  # noqa: F401

    from app.core.exchanges.session import load_ccxt

    load_ccxt()


def _find_routes(app: FastAPI) -> None:
    """Have the framework make its routes ready, which it puts off to the first request: 150 ms."""
    asked = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    for route in app.router.routes:
        route.matches(asked)


def _sockets(given: argparse.Namespace, host: str, port: int) -> list[socket.socket]:
    sockets = [listen(host, port) if given.fd is None else socket.socket(fileno=given.fd)]
    if given.probe is not None:
        given.probe.unlink(missing_ok=True)
        probe = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            probe.bind(str(given.probe))
        finally:
            os.umask(before)
        probe.listen(16)
        sockets.append(probe)
    return sockets


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.cli.serve")
    parser.add_argument("--fd", type=int)
    parser.add_argument("--probe", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
