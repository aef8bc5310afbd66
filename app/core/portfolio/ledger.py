"""Double entry: what a fill or a transfer posts. Every transaction sums to 0 per asset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.core.errors import TidemarkError
from app.core.money import ZERO
from app.core.orders.types import Side
from app.core.portfolio.positions import exact_product


class Book(StrEnum):
    """The accounts of the ledger, per instance and asset."""

    HOLDINGS = "holdings"
    MARKET = "market"
    FEES = "fees"
    TRANSFERS = "transfers"
    ADJUSTMENTS = "adjustments"


@dataclass(frozen=True, slots=True)
class Entry:
    """One signed amount of one asset in one book of one instance."""

    instance_id: str
    book: Book
    asset: str
    amount: Decimal


class Unbalanced(TidemarkError):
    """A transaction whose entries do not sum to 0 for each asset."""

    code = "unbalanced-ledger"


def fill_entries(
    *,
    instance_id: str,
    side: Side,
    base: str,
    quote: str,
    price: Decimal,
    quantity: Decimal,
    fee: Decimal,
    fee_asset: str,
) -> list[Entry]:
    """Entries of one spot fill: base against quote at the market, and the fee."""
    notional = exact_product(price, quantity) * side.sign
    moved = quantity * side.sign
    entries = [
        Entry(instance_id, Book.HOLDINGS, base, moved),
        Entry(instance_id, Book.MARKET, base, -moved),
        Entry(instance_id, Book.HOLDINGS, quote, -notional),
        Entry(instance_id, Book.MARKET, quote, notional),
    ]
    if fee != 0:
        entries += [
            Entry(instance_id, Book.HOLDINGS, fee_asset, -fee),
            Entry(instance_id, Book.FEES, fee_asset, fee),
        ]
    return balanced(entries)


def transfer_entries(
    source: tuple[str, Book], target: tuple[str, Book], asset: str, amount: Decimal
) -> list[Entry]:
    """Entries that move an amount from one (instance, book) to another."""
    return balanced(
        [Entry(*source, asset, -amount), Entry(*target, asset, amount)],
    )


def balanced(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, proven to sum to 0 per asset.

    Raises:
        Unbalanced: they do not.
    """
    for asset, total in totals(entries).items():
        if total != 0:
            raise Unbalanced(f"entries of {asset} sum to {total} instead of 0")
    return list(entries)


def totals(entries: Iterable[Entry]) -> dict[str, Decimal]:
    """Sum of the amounts per asset."""
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for entry in entries:
        sums[entry.asset] += entry.amount
    return dict(sums)


def holdings_change(entries: Iterable[Entry]) -> dict[str, Decimal]:
    """Change of what the account holds, per asset."""
    return totals(entry for entry in entries if entry.book is Book.HOLDINGS)
