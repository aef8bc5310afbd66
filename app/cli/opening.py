"""Opening an account as a command: a worker does it within a second, or it is done here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.cli.session import Session
    from app.models import AccountRow


def opened(session: Session, account: AccountRow, seconds: float) -> AccountRow:
    """The account once it is open, or as it is when the time is over."""
    if session.works_alone:
        session.container.opener.open(account.id)
        return session.container.accounts.get(account.id)
    return session.container.accounts.wait_until_opened(account.id, seconds)
