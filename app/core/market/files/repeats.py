"""Rows of one time: equal ones are one bar, and those that contradict it are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from app.core.market.files.arrays import mask_of, number_scalar, text_scalar, texts_of
from app.core.market.files.columns import KlineColumns, Mask
from app.core.market.files.exact import exact
from app.core.market.validation import NOT_ABOVE, BadKline

_NAMES: Final = ("open", "high", "low", "close", "volume", "quote volume", "trade count")
#: How the reason of a row begins that contradicts a good bar of its time; what that says follows.
CONTRADICTS: Final = "an earlier row of the file, which counts, says otherwise of its time"
# KlineQuarantineRow.reason has 200 characters: its beginning, and four values with their names.
_TOLD: Final = 4
_TEXT_LIMIT: Final = 18


def without_repeats(columns: KlineColumns) -> tuple[KlineColumns, int]:
    """The bars less each that states its predecessor, text for text; how many those were.

    Args:
        columns: ascending by time.
    """
    import pyarrow.compute as pc

    again: Mask = columns.open_ts[1:] == columns.open_ts[:-1]
    if not again.any():
        return columns, 0
    last = len(columns) - 1
    *texts, counts = columns.arrays()
    stated = [pc.fill_null(each, text_scalar("")) for each in texts]
    # No count is that low, so it stands for none.
    stated.append(pc.fill_null(counts, number_scalar(-(1 << 62), counts)))
    for each in stated:
        again = again & mask_of(pc.equal(each.slice(1, last), each.slice(0, last)))
    keeps = np.concatenate([[True], ~again])
    return columns.kept(keeps), int(again.sum())


def sorted_out(good: KlineColumns, bad: Sequence[BadKline]) -> tuple[list[BadKline], int, int]:
    """What is bad, where a row of a good bar's time is so only if it contradicts that bar.

    Args:
        good: as ``check_columns`` lets bars pass.
        bad: what it did not let pass.

    Returns:
        The bad ones, those that contradict with the good bar's values in their reason; how many
        rows state a good bar in other words and were left out; how many contradict one.
    """
    again = [entry for entry in bad if entry.reason == NOT_ABOVE]
    if not again:
        return list(bad), 0, 0
    stated = [texts_of([_text(entry.row[field]) for entry in again]) for field in range(1, 7)]
    columns = [exact(each, may_be_null=True).texts.to_pylist() for each in stated]
    reasons: dict[int, str] = {}
    for entry, *texts in zip(again, *columns, strict=True):
        counted = good.texts(int(np.searchsorted(good.open_ts, entry.open_ts)))[1:]
        if counted != [*texts, entry.row[7]]:
            reasons[id(entry)] = _contradiction(counted, [*texts, entry.row[7]])
    found = [
        replace(entry, reason=reasons.get(id(entry), entry.reason))
        for entry in bad
        if entry.reason != NOT_ABOVE or id(entry) in reasons
    ]
    return found, len(again) - len(reasons), len(reasons)


def _contradiction(counted: Sequence[object], stated: Sequence[object]) -> str:
    """What the bar that counts says, where the other row says otherwise."""
    told = [
        f"{name} {'unknown' if value is None else str(value)[:_TEXT_LIMIT]}"
        for name, value, other in zip(_NAMES, counted, stated, strict=True)
        if value != other
    ]
    more = [] if len(told) <= _TOLD else ["…"]
    said = ", ".join([*told[:_TOLD], *more])
    return f"{CONTRADICTS}: {said}"


def _text(value: object) -> str | None:
    return None if value is None else str(value)
