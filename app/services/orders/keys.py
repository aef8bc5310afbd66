"""An account whose key the venue refuses stands still until a person has mended it.

Asking on with a refused key changes nothing and is what venues ban addresses for. So the first
refusal halts the account: the gate denies, what waits is kept, nothing more is sent or asked.
"""

from __future__ import annotations

from typing import Final

from app.core.events import body, topic
from app.core.exchanges.errors import VenueKeyRefused
from app.repositories.unit import Unit
from app.services.alarms import tell_alarm
from app.services.orders.trust import distrust

#: Status of an account whose key was refused.
HALTED: Final = "halted"
#: Pause before a waiting order of a halted account is looked at again, ms; nothing is asked then.
HALTED_PAUSE_MS: Final = 10_000


def halt_for_key(unit: Unit, account_id: str, error: VenueKeyRefused) -> None:
    """Halt an active account, with an alarm; nothing where it is halted already."""
    account = unit.accounts.lock(account_id)
    if account.status != "active":
        return
    # Shuts the way for senders that have looked at the account before; compared when resumed.
    distrust(unit, account_id, "its key was refused")
    account.status = HALTED
    account.sync_error = error.message[:300]
    tell_alarm(
        unit,
        "critical",
        "key-refused",
        f"account {account.name} is halted: {error.message}; its open orders live on at "
        f"{account.exchange}. Mend the key there, then: tidemark account resume "
        f"{account.name}",
        account_id=account_id,
    )
    _tell(unit, account_id, HALTED)


def resume_account(unit: Unit, account_id: str) -> None:
    """Let a halted account be compared with its venue, and trade once it was."""
    account = unit.accounts.lock(account_id)
    if account.status != HALTED:
        return
    account.status = "active"
    distrust(unit, account_id, "its key was refused and works again")
    _tell(unit, account_id, "active")


def _tell(unit: Unit, account_id: str, status: str) -> None:
    unit.emit(
        topic("system", "account", account_id),
        body("accounts.v1", account_id=account_id, status=status, at=unit.now_ms),
    )
