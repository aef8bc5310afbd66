"""Installations and servers for the rehearsals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.full_stack import stack
from tests.support.stories import anywhere, exchange, here

__all__ = ["anywhere", "exchange", "here", "stack"]


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
            # A file that cannot be read has none.
            properties = getattr(report, "user_properties", ())
            told = [text for name, text in properties if name == "rehearsal"]
            name = report.nodeid.removeprefix("tests/faults/")
            terminalreporter.write_line(f"{outcome:<8} {name}  {'; '.join(told)}".rstrip())
