"""Opening an account: its keys are tried at the venue, and what it holds is taken over.

This is where a new account's keys are first read, so it runs in a worker that may read them; the
process that took them in (the API) can only seal. A lost message is given again by the sweeper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.core.errors import TidemarkError, Unavailable
from app.core.events import body, topic
from app.core.exchanges.errors import VenueError, VenueRejected
from app.core.orders.types import Balance
from app.core.portfolio.ledger import Book, transfer_entries
from app.core.ports import Ids, MarketClock, TradeAdapter
from app.models import AccountRow
from app.repositories.unit import Unit, Units
from app.services.alarms import tell_alarm
from app.services.orders.comparing import totals_of
from app.services.orders.fills import post
from app.services.orders.ports import TradingDesks

#: Pauses after failures, ms, the last one again and again.
_PAUSES_MS: Final = (1_000, 2_000, 5_000, 10_000, 30_000)
# Keys that the venue refuses will not become right by asking: a venue counts such requests.
_REFUSED_MS: Final = 3_600_000
# Looks at balances that moved since the one before.
_LOOKS: Final = 3


class AccountOpener:
    """Takes accounts from ``opening`` to ``active``."""

    def __init__(
        self, units: Units, ids: Ids, desks: TradingDesks, market_clock: MarketClock
    ) -> None:
        self._units = units
        self._ids = ids
        self._desks = desks
        self._market_clock = market_clock

    def open(self, account_id: str) -> None:
        """Take over the balances that the venue holds and let trading begin.

        What fails is a sentence in the row's ``sync_error``; it is tried again after 1, 2, 5, 10
        and then every 30 s, and after an hour where the venue has refused the keys.

        Raises:
            NotFound: no such account.
        """
        with self._units.read() as unit:
            account = unit.accounts.get(account_id)
            is_due = account.sync_not_before <= unit.now_ms
        if account.status != "opening" or not is_due:
            return
        try:
            # First: an account whose venue is not configured asks for nothing.
            adapter = self._desks.open(account_id).adapter
            opened_ts, held = self._look(account.exchange, adapter)
        except (VenueError, Unavailable) as error:
            failure = error
            self._units.run(lambda unit: _failed(unit, account_id, failure))
            return
        self._units.run(lambda unit: self._opened(unit, account_id, opened_ts, held))

    def _look(self, exchange: str, adapter: TradeAdapter) -> tuple[int, Sequence[Balance]]:
        """A time and the balances of that time.

        They are asked for before and after it: a trade in between moves them. Trades from that
        time on are posted when they are found, so one that the balances have in them already
        would be posted twice, and one that neither has never.

        Raises:
            Unavailable: they move too fast.
        """
        held = adapter.get_balance()
        for _ in range(_LOOKS):
            now = self._market_clock.now_ms(exchange)
            again = adapter.get_balance()
            if totals_of(again) == totals_of(held):
                return now, again
            held = again
        raise Unavailable("the account's balances move while it is opened; it is tried again")

    def _opened(self, unit: Unit, account_id: str, opened_ts: int, held: Sequence[Balance]) -> None:
        account = unit.accounts.lock(account_id)
        if account.status != "opening":
            return  # another worker was faster
        self._take_over(unit, account, held)
        account.status, account.opened_ts = "active", opened_ts
        account.sync_failures, account.sync_not_before, account.sync_error = 0, 0, None
        _tell(unit, account)

    def _take_over(self, unit: Unit, account: AccountRow, held: Sequence[Balance]) -> None:
        external = unit.instances.builtin(account.id, "external")
        for asset, total in totals_of(held).items():
            entries = transfer_entries(
                (external.id, Book.TRANSFERS), (external.id, Book.HOLDINGS), asset, total
            )
            post(unit, account.id, entries, self._ids.new(), "opening", None)


def _failed(unit: Unit, account_id: str, error: TidemarkError) -> None:
    account = unit.accounts.lock(account_id)
    if account.status != "opening":
        return
    is_refused = isinstance(error, VenueRejected)
    account.sync_failures += 1
    account.sync_error = error.message[:300]
    pause = _PAUSES_MS[min(account.sync_failures, len(_PAUSES_MS)) - 1]
    account.sync_not_before = unit.now_ms + (_REFUSED_MS if is_refused else pause)
    if account.sync_failures > 1:
        return  # told once
    tell_alarm(
        unit,
        "warning",
        "account-not-opened",
        f"account {account.name} cannot be opened at {account.exchange}: {error.message}",
        account_id=account_id,
    )


def _tell(unit: Unit, account: AccountRow) -> None:
    unit.emit(
        topic("system", "account", account.id),
        body("accounts.v1", account_id=account.id, status=account.status, at=unit.now_ms),
    )
