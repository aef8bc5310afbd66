"""Money: double entry, balances, reservations, positions (O12, O13)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from app.core.money import ZERO, canonical
from app.core.orders.types import Side
from app.core.portfolio.ledger import Book
from app.models import AccountRow
from app.repositories.unit import Unit
from app.services.invariants.breach import Breach

_Sums = dict[tuple[str, str], Decimal]


def _sums() -> _Sums:
    return defaultdict(lambda: ZERO)


@dataclass(slots=True)
class _Postings:
    """The postings of an account, summed.

    Attributes:
        by_txn: (transaction, asset) → sum, those that are not 0.
        held: asset → holdings.
        moved: (instance, asset) → what transfers brought into its holdings.
    """

    by_txn: _Sums = field(default_factory=_sums)
    held: dict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    moved: _Sums = field(default_factory=_sums)


def check_ledger(unit: Unit) -> list[Breach]:
    """Every breach in the money of every account."""
    return [breach for row in unit.accounts.all() for breach in _check_account(unit, row)]


def _check_account(unit: Unit, account: AccountRow) -> Iterator[Breach]:
    found = _read(unit, account.id)
    for (txn_id, asset), total in found.by_txn.items():
        text = f"transaction {txn_id} of account {account.name} sums to {canonical(total)} {asset}"
        yield Breach("O13", txn_id, text)
    yield from _balances(unit, account, found)
    yield from _positions(unit, account, found)


def _read(unit: Unit, account_id: str) -> _Postings:
    found = _Postings()
    for row in unit.audit.postings(account_id):
        key = (row.txn_id, row.asset)
        found.by_txn[key] += row.amount
        if found.by_txn[key] == 0:
            del found.by_txn[key]  # of a million transactions only the wrong ones are kept
        if row.book == Book.HOLDINGS:
            found.held[row.asset] += row.amount
            if row.kind == "transfer":
                found.moved[row.instance_id, row.asset] += row.amount
    return found


def _balances(unit: Unit, account: AccountRow, found: _Postings) -> Iterator[Breach]:
    reserved: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for order in unit.orders.live(account.id):
        reserved[order.reserved_asset] += order.reserved_amount
    rows = {row.asset: row for row in unit.audit.balances(account.id)}
    for asset in sorted({*rows, *(name for name, held in found.held.items() if held)}):
        row = rows.get(asset)
        free, locked = (ZERO, ZERO) if row is None else (row.free, row.locked)
        where = f"account {account.name}: {asset}"
        if free + locked != found.held[asset]:
            text = (
                f"{where} balance is {canonical(free + locked)} and the ledger holds "
                f"{canonical(found.held[asset])}"
            )
            yield Breach("O13", account.id, text)
        if locked != reserved[asset]:
            text = (
                f"{where} has {canonical(locked)} locked and its live orders reserve "
                f"{canonical(reserved[asset])}"
            )
            yield Breach("O13", account.id, text)
        if locked < 0:
            yield Breach("O13", account.id, f"{where} locked is {canonical(locked)}")


def _positions(unit: Unit, account: AccountRow, found: _Postings) -> Iterator[Breach]:
    """An instance's position is its fills less fees in base, and what transfers brought.

    ``external`` owns what was there before, which is in nobody's position: it is not checked.
    """
    base_of = {each.symbol: each.base for each in unit.instruments.of_exchange(account.exchange)}
    expected, held = _sums(), _sums()
    for fill in unit.audit.fills(account.id):
        base = base_of[fill.symbol]
        fee = fill.fee if fill.fee_asset == base else ZERO
        expected[fill.instance_id, base] += fill.quantity * Side(fill.side).sign - fee
    for position in unit.audit.positions(account.id):
        held[position.instance_id, base_of[position.symbol]] += position.quantity
    bases = set(base_of.values())
    for (instance_id, asset), amount in found.moved.items():
        if asset in bases:
            expected[instance_id, asset] += amount
    external = unit.instances.builtin(account.id, "external").id
    for instance_id, base in sorted({*expected, *held}):
        ours, sum_of_fills = held[instance_id, base], expected[instance_id, base]
        if instance_id != external and ours != sum_of_fills:
            text = (
                f"instance {instance_id} of account {account.name} has a position of "
                f"{canonical(ours)} {base} and its fills are {canonical(sum_of_fills)}"
            )
            yield Breach("O12", instance_id, text)
