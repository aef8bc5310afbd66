"""What beat sends, and how often. Two beats are harmless: each slot is one row."""

from __future__ import annotations

from typing import Any

from app.services.schedule import PERIODS

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    task: {
        "task": task,
        "schedule": period_ms / 1000,
        # A broker that blocks publishers would hold beat without end; the next tick tries again.
        "options": {"confirm_timeout": 2.0},
    }
    for task, period_ms in PERIODS.items()
}
