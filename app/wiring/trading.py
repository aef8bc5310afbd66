"""Trading: accounts and their keys, the risk gate, and the life of an order."""

from __future__ import annotations

import socket
import time
from functools import cached_property
from typing import TYPE_CHECKING

from app.config import Settings
from app.core.ports import Queue
from app.core.security.vault import SealedVault
from app.services.accounts import AccountService
from app.services.clocks import ClockWatch
from app.services.invariants import Invariants
from app.services.opening import AccountOpener
from app.services.orders.cancelling import OrderCanceller
from app.services.orders.intake import OrderIntake
from app.services.orders.locking import InstrumentLocks
from app.services.orders.ports import Checkpoint, OrderTiming
from app.services.orders.resolving import OrderResolver
from app.services.orders.sending import OrderSender
from app.services.orders.sweeper import OrderSweeper
from app.services.orders.sync import AccountSync
from app.services.orders.triggers import OrderTriggers
from app.services.orders.trust import TradingGate
from app.services.restoring import RestoredRecord
from app.services.risk import RiskService
from app.wiring.desks import Desks, SimulatedAccounts
from app.wiring.market import MarketParts
from app.wiring.vault import open_vault

if TYPE_CHECKING:
    from app.services.streams.ports import StreamTiming
    from app.services.streams.service import StreamService


class TradingParts(MarketParts):
    """Parts that trade; which strategy wants an order is a row to them."""

    def __init__(
        self, settings: Settings, queue: Queue, *, can_read_keys: bool, checkpoint: Checkpoint
    ) -> None:
        super().__init__(settings, queue)
        self._can_read_keys = can_read_keys
        self._checkpoint = checkpoint

    # -- accounts ------------------------------------------------------------------------

    @cached_property
    def vault(self) -> SealedVault:
        """Seals exchange keys, and opens them where this process may."""
        return open_vault(self.settings.vault_key_path, can_read=self._can_read_keys)

    @cached_property
    def desks(self) -> Desks:
        """Gateways of accounts."""
        return Desks(self)

    @cached_property
    def accounts(self) -> AccountService:
        """Accounts."""
        return AccountService(
            self.units,
            self.ids,
            self.vault,
            self.market_data,
            self.market_clock,
            SimulatedAccounts(self),
            self.settings.reporting_currency,
            time.sleep,
        )

    @cached_property
    def opener(self) -> AccountOpener:
        """Opens new accounts; needs a vault that may read."""
        return AccountOpener(self.units, self.ids, self.desks, self.market_clock)

    @cached_property
    def account_sync(self) -> AccountSync:
        """Compares accounts with their venues."""
        return AccountSync(self.units, self.desks, self.market_clock, self.ids, self.timing)

    # -- the gate ------------------------------------------------------------------------

    @cached_property
    def gate(self) -> TradingGate:
        """Holds back new orders until accounts were compared."""
        return TradingGate(self.units)

    @cached_property
    def risk(self) -> RiskService:
        """Halts and limits."""
        return RiskService(self.units, self.ids)

    @cached_property
    def locks(self) -> InstrumentLocks:
        """Instruments that differed."""
        return InstrumentLocks(self.units)

    @cached_property
    def restored_record(self) -> RestoredRecord:
        """Fences a restored record."""
        return RestoredRecord(self.units, self.gate, self.risk)

    # -- orders --------------------------------------------------------------------------

    @cached_property
    def timing(self) -> OrderTiming:
        """Windows and deadlines of the order protocol."""
        return OrderTiming(
            recv_window_ms=self.settings.order_recv_window_ms,
            settle_ms=self.settings.order_settle_ms,
            # A sender past its venue timeout has given up; until then the claim is its own.
            reply_deadline_ms=int(self.settings.venue_timeout_s * 1000) + 1_000,
        )

    @cached_property
    def intake(self) -> OrderIntake:
        """The way to the risk gate."""
        return OrderIntake(self.units, self.market_data, self.market_clock, self.ids, self.timing)

    @cached_property
    def sender(self) -> OrderSender:
        """Sends orders."""
        return OrderSender(
            self.units,
            self.desks,
            self.clock,
            self.market_clock,
            self.ids,
            self.timing,
            self.owner,
            self._checkpoint,
        )

    @cached_property
    def resolver(self) -> OrderResolver:
        """Finds out about unknown orders."""
        return OrderResolver(
            self.units, self.desks, self.clock, self.market_clock, self.ids, self.timing
        )

    @cached_property
    def canceller(self) -> OrderCanceller:
        """Cancels orders."""
        return OrderCanceller(self.units, self.desks, self.clock, self.ids, self.timing)

    @cached_property
    def triggers(self) -> OrderTriggers:
        """Exit legs that rest here."""
        return OrderTriggers(
            self.units, self.ids, self.market_clock, self.settings.max_price_age_ms
        )

    @cached_property
    def sweeper(self) -> OrderSweeper:
        """Drives on what waits."""
        return OrderSweeper(self.units, self.queue, self.clock)

    # -- live, and watched ---------------------------------------------------------------

    @cached_property
    def streams(self) -> StreamService:
        """Live streams of this process."""
        from app.wiring.streaming import build_streams

        return build_streams(self)

    @property
    def stream_timing(self) -> StreamTiming:
        """How long streams wait."""
        from app.services.streams.ports import StreamTiming

        return StreamTiming()

    @cached_property
    def invariants(self) -> Invariants:
        """What must always hold."""
        return Invariants(self.units, self.market_clock)

    @cached_property
    def clock_watch(self) -> ClockWatch:
        """Looks after this machine's clock."""
        return ClockWatch(
            self.units,
            self.clock,
            self._skews,
            socket.gethostname()[:64],
            self.timing.reply_deadline_ms,
        )
