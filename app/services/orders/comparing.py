"""Comparing totals: one cut through the record, one answer of the venue, and what follows.

A cut is only worth comparing when the record stood still around the venue's answer: the same
orders in the same states and no new posting before and after, nothing in flight, and no trade of
a working order that we did not know. So orders may go through while accounts are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto

from app.core.market.instruments import Instrument
from app.core.money import ZERO, canonical
from app.core.orders.identity import inferred_id
from app.core.orders.types import Balance, OrderStatus
from app.core.portfolio.comparison import Verdict, differences, is_rounding, weigh
from app.core.portfolio.ledger import Book, transfer_entries
from app.core.ports import Ids
from app.models import AccountRow, AdjustmentRow
from app.repositories.unit import Unit
from app.services.orders.fills import post
from app.services.orders.locking import lift_explained, lock_instrument, report_difference
from app.services.orders.trust import record_agreement, record_sight

_IN_FLIGHT = (OrderStatus.SENDING, OrderStatus.UNKNOWN)
# A catalogue has thousands of symbols; a query of trades costs a three-hundredth of a minute's
# budget, so a difference of one coin may cost a tenth of it.
_MOST_SUSPECTS = 30


class Outcome(Enum):
    """What one comparison of totals came to."""

    AGREED = auto()
    #: Something is left that a later comparison must confirm.
    OPEN = auto()
    #: The record moved meanwhile: nothing was judged.
    MOVED = auto()


@dataclass(frozen=True, slots=True)
class Cut:
    """The record of one account at one moment.

    Attributes:
        orders: (id, status, attempt, filled) of each order that is not final.
        totals: free + locked by asset.
        last_activity: wall time of the latest thing that we did on the account, ms.
    """

    posting_id: int
    orders: tuple[tuple[str, str, int, Decimal], ...]
    totals: Mapping[str, Decimal]
    in_flight: bool
    last_activity: int

    def stood_still(self, later: Cut) -> bool:
        """Whether nothing happened between this cut and a later one."""
        mine = (self.posting_id, self.orders, self.totals)
        return mine == (later.posting_id, later.orders, later.totals)


def cut(unit: Unit, account_id: str) -> Cut:
    """The record now. Its parts are read one after the other: compare two of them."""
    live = unit.orders.live(account_id)
    external = unit.instances.builtin(account_id, "external").id
    posting_id = unit.ledger.last_posting(account_id)
    ours = [row.updated_at for row in live if row.instance_id != external]
    return Cut(
        posting_id=posting_id,
        orders=tuple(
            (row.order_id, str(row.status), row.attempt, row.filled_quantity) for row in live
        ),
        totals={row.asset: row.free + row.locked for row in unit.accounts.balances(account_id)},
        in_flight=any(row.status in _IN_FLIGHT for row in live),
        last_activity=max([*ours, unit.ledger.last_posted_at(account_id)], default=0),
    )


def totals_of(held: Sequence[Balance]) -> dict[str, Decimal]:
    """What the venue holds of each asset, in working orders or not; none that it has none of."""
    totals = {each.asset: each.free + each.locked for each in held}
    return {asset: total for asset, total in totals.items() if total}


def symbols_of_interest(unit: Unit, account: AccountRow) -> set[str]:
    """Symbols that the account trades: once traded, held, ordered, or listened to."""
    found = set(account.trade_cursor)
    found |= {row.symbol for row in unit.orders.live(account.id)}
    found |= {row.symbol for row in unit.ledger.positions_of_account(account.id)}
    for instance in unit.instances.of_account(account.id):
        if instance.kind == "strategy" and instance.status == "running":
            found |= set(instance.symbols)
    return found


def suspected_symbols(
    unit: Unit, account: AccountRow, found: Collection[str], held: Collection[str]
) -> list[str]:
    """Symbols in which a trade could have made these differences, the likeliest first.

    Every spot trade moves its base, and pays or earns a quote that the account holds or lacks.
    """
    interest = symbols_of_interest(unit, account)
    suspects = [
        each
        for each in unit.instruments.of_exchange(account.exchange)
        if each.base in found
        and (each.quote in found or each.quote in held or each.symbol in interest)
    ]
    suspects.sort(
        key=lambda each: (each.symbol not in interest, each.quote not in found, each.symbol)
    )
    return [each.symbol for each in suspects[:_MOST_SUSPECTS]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison to be concluded.

    Attributes:
        epoch: the account's epoch when it began.
        locks: ids of the locks that stood when it began.
        settle_ms: how long a venue's answers may lag behind each other.
    """

    account_id: str
    epoch: int
    locks: frozenset[str]
    settle_ms: int

    def conclude(self, unit: Unit, ids: Ids, before: Cut, theirs: Mapping[str, Decimal]) -> Outcome:
        """Judge the totals of a cut that stood still, and post what is proven."""
        found = differences(before.totals, theirs)
        # Balances before the account, as everywhere.
        unit.accounts.lock_balances(self.account_id, list(found))
        account = unit.accounts.lock(self.account_id)
        if unit.ledger.last_posting(self.account_id) != before.posting_id:
            return Outcome.MOVED
        verdict = weigh(
            found,
            account.suspects or {},
            now_ms=unit.now_ms,
            settle_ms=self.settle_ms,
            # What lies further ahead was stamped before the clock was set back.
            is_quiet=abs(unit.now_ms - before.last_activity) >= self.settle_ms,
        )
        self._post(unit, ids, account, verdict, before, theirs)
        if verdict.waiting:
            record_sight(account)
            account.suspects = verdict.waiting
            return Outcome.OPEN
        if not verdict.confirmed:
            lift_explained(unit, self.account_id, self.locks)
        record_agreement(unit, account, self.epoch)
        return Outcome.AGREED

    def _post(
        self,
        unit: Unit,
        ids: Ids,
        account: AccountRow,
        verdict: Verdict,
        before: Cut,
        theirs: Mapping[str, Decimal],
    ) -> None:
        instruments = _instruments_of_interest(unit, account) if verdict.confirmed else []
        for asset, amount in verdict.confirmed.items():
            since = int((account.suspects or {})[asset]["since"])
            identity = inferred_id(
                since, "adjustment", account.id, asset, str(before.posting_id), canonical(amount)
            )
            row = AdjustmentRow(
                id=identity,
                account_id=account.id,
                asset=asset,
                amount=amount,
                ours=before.totals.get(asset, ZERO),
                theirs=theirs.get(asset, ZERO),
                reason=_reason(amount),
                at=unit.now_ms,
            )
            unit.ledger.add_adjustment(row)
            _adjust(unit, account, row)
            if is_rounding(amount):
                continue
            text = (
                f"account {account.name} holds {canonical(row.theirs)} {asset} at "
                f"{account.exchange} and {canonical(row.ours)} here; the difference of "
                f"{canonical(amount)} is posted to external ({row.reason})"
            )
            report_difference(unit, account.id, text, asset=asset, amount=canonical(amount))
            for each in instruments:
                if each.base == asset:
                    lock_instrument(unit, ids, account.id, each.symbol, text, explained=False)


def _instruments_of_interest(unit: Unit, account: AccountRow) -> list[Instrument]:
    found = [
        unit.instruments.find(account.exchange, symbol)
        for symbol in sorted(symbols_of_interest(unit, account))
    ]
    return [each for each in found if each is not None]


def _adjust(unit: Unit, account: AccountRow, row: AdjustmentRow) -> None:
    external = unit.instances.builtin(account.id, "external").id
    entries = transfer_entries(
        (external, Book.ADJUSTMENTS), (external, Book.HOLDINGS), row.asset, row.amount
    )
    post(unit, account.id, entries, row.id, "adjustment", None)


def _reason(amount: Decimal) -> str:
    if is_rounding(amount):
        return "rounding of fills"
    if amount > 0:
        return "a deposit or another credit that no trade explains"
    return "a withdrawal or another debit that no trade explains"
