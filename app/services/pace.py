"""How long a job of slices takes: its own work, and the waits for its venue's request budget.

A job that has used up a minute's budget is put off to the next one, and so again and again: its
working time alone would promise seconds where it takes minutes. So the slices between two such
waits are counted. A ban or an outage says nothing of the pace; what is left of one, and of the
wait under way, is added by whoever shows the job (``app.services.job_venues``), and so are the
rests between the requests to a venue that is treated gently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.exchanges.errors import BudgetExhausted


def eta_s(progress: Mapping[str, Any]) -> float | None:
    """Seconds until a job is done, from the end of a wait that is under way; None before a slice.

    Args:
        progress: with ``slices_done``, ``slices_total``, ``work_ms``, and what ``put_off`` noted.
            A slice is a page of a collection, and a day of a verification.
    """
    done, total = int(progress["slices_done"]), int(progress["slices_total"])
    if not done:
        return None
    left_ms = progress["work_ms"] / done * (total - done)
    waits, between = int(progress.get("budget_waits", 0)), int(progress.get("budget_slices", 0))
    if waits and between and total > done:
        # As many slices go between two waits as went so far on average.
        further = max(0, -(-total * waits // between) - 1 - waits)
        left_ms += further * progress["budget_wait_ms"] / waits
    return float(round(left_ms / 1000, 1))


def put_off(progress: dict[str, Any], error: Exception, pause_ms: int) -> dict[str, Any]:
    """Progress of a job that waits for so long, since its venue could not be asked."""
    if not isinstance(error, BudgetExhausted) or "slices_done" not in progress:
        return progress
    if error.is_polite:
        return progress  # when its rests come is known, and needs no average of the first few
    noted = {
        **progress,
        "budget_waits": progress.get("budget_waits", 0) + 1,
        "budget_wait_ms": progress.get("budget_wait_ms", 0) + pause_ms,
        "budget_slices": progress["slices_done"],
    }
    return {**noted, "eta_s": eta_s(noted)}
