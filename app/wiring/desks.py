"""Gateways of accounts."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from app.core.exchanges.trading import QUERY_WINDOW_MS, trade_adapter
from app.core.ports import TradeAdapter
from app.services.orders.ports import TradingDesk

if TYPE_CHECKING:
    from app.wiring.trading import TradingParts


class Desks:
    """Gateways of accounts, opened once and kept."""

    def __init__(self, container: TradingParts) -> None:
        self._container = container
        self._kept: dict[str, tuple[str, TradeAdapter]] = {}
        self._lock = threading.Lock()

    def open(self, account_id: str) -> TradingDesk:
        """The desk of an account; see ``app.services.orders.ports.TradingDesks``."""
        return self._desk(account_id, self._container.timing.recv_window_ms)

    def cancel_desk(self, account_id: str) -> TradingDesk:
        """The same desk: its adapter pays for cancels and queries from their own share."""
        return self._desk(account_id, QUERY_WINDOW_MS)

    def _desk(self, account_id: str, window_ms: int) -> TradingDesk:
        with self._lock:
            known = self._kept.get(account_id)
        if known is None:
            known = self._built(account_id)
            with self._lock:
                known = self._kept.setdefault(account_id, known)
        exchange, adapter = known
        adapter.prepare()
        clock = self._container.venue_clock(exchange)
        clock.synchronise(window_ms // 2)
        return TradingDesk(adapter, clock.now_ms)

    def _built(self, account_id: str) -> tuple[str, TradeAdapter]:
        container = self._container
        with container.units.read() as unit:
            account = unit.accounts.get(account_id)
        container.world.admit(account)
        credentials = container.vault.open(account_id, account.sealed_credentials)
        adapter = trade_adapter(
            account.exchange,
            credentials,
            container.budget,
            container.clock,
            base_url=container.settings.simulator_url or None,
            timeout_s=container.settings.venue_timeout_s,
            venue_clock=container.venue_clock(account.exchange),
        )
        return account.exchange, adapter


class SimulatedAccounts:
    """Opens accounts at the simulated exchange; see ``app.services.accounts.SimulatedVenue``."""

    def __init__(self, container: TradingParts) -> None:
        self._container = container

    def open_account(
        self, exchange: str, name: str, balances: Mapping[str, Decimal]
    ) -> dict[str, str]:
        """A new account with these free balances; its ``apiKey`` and ``secret``.

        Raises:
            Unavailable: no simulated exchange is configured, or it does not answer.
            WrongWorld: the record holds the real market.
        """
        if self._container.settings.simulator_url:
            self._container.world.require()
        return self._container.simulator.open_account(exchange, name, balances)
