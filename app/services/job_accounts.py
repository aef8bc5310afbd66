"""What a job of a kind has done so far, as its row tells it: the account of one that ends early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.models import JobRow


def import_account(job: JobRow) -> dict[str, Any]:
    """The account of a whole import."""
    series = [_plain(tally) for tally in job.cursor.get("series", {}).values()]
    funding = job.cursor.get("funding", [])
    names = ("rows", "new", "unchanged", "revised", "bad", "quarantined", "trades", "filled")
    return {
        **{name: sum(tally.get(name, 0) for tally in [*series, *funding]) for name in names},
        "rows_per_s": job.progress.get("rows_per_s"),
        "files": job.progress.get("slices_done", 0),
        "series": series,
        "funding": funding,
        "shifts": job.cursor.get("shifts", []),
        "left_out": job.cursor.get("left_out", []),
        "absent": job.cursor.get("absent", []),
        "unended": job.cursor.get("unended", []),
        "skipped": job.cursor.get("skipped", []),
        "unplaced": job.cursor.get("unplaced", []),
    }


# Of the other kinds, what one has done before its end stands in its progress.
_ACCOUNTS: Final[dict[str, Callable[[JobRow], dict[str, Any]]]] = {"import": import_account}


def account_of(job: JobRow) -> dict[str, Any] | None:
    """The account of a job that ends where it stands; None of one that has not begun, or whose
    kind has none."""
    account = _ACCOUNTS.get(job.kind)
    return account(job) if account is not None and job.progress else None


def _plain(tally: dict[str, Any]) -> dict[str, Any]:
    # Numpy is not loaded for those who only look at jobs.
    from app.core.market.files.findings import told

    ranges = {name: told(tally[name]) for name in ("gaps", "zero_volume")}
    inner = ("first_of", "last_of")
    return {**{name: each for name, each in tally.items() if name not in inner}, **ranges}
