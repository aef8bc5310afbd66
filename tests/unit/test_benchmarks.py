"""How benchmarks are chosen: ``make bench`` runs them all."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import harness

ROOT = Path(__file__).parents[2]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were started; that of ``queue`` fails."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command[1:])
        return SimpleNamespace(returncode=int("queue" in command))

    monkeypatch.setattr(harness.subprocess, "run", run)
    return commands


def test_all_of_them_run_and_one_that_fails_is_named(
    started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert harness.main(["all", "--quick"]) == 1
    assert started == [["-m", "benchmarks", name, "--quick"] for name in harness.names()]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"benchmark 1 of {len(harness.names())}: backtest"
    assert said[-1] == "failed: queue"


def test_what_is_none_is_2_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.main(["nope"]) == 2
    assert "backtest, ingest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "arguments"),
    [((), "all"), (("NAME=orders",), "orders"), (("QUICK=1",), "all --quick")],
)
def test_make_bench_runs_all_or_the_one_that_was_named(
    given: tuple[str, ...], arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", "of-this-machine")
    done = subprocess.run(
        ["make", "-n", "bench", *given], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (command,) = re.findall(r"python -m benchmarks (.*)", done.stdout)
    assert command.strip() == arguments
