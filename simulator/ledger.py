"""Balances of the venue's customers, and of the venue itself as everybody's counterparty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Context, Decimal
from typing import Final

from app.core.errors import Conflict, InvalidInput
from app.core.money import ZERO

VENUE: Final = "venue"
# Wide enough that no sum or product of balances is ever rounded silently.
EXACT: Final = Context(prec=80)
_QUANTUM: Final = Decimal("0.00000001")


def round_cost(cost: Decimal) -> Decimal:
    """Quote amount of a fill: cut to the venue's eight decimals."""
    return cost.quantize(_QUANTUM, rounding=ROUND_DOWN, context=EXACT)


def round_hold(cost: Decimal) -> Decimal:
    """Quote amount to lock: never less than the fills it may have to pay."""
    return cost.quantize(_QUANTUM, rounding=ROUND_UP, context=EXACT)


def round_fee(fee: Decimal) -> Decimal:
    """Commission at the venue's eight decimals."""
    return fee.quantize(_QUANTUM, rounding=ROUND_HALF_UP, context=EXACT)


class InsufficientFunds(Conflict):
    """The free balance does not cover the order."""

    code = "insufficient-funds"


@dataclass(slots=True)
class Holding:
    """One asset of one account."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


class Ledger:
    """Free and locked amounts by account and asset.

    Every movement has two sides, so the sum of an asset over all accounts and the venue is
    always zero. Only the venue may go below zero.
    """

    def __init__(self) -> None:
        self._holdings: dict[str, dict[str, Holding]] = {}
        self._dirty: set[tuple[str, str]] = set()

    def of(self, account: str) -> Mapping[str, Holding]:
        """The account's assets in alphabetical order."""
        return dict(sorted(self._holdings.get(account, {}).items()))

    def free(self, account: str, asset: str) -> Decimal:
        """What the account may spend of an asset."""
        holding = self._holdings.get(account, {}).get(asset)
        return ZERO if holding is None else holding.free

    def total(self, asset: str) -> Decimal:
        """Sum over everybody; zero unless the ledger is broken."""
        with_asset = (held.get(asset) for held in self._holdings.values())
        return sum((h.free + h.locked for h in with_asset if h is not None), ZERO)

    def assets(self) -> set[str]:
        """Every asset that anybody ever held."""
        return {asset for held in self._holdings.values() for asset in held}

    def move(self, asset: str, amount: Decimal, *, source: str, target: str) -> None:
        """Move a free amount.

        Raises:
            InsufficientFunds: the source's free balance is smaller.
        """
        if amount < 0:
            raise InvalidInput(f"amount was {amount}; it must not be negative")
        giver = self._holding(source, asset)
        if source != VENUE and giver.free < amount:
            raise InsufficientFunds(f"{asset}: {giver.free} free, {amount} needed")
        giver.free -= amount
        self._holding(target, asset).free += amount

    def lock(self, account: str, asset: str, amount: Decimal) -> None:
        """Move an amount from free to locked.

        Raises:
            InsufficientFunds: the free balance is smaller.
        """
        holding = self._holding(account, asset)
        if holding.free < amount:
            raise InsufficientFunds(f"{asset}: {holding.free} free, {amount} needed")
        holding.free -= amount
        holding.locked += amount

    def unlock(self, account: str, asset: str, amount: Decimal) -> None:
        """Move an amount from locked back to free."""
        holding = self._holding(account, asset)
        if holding.locked < amount:
            raise InvalidInput(f"{asset}: {holding.locked} locked, {amount} to be released")
        holding.locked -= amount
        holding.free += amount

    def take_changes(self) -> dict[str, dict[str, Holding]]:
        """Holdings touched since the last call, by account and asset."""
        changed: dict[str, dict[str, Holding]] = {}
        for account, asset in sorted(self._dirty):
            held = self._holdings[account][asset]
            changed.setdefault(account, {})[asset] = Holding(held.free, held.locked)
        self._dirty.clear()
        return changed

    def restore(self, account: str, asset: str, free: Decimal, locked: Decimal) -> None:
        """Put back a holding that was journalled."""
        self._holdings.setdefault(account, {})[asset] = Holding(free, locked)

    def _holding(self, account: str, asset: str) -> Holding:
        self._dirty.add((account, asset))
        return self._holdings.setdefault(account, {}).setdefault(asset, Holding())
