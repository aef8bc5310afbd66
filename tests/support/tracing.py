"""Which child processes are traced for the coverage of the suite.

A traced child takes twice its time and more, and most children are simulators and workers that
many tests need and some tests are about. So children are traced where they are what is tested:
what a simulator, a command or a strategy host does is counted from its own tests.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: What coverage hands to the processes that its own starts (patch = subprocess).
_VARIABLE: Final = "COVERAGE_PROCESS_CONFIG"
_TRACED: Final = tuple(
    Path(__file__).parents[1] / "integration" / name for name in ("cli", "host", "simulator")
)


class ChildTracing:
    """Hands coverage's settings to the children of some tests, and to no others."""

    def __init__(self) -> None:
        self._settings = os.environ.pop(_VARIABLE, None)

    def enter(self, test: Path) -> None:
        """Set up for the tests of a file; whatever was started before stays as it is."""
        if self._settings is not None and any(test.is_relative_to(each) for each in _TRACED):
            os.environ[_VARIABLE] = self._settings
        else:
            os.environ.pop(_VARIABLE, None)
