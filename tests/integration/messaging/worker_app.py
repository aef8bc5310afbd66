"""Tasks for the tests of the queue, in a worker process of their own.

Each run appends a line to the file that TIDEMARK_TEST_RUNS names.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from app.adapters.celery_queue import make_celery

app = make_celery(os.environ["TIDEMARK_TEST_BROKER"])
_RUNS = Path(os.environ["TIDEMARK_TEST_RUNS"])


def _note(text: str) -> None:
    with _RUNS.open("a") as file:
        file.write(text + "\n")


@app.task(name="orders.send")
def send(order_id: str) -> None:
    """Note the id."""
    _note(f"orders.send {order_id}")


@app.task(name="orders.slow")
def slow(order_id: str) -> None:
    """Note the id, work a while, note the end."""
    _note(f"begin {order_id}")
    time.sleep(3)
    _note(f"end {order_id}")


@app.task(name="backtests.kill")
def kill(job_id: str) -> None:
    """Die as a process that ran out of memory does."""
    _note(f"backtests.kill {job_id}")
    os.kill(os.getpid(), signal.SIGKILL)
