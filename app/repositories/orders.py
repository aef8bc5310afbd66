"""Orders and their events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, false, func, insert, select, update
from sqlalchemy.orm.attributes import set_committed_value

from app.core.orders.state import LIVE, UNSETTLED
from app.core.orders.types import OrderStatus
from app.models import OrderEventRow, OrderRow
from app.repositories.base import KeyedRepository, append
from app.repositories.prepared import Prepared

_EVENTS = cast("Table", OrderEventRow.__table__)
_ORDERS = cast("Table", OrderRow.__table__)
_LIVE = Prepared(
    select(OrderRow)
    .where(OrderRow.account_id == bindparam("account"), OrderRow.status.in_(LIVE))
    .order_by(OrderRow.order_id)
)
_LIVE_OF_INSTANCE = Prepared(
    select(OrderRow)
    .where(OrderRow.instance_id == bindparam("instance"), OrderRow.status.in_(LIVE))
    .order_by(OrderRow.order_id)
)
_OF_CLIENT_IDS = Prepared(
    select(OrderRow).where(
        OrderRow.account_id == bindparam("account"),
        OrderRow.client_order_id.in_(bindparam("ids", expanding=True)),
    ),
    many="ids",
)
_OF_VENUE_IDS = Prepared(
    select(OrderRow).where(
        OrderRow.account_id == bindparam("account"),
        OrderRow.symbol == bindparam("symbol"),
        OrderRow.venue_order_id.in_(bindparam("ids", expanding=True)),
    ),
    many="ids",
)
_LOCK_OF_CLIENT_ID = Prepared(
    select(OrderRow)
    .where(OrderRow.account_id == bindparam("account"), OrderRow.client_order_id == bindparam("id"))
    .with_for_update()
)
_UNTOLD = Prepared(
    select(OrderEventRow)
    .where(OrderEventRow.instance_id == bindparam("instance"), OrderEventRow.told == false())
    .order_by(OrderEventRow.id)
    .limit(bindparam("most"))
)
_UNTOLD_WITH_ORDERS = Prepared(
    select(OrderEventRow, OrderRow)
    .join(OrderRow, OrderRow.order_id == OrderEventRow.order_id)
    .where(OrderEventRow.instance_id == bindparam("instance"), OrderEventRow.told == false())
    .order_by(OrderEventRow.id)
    .limit(bindparam("most"))
)
_MARK_TOLD = Prepared(
    update(_EVENTS)
    .where(
        _EVENTS.c.instance_id == bindparam("instance"),
        _EVENTS.c.told == false(),
        _EVENTS.c.id.in_(bindparam("ids", expanding=True)),
    )
    .values(told=True),
    many="ids",
)
# An event takes the number behind its order's latest, asked for in the statement itself. MySQL lets
# an insert read its own table only as a derived one.
_NEXT_SEQ = (
    select((func.coalesce(func.max(_EVENTS.c.seq), 0) + 1).label("seq"))
    .where(_EVENTS.c.order_id == bindparam("order_id"))
    .subquery("numbered")
)
_FACTS = ("order_id", "instance_id", "kind", "from_status", "to_status", "data", "told", "at")
_ADD_EVENT = Prepared(
    insert(_EVENTS).values(
        **{name: bindparam(name) for name in _FACTS},
        seq=select(_NEXT_SEQ.c.seq).scalar_subquery(),
    )
)
_CLAIMED = ("status", "attempt", "owner", "request_ts", "updated_at", "not_before")
_CLAIM = Prepared(
    update(_ORDERS)
    .where(
        _ORDERS.c.order_id == bindparam("claimed_id"),
        _ORDERS.c.status == OrderStatus.NEW,
        _ORDERS.c.attempt == bindparam("seen_attempt"),
    )
    .values({name: bindparam(name) for name in _CLAIMED})
)


class OrderRepository(KeyedRepository[OrderRow]):
    """Orders: one row per intent over all its attempts."""

    model = OrderRow
    key = OrderRow.order_id
    noun = "order"

    def write(self, row: OrderRow) -> None:
        """Insert a new order at once."""
        append(self._session, [row])

    def of_intent(self, account_id: str, intent_key: str) -> OrderRow | None:
        """The order of one intent, or None."""
        return self._session.scalars(
            select(OrderRow).where(
                OrderRow.account_id == account_id, OrderRow.intent_key == intent_key
            )
        ).one_or_none()

    def of_venue_id(self, account_id: str, symbol: str, venue_order_id: str) -> OrderRow | None:
        """The order that the venue knows by that id, or None."""
        return self._session.scalars(
            select(OrderRow).where(
                OrderRow.account_id == account_id,
                OrderRow.symbol == symbol,
                OrderRow.venue_order_id == venue_order_id,
            )
        ).first()

    def of_venue_ids(
        self, account_id: str, symbol: str, venue_ids: Collection[str]
    ) -> Sequence[OrderRow]:
        """The orders that the venue knows by those ids, in no order."""
        names = {"account": account_id, "symbol": symbol, "ids": list(venue_ids)}
        return _OF_VENUE_IDS.all(self._session, names)

    def of_client_id(self, account_id: str, client_order_id: str) -> OrderRow | None:
        """The order that was placed under that id, or None."""
        return self._session.scalars(
            select(OrderRow).where(
                OrderRow.account_id == account_id, OrderRow.client_order_id == client_order_id
            )
        ).one_or_none()

    def of_client_ids(self, account_id: str, client_ids: Collection[str]) -> Sequence[OrderRow]:
        """The orders that were placed under those ids, in no order."""
        names = {"account": account_id, "ids": list(client_ids)}
        return _OF_CLIENT_IDS.all(self._session, names)

    def lock_of_client_id(self, account_id: str, client_order_id: str) -> OrderRow | None:
        """The same order as it is now, locked until the unit ends."""
        names = {"account": account_id, "id": client_order_id}
        found: OrderRow | None = _LOCK_OF_CLIENT_ID.held_one(self._session, names)
        return found

    def claim(
        self,
        row: OrderRow,
        *,
        owner: str,
        request_ts: int,
        now_ms: int,
        not_before: int = 0,
        **facts: Any,
    ) -> bool:
        """Compare-and-set NEW → SENDING for the attempt that was seen, with its event.

        False if another sender has it. ``row``, which belongs to this unit, shows the new values.

        Args:
            not_before: until then nobody else looks at the row, wall time, ms.
            facts: said with the event.
        """
        claimed = {
            "status": OrderStatus.SENDING,
            "attempt": row.attempt + 1,
            "owner": owner,
            "request_ts": request_ts,
            "updated_at": now_ms,
            "not_before": not_before,
        }
        names = {"claimed_id": row.order_id, "seen_attempt": row.attempt, **claimed}
        if _CLAIM.run(self._session, names).matched != 1:
            return False
        for name, value in claimed.items():
            set_committed_value(row, name, value)
        data = {"attempt": row.attempt, "request_ts": request_ts, **facts}
        self.add_event(row, "sending", OrderStatus.NEW.value, data, now_ms)
        return True

    def live(self, account_id: str) -> Sequence[OrderRow]:
        """Orders of an account that are not in a final state, oldest first."""
        return _LIVE.all(self._session, {"account": account_id})

    def held_back(self, account_id: str, reason: str) -> Sequence[OrderRow]:
        """NEW orders of an account that wait for that reason, oldest first."""
        return self._session.scalars(
            select(OrderRow)
            .where(
                OrderRow.account_id == account_id,
                OrderRow.status == OrderStatus.NEW,
                OrderRow.reason == reason,
            )
            .order_by(OrderRow.order_id)
        ).all()

    def live_of_instance(self, instance_id: str) -> Sequence[OrderRow]:
        """Orders of an instance that are not in a final state, oldest first."""
        return _LIVE_OF_INSTANCE.all(self._session, {"instance": instance_id})

    def of_instance(self, instance_id: str, limit: int) -> Sequence[OrderRow]:
        """Orders of an instance, oldest first."""
        return self._session.scalars(
            select(OrderRow)
            .where(OrderRow.instance_id == instance_id)
            .order_by(OrderRow.order_id)
            .limit(limit)
        ).all()

    def unsettled(self, now_ms: int, limit: int = 200) -> Sequence[OrderRow]:
        """Orders that a worker must look at now: NEW, SENDING, UNKNOWN, to be cancelled."""
        return self._session.scalars(
            select(OrderRow)
            .where(OrderRow.status.in_(UNSETTLED), OrderRow.not_before <= now_ms)
            .order_by(OrderRow.not_before, OrderRow.order_id)
            .limit(limit)
        ).all()

    def count_unsettled(self, account_id: str) -> int:
        """How many orders of an account await a venue's word."""
        return self._session.scalars(
            select(func.count())
            .select_from(OrderRow)
            .where(OrderRow.account_id == account_id, OrderRow.status.in_(UNSETTLED))
        ).one()

    def add_event(
        self,
        order: OrderRow,
        kind: str,
        from_status: str | None,
        data: dict[str, Any],
        at: int,
        *,
        to_tell: bool = False,
    ) -> int:
        """Append an event to an order that this unit holds locked; the event's id.

        Args:
            to_tell: whether the instance's strategy is to be told of it.
        """
        self._session.flush()  # an event ends a step, also where changes gather
        names = {
            "order_id": order.order_id,
            "instance_id": order.instance_id,
            "kind": kind,
            "from_status": from_status,
            "to_status": order.status,
            "data": data,
            "told": not to_tell,
            "at": at,
        }
        return _ADD_EVENT.run(self._session, names).last_id

    def events(self, order_id: str) -> Sequence[OrderEventRow]:
        """The life of one order."""
        return self._session.scalars(
            select(OrderEventRow)
            .where(OrderEventRow.order_id == order_id)
            .order_by(OrderEventRow.seq)
        ).all()

    def untold(self, instance_id: str, limit: int = 500) -> Sequence[OrderEventRow]:
        """Events that the instance's strategy has not been told of, oldest first."""
        return _UNTOLD.all(self._session, {"instance": instance_id, "most": limit})

    def untold_with_orders(
        self, instance_id: str, limit: int = 500
    ) -> Sequence[tuple[OrderEventRow, OrderRow]]:
        """The same, each with its order."""
        names = {"instance": instance_id, "most": limit}
        return _UNTOLD_WITH_ORDERS.tuples(self._session, names)

    def mark_told(self, instance_id: str, event_ids: Sequence[int] | None = None) -> None:
        """Note that a strategy was told of events; of all there are, where none are named."""
        if event_ids is not None:
            _MARK_TOLD.run(self._session, {"instance": instance_id, "ids": event_ids})
            return
        row = OrderEventRow
        self._session.execute(
            update(row).where(row.instance_id == instance_id, row.told == false()).values(told=True)
        )
