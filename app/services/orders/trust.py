"""Whether an account may send new orders: only while it was compared with its venue.

``epoch`` grows whenever what we hold may no longer be what the venue holds: the sending side
was started, a comparison failed again and again, an order was overfilled, a stream has a gap.
A comparison that began at an epoch and found everything accounted for carries
``reconciled_epoch`` up to it. New orders are sent only while the two are equal; cancels always.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from app.core.errors import Conflict, TidemarkError
from app.core.events import body, topic
from app.models import AccountRow
from app.repositories.unit import Unit, Units
from app.services.alarms import tell_alarm

#: Why a NEW order waits; the end of the comparison looks for exactly this.
WAITS: Final = "waits until the account has been compared with its venue"
#: Comparisons that fail in a row until the account counts as out of sight: 10 to 15 s.
_OUT_OF_SIGHT: Final = 3
#: Pauses after failures, ms, the last one again and again: a venue that is back is asked in time
#: to trade within a minute, and one that is away is not stormed.
_PAUSES_MS: Final = (1_000, 2_000, 5_000, 10_000)


def is_trusted(account: AccountRow) -> bool:
    """Whether the account was compared since its last doubt."""
    return account.reconciled_epoch >= account.epoch


def distrust(unit: Unit, account_id: str, reason: str) -> None:
    """Hold back new orders of an account until it was compared with its venue; starts that."""
    account = unit.accounts.lock(account_id)
    _raise_epoch(unit, account, reason)
    account.sync_failures, account.sync_not_before = 0, 0
    unit.enqueue("orders.sync_account", account_id)


def record_failure(unit: Unit, account_id: str, error: TidemarkError) -> None:
    """Note that an account could not be compared. Told once, when trading stops for it."""
    account = unit.accounts.lock(account_id)
    account.sync_failures += 1
    account.sync_error = error.message[:300]
    # No longer where the venue asks for longer: the budget lets nothing out until then.
    pause = _PAUSES_MS[min(account.sync_failures, len(_PAUSES_MS)) - 1]
    account.sync_not_before = unit.now_ms + pause
    if is_trusted(account):
        if account.sync_failures < _OUT_OF_SIGHT:
            return
        _raise_epoch(unit, account, "out of sight: " + error.message)
    elif account.sync_failures > 1:
        return
    tell_alarm(
        unit,
        "critical",
        "account-not-comparable",
        f"account {account.name} cannot be compared with {account.exchange}; no new order "
        f"is sent until it was: {error.message}",
        account_id=account_id,
    )


def record_sight(account: AccountRow) -> None:
    """Note on a locked account that its venue has answered."""
    account.sync_failures, account.sync_not_before, account.sync_error = 0, 0, None


def record_agreement(unit: Unit, account: AccountRow, epoch: int) -> None:
    """Note on a locked account that a comparison begun at an epoch left nothing open."""
    record_sight(account)
    account.suspects = None
    account.reconciled_at = unit.now_ms
    was_trusted = is_trusted(account)
    account.reconciled_epoch = max(account.reconciled_epoch, epoch)
    if is_trusted(account) and not was_trusted:
        _tell(unit, account, "trusted", "")


def release_held(unit: Unit, account_id: str) -> int:
    """Let the orders go that waited for the comparison; how many. Nothing while it is due."""
    if not is_trusted(unit.accounts.get(account_id)):
        return 0
    released = 0
    for waiting in unit.orders.held_back(account_id, WAITS):
        order = unit.orders.lock(waiting.order_id)
        if order.reason == WAITS:
            order.reason, order.not_before = None, 0
            unit.enqueue("orders.send", order.order_id)
            released += 1
    return released


def _raise_epoch(unit: Unit, account: AccountRow, reason: str) -> None:
    account.epoch += 1
    account.epoch_reason = reason[:300]
    _tell(unit, account, "required", reason)


def _tell(unit: Unit, account: AccountRow, state: str, reason: str) -> None:
    unit.emit(
        topic("system", "reconciliation", account.id),
        body(
            "reconciliation.v1",
            account_id=account.id,
            state=state,
            epoch=account.epoch,
            reason=reason,
            at=unit.now_ms,
        ),
    )


@dataclass(frozen=True, slots=True)
class TrustState:
    """How an account stands with its venue.

    Attributes:
        is_trusted: new orders are sent.
        reason: why it must be compared; None while it is trusted.
        error: why the last comparison could not be made; None where it could.
        reconciled_at: wall time of the last comparison that left nothing open, ms; 0 for none.
    """

    account_id: str
    epoch: int
    is_trusted: bool
    reason: str | None
    error: str | None
    reconciled_at: int


class TradingGate:
    """Shuts the way to the venue until accounts were compared."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def require_reconciliation(self, reason: str, account: str | None = None) -> int:
        """Hold back new orders until the accounts were compared; how many accounts.

        Whatever starts sending orders calls this first; it returns at once, and the comparisons
        run as tasks.

        Args:
            reason: shown with the account.
            account: id or name of the only one; every active account without it.

        Raises:
            NotFound: no such account.
            Conflict: that account is not active.
        """
        with self._units.read() as unit:
            chosen = unit.accounts.all() if account is None else [unit.accounts.resolve(account)]
        active = [row for row in chosen if row.status == "active"]
        if account is not None and not active:
            raise Conflict(f"account {account} is {chosen[0].status}", code="account-not-active")
        for row in active:
            # One transaction each: a busy account does not hold up the others.
            self._units.run(partial(distrust, account_id=row.id, reason=reason))
        return len(active)

    def state(self, account: str) -> TrustState:
        """How an account stands.

        Raises:
            NotFound: no such account.
        """
        with self._units.read() as unit:
            row = unit.accounts.resolve(account)
        trusted = is_trusted(row)
        return TrustState(
            row.id,
            row.epoch,
            trusted,
            None if trusted else row.epoch_reason,
            row.sync_error,
            row.reconciled_at,
        )
