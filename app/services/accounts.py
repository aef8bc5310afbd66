"""Accounts: add, look at, value. Opening them is `app.services.opening`, where keys are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from app.core.errors import Conflict, InvalidInput, NameTaken, UnknownName
from app.core.exchanges.factory import TRADED
from app.core.money import ONE, ZERO
from app.core.portfolio.positions import exact_product, unrealized_pnl
from app.core.ports import Ids, KeyVault, MarketClock
from app.core.risk.context import ReferencePrice
from app.models import (
    AccountRow,
    BalanceRow,
    EquitySnapshotRow,
    FillRow,
    PositionRow,
    StrategyInstanceRow,
)
from app.repositories.base import Page
from app.repositories.unit import Unit, Units
from app.services.orders.fills import state_of
from app.services.orders.keys import HALTED, resume_account

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,62}")
KINDS = ("simulated", "paper", "live")
_POLL_S: Final = 0.05


class SimulatedVenue(Protocol):
    """Opens accounts at the simulated exchange."""

    def open_account(
        self, exchange: str, name: str, balances: Mapping[str, Decimal]
    ) -> dict[str, str]:
        """A new account with these free balances; its ``apiKey`` and ``secret``."""
        ...


class Prices(Protocol):
    """Prices for valuation."""

    def reference(self, exchange: str, symbol: str) -> ReferencePrice | None:
        """The price of a symbol, or None where none is to be had."""
        ...


@dataclass(frozen=True, slots=True)
class PositionView:
    """A position with its present worth, in quote units; None where no price is known."""

    row: PositionRow
    instance: StrategyInstanceRow
    price: Decimal | None
    unrealized_pnl: Decimal | None


class AccountService:
    """Accounts, their balances, positions and equity.

    Args:
        vault: seals new keys; it is never asked to open one here.
        sleep: waits for a number of seconds between two looks at a row.
    """

    def __init__(
        self,
        units: Units,
        ids: Ids,
        vault: KeyVault,
        prices: Prices,
        market_clock: MarketClock,
        simulated: SimulatedVenue,
        reporting_currency: str,
        sleep: Callable[[float], None],
    ) -> None:
        self._units = units
        self._ids = ids
        self._vault = vault
        self._prices = prices
        self._market_clock = market_clock
        self._simulated = simulated
        self._currency = reporting_currency
        self._sleep = sleep

    def add_simulated(
        self, name: str, exchange: str, balances: Mapping[str, Decimal]
    ) -> AccountRow:
        """Open an account at the simulated exchange and add it; it is ``opening``.

        A worker that may read keys takes its balances over, which makes it ``active``. One that
        is still opening is hinted at once more.

        Raises:
            InvalidInput: the name or a balance does not fit, or there is no such exchange.
            NameTaken: an account of that name exists.
            Unavailable: no simulated exchange runs here.
        """
        if exchange not in TRADED:
            raise UnknownName(
                f"exchange {exchange[:40]!r} is not supported; use one of {', '.join(TRADED)}"
            )
        opening = self._check_name(name)
        if opening is not None:
            return self._hinted(opening.id)
        if not balances or not all(
            amount.is_finite() and amount > 0 for amount in balances.values()
        ):
            raise InvalidInput("give at least one balance above 0, such as USDT=10000")
        self._check_assets(exchange, balances)
        secret = self._simulated.open_account(exchange, name, balances)
        return self._add(name, "simulated", exchange, secret)

    def wait_until_opened(self, account_id: str, seconds: float) -> AccountRow:
        """The account, once it is no longer opening or the time is over.

        Returns at once where the opening has failed for good; ``sync_error`` says why.

        Raises:
            NotFound: no such account.
        """
        for _ in range(max(1, int(seconds / _POLL_S))):
            row = self.get(account_id)
            if row.status != "opening":
                break
            self._sleep(_POLL_S)
        return self.get(account_id)

    def resume(self, name_or_id: str) -> AccountRow:
        """Have an account compared, and trade again, whose key the venue had refused.

        The comparison, by a worker, tries the key: where it is still refused, the account is
        halted again at the first answer.

        Raises:
            NotFound: no such account.
            Conflict: it is not halted.
        """
        account = self.get(name_or_id)
        if account.status != HALTED:
            raise Conflict(f"account {account.name} is {account.status}", code="not-halted")
        self._units.run(lambda unit: resume_account(unit, account.id))
        return self.get(account.id)

    def get(self, name_or_id: str) -> AccountRow:
        """One account.

        Raises:
            NotFound: there is none.
        """
        with self._units.read() as unit:
            return unit.accounts.resolve(name_or_id)

    def all(self) -> Sequence[AccountRow]:
        """Every account, oldest first."""
        with self._units.read() as unit:
            return unit.accounts.all()

    def balances(self, name_or_id: str) -> Sequence[BalanceRow]:
        """Every asset of an account.

        Raises:
            NotFound: no such account.
        """
        with self._units.read() as unit:
            return unit.accounts.balances(unit.accounts.resolve(name_or_id).id)

    def positions(self, name_or_id: str, *, flat: bool = False) -> list[PositionView]:
        """Positions of an account with their present worth; flat ones only if asked for.

        Raises:
            NotFound: no such account.
        """
        with self._units.read() as unit:
            account = unit.accounts.resolve(name_or_id)
            rows = unit.ledger.positions_of_account(account.id)
            instances = {row.id: row for row in unit.instances.of_account(account.id)}
        views = []
        for row in rows:
            if row.quantity == 0 and not flat:
                continue
            price = self._price(account.exchange, row)
            gain = None if price is None else unrealized_pnl(state_of(row), price)
            views.append(PositionView(row, instances[row.instance_id], price, gain))
        return views

    def fills(self, account_id: str | None, limit: int, cursor: str | None) -> Page[FillRow]:
        """Fills, newest first."""
        with self._units.read() as unit:
            return unit.ledger.fill_page(account_id, limit, cursor)

    def snapshot_equity(self) -> int:
        """Write the worth of every running instance at the market's present minute."""
        with self._units.read() as unit:
            running = list(unit.instances.running())
        return sum(self._snapshot(row) for row in running)

    def _snapshot(self, row: StrategyInstanceRow) -> int:
        ts = self._market_clock.now_ms(row.exchange) // 60_000 * 60_000
        with self._units.read() as unit:
            if unit.ledger.snapshot_at(row.id, ts) is not None:
                return 0
            positions = unit.ledger.positions_of_instance(row.id)
            quote = unit.instruments.get(row.exchange, row.symbols[0]).quote
        rate = self._rate(row.exchange, quote)
        gains = []
        for each in positions:
            price = self._price(row.exchange, each)
            gains.append(None if price is None else unrealized_pnl(state_of(each), price))
        realized = sum((each.realized_pnl for each in positions), ZERO)
        fees = sum((each.fees for each in positions), ZERO)
        incomplete = rate is None or any(gain is None for gain in gains)
        unrealized = None if incomplete else sum((gain or ZERO for gain in gains), ZERO)
        factor = rate or ONE

        def worth(amount: Decimal) -> Decimal:
            return exact_product(amount, factor)

        def work(unit: Unit) -> int:
            if unit.ledger.snapshot_at(row.id, ts) is not None:
                return 0
            unit.ledger.add_snapshot(
                EquitySnapshotRow(
                    account_id=row.account_id,
                    instance_id=row.id,
                    ts=ts,
                    # Without a rate the figures stay what they are, and say so.
                    currency=quote if rate is None else self._currency,
                    equity=(
                        None
                        if unrealized is None
                        else worth(row.capital + realized + unrealized - fees)
                    ),
                    realized_pnl=worth(realized),
                    unrealized_pnl=None if unrealized is None else worth(unrealized),
                    fees=worth(fees),
                    incomplete=incomplete,
                )
            )
            return 1

        return self._units.run(work)

    def _rate(self, exchange: str, quote: str) -> Decimal | None:
        """Reporting currency per unit of quote currency, or None where no price is known."""
        if quote == self._currency:
            return ONE
        reference = self._prices.reference(exchange, f"{quote}/{self._currency}")
        return None if reference is None or reference.is_stale else reference.price

    def _price(self, exchange: str, row: PositionRow) -> Decimal | None:
        if row.quantity == 0:
            return row.average_price or ZERO
        reference = self._prices.reference(exchange, row.symbol)
        return None if reference is None else reference.price

    def _check_assets(self, exchange: str, assets: Iterable[str]) -> None:
        """Refuse coins that nothing can be traded for; an empty catalogue knows of none."""
        with self._units.read() as unit:
            listed = unit.instruments.of_exchange(exchange)
        known = {asset for each in listed for asset in (each.base, each.quote)}
        unknown = sorted(set(assets) - known)
        if known and unknown:
            raise UnknownName(
                f"asset {unknown[0][:40]!r} is not traded at {exchange}", code="unknown-asset"
            )

    def _check_name(self, name: str) -> AccountRow | None:
        """An account of that name that waits to be opened, or None where the name is free."""
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"account name {name[:70]!r} must begin with a letter or digit and hold only "
                "letters, digits, space, dot, dash and underscore, at most 63"
            )
        with self._units.read() as unit:
            known = unit.accounts.named(name)
        if known is not None and (known.kind, known.status) != ("simulated", "opening"):
            raise NameTaken(f"an account named {name!r} exists already; choose another name")
        return known

    def _add(self, name: str, kind: str, exchange: str, secret: Mapping[str, str]) -> AccountRow:
        account_id = self._ids.new()

        def create(unit: Unit) -> None:
            unit.accounts.add(
                AccountRow(
                    id=account_id,
                    name=name,
                    kind=kind,
                    exchange=exchange,
                    account_type="spot",
                    # Nothing is sent for it before its balances are known.
                    status="opening",
                    sealed_credentials=self._vault.seal(account_id, secret),
                    trade_cursor={},
                    synced_ts=0,
                    created_at=unit.now_ms,
                )
            )
            unit.flush()
            for builtin in ("manual", "external"):
                unit.instances.add(self._builtin(unit, account_id, exchange, builtin))
            unit.enqueue("orders.open_account", account_id)

        self._units.run(create)
        return self.get(account_id)

    def _hinted(self, account_id: str) -> AccountRow:
        def again(unit: Unit) -> AccountRow:
            account = unit.accounts.lock(account_id)
            account.sync_failures, account.sync_not_before = 0, 0
            unit.enqueue("orders.open_account", account_id)
            return account

        return self._units.run(again)

    def _builtin(
        self, unit: Unit, account_id: str, exchange: str, kind: str
    ) -> StrategyInstanceRow:
        return StrategyInstanceRow(
            id=self._ids.new(),
            name=kind,
            kind=kind,
            account_id=account_id,
            version_id=None,
            exchange=exchange,
            symbols=[],
            interval="",
            params={},
            capital=ZERO,
            compounding=False,
            status="running",
            state={},
            created_at=unit.now_ms,
            updated_at=unit.now_ms,
        )
