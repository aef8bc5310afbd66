"""What a worker process says: in the form that was asked for, and without secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "canary-of-the-database"
WORKER = ("-m", "celery", "-q", "-A", "workers.celery_app", "worker", "-Q", "orders")


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_worker_that_cannot_reach_its_database_says_so_without_its_password(
    tmp_path: Path, format_: str
) -> None:
    """Before Celery has set up its logs, too."""
    given = {
        "TIDEMARK_DATA_DIR": str(tmp_path),
        # The port of ``discard``: nobody listens there.
        "TIDEMARK_DATABASE_URL": f"mysql+pymysql://tidemark:{CANARY}@127.0.0.1:9/tidemark",
        "TIDEMARK_BROKER_URL": "memory://",
        "TIDEMARK_LOG_FORMAT": format_,
    }
    ended = subprocess.run(
        [sys.executable, *WORKER, "-P", "threads", "-c", "1"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert CANARY not in ended.stdout + ended.stderr
    (said,) = [line for line in ended.stderr.splitlines() if "worker_not_started" in line]
    if format_ == "json":
        told = json.loads(said)
        assert told["level"] == "critical"
        assert "Can't connect to MySQL server on '127.0.0.1'" in told["exception"]
    else:
        assert "workers.celery_app" in said
