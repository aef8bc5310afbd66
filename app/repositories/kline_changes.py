"""How bars that arrive differ from those that are stored, their revision and their removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from sqlalchemy import Table, bindparam, delete, insert, update
from sqlalchemy.orm import Session

from app.core.market.files.arrays import arrow_of, mask_of
from app.core.market.files.columns import KlineColumns, Mask
from app.core.market.klines import KlineRow
from app.core.market.validation import as_text
from app.models import KlineRecord, KlineRevisionRow

# The table, not the class: the ORM would look at every row once more.
_KLINES = cast("Table", KlineRecord.__table__)
# IN lists stay below SQLite's and MySQL's comfort.
_IN_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Differences:
    """Bars that arrive, sorted by what is stored of them.

    Attributes:
        new: those of which nothing is stored.
        old, revised: those that are stored otherwise, as they were and as they arrive.
    """

    new: KlineColumns
    old: KlineColumns
    revised: KlineColumns


def compared(known: KlineColumns, arriving: KlineColumns, *, complete: bool = False) -> Differences:
    """The differences of two sets of checked bars; both ascend by open time.

    Args:
        complete: take what the arriving bars do not say, such as their quote volume, as it is
            known, where prices and volume are as known. A file of prices alone then takes nothing
            away.
    """
    places = np.searchsorted(known.open_ts, arriving.open_ts)
    inside = np.minimum(places, max(0, len(known) - 1))
    is_known = (
        known.open_ts[inside] == arriving.open_ts
        if len(known)
        else np.zeros(len(arriving), np.bool_)
    )
    both = arriving.kept(is_known)
    positions = arrow_of(places[is_known])
    before = KlineColumns(
        known.open_ts[places[is_known]], *(each.take(positions) for each in known.arrays())
    )
    if complete:
        both = _completed(both, before)
    differing = _differing(before, both)
    return Differences(arriving.kept(~is_known), before.kept(differing), both.kept(differing))


def revise(
    session: Session,
    series_id: int,
    pairs: Sequence[tuple[KlineRow, KlineRow]],
    source: str,
    now_ms: int,
) -> None:
    """Replace stored bars, keeping what they were: pairs of old and new."""
    if not pairs:
        return
    session.execute(
        insert(KlineRevisionRow),
        [
            {
                "series_id": series_id,
                "open_ts": new.open_ts,
                "old": _named(old),
                "new": _named(new),
                "source": source,
                "seen_at": now_ms,
            }
            for old, new in pairs
        ],
    )
    fields = KlineRow._fields[1:]
    session.connection().execute(
        update(_KLINES)
        .where(_KLINES.c.series_id == series_id, _KLINES.c.open_ts == bindparam("of_open_ts"))
        .values({name: bindparam(f"new_{name}") for name in fields}),
        [
            {"of_open_ts": new.open_ts, **{f"new_{name}": getattr(new, name) for name in fields}}
            for _, new in pairs
        ],
    )


def only_fills(old: KlineRow, new: KlineRow) -> bool:
    """Whether a bar differs from the stored one only in what that one did not say."""
    return all(was in (None, now) for was, now in zip(old, new, strict=True))


def remove(session: Session, series_id: int, opens: Sequence[int]) -> None:
    """Delete stored bars by their open times; nothing is kept of them."""
    for position in range(0, len(opens), _IN_LIMIT):
        session.connection().execute(
            delete(_KLINES).where(
                _KLINES.c.series_id == series_id,
                _KLINES.c.open_ts.in_(opens[position : position + _IN_LIMIT]),
            )
        )


def _named(row: KlineRow) -> Mapping[str, Any]:
    return dict(zip(KlineRow._fields, as_text(row), strict=True))


def _completed(bars: KlineColumns, known: KlineColumns) -> KlineColumns:
    """Bars with what they do not say taken from those of the same times, prices and volumes."""
    import pyarrow.compute as pc

    *stated, quote, count = bars.arrays()
    *stored, known_quote, known_count = known.arrays()
    alike = arrow_of(np.ones(len(bars), np.bool_))
    for new, old in zip(stated, stored, strict=True):
        alike = pc.and_(alike, pc.equal(new, old))
    # Of another bar its quote volume says nothing: it would make one that nobody has stated.
    pairs = ((quote, known_quote), (count, known_count))
    completed = (pc.if_else(alike, pc.coalesce(new, old), new) for new, old in pairs)
    return KlineColumns(bars.open_ts, *stated, *completed)


def _differing(one: KlineColumns, other: KlineColumns) -> Mask:
    """Where bars of the same times differ; canonical texts differ as their amounts do."""
    import pyarrow.compute as pc

    found: Mask = np.zeros(len(one), np.bool_)
    for left, right in zip(one.arrays(), other.arrays(), strict=True):
        none = mask_of(pc.and_(left.is_null(), right.is_null()))
        found |= ~(mask_of(pc.equal(left, right)) | none)
    return found
