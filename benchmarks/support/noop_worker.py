"""A Celery application with a task for each queue that does nothing but say when it began.

``python -m celery -A benchmarks.support.noop_worker worker …``; the socket to tell is named by
``BENCH_STARTS``.
"""

from __future__ import annotations

import os
import socket
import time

from celery import Celery

from app.adapters.celery_queue import make_celery
from app.adapters.rabbit_topology import QUEUES

_sockets: dict[int, socket.socket] = {}


def build(broker_url: str) -> Celery:
    """The application."""
    celery = make_celery(broker_url)
    for queue in QUEUES:
        celery.task(name=f"{queue}.noop")(_tell)
    return celery


def _tell(number: str) -> None:
    began = time.time_ns()
    # One for each process, since a pool's children share nothing.
    line = _sockets.get(os.getpid())
    if line is None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        line.connect(os.environ["BENCH_STARTS"])
        _sockets[os.getpid()] = line
    line.send(f"{number} {began}".encode())


app = build(os.environ.get("TIDEMARK_BROKER_URL", "memory://localhost/"))
