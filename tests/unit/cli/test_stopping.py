"""The embedded runtime's workers and beat are stopped together, not one after another."""

from __future__ import annotations

import threading
from typing import Any, cast

from app.cli.up import _stop_together

_WAIT_S = 10.0


def test_all_are_asked_to_stop_before_any_has_stopped() -> None:
    all_asked = threading.Barrier(3)
    stopped: list[str] = []

    class Part:
        def stop(self) -> None:
            all_asked.wait(_WAIT_S)  # broken, and so never passed, where they come in turn
            stopped.append(threading.current_thread().name)

    _stop_together(cast("Any", [Part(), Part(), Part()]))
    assert stopped == ["stopper"] * 3
