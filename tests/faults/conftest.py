"""Installations and servers for the rehearsals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, installed
from tests.support.simulator import SimulatorProcess
from tests.support.strategies_of_stories import Counter, Holder

STRATEGIES = {"holder": Holder, "counter": Counter}


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatorProcess]:
    """A simulated exchange whose market stands still until a story moves it."""
    with SimulatorProcess(seed=7, weight_limit=0, spread_bps=0) as process:
        yield process


@pytest.fixture
def here(exchange: SimulatorProcess, tmp_path: Path) -> Iterator[Installation]:
    """An installation on SQLite."""
    with installed(exchange, tmp_path, strategies=STRATEGIES) as installation:
        yield installation


@pytest.fixture
def anywhere(
    exchange: SimulatorProcess, tmp_path: Path, database_url: str
) -> Iterator[Installation]:
    """An installation on SQLite, and another on MariaDB."""
    with installed(
        exchange, tmp_path, database_url=database_url, strategies=STRATEGIES
    ) as installation:
        yield installation


@pytest.fixture
def said(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Keeps a sentence about a rehearsal for the summary at the end."""
    return lambda sentence: record_property("rehearsal", sentence)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line for each rehearsal, where they are what was asked for (`make faults`)."""
    if "faults" not in str(config.getoption("-m")):
        return
    terminalreporter.section("rehearsals")
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            if getattr(report, "when", "call") != "call" and outcome == "passed":
                continue
            told = [text for name, text in report.user_properties if name == "rehearsal"]
            name = report.nodeid.removeprefix("tests/faults/")
            terminalreporter.write_line(f"{outcome:<8} {name}  {'; '.join(told)}".rstrip())
