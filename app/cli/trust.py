"""Comparing an account as a command: a runtime does it within a second, or it is done here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.cli.session import Session
    from app.models import AccountRow
    from app.services.orders.trust import TrustState

_POLL_S: Final = 0.1


def reconciled(session: Session, account: str, seconds: float) -> TrustState:
    """Ask for a comparison and wait until it has left nothing open, or the time is over.

    Raises:
        NotFound: no such account.
        Conflict: it is not active.
    """
    gate = session.container.gate
    gate.require_reconciliation("asked for by a person", account)
    end = time.monotonic() + seconds
    while True:
        if session.works_alone:
            session.container.account_sync.sync(gate.state(account).account_id)
        state = gate.state(account)
        if state.is_trusted or time.monotonic() >= end:
            return state
        time.sleep(_POLL_S)


def resumed(session: Session, account: str, seconds: float) -> tuple[AccountRow, bool]:
    """Resume a halted account; the row, and whether it was compared and trades again.

    Returns as soon as the venue has refused its key once more.

    Raises:
        NotFound: no such account.
        Conflict: it is not halted.
    """
    parts = session.container
    row = parts.accounts.resume(account)
    end = time.monotonic() + seconds
    while True:
        if session.works_alone:
            parts.account_sync.sync(row.id)
        row, is_trusted = parts.accounts.get(row.id), parts.gate.state(row.id).is_trusted
        if is_trusted or row.status != "active" or time.monotonic() >= end:
            return row, is_trusted
        time.sleep(_POLL_S)
