"""What a job found of a series, in the words of a trader: gaps, silence, duplicates, shifts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.market.files.findings import off_grid
from app.core.market.klines import KlineKind
from app.core.market.validation import NOT_ABOVE
from app.models import KlineSeriesRow
from app.repositories.unit import Unit
from app.services.activity import Profile, profile_of
from app.services.collection.filling import Answer


def noted(known: Mapping[str, int], answer: Answer) -> dict[str, int]:
    """Counts of what was refused of a job's answers, after another one."""
    again = [bad.open_ts for bad in answer.bad if bad.reason == NOT_ABOVE]
    good = set(answer.times) if again else set()
    return {
        "duplicates": known.get("duplicates", 0) + sum(opened in good for opened in again),
        "off_grid": known.get("off_grid", 0) + off_grid(answer.bad),
    }


def report_of(
    unit: Unit, series: KlineSeriesRow | None, start: int, end: int, refused: Mapping[str, int]
) -> dict[str, Any]:
    """What is known of the days that [start, end) touches, and what was refused meanwhile.

    Args:
        refused: as ``noted`` counted it.
    """
    counts = {name: refused.get(name, 0) for name in ("duplicates", "off_grid")}
    if series is None:
        return counts
    return {**counts, **told_of(profile_of(unit, series, start, end), series.kind)}


def told_of(found: Profile, kind: str) -> dict[str, Any]:
    """A profile as the report of a job keeps it; of bars of mark and index prices, which have no
    volume, the gaps alone."""
    activity, gaps = found.activity, found.gaps
    told = {"gaps": {"count": gaps.count, "bars": gaps.bars, "longest": gaps.longest}}
    if kind != KlineKind.TRADE:
        return told
    return {
        **told,
        "zero_volume": {
            "count": activity.runs,
            "bars": activity.idle,
            "longest": activity.longest,
        },
        "character": found.character.value,
        "looks_like": found.looks_like.value,
        "is_dead": found.is_dead,
    }
