"""Waiting for what another thread or process does; never for a time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_S = 0.02


def until(condition: Callable[[], T], seconds: float = 30.0, what: str = "") -> T:
    """What the condition gives once it is true; fails after some seconds.

    Raises:
        AssertionError: it stayed false.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"within {seconds:.0f} s it did not happen: {what or condition}")
        time.sleep(_POLL_S)
    return found
