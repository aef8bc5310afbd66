"""Whether the record of an account balances, and agrees with the simulator's own."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from app.core.money import ZERO
from app.core.portfolio.ledger import Book
from app.models import AccountRow

if TYPE_CHECKING:
    from tests.support.installation import Installation


def assert_books_hold(here: Installation, account: AccountRow) -> None:
    """Every transaction sums to 0 per asset; balances are what the ledger holds; what is locked
    is what live orders hold back; and the venue holds the same total."""
    with here.parts.units.read() as unit:
        postings = unit.ledger.postings(account.id)
        ours = {row.asset: (row.free, row.locked) for row in unit.accounts.balances(account.id)}
        live = unit.orders.live(account.id)
    sums: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for row in postings:
        sums[row.txn_id, row.asset] += row.amount
        if row.book == Book.HOLDINGS:
            held[row.asset] += row.amount
    assert not {key: value for key, value in sums.items() if value}
    reserved: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for order in live:
        reserved[order.reserved_asset] += order.reserved_amount
    theirs = next(
        each["balances"]
        for each in here.venue.accounts()
        if each["name"] == here.venue_name(account)
    )
    for asset, (free, locked) in ours.items():
        assert free + locked == held[asset], asset
        assert locked == reserved[asset], asset
        there = theirs.get(asset, {"free": "0", "locked": "0"})
        assert free + locked == Decimal(there["free"]) + Decimal(there["locked"]), asset
