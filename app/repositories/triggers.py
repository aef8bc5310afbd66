"""Order triggers."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import CursorResult, Table, bindparam, select, update

from app.models import OrderTriggerRow
from app.repositories.base import KeyedRepository
from app.repositories.prepared import Prepared

_ALL_ARMED = (
    select(OrderTriggerRow).where(OrderTriggerRow.status == "armed").order_by(OrderTriggerRow.id)
)
_TRIGGERS = cast("Table", OrderTriggerRow.__table__)
_CANCEL = Prepared(
    update(_TRIGGERS)
    .where(
        _TRIGGERS.c.instance_id == bindparam("instance"),
        _TRIGGERS.c.symbol == bindparam("of_symbol"),
        _TRIGGERS.c.status == "armed",
    )
    .values(status="cancelled", reason=bindparam("reason"), updated_at=bindparam("updated_at"))
)
_ARMED = Prepared(_ALL_ARMED)
_ARMED_ON = Prepared(_ALL_ARMED.where(OrderTriggerRow.exchange == bindparam("exchange")))


class TriggerRepository(KeyedRepository[OrderTriggerRow]):
    """Triggers by id, by instance, and those that are armed."""

    model = OrderTriggerRow
    key = OrderTriggerRow.id
    noun = "order trigger"

    def armed(self, exchange: str | None = None) -> Sequence[OrderTriggerRow]:
        """Armed triggers, of one venue or of all, oldest first."""
        if exchange is None:
            return _ARMED.all(self._session, {})
        return _ARMED_ON.all(self._session, {"exchange": exchange})

    def of_instance(self, instance_id: str) -> Sequence[OrderTriggerRow]:
        """Triggers of an instance, oldest first."""
        return self._session.scalars(
            select(OrderTriggerRow)
            .where(OrderTriggerRow.instance_id == instance_id)
            .order_by(OrderTriggerRow.id)
        ).all()

    def fire(
        self, trigger_id: str, *, price: Decimal, market_ts: int, signal_id: str, now_ms: int
    ) -> bool:
        """Compare-and-set armed → fired; False if it fired or was cancelled before."""
        row = OrderTriggerRow
        statement = (
            update(row)
            .where(row.id == trigger_id, row.status == "armed")
            .values(
                status="fired",
                fired_price=price,
                fired_ts=market_ts,
                signal_id=signal_id,
                updated_at=now_ms,
            )
            .execution_options(synchronize_session=False)
        )
        return cast("CursorResult[Any]", self._session.execute(statement)).rowcount == 1

    def cancel(
        self,
        instance_id: str,
        symbol: str,
        reason: str,
        now_ms: int,
        *,
        oco_group: str | None = None,
        trigger_id: str | None = None,
    ) -> int:
        """Cancel the armed triggers of an instance and symbol, of one group or id if named."""
        if oco_group is None and trigger_id is None:
            names = {"instance": instance_id, "of_symbol": symbol}
            changes = {"reason": reason[:64], "updated_at": now_ms}
            return _CANCEL.run(self._session, {**names, **changes}).matched
        row = OrderTriggerRow
        statement = update(row).where(
            row.instance_id == instance_id, row.symbol == symbol, row.status == "armed"
        )
        if oco_group is not None:
            statement = statement.where(row.oco_group == oco_group)
        if trigger_id is not None:
            statement = statement.where(row.id == trigger_id)
        statement = statement.values(status="cancelled", reason=reason[:64], updated_at=now_ms)
        result = self._session.execute(statement.execution_options(synchronize_session=False))
        return cast("CursorResult[Any]", result).rowcount
