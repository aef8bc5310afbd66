"""The command line as a process: exit codes, streams, and how fast it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SECONDS = 0.5


def tidemark(tmp_path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in an empty directory."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli.main", *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
            "TIDEMARK_DATA_DIR": str(tmp_path / "data"),
            **environ,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from app.cli.main import run; run(['--help']);"
        "heavy = {'numpy', 'pandas', 'sqlalchemy', 'pydantic', 'ccxt', 'celery', 'fastapi',"
        " 'rich', 'structlog'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: tidemark" in done.stdout


def test_help_is_there_at_once(tmp_path: Path) -> None:
    if "COV_CORE_SOURCE" in os.environ or sys.gettrace() is not None:
        pytest.skip("measured without coverage")
    took = []
    for _ in range(5):
        began = time.perf_counter()
        assert tidemark(tmp_path, "--help").returncode == 0
        took.append(time.perf_counter() - began)
    assert min(took) < _SECONDS


def test_success_is_0_and_its_result_is_on_stdout(tmp_path: Path) -> None:
    done = tidemark(tmp_path, "version", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"version"' in done.stdout


def test_bad_input_is_2_and_never_a_traceback(tmp_path: Path) -> None:
    done = tidemark(tmp_path, "order", "list", LOG_LEVEL="loud")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tidemark: LOG_LEVEL: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("app.cli.main", "risk", "halt", "a test"),
        ("app.cli.serve",),
        ("celery", "-A", "workers.celery_app", "report"),
        ("workers.streams",),
    ],
)
def test_settings_that_are_wrong_are_2_whatever_reads_them(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
            "TIDEMARK_HOME": str(tmp_path),
            "TIDEMARK_API_PORT": "eighty",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tidemark: TIDEMARK_API_PORT: write a whole number\n"


def test_a_failure_is_1(tmp_path: Path) -> None:
    done = tidemark(tmp_path, "system", "token")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tidemark: no token was made yet")


def test_the_simulator_is_passed_its_own_options(tmp_path: Path) -> None:
    done = tidemark(tmp_path, "simulator", "--host", "192.0.2.1")
    assert done.returncode == 2
    assert "loopback" in done.stderr
