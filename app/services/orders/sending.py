"""Sending an order: claim, send once with the committed timestamp, record the outcome.

1. The row is NEW and committed.
2. Everything that may wait is made ready: keys, markets, budget, halts, the venue's clock.
   Until the account was compared with its venue, the order waits here (``trust``).
3. Compare-and-set NEW → SENDING with attempt and request timestamp, committed. Where all of 2. is
   ready when a signal is judged, this is done in the transaction that makes the row (``take``).
4. Send with *that* timestamp; the venue's recvWindow fences a sender that slept.
5. 200 → acknowledged; proven refusal → REJECTED, or NEW for later; anything else → UNKNOWN.
"""

from __future__ import annotations

from app.core.errors import TidemarkError
from app.core.exchanges.errors import (
    VenueError,
    VenueKeyRefused,
    VenueRejected,
    VenueRetryLater,
    VenueRulesRefused,
)
from app.core.orders.types import OrderResponse, OrderStatus, Side
from app.core.ports import Clock, Ids, MarketClock
from app.models import AccountRow, OrderRow, StrategyInstanceRow
from app.repositories.unit import Unit, Units
from app.services.catalogue import TASK as REFRESH
from app.services.orders.fills import apply_answer
from app.services.orders.keys import halt_for_key
from app.services.orders.ports import (
    Checkpoint,
    OrderTiming,
    TradingDesk,
    TradingDesks,
    no_checkpoint,
)
from app.services.orders.records import move, request_of
from app.services.orders.restored import asks_first, meet
from app.services.orders.trust import WAITS, is_trusted
from app.services.risk import stops_on


class OrderSender:
    """Sends NEW orders, each attempt at most once.

    Args:
        owner: name of this process, kept with each claim.
        checkpoint: called between the steps, for rehearsing faults.
    """

    def __init__(
        self,
        units: Units,
        desks: TradingDesks,
        clock: Clock,
        market_clock: MarketClock,
        ids: Ids,
        timing: OrderTiming,
        owner: str,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._units = units
        self._desks = desks
        self._clock = clock
        self._market_clock = market_clock
        self._ids = ids
        self._timing = timing
        self._owner = owner
        self._checkpoint = checkpoint

    def send(self, order_id: str) -> OrderStatus:
        """Send an order if it is NEW and due; its status afterwards."""
        with self._units.read() as unit:
            order = unit.orders.get(order_id)
        return self.send_seen(order)

    def send_seen(self, order: OrderRow) -> OrderStatus:
        """The same, of an order that the caller has read or written a moment ago."""
        if order.status != OrderStatus.NEW or order.not_before > self._clock.now_ms():
            return OrderStatus(order.status)
        with self._units.read() as unit:
            account = unit.accounts.get(order.account_id)
            may_send, must_ask = is_trusted(account), asks_first(account, unit.now_ms)
        try:
            # Before the venue's clock: an account whose venue is not configured asks for nothing.
            desk = self._desks.open(order.account_id) if may_send else None
            market_now = self._market_clock.now_ms(order.exchange)
            if desk is None:
                return self._units.run(lambda unit: self._hold_back(unit, order, market_now))
            found = _asked(desk, order) if must_ask else None
        except TidemarkError as error:
            return self._postpone(order.order_id, order.attempt, error)
        self._checkpoint("before_claim")
        claimed = self._claim(order, desk, market_now, found)
        if claimed is None:
            with self._units.read() as unit:
                return OrderStatus(unit.orders.get(order.order_id).status)
        return self.send_claimed(claimed, desk)

    def ready(self, account: AccountRow) -> TradingDesk | None:
        """The desk for the first attempt at an order that is yet to be made.

        None where an order of this account must wait, or be asked for first, or nothing can be
        sent now: what is made then is NEW, and ``send_seen`` says why it waits.
        """
        if not is_trusted(account) or asks_first(account, self._clock.now_ms()):
            return None
        try:
            desk = self._desks.open(account.id)
        except TidemarkError:
            return None
        self._checkpoint("before_claim")
        return desk

    def take(self, unit: Unit, order: OrderRow, desk: TradingDesk) -> bool:
        """Claim an order in the transaction that makes it; False leaves it NEW.

        Its decision is written, which holds the rows of its instance and account against those
        who stop or distrust them: what is read here of the two stays so until the commit.
        """
        stops = stops_on(unit, order.account_id, order.instance_id, order.exchange, order.symbol)
        if stops.halts or (order.side == Side.BUY and stops.locks):
            return False
        if not unit.instances.may_trade(order.instance_id):
            return False
        return self._take(unit, order, self._request_timestamp(desk)) is not None

    def send_claimed(self, claimed: OrderRow, desk: TradingDesk) -> OrderStatus:
        """Send an order that this process has claimed, once; its status afterwards."""
        self._checkpoint("after_claim")
        try:
            response = self._place(desk, claimed)
        except VenueError as error:
            return self._record_refusal(claimed, error)
        self._checkpoint("after_send")
        status = self._units.run(lambda unit: self._accepted(unit, claimed, response))
        self._checkpoint("after_record")
        return status

    def _place(self, desk: TradingDesk, order: OrderRow) -> OrderResponse:
        return desk.adapter.place_order(request_of(order))

    def _request_timestamp(self, desk: TradingDesk) -> int:
        return desk.venue_ms()

    def _claim(
        self, order: OrderRow, desk: TradingDesk, market_now: int, found: OrderResponse | None
    ) -> OrderRow | None:
        """The row as claimed by us, or None where there is nothing (more) to send.

        Args:
            found: the order as the venue has it already.
        """

        def claim(unit: Unit) -> OrderRow | None:
            if found is not None:
                meet(unit, self._ids, order.order_id, found)
                return None
            row = unit.orders.lock(order.order_id)
            instance, account = unit.instances.with_account(row.instance_id)
            # NEW of another attempt was sent meanwhile, and waits for as long as the venue asked.
            moved_on = row.status != OrderStatus.NEW or row.attempt != order.attempt
            if moved_on or self._ends_unsent(unit, row, instance, market_now):
                return None
            if not is_trusted(account):
                self._wait(unit, row)
                return None
            return self._take(unit, row, self._request_timestamp(desk))

        return self._units.run(claim)

    def _hold_back(self, unit: Unit, order: OrderRow, market_now: int) -> OrderStatus:
        """Keep an order NEW until its account was compared, unless it has ended meanwhile."""
        row = unit.orders.lock(order.order_id)
        instance = unit.instances.get(row.instance_id)
        ended = row.status != OrderStatus.NEW
        if not (ended or self._ends_unsent(unit, row, instance, market_now)):
            self._wait(unit, row)
        return OrderStatus(row.status)

    def _wait(self, unit: Unit, row: OrderRow) -> None:
        # The end of the comparison lets it go at once; this is for the hints that get lost.
        row.not_before = unit.now_ms + self._timing.retry_ms
        row.reason = WAITS

    def _ends_unsent(
        self, unit: Unit, row: OrderRow, instance: StrategyInstanceRow, market_now: int
    ) -> bool:
        """Whether a NEW order may not be sent any more; it is then at its end."""
        stops = stops_on(unit, row.account_id, row.instance_id, row.exchange, row.symbol)
        if row.cancel_requested:
            move(unit, row, OrderStatus.CANCELLED, "cancelled_before_send")
        elif market_now > row.valid_until:
            move(unit, row, OrderStatus.EXPIRED, "expired", reason="valid_until passed")
        elif row.attempt >= self._timing.max_attempts:
            move(unit, row, OrderStatus.EXPIRED, "expired", reason="too many attempts")
        elif stops.halts:
            move(unit, row, OrderStatus.REJECTED, "halted", reason=f"halt: {stops.halts[0]}")
        elif row.side == Side.BUY and stops.locks:
            # The lock came after the gate. On spot a sell only gives back.
            move(unit, row, OrderStatus.REJECTED, "locked", reason="the instrument is locked")
        elif instance.status != "running":
            # Its stop may have come while the order was being written, and not have seen it.
            why = f"its instance is {instance.status}"
            move(unit, row, OrderStatus.CANCELLED, "cancelled_before_send", reason=why)
        else:
            return False
        return True

    def _take(self, unit: Unit, row: OrderRow, request_ts: int) -> OrderRow | None:
        won = unit.orders.claim(
            row,
            owner=self._owner,
            request_ts=request_ts,
            now_ms=unit.now_ms,
            # Until then a SENDING row belongs to its sender; afterwards anyone may resolve it.
            not_before=unit.now_ms + self._timing.reply_deadline_ms,
        )
        return row if won else None

    def _accepted(self, unit: Unit, claimed: OrderRow, response: OrderResponse) -> OrderStatus:
        row = unit.orders.lock(claimed.order_id)
        # Asked for by the order's events, and now: everybody waits for the balances' locks.
        unit.instances.look(row.instance_id)
        apply_answer(unit, self._ids, row, response, "ack")
        return OrderStatus(row.status)

    def _record_refusal(self, claimed: OrderRow, error: VenueError) -> OrderStatus:
        return self._units.run(lambda unit: self._refused(unit, claimed, error))

    def _refused(self, unit: Unit, claimed: OrderRow, error: VenueError) -> OrderStatus:
        row = unit.orders.lock(claimed.order_id)
        if row.status != OrderStatus.SENDING or row.attempt != claimed.attempt:
            return OrderStatus(row.status)
        now, reason = unit.now_ms, error.message
        if isinstance(error, VenueKeyRefused):
            halt_for_key(unit, row.account_id, error)
        if isinstance(error, VenueRulesRefused):
            # The gate has passed it by a catalogue that is out of date.
            unit.enqueue(REFRESH, row.exchange, row.symbol)
        if isinstance(error, VenueRejected):
            move(unit, row, OrderStatus.REJECTED, "rejected", reason=reason)
        elif isinstance(error, VenueRetryLater):
            wait = max(error.retry_after_ms, self._timing.retry_ms)
            move(unit, row, OrderStatus.NEW, "retry", not_before=now + wait, reason=reason)
        else:
            move(unit, row, OrderStatus.UNKNOWN, "unknown", not_before=now, reason=reason)
            unit.enqueue("orders.resolve", row.order_id)
        return OrderStatus(row.status)

    def _postpone(self, order_id: str, attempt: int, error: TidemarkError) -> OrderStatus:
        """Nothing was sent: note why and try again later, until the intent is too old."""

        def postpone(unit: Unit) -> OrderStatus:
            row = unit.orders.lock(order_id)
            if row.status == OrderStatus.NEW and row.attempt == attempt:
                wait = self._timing.retry_ms
                if isinstance(error, VenueRetryLater):
                    wait = max(wait, error.retry_after_ms)
                row.not_before = unit.now_ms + wait
                row.reason = error.message[:300]
            return OrderStatus(row.status)

        return self._units.run(postpone)


def _asked(desk: TradingDesk, order: OrderRow) -> OrderResponse | None:
    """The venue's order of this id: one that was sent by a record which is gone."""
    return desk.adapter.get_order_status(order.symbol, order.client_order_id)
