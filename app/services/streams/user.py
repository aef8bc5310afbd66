"""The user data stream of one account: fills and order updates, the moment they happen."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import structlog

from app.core.errors import TidemarkError
from app.core.exchanges.errors import BadVenueAnswer
from app.core.exchanges.markets.binance import native_id
from app.core.exchanges.streaming import StreamClosed, StreamRefused
from app.core.exchanges.streaming_frames import BalancesChanged, OrderReport
from app.repositories.unit import Unit
from app.services.alarms import tell_alarm
from app.services.streams.leases import Lease, LeaseLost
from app.services.streams.lines import Tools, keep_open, race
from app.services.streams.ports import AccountKeys, Keys, UserLine, VenueStreams
from app.services.streams.reports import OrderReports

_log = structlog.get_logger(__name__)
# Reports that may wait for a slow database; beyond it the account is swept by REST instead.
_MOST_WAITING: Final = 5_000
_BATCH: Final = 200
# A market order's reports come with the answer to its request, in the same milliseconds. Once
# that is recorded they are known, and cost no lock.
_GATHER_S: Final = 0.03
# Many orders at once are applied ten times a second: each time costs as much as three orders.
_BETWEEN_S: Final = 0.1
_PAUSE_S: Final = (0.1, 2.0)
_TRIES: Final = 20
# Balances move with each order; a change is asked about only where no report came with it.
_QUIET_S: Final = 1.0
_REMEMBERED: Final = 10_000
_FILLS_LOOKED_AT: Final = 50


class UserStream:
    """Streams one account while its lease holds.

    Args:
        keys: opens the account's keys.

    Attributes:
        is_listening: whether the venue has confirmed the subscription that is in force.
        lines: how many lines were opened so far.
    """

    def __init__(
        self,
        account_id: str,
        lease: Lease,
        venues: dict[str, VenueStreams],
        keys: Keys,
        tools: Tools,
        reports: OrderReports,
    ) -> None:
        self.lease = lease
        self.is_listening = False
        self.lines = 0
        self._account_id = account_id
        self._venues = venues
        self._keys = keys
        self._tools = tools
        self._reports = reports
        self._waiting: deque[OrderReport] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self._known: set[str] = set()
        self._reported_at = 0.0
        self._balances_moved = False
        self._is_refused = False

    async def run(self) -> None:
        """Stream until cancelled, or until the lease has run out."""
        account = await self._tools.blocking(self._account_exchange)
        await race(
            keep_open(self._tools, self.lease, account, self._open, self._serve, self._failed),
            self._apply(),
        )

    async def drained(self) -> None:
        """Return when nothing waits to be applied."""
        await self._idle.wait()

    # -- the line -----------------------------------------------------------------------

    def _account_exchange(self) -> str:
        with self._tools.units.read() as unit:
            return unit.accounts.get(self._account_id).exchange

    async def _open(self) -> UserLine:
        # Each time anew: keys may have been changed, and the clock has been measured again.
        keys: AccountKeys = await self._tools.blocking(self._keys, self._account_id)
        return await self._venues[keys.exchange].user(keys.credentials, keys.offset_ms)

    async def _serve(self, line: UserLine) -> None:
        self._is_refused = False
        self._seen.clear()
        self._known.clear()
        # What happened while nobody listened.
        await self._tools.hint("orders.sync_account", self._account_id)
        self.is_listening, self.lines = True, self.lines + 1
        try:
            await race(self._read(line), self._watch(line))
        finally:
            self.is_listening = False

    async def _failed(self, error: TidemarkError) -> None:
        """A refusal is told once: REST sweeps go on, but somebody must look at the keys."""
        if isinstance(error, StreamRefused) and not self._is_refused:
            self._is_refused = True
            await self._tools.blocking(self._tools.units.run, self._alarm)
        if isinstance(error, StreamRefused):
            await asyncio.sleep(self._tools.timing.backoff_max_s)

    def _alarm(self, unit: Unit) -> None:
        tell_alarm(
            unit,
            "warning",
            "user-stream-refused",
            "the venue refused the user data stream; fills are found by REST within "
            "seconds, but check the account's keys",
            account_id=self._account_id,
        )

    async def _read(self, line: UserLine) -> None:
        while True:
            try:
                event = await line.receive()
            except BadVenueAnswer as error:
                _log.warning("stream_frame_refused", group=self.lease.name, why=error.message)
                await self._tools.hint("orders.sync_account", self._account_id)
                continue
            if not self.lease.is_valid(self._tools.now()):
                return
            if isinstance(event, OrderReport):
                await self._take(event)
            elif isinstance(event, BalancesChanged):
                self._balances_moved = True

    async def _take(self, report: OrderReport) -> None:
        self._reported_at = self._tools.now()
        if report.fill is not None:
            self._seen.append(_trade(report.native_symbol, report.fill.trade_id))
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.clear()
            _log.warning("reports_spilled", group=self.lease.name)
            await self._tools.hint("orders.sync_account", self._account_id)
        self._waiting.append(report)
        self._idle.clear()
        self._arrived.set()

    # -- applying -----------------------------------------------------------------------

    async def _apply(self) -> None:
        """Apply reports in the order of their arrival; it outlives the line they came by."""
        failures = 0
        applied_at = 0.0
        while True:
            await self._arrived.wait()
            await asyncio.sleep(max(_GATHER_S, applied_at + _BETWEEN_S - self._tools.now()))
            self._arrived.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                try:
                    await self._tools.blocking(
                        self._reports.apply, self._account_id, batch, self.lease.fence
                    )
                except LeaseLost:
                    return
                except Exception as error:  # noqa: BLE001 - a report must not stop the others
                    failures += 1
                    await self._failed_to_apply(batch, failures, error)
                else:
                    failures = 0
            applied_at = self._tools.now()
            self._idle.set()

    async def _failed_to_apply(
        self, batch: list[OrderReport], failures: int, error: Exception
    ) -> None:
        """Wait and apply them again as a whole, which changes nothing twice; at last let the
        sweep do it."""
        _log.warning("reports_not_applied", why=type(error).__name__, exc_info=error)
        if failures % _TRIES == 0:
            await self._tools.hint("orders.sync_account", self._account_id)
            return
        self._waiting.extendleft(reversed(batch))
        await asyncio.sleep(min(_PAUSE_S[1], _PAUSE_S[0] * 2 ** min(failures, 10)))

    # -- watching -----------------------------------------------------------------------

    async def _watch(self, line: UserLine) -> None:
        """An account may be quiet for days, so silence alone says nothing. Two things do: a
        question over the line that is not answered, and a fill in the record, from an answer
        or a sweep, that the stream did not bring.

        Raises:
            StreamClosed: the line is dead, or deaf.
        """
        silence = self._tools.timing.silence_s
        connected = answered = self._tools.now()
        answers = line.answers
        missed_since: dict[str, float] = {}
        while True:
            await line.ping()
            await asyncio.sleep(silence / 4)
            now = self._tools.now()
            if line.answers != answers:
                answers, answered = line.answers, now
            elif now - answered > silence:
                raise StreamClosed("venue", "the user data stream does not answer")
            if self._balances_moved and now - self._reported_at > _QUIET_S:
                self._balances_moved = False
                await self._tools.hint("orders.sync_account", self._account_id)
            recorded = await self._tools.blocking(self._recorded)
            if now - connected < silence:
                # Sweeps still write down what happened before.
                self._known |= recorded
                continue
            missed = recorded - self._known - set(self._seen)
            missed_since = {trade: missed_since.get(trade, now) for trade in missed}
            if any(now - since > silence / 2 for since in missed_since.values()):
                raise StreamClosed("venue", "the user data stream did not bring a fill")

    def _recorded(self) -> set[str]:
        with self._tools.units.read() as unit:
            rows = unit.ledger.latest_fills(self._account_id, _FILLS_LOOKED_AT)
        return {_trade(native_id(row.symbol), row.trade_id) for row in rows}


def _trade(native_symbol: str, trade_id: str) -> str:
    return f"{native_symbol} {trade_id}"
