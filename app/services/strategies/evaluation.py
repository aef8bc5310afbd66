"""Evaluating a live instance: every closed bar after its cursor, once, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import structlog

from app.core.errors import NotFound
from app.core.events import body, topic
from app.core.market.instruments import Instrument
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame
from app.core.money import ZERO, canonical, parse_amount
from app.core.orders.state import FINAL, WORKING
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.portfolio.positions import exact_product
from app.core.ports import Ids, MarketClock
from app.core.strategies.errors import StrategyError, StrategyFailed
from app.core.strategies.evaluation import EvaluationRequest, EvaluationResult
from app.core.strategies.loader import StrategyRef
from app.core.strategies.runtime import StrategyRuntime
from app.core.strategies.signal import EmittedSignal, Signal
from app.core.strategies.updates import OrderUpdate, OwnOrder
from app.models import OrderEventRow, OrderRow, SignalRow, StrategyInstanceRow
from app.repositories.unit import Unit, Units
from app.services.alarms import tell_alarm
from app.services.orders.records import signal_key, tell_signal
from app.services.strategies.bars import closed_end, complete, has_seen
from app.services.strategies.catalogue import ref_of
from app.services.strategies.instances import Frames

_log = structlog.get_logger(__name__)
# How long after its close, in market time, a bar waits for the fills that came before it.
_FILLS_PATIENCE_MS = 15_000
# Versions kept in memory; a file has 256 KB at most.
_VERSIONS = 100


class _Overtaken(Exception):
    """A fill has changed the position since the evaluation began: the bars may be newer."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """An instance as it was when its evaluation began."""

    row: StrategyInstanceRow
    ref: StrategyRef
    instruments: tuple[Instrument, ...]
    events: Sequence[tuple[OrderEventRow, OrderRow]]
    live: Sequence[OrderRow]
    unjudged: Sequence[SignalRow]
    positions: dict[str, Decimal]
    net_cash: Decimal


class Evaluator:
    """Evaluates instances. Two evaluations of one instance are harmless: one of them loses
    the compare-and-set on the cursors and writes nothing.

    Args:
        max_signals: that an instance may emit on one bar and the fills after it. One that emits
            more has failed: nothing of that evaluation is written.
    """

    def __init__(
        self,
        units: Units,
        ids: Ids,
        market_clock: MarketClock,
        frames: Frames,
        runtime: StrategyRuntime,
        max_signals: int,
    ) -> None:
        self._units = units
        self._ids = ids
        self._market_clock = market_clock
        self._frames = frames
        self._runtime = runtime
        self._max_signals = max_signals
        self._refs: dict[str, StrategyRef] = {}

    def evaluate(self, instance_id: str) -> int:
        """Take what is new for an instance; how many signals it emitted.

        User code runs outside of any transaction; only the writing of its answer is one.
        """
        with self._units.read() as unit:
            row = unit.instances.get(instance_id)
            has_news = row.listens and bool(unit.orders.untold(row.id, 1))
        if row.status != "running" or row.version_id is None:
            return 0
        market_now = self._market_clock.now_ms(row.exchange)
        if not has_news and has_seen(row, closed_end(row, market_now)):
            return 0
        try:
            frames = self._closed_frames(row, market_now)
        except NotFound:
            return 0  # its klines are still to be collected
        ready, skipped = complete(row, frames, market_now)
        last = max((int(frame.open_ts[-1]) for frame in ready if len(frame)), default=None)
        fresh = last is not None and (row.cursor_ts is None or last > row.cursor_ts)
        if not fresh and not has_news:
            return 0
        subject = self._load(row)
        if fresh and self._awaits_fills(subject, last or 0, market_now):
            return 0
        return self._take(subject, ready, skipped)

    def _take(
        self, subject: _Subject, ready: tuple[KlineFrame, ...], skipped: Sequence[int]
    ) -> int:
        row = subject.row
        request = self._request(subject, ready)
        try:
            result = self._runtime.evaluate(subject.ref, request, row.id)
            return self._write(subject, result, skipped)
        except StrategyError as error:
            self._fail(row, error)
            return 0

    def _load(self, row: StrategyInstanceRow) -> _Subject:
        """What an evaluation of the row needs besides bars.

        Read after the bars, so that the fills before them are in it. What comes later still
        is found by the writing transaction.
        """
        with self._units.read() as unit:
            events = unit.orders.untold_with_orders(row.id)
            held = unit.ledger.positions_of_instance(row.id)
            return _Subject(
                row=row,
                ref=self._ref(unit, row.version_id or ""),
                instruments=tuple(unit.instruments.get(row.exchange, s) for s in row.symbols),
                events=events,
                live=unit.orders.live_of_instance(row.id),
                unjudged=unit.signals.unjudged_of(row.id),
                positions={each.symbol: each.quantity for each in held},
                net_cash=sum((each.cash_flow for each in held), ZERO),
            )

    def _ref(self, unit: Unit, version_id: str) -> StrategyRef:
        """The code of a version, which never changes: a file's text is read once."""
        known = self._refs.get(version_id)
        if known is None:
            version = unit.strategies.version(version_id)
            assert version is not None  # noqa: S101 - a foreign key
            known = ref_of(unit.strategies.get(version.strategy_id), version)
            if len(self._refs) >= _VERSIONS:
                self._refs.clear()
            self._refs[version_id] = known
        return known

    def _awaits_fills(self, subject: _Subject, last: int, market_now: int) -> bool:
        """Whether fills of own working orders may be missing that came before a bar's close.

        A stream may bring the bar before the fill. A backtest tells of the fill first, so the
        account is compared with the venue up to the bar's close; its sweep hints this
        evaluation again. A venue that cannot be asked is waited for 15 s of market time, since
        a strategy that stands still may lose more than one that learns of a fill a bar late.
        """
        row = subject.row
        closed = interval_of(row.interval).next(last)
        if not any(order.status in WORKING for order in subject.live):
            return False
        with self._units.read() as unit:
            if unit.accounts.get(row.account_id).synced_ts >= closed:
                return False
        if market_now - closed >= _FILLS_PATIENCE_MS:
            _log.warning("evaluated_without_fills", instance_id=row.id, bar_ts=last)
            return False

        def ask(unit: Unit) -> None:
            unit.enqueue("orders.sync_account", row.account_id)

        self._units.run(ask)
        return True

    def _closed_frames(self, row: StrategyInstanceRow, market_now: int) -> tuple[KlineFrame, ...]:
        end = closed_end(row, market_now)  # the bar that opens here is not closed
        start = row.anchor_ts if row.anchor_ts is not None else end
        return tuple(
            self._frames.frame(row.exchange, symbol, row.interval, start, end)
            for symbol in row.symbols
        )

    def _request(self, subject: _Subject, frames: tuple[KlineFrame, ...]) -> EvaluationRequest:
        row = subject.row
        interval = interval_of(row.interval)
        now = interval.next(row.cursor_ts) if row.cursor_ts is not None else 0
        return EvaluationRequest(
            strategy=row.name,
            strategy_id=row.id,
            params=row.params,
            exchange=row.exchange,
            interval=row.interval,
            instruments=subject.instruments,
            frames=frames,
            capital=row.capital,
            compounding=row.compounding,
            cursor_ts=row.cursor_ts,
            state=row.state,
            net_cash=subject.net_cash,
            positions=subject.positions,
            working_orders=_working(subject),
            updates=tuple(_update(event, order, now) for event, order in subject.events),
        )

    def _write(self, subject: _Subject, result: EvaluationResult, skipped: Sequence[int]) -> int:
        row = subject.row
        told = [event.id for event, _ in subject.events]

        def work(unit: Unit) -> int:
            won = unit.instances.advance(
                row.id,
                run_id=row.run_id,
                seen=row.cursor_ts,
                cursor_ts=result.cursor_ts,
                state=result.state,
                now_ms=unit.now_ms,
            )
            if not won:
                return 0
            if [event.id for event in unit.orders.untold(row.id)] != told:
                raise _Overtaken
            self._refuse_flood(unit, row, result.signals)
            if told:
                unit.orders.mark_told(row.id, told)
            for emitted in result.signals:
                self._write_signal(unit, row, emitted)
            for bar_ts in skipped:
                _report_skipped(unit, row, bar_ts)
            return len(result.signals)

        try:
            return self._units.run(work)
        except _Overtaken:
            self._units.run(lambda unit: unit.enqueue("strategies.evaluate", row.id))
            return 0

    def _refuse_flood(
        self, unit: Unit, row: StrategyInstanceRow, signals: Sequence[EmittedSignal]
    ) -> None:
        """Nothing, unless one bar has too many signals, those of earlier evaluations included.

        Raises:
            StrategyFailed: it has.
        """
        if not signals:
            return
        counts = Counter(each.bar_ts for each in signals)
        # None of an earlier evaluation answers a bar that had not been seen yet.
        if row.cursor_ts is not None and min(counts) <= row.cursor_ts:
            counts.update(
                ts for ts in unit.signals.latest_bars(row.id, self._max_signals) if ts in counts
            )
        bar_ts, most = counts.most_common(1)[0]
        if most > self._max_signals:
            raise StrategyFailed(
                row.name,
                f"emitted {most} signals on the bar of {bar_ts}, more than the {self._max_signals} "
                "of TIDEMARK_MAX_SIGNALS_PER_BAR; none of this evaluation is taken",
            )

    def _write_signal(self, unit: Unit, row: StrategyInstanceRow, emitted: EmittedSignal) -> None:
        signal = emitted.signal
        record = SignalRow(
            id=self._ids.new(),
            instance_id=row.id,
            version_id=row.version_id,
            symbol=signal.symbol,
            interval=emitted.interval,
            cause=emitted.cause,
            leg=emitted.leg,
            bar_ts=emitted.bar_ts,
            action=signal.action.value,
            side=signal.side.value,
            type=signal.type.value,
            quantity=signal.quantity,
            limit_price=signal.limit_price,
            stop_price=signal.stop_price,
            time_in_force=signal.time_in_force.value,
            cancels=signal.cancels,
            extras=_extras(signal),
            tag=signal.tag[:64],
            valid_until=emitted.valid_until,
            status="new",
            created_at=unit.now_ms,
        )
        unit.signals.write(record)
        unit.enqueue("orders.accept_signal", record.id)
        tell_signal(unit, record, row.name)

    def _fail(self, row: StrategyInstanceRow, error: StrategyError) -> None:
        """A strategy that fails is stopped with its error; a person starts it again."""
        _log.warning("strategy_failed", instance_id=row.id, error=error.message)

        def work(unit: Unit) -> None:
            locked = unit.instances.lock(row.id)
            if locked.status != "running" or locked.run_id != row.run_id:
                return
            locked.status, locked.error = "failed", error.message[:500]
            locked.updated_at = unit.now_ms
            tell_alarm(unit, "critical", "strategy-failed", error.message, instance_id=row.id)

        self._units.run(work)


def _working(subject: _Subject) -> tuple[OwnOrder, ...]:
    """Own orders under way: signals not yet judged, and orders not yet final."""
    prefix = f"s:{subject.row.id}:"
    orders = [
        OwnOrder(
            key=order.intent_key.removeprefix(prefix),
            symbol=order.symbol,
            side=Side(order.side),
            type=OrderType(order.type),
            quantity=order.quantity,
            filled=order.filled_quantity,
            limit_price=order.price,
            stop_price=order.stop_price,
            tag=order.tag,
        )
        for order in subject.live
    ]
    signals = [
        OwnOrder(
            key=signal_key(signal),
            symbol=signal.symbol,
            side=Side(signal.side),
            type=OrderType(signal.type),
            quantity=signal.quantity,
            limit_price=signal.limit_price,
            stop_price=signal.stop_price,
            tag=signal.tag,
        )
        for signal in subject.unjudged
        if signal.quantity > 0
    ]
    return (*orders, *signals)


def _update(event: OrderEventRow, order: OrderRow, now: int) -> OrderUpdate:
    """An order event in the strategy's words.

    Only fills carry the venue's market time; the others take the close of the bar before,
    which puts them ahead of the next bar, where a backtest has them.
    """
    data = event.data
    filled = event.kind == "fill"
    status = OrderStatus(event.to_status)
    return OrderUpdate(
        event_id=str(event.id),
        key=order.intent_key.removeprefix(f"s:{order.instance_id}:"),
        symbol=order.symbol,
        side=Side(order.side),
        type=OrderType(order.type),
        status=status,
        quantity=order.quantity,
        filled_quantity=order.filled_quantity,
        timestamp=int(data["ts"]) if filled else now,
        price=parse_amount(data["price"]) if filled else None,
        last_quantity=parse_amount(data["fill_quantity"]) if filled else ZERO,
        fee=_quote_fee(order.symbol, data) if filled else ZERO,
        reason=str(data.get("reason", "")) if status in FINAL else "",
        tag=order.tag,
    )


def _quote_fee(symbol: str, data: dict[str, Any]) -> Decimal:
    """The fee of a fill event in quote units, as a backtest states it.

    A fee in base counts at the price of its fill; one in a third asset has no price here and
    counts 0, for which an alarm was raised when it was booked.
    """
    base, _, quote = symbol.partition(":")[0].partition("/")
    fee = parse_amount(data["fee"])
    if data["fee_asset"] == quote:
        return fee
    return exact_product(fee, parse_amount(data["price"])) if data["fee_asset"] == base else ZERO


def _extras(signal: Signal) -> dict[str, str]:
    """What only some signals carry, as JSON."""
    amounts = {"stop_loss": signal.stop_loss, "take_profit": signal.take_profit}
    given = {name: canonical(value) for name, value in amounts.items() if value is not None}
    return given if signal.oco_group is None else {**given, "oco_group": signal.oco_group}


def _report_skipped(unit: Unit, row: StrategyInstanceRow, bar_ts: int) -> None:
    unit.emit(
        topic("system", "bar_skipped", row.id),
        body(
            "skipped_bars.v1",
            instance_id=row.id,
            name=row.name,
            bar_ts=bar_ts,
            at=unit.now_ms,
        ),
    )
