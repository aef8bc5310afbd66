"""What must be read or made again once bars changed: periods kept in files, days rolled up.

The same once bars are proven to be missing, of what longer bars are made of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from app.core.market.intervals import DAY_MS
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import Times
from app.core.market.rolling import ROLLED, day_of, days_to_make, is_rolled_up
from app.models import KlinePeriodRow, KlineSeriesRow
from app.repositories.activity import mark_changed
from app.repositories.roll_marks import RollMarkRepository
from app.repositories.segments import period_of

Bounds = tuple[int, int]


def note_changes(
    session: Session,
    series_id: int,
    bounds: Bounds | None,
    changed: Sequence[int] | Times,
    now_ms: int,
) -> bool:
    """Tell whoever keeps something made of these bars; whether a roll-up lacks days since.

    Args:
        bounds: of the series before the change; bars behind its last one are no past.
        changed: open times of bars inserted, revised or deleted, ascending.
    """
    times = np.asarray(changed, dtype=np.int64)
    if not len(times):
        return False
    row = session.get_one(KlineSeriesRow, series_id)
    was_marked = is_all_marked(row)
    past = times[times <= bounds[1]] if bounds is not None else times[:0]
    if len(past):
        row.past_version += 1
        _renew_periods(session, row, past, now_ms)
    if was_marked:
        row.marked_version = row.past_version
    return _mark_days(session, row, bounds, times)


def note_absences(session: Session, series_id: int, changed: Sequence[tuple[int, int]]) -> None:
    """Tell whoever makes longer bars that some are proven to be missing, or no longer are.

    The bars themselves are as they were, and so are the files that hold them.

    Args:
        changed: half-open ranges of open times, ascending.
    """
    if not changed:
        return
    row = session.get_one(KlineSeriesRow, series_id)
    row.absent_version += 1
    if row.rolled_to is None or not is_rolled_up(row.kind, row.interval, row.grid_offset_ms):
        return
    days = {
        day
        for start, end in changed
        for day in range(day_of(start), min(end, row.rolled_to), DAY_MS)
    }
    RollMarkRepository(session).mark(row.id, sorted(days))


def note_removed(session: Session, row: KlineSeriesRow, start: int, end: int, now_ms: int) -> None:
    """Tell whoever keeps files of the bars in [start, end) that these are removed.

    No day is marked: what was rolled up of them is all that is left, and stays.
    """
    was_marked = is_all_marked(row)
    row.past_version += 1
    _renew_periods(session, row, np.arange(start, end, DAY_MS), now_ms)
    if was_marked:
        row.marked_version = row.past_version


def removable_to(session: Session, row: KlineSeriesRow, cut: int) -> int:
    """Up to where bars before ``cut`` may be removed now: those rolled up, where roll-ups are kept.

    What is not made of minutes yet could not be made without them.
    """
    if not is_rolled_up(row.kind, row.interval, row.grid_offset_ms):
        return cut
    marked = RollMarkRepository(session).first(row.id, 1)
    if row.rolled_to is None:
        return 0 if marked else cut
    return min([cut, row.rolled_to, *marked]) if is_all_marked(row) else 0


def is_all_marked(row: KlineSeriesRow) -> bool:
    """Whether no minute of the past changed without a mark.

    During an upgrade workers of the release before roll-ups run beside those of this one. They
    mark nothing, but they count every change.
    """
    return row.marked_version == row.past_version


def forget_files(row: KlineSeriesRow, now_ms: int) -> None:
    """Have nobody take a file that was made of this series' bars so far."""
    row.created_at = max(now_ms, row.created_at + 1)


def _renew_periods(session: Session, row: KlineSeriesRow, past: Times, now_ms: int) -> None:
    wanted = interval_of(row.interval)
    # No day has two periods, and a chunk of a file has 70 days where it has 100,000 minutes.
    days = np.unique(past // DAY_MS).tolist()
    if row.kind != ROLLED:
        mark_changed(session, row.id, [day * DAY_MS for day in days])
    periods = sorted({period_of(wanted, day * DAY_MS) for day in days})
    for period in periods:
        known = session.get(KlinePeriodRow, (row.id, period), populate_existing=True)
        if known is None:
            known = KlinePeriodRow(series_id=row.id, period_ts=period, version=0)
            session.add(known)
        # The time, so that a database restored from a backup does not come by a version
        # again that meant other bars.
        known.version = max(now_ms, known.version + 1)


def _mark_days(session: Session, row: KlineSeriesRow, bounds: Bounds | None, times: Times) -> bool:
    if not is_rolled_up(row.kind, row.interval, row.grid_offset_ms):
        return False
    first, newest = int(times[0]), int(times[-1])
    if bounds is not None:
        first, newest = min(first, bounds[0]), max(newest, bounds[1])
    days = days_to_make(row.rolled_to, first, newest, times)
    if row.rolled_to is not None and not is_all_marked(row):
        days = sorted({*days, row.rolled_to})  # whoever takes it begins anew
    return RollMarkRepository(session).mark(row.id, days) > 0
