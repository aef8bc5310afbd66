"""Texts of amounts as columns: which are amounts, and their canonical form.

Nearly every text of a file is plain (digits, a point, digits): those are seen to by a pattern
and two trims over the whole column. The few others (exponents, signs, words) go through
``app.core.money`` one by one, each distinct text once, so the verdict is the same as for a row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.files.arrays import arrow_of, mask_of, text_scalar
from app.core.market.files.columns import Mask
from app.core.money import DECIMALS, INTEGER_DIGITS, canonical

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN: Final = rf"^-?(0|[1-9][0-9]{{0,{INTEGER_DIGITS - 1}}})(\.[0-9]{{1,{DECIMALS}}})?$"
# What Python calls a number, less its underscores and blanks: those are slips of a file.
_NUMBER: Final = re.compile(
    r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|s?nan\d*)", re.ASCII | re.IGNORECASE
)
_MISSING: Final = "a number is missing"
_TEXT_LIMIT: Final = 80


@dataclass(frozen=True, slots=True, eq=False)
class ExactColumn:
    """A column of amounts.

    Attributes:
        texts: canonical; "0" where there is a fault; null where null was allowed.
        faults: what is wrong, by position.
    """

    texts: pa.Array
    faults: dict[int, str]


def exact(stated: pa.Array, *, may_be_null: bool = False) -> ExactColumn:
    """The canonical form of a column of texts.

    Args:
        may_be_null: null means that the source does not say, which is no fault.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    plain: Mask = _bools(pc.match_substring_regex(stated, _PLAIN))
    negative_zero = _bools(pc.match_substring_regex(stated, r"^-0(\.0*)?$"))
    odd = ~plain | negative_zero
    trimmed = pc.if_else(
        pc.match_substring(stated, "."),
        pc.ascii_rtrim(pc.ascii_rtrim(stated, "0"), "."),
        stated,
    )
    if not odd.any():
        return ExactColumn(trimmed, {})
    positions = np.flatnonzero(odd)
    faults: dict[int, str] = {}
    known: dict[str | None, tuple[str | None, str]] = {}
    texts: list[str | None] = []
    for position, text in zip(positions, stated.take(arrow_of(positions)).to_pylist(), strict=True):
        if text not in known:
            known[text] = _verdict(text, may_be_null)
        value, fault = known[text]
        texts.append(value)
        if fault:
            faults[int(position)] = fault
    replaced = pc.replace_with_mask(trimmed, arrow_of(odd), pa.array(texts, pa.string()))
    return ExactColumn(replaced, faults)


def negative(texts: pa.Array) -> Mask:
    """Where a canonical text is below 0."""
    import pyarrow.compute as pc

    return _bools(pc.starts_with(texts, "-"))


def zero(texts: pa.Array) -> Mask:
    """Where a canonical text is 0."""
    import pyarrow.compute as pc

    return _bools(pc.equal(texts, text_scalar("0")))


def decimals(texts: pa.Array) -> pa.Array:
    """Canonical texts as decimal128(36,18), for comparing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.cast(texts, pa.decimal128(INTEGER_DIGITS + DECIMALS, DECIMALS))


def above(one: pa.Array, other: pa.Array) -> Mask:
    """Where a decimal of the first column is above that of the second."""
    import pyarrow.compute as pc

    return _bools(pc.greater(one, other))


def _verdict(text: str | None, may_be_null: bool) -> tuple[str | None, str]:
    """The canonical text and no fault, or a stand-in and the fault."""
    if text is None or text == "":
        return (None, "") if may_be_null else ("0", _MISSING)
    if not _NUMBER.fullmatch(text):
        return "0", f"{text[:40]!r} is not a number"
    try:
        return canonical(Decimal(text)), ""
    except InvalidInput as error:
        return "0", str(error)[:_TEXT_LIMIT]


def _bools(found: pa.Array) -> Mask:
    return mask_of(found)
