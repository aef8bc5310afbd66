"""Stored bars that lie whole hours away from the venue's: told, and left alone."""

from __future__ import annotations

from app.core.errors import InvalidInput
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import HOUR_MS
from app.core.market.shifts import REACH_MS, found_shift, is_suspect
from app.repositories.unit import Units
from app.services.alarms import tell_alarm
from app.services.collection.comparing import compared
from app.services.collection.daily import series_of
from app.services.collection.filling import Answer
from app.services.collection.target import Target


def require_no_shift(units: Units, wanted: Target, answer: Answer) -> None:
    """Nothing, unless most of an answer's bars are stored whole hours away; then it is told.

    Raises:
        InvalidInput: they are.
    """
    with units.read() as unit:
        series = series_of(unit, wanted)
        start, end = answer.ask.start, answer.ask.end
        stored = {row.open_ts: row for row in unit.klines.read_exact(series.id, start, end)}
        found = compared(stored, answer.rows())
        if not is_suspect(found.differed, found.compared - found.differed):
            return
        around = unit.klines.read_exact_columns(series.id, start - REACH_MS, end + REACH_MS)
    shift = found_shift(_columns(answer), around, wanted.interval)
    if shift is None:
        return
    # The venue's bars are ahead by as much as the stored ones are behind.
    way = "behind" if shift > 0 else "ahead of"
    text = (
        f"the stored bars of {wanted.symbol} {wanted.interval.name} lie "
        f"{abs(shift) // HOUR_MS} h {way} the same bars of {wanted.exchange}, and were not "
        "changed; import their file again with its --utc-offset, or say --despite-shift to "
        "take the venue's"
    )
    facts = {"exchange": wanted.exchange, "symbol": wanted.symbol, "shift_ms": -shift}
    units.run(lambda unit: tell_alarm(unit, "warning", "series-shifted", text, **facts))
    raise InvalidInput(text, code="shifted")


def _columns(answer: Answer) -> KlineColumns:
    good = answer.good
    return good if isinstance(good, KlineColumns) else KlineColumns.of_rows(good)
