"""Strategy instances: create, start, stop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from app.core.errors import Conflict, InvalidInput, NameTaken, Unavailable, UnknownName
from app.core.events import body, topic
from app.core.market.instruments import Instrument, InstrumentStatus
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame
from app.core.money import ZERO, canonical, shown
from app.core.ports import Ids, MarketClock
from app.core.strategies.evaluation import EvaluationRequest
from app.core.strategies.runtime import StrategyRuntime
from app.models import StrategyInstanceRow, StrategyQuotaRow
from app.repositories.base import Page
from app.repositories.unit import Unit, Units
from app.services.collection.target import kept_by
from app.services.orders.cancelling import request_cancel
from app.services.orders.triggers import cancel_triggers
from app.services.strategies.bars import is_behind
from app.services.strategies.catalogue import StrategyCatalogue, ref_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,62}")


class Frames(Protocol):
    """Klines of a range, stored or derived."""

    def frame(self, exchange: str, symbol: str, interval: str, start: int, end: int) -> KlineFrame:
        """Bars that open in [start, end)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """What a new instance is made of. Amounts are quote units.

    Attributes:
        max_position: worth of all positions and open buys; None is no limit.
    """

    name: str
    strategy: str
    account: str
    symbols: tuple[str, ...]
    interval: str
    capital: Decimal
    compounding: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    max_position: Decimal | None = None
    max_orders_per_day: int | None = None


class InstanceService:
    """Creates, starts and stops strategy instances."""

    def __init__(
        self,
        units: Units,
        ids: Ids,
        market_clock: MarketClock,
        catalogue: StrategyCatalogue,
        runtime: StrategyRuntime,
    ) -> None:
        self._units = units
        self._ids = ids
        self._market_clock = market_clock
        self._catalogue = catalogue
        self._runtime = runtime

    def get(self, instance_id: str) -> StrategyInstanceRow:
        """One instance.

        Raises:
            NotFound: there is none.
        """
        with self._units.read() as unit:
            return unit.instances.get(instance_id)

    def page(self, limit: int, cursor: str | None) -> Page[StrategyInstanceRow]:
        """Instances of strategies, newest first."""
        with self._units.read() as unit:
            return unit.instances.page(limit, cursor, StrategyInstanceRow.kind == "strategy")

    def behind(self) -> list[str]:
        """Ids of the running instances that a bar, or an order's news, has not reached.

        What has only just happened is left to its own message.
        """
        with self._units.read() as unit:
            running = unit.instances.running()
            untold = {
                row.id for row in running if row.listens and unit.orders.untold(row.id, limit=1)
            }
        return [row.id for row in running if row.id in untold or self._is_behind(row)]

    def _is_behind(self, row: StrategyInstanceRow) -> bool:
        try:
            market_now = self._market_clock.now_ms(row.exchange)
        except Unavailable:
            return True  # the evaluation waits for what it needs, and says so
        return is_behind(row, market_now)

    def create(self, new: NewInstance) -> StrategyInstanceRow:
        """Create an instance; it does nothing until it is started.

        Raises:
            InvalidInput, UnknownName: name, symbols, interval, capital or parameters do not
                fit; the message names the field.
            NotFound: no such account.
            NameTaken: the account has an instance of that name.
        """
        _check(new)
        with self._units.read() as unit:
            account = unit.accounts.resolve(new.account)
            strategy, version = self._catalogue.current(unit, new.strategy)
            instruments = _instruments(unit, account.exchange, new.symbols)
            taken = {row.name for row in unit.instances.of_account(account.id)}
        if new.name in taken:
            raise NameTaken(
                f"account {account.name!r} has an instance named {new.name!r} already; choose "
                "another name"
            )
        # Parameters are judged where the strategy's code may run.
        self._runtime.warm_up(
            ref_of(strategy, version),
            _blank_request(new, account.exchange, instruments),
        )

        def work(unit: Unit) -> StrategyInstanceRow:
            row = unit.instances.add(
                StrategyInstanceRow(
                    id=self._ids.new(),
                    name=new.name,
                    kind="strategy",
                    account_id=account.id,
                    version_id=version.id,
                    exchange=account.exchange,
                    symbols=list(new.symbols),
                    interval=new.interval,
                    params=new.params,
                    capital=new.capital,
                    compounding=new.compounding,
                    listens=version.listens,
                    status="created",
                    state={},
                    created_at=unit.now_ms,
                    updated_at=unit.now_ms,
                )
            )
            unit.flush()
            quota = unit.instances.lock_quota(row.id)
            _set_quota(quota, new)
            return row

        return self._units.run(work)

    def start(self, instance_id: str) -> StrategyInstanceRow:
        """Start an instance at the market's present bar; a stopped one begins a new run.

        Raises:
            NotFound: no such instance.
            Conflict: it runs already, nothing collects its klines, its account is not active,
                or the capital of the running
                instances would exceed what the account holds.
        """
        with self._units.read() as unit:
            row = unit.instances.get(instance_id)
            _, version = self._version(unit, row)
            strategy = unit.strategies.get(version.strategy_id)
            instruments = _instruments(unit, row.exchange, row.symbols)
            _check_collected(unit, row)
        warm_up = self._runtime.warm_up(ref_of(strategy, version), _request_of(row, instruments))
        market_now = self._market_clock.now_ms(row.exchange)

        def work(unit: Unit) -> StrategyInstanceRow:
            row = unit.instances.lock(instance_id)
            if row.status == "running":
                raise Conflict(f"instance {row.name!r} is running already")
            # Locked: two starts at once must not both count on the same money.
            account = unit.accounts.lock(row.account_id)
            if account.status != "active":
                raise Conflict(f"account {account.name!r} is {account.status}")
            self._check_capital(unit, row, instruments[0].quote)
            self._begin_run(row, market_now, warm_up)
            unit.orders.mark_told(row.id)  # what happened before is not this run's news
            row.updated_at = unit.now_ms
            _emit_status(unit, row)
            return row

        return self._units.run(work)

    def stop(self, instance_id: str) -> StrategyInstanceRow:
        """Stop an instance and cancel its working orders; its position stays.

        Raises:
            NotFound: no such instance.
        """

        def work(unit: Unit) -> StrategyInstanceRow:
            row = unit.instances.lock(instance_id)
            if row.status in ("running", "failed"):
                row.status, row.updated_at = "stopped", unit.now_ms
                # Every order before any balance, as the account sweep does.
                live = [unit.orders.lock(o.order_id) for o in unit.orders.live_of_instance(row.id)]
                for order in live:
                    request_cancel(unit, order.order_id)
                for symbol in row.symbols:
                    cancel_triggers(unit, row.id, symbol, "instance stopped")
                _emit_status(unit, row)
            return row

        return self._units.run(work)

    def _begin_run(self, row: StrategyInstanceRow, market_now: int, warm_up: int) -> None:
        interval = interval_of(row.interval)
        first = interval.floor(market_now)  # the bar that is open now: the first to be evaluated
        anchor = first
        for _ in range(warm_up):
            anchor = interval.floor(anchor - 1)
        row.status, row.error = "running", None
        row.run_id = self._ids.new()
        row.anchor_ts = anchor
        row.cursor_ts = interval.floor(first - 1)
        row.state = {}

    def _check_capital(self, unit: Unit, row: StrategyInstanceRow, quote: str) -> None:
        balances = {item.asset: item for item in unit.accounts.balances(row.account_id)}
        held = balances[quote].free + balances[quote].locked if quote in balances else ZERO
        running = [
            other
            for other in unit.instances.of_account(row.account_id)
            if other.kind == "strategy" and other.status == "running" and other.id != row.id
        ]
        cash = [self._cash_of(unit, other) for other in (*running, row)]
        if sum(cash, ZERO) > held:
            raise Conflict(
                f"the running instances and this one would claim {canonical(sum(cash, ZERO))} "
                f"{quote}, but the account holds {canonical(held)}; lower the capital or stop one",
                code="capital-exceeded",
            )

    def _cash_of(self, unit: Unit, row: StrategyInstanceRow) -> Decimal:
        """What an instance may still spend: its capital and what its trading brought in."""
        flows = (each.cash_flow for each in unit.ledger.positions_of_instance(row.id))
        return max(row.capital + sum(flows, ZERO), ZERO)

    def _version(self, unit: Unit, row: StrategyInstanceRow) -> tuple[str, Any]:
        version = unit.strategies.version(row.version_id or "")
        if version is None:
            raise Conflict(f"instance {row.name!r} is built in and cannot be started")
        return version.id, version


def _check(new: NewInstance) -> None:
    if not _NAME.fullmatch(new.name):
        raise InvalidInput(
            f"instance name {new.name[:70]!r} must begin with a letter or digit and hold only "
            "letters, digits, space, dot, dash and underscore, at most 63"
        )
    interval_of(new.interval)
    if not new.symbols or len(set(new.symbols)) != len(new.symbols):
        raise InvalidInput("give at least one symbol, and each only once")
    if new.capital <= 0:
        raise InvalidInput(f"capital was {shown(new.capital)}; it must be above 0")


def _instruments(unit: Unit, exchange: str, symbols: Sequence[str]) -> tuple[Instrument, ...]:
    found = tuple(unit.instruments.get(exchange, symbol) for symbol in symbols)
    for instrument in found:
        if instrument.status is not InstrumentStatus.TRADING:
            raise UnknownName(f"{instrument.symbol} is {instrument.status} at {exchange}")
    quotes = {instrument.quote for instrument in found}
    if len(quotes) != 1:
        raise InvalidInput(
            f"symbols of one instance need one quote currency; these have {sorted(quotes)}"
        )
    return found


def _check_collected(unit: Unit, row: StrategyInstanceRow) -> None:
    """Somebody must bring the klines, or the instance would run and never do anything."""
    wanted = {row.interval, "1m", *(("1d",) if row.interval in ("3d", "1w", "1M") else ())}
    kept = set().union(*map(kept_by, unit.plans.enabled()))
    for symbol in row.symbols:
        if not any((row.exchange, symbol, name) in kept for name in wanted):
            raise Conflict(
                f"no plan collects klines of {symbol} from which {row.interval} can be had; add "
                f"one: tidemark data plans add NAME -s {symbol} -i 1m --since DATE",
                code="not-collected",
            )


def _blank_request(
    new: NewInstance, exchange: str, instruments: tuple[Instrument, ...]
) -> EvaluationRequest:
    return EvaluationRequest(
        strategy=new.strategy,
        strategy_id=new.name,
        params=new.params,
        exchange=exchange,
        interval=new.interval,
        instruments=instruments,
        frames=(),
        capital=new.capital,
        compounding=new.compounding,
    )


def _request_of(row: StrategyInstanceRow, instruments: tuple[Instrument, ...]) -> EvaluationRequest:
    return EvaluationRequest(
        strategy=row.name,
        strategy_id=row.id,
        params=row.params,
        exchange=row.exchange,
        interval=row.interval,
        instruments=instruments,
        frames=(),
        capital=row.capital,
        compounding=row.compounding,
    )


def _set_quota(quota: StrategyQuotaRow, new: NewInstance) -> None:
    quota.max_position = new.max_position
    quota.max_orders_per_day = new.max_orders_per_day


def _emit_status(unit: Unit, row: StrategyInstanceRow) -> None:
    unit.emit(
        topic("system", "instance", row.id),
        body("instances.v1", instance_id=row.id, name=row.name, status=row.status, at=unit.now_ms),
    )
