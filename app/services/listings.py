"""Read-only listings for the API and the CLI: pages, and rows by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.errors import InvalidInput, NotFound
from app.core.market.instruments import Instrument
from app.core.market.intervals import interval as interval_of
from app.core.orders.identity import manual_intent
from app.core.orders.state import LIVE
from app.models import (
    EquitySnapshotRow,
    FillRow,
    OrderEventRow,
    OrderRow,
    RiskDecisionRow,
    SignalRow,
    StrategyInstanceRow,
    StrategyQuotaRow,
)
from app.repositories.base import Page, bad_cursor
from app.repositories.unit import Units
from app.services.kline_parts import find_sources


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance, the name of its strategy, and its quota."""

    row: StrategyInstanceRow
    strategy: str | None
    quota: StrategyQuotaRow | None


class Listings:
    """Looks up and lists rows; changes nothing."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def account_id(self, name_or_id: str | None) -> str | None:
        """Id of the account of that name or id; None stays None.

        Raises:
            NotFound: there is none.
        """
        if name_or_id is None:
            return None
        with self._units.read() as unit:
            return unit.accounts.resolve(name_or_id).id

    def instance_id(self, name_or_id: str) -> str:
        """Id of the strategy instance of that id or, where it is the only one, of that name.

        Raises:
            NotFound: there is none.
            InvalidInput: several accounts have an instance of that name.
        """
        with self._units.read() as unit:
            if unit.instances.find(name_or_id) is not None:
                return name_or_id
            named = StrategyInstanceRow.name == name_or_id
            found = unit.instances.page(2, None, named, StrategyInstanceRow.kind == "strategy").rows
        if not found:
            raise NotFound(f"no strategy instance has the id or name {name_or_id[:40]!r}")
        if len(found) > 1:
            raise InvalidInput(
                f"several accounts have an instance named {name_or_id[:40]!r}; give its id"
            )
        return found[0].id

    def instance(self, instance_id: str) -> InstanceView:
        """An instance with its strategy and quota.

        Raises:
            NotFound: there is none.
        """
        with self._units.read() as unit:
            row = unit.instances.get(instance_id)
            version = unit.strategies.version(row.version_id) if row.version_id else None
            strategy = unit.strategies.get(version.strategy_id).name if version else None
            return InstanceView(row, strategy, unit.instances.quota(instance_id))

    def orders(
        self,
        limit: int,
        cursor: str | None,
        *,
        account: str | None = None,
        instance_id: str | None = None,
        open_only: bool = False,
    ) -> Page[OrderRow]:
        """Orders, newest first.

        Raises:
            NotFound: no such account or instance.
        """
        with self._units.read() as unit:
            where = []
            if account is not None:
                where.append(OrderRow.account_id == unit.accounts.resolve(account).id)
            if instance_id is not None:
                where.append(OrderRow.instance_id == unit.instances.get(instance_id).id)
            if open_only:
                where.append(OrderRow.status.in_(LIVE))
            return unit.orders.page(limit, cursor, *where)

    def order(self, order_id: str) -> tuple[OrderRow, Sequence[OrderEventRow]]:
        """An order and its whole life.

        Raises:
            NotFound: there is none.
        """
        with self._units.read() as unit:
            return unit.orders.get(order_id), unit.orders.events(order_id)

    def order_fills(self, order_id: str) -> Sequence[FillRow]:
        """Fills of one order by time."""
        with self._units.read() as unit:
            return unit.ledger.fills_of_order(order_id)

    def manual_decision(self, account_id: str, idempotency_key: str) -> RiskDecisionRow | None:
        """What the gate said of the order by hand under that key, or None."""
        with self._units.read() as unit:
            return unit.risk.decision_of(account_id, manual_intent(idempotency_key))

    def signals(self, instance_id: str, limit: int, cursor: str | None) -> Page[SignalRow]:
        """Signals of an instance, newest first.

        Raises:
            NotFound: no such instance.
        """
        with self._units.read() as unit:
            unit.instances.get(instance_id)
            return unit.signals.page(limit, cursor, SignalRow.instance_id == instance_id)

    def decisions(
        self, limit: int, cursor: str | None, instance_id: str | None = None
    ) -> Page[RiskDecisionRow]:
        """Risk decisions, newest first.

        Raises:
            NotFound: no such instance.
        """
        with self._units.read() as unit:
            if instance_id is not None:
                unit.instances.get(instance_id)
            return unit.risk.decisions(limit, cursor, instance_id)

    def equity(self, instance_id: str, limit: int) -> Sequence[EquitySnapshotRow]:
        """The latest equity snapshots of an instance, newest first.

        Raises:
            NotFound: no such instance.
        """
        with self._units.read() as unit:
            unit.instances.get(instance_id)
            return unit.ledger.snapshots(instance_id, limit)

    def instruments(
        self, exchange: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Instrument], str | None]:
        """Instruments by exchange and symbol, and the cursor of the next page (None at the end).

        Raises:
            InvalidInput: the cursor is none, or of another exchange's list.
            UnknownName: there is no such exchange.
        """
        after = None if cursor is None else _behind(cursor, exchange)
        with self._units.read() as unit:
            found = unit.instruments.page(exchange, limit + 1, after)
            if exchange is not None and not found and after is None:
                unit.instruments.require_exchange(exchange)
        kept = found[:limit]
        more = len(found) > limit
        return kept, f"{kept[-1].exchange}|{kept[-1].symbol}" if more else None

    def stored_range(
        self, exchange: str, symbol: str, interval: str, kind: str = "trade"
    ) -> tuple[int, int] | None:
        """First and last stored time, half open, of all series that an interval's bars come of.

        None where neither it nor one that it derives from holds any bar.

        Raises:
            UnknownName: there is no such interval or exchange.
        """
        with self._units.read() as unit:
            sources = find_sources(unit, exchange, symbol, interval_of(interval), kind)
            if sources is None:
                unit.instruments.require_exchange(exchange)
            return None if sources is None else sources.stored


def _behind(cursor: str, exchange: str | None) -> tuple[str, str]:
    """Exchange and symbol of a cursor of instruments."""
    venue, _, symbol = cursor.partition("|")
    if not venue or not symbol or exchange not in (None, venue):
        raise bad_cursor()
    return venue, symbol
