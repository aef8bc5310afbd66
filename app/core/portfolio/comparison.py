"""What a venue holds against what the record holds: pure arithmetic on totals per asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from app.core.money import ZERO, canonical

#: Venues keep eight decimals; what is smaller exists on our side alone.
UNSEEN: Final = Decimal("0.00000001")
#: A venue cuts the cost of each fill to eight decimals where we keep eighteen. What a hundred
#: fills may leave of that is rounding, not a difference that anybody must look at.
ROUNDING: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the differences of one comparison.

    Attributes:
        confirmed: seen twice, unchanged, far enough apart: they are posted.
        waiting: seen for the first time, or changed since; as kept with the account.
    """

    confirmed: dict[str, Decimal]
    waiting: dict[str, dict[str, Any]]

    @property
    def agrees(self) -> bool:
        """Whether venue and record hold the same."""
        return not self.confirmed and not self.waiting


def differences(ours: Mapping[str, Decimal], theirs: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """What the venue holds more (or, negative, less) than the record, by asset."""
    found = {asset: theirs.get(asset, ZERO) - ours.get(asset, ZERO) for asset in {*ours, *theirs}}
    return {asset: found[asset] for asset in sorted(found) if abs(found[asset]) >= UNSEEN}


def weigh(
    found: Mapping[str, Decimal],
    suspects: Mapping[str, Mapping[str, Any]],
    *,
    now_ms: int,
    settle_ms: int,
    is_quiet: bool,
) -> Verdict:
    """Which differences are real.

    One comparison proves nothing: a trade may be in the balance before it is in the list of
    trades. A difference counts when two comparisons, at least ``settle_ms`` apart, have seen the
    same amount, and nothing of our own was going on at the second.

    Args:
        suspects: what earlier comparisons have left, by asset: ``difference`` and ``since``.
        is_quiet: no local activity within ``settle_ms``.
    """
    confirmed: dict[str, Decimal] = {}
    waiting: dict[str, dict[str, Any]] = {}
    for asset, amount in found.items():
        known = suspects.get(asset)
        is_same = known is not None and known["difference"] == canonical(amount)
        since = int(known["since"]) if known is not None and is_same else now_ms
        if is_same and is_quiet and now_ms - since >= settle_ms:
            confirmed[asset] = amount
        else:
            waiting[asset] = {"difference": canonical(amount), "since": since}
    return Verdict(confirmed, waiting)


def is_rounding(difference: Decimal) -> bool:
    """Whether a difference is what the rounding of fills leaves."""
    return abs(difference) <= ROUNDING
