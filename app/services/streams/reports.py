"""What a user data stream says of orders, applied as an answer to a request would be.

Reports come doubled, late, out of order, before the acknowledgement, and after the order's end.
Fills are applied once each by their trade ids, whatever the order of their arrival; a state is
entered only where it is news.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import groupby

import structlog

from app.core.exchanges.markets.binance import native_id
from app.core.exchanges.streaming_frames import OrderReport
from app.core.orders.state import FINAL
from app.core.orders.types import OrderStatus
from app.core.ports import Ids
from app.models import OrderRow
from app.repositories.unit import Unit, Units
from app.services.orders.fills import apply_fills, apply_response, missing_quantity
from app.services.orders.records import move

_log = structlog.get_logger(__name__)


class OrderReports:
    """Applies reports to the orders of one installation. Calls block."""

    def __init__(self, units: Units, ids: Ids) -> None:
        self._units = units
        self._ids = ids

    def apply(
        self, account_id: str, reports: Sequence[OrderReport], fence: Callable[[Unit], None]
    ) -> None:
        """Apply reports in their order, those of one order that follow each other together.

        One order for each transaction: order, then balances, is the sequence in which
        everybody locks.

        Args:
            fence: raises in the transaction if the caller may no longer write.

        Raises:
            LeaseLost: by the fence.
            Unavailable: the database stayed locked.
        """
        news = self._news(account_id, reports)
        for client_id, group in groupby(news, key=lambda report: report.client_order_id):
            listed = list(group)

            def work(
                unit: Unit, client_id: str = client_id, listed: list[OrderReport] = listed
            ) -> None:
                fence(unit)
                self._apply(unit, account_id, client_id, listed)

            self._units.run(work)

    def _news(self, account_id: str, reports: Sequence[OrderReport]) -> list[OrderReport]:
        """The reports without those of ended orders whose trades are all applied.

        The answer to a market order's request brings what its reports say once more: two
        questions for a whole batch, instead of a lock on each order.
        """
        ids = {report.client_order_id for report in reports}
        with self._units.read() as unit:
            orders = unit.orders.of_client_ids(account_id, ids)
            ended = {row.client_order_id: row for row in orders if row.status in FINAL}
            if not ended:
                return list(reports)
            applied = unit.ledger.trades_of([row.order_id for row in ended.values()])
        return [
            report
            for report in reports
            if (order := ended.get(report.client_order_id)) is None
            or not _is_old(order, report, applied)
        ]

    def _apply(
        self, unit: Unit, account_id: str, client_id: str, reports: Sequence[OrderReport]
    ) -> None:
        order = unit.orders.lock_of_client_id(account_id, client_id)
        if order is None:
            # Not made here, or not known yet: the sweep finds out whose it is.
            unit.enqueue("orders.sync_account", account_id)
            return
        for report in reports:
            if not _is_about(report, order):
                _log.error("report_of_another_order", order_id=order.order_id)
                unit.enqueue("orders.sync_account", account_id)
                return
            self._apply_one(unit, order, report)

    def _apply_one(self, unit: Unit, order: OrderRow, report: OrderReport) -> None:
        response = report.response(order.symbol)
        status = OrderStatus(order.status)
        if status in FINAL:
            # An older report; only a trade in it may be news.
            apply_fills(unit, self._ids, order, response.fills)
        elif status is OrderStatus.SENDING and report.status is OrderStatus.ACKNOWLEDGED:
            # The acknowledgement is on its way to the sender; where it is lost, the resolver
            # asks. Entered here as well, a market order would be told of twice.
            return
        else:
            if status is OrderStatus.NEW:
                # Believed absent, and alive: it must not be sent again.
                move(unit, order, OrderStatus.SENDING, "found", reason="its report came")
            apply_response(unit, self._ids, order, response, "stream")
        if missing_quantity(order, response):
            unit.enqueue("orders.sync_account", order.account_id)


def _is_about(report: OrderReport, order: OrderRow) -> bool:
    """Whether a report with the order's id is about the same thing."""
    return native_id(order.symbol) == report.native_symbol and order.side == report.side


def _is_old(order: OrderRow, report: OrderReport, applied: Collection[tuple[str, str]]) -> bool:
    """Whether a report says nothing that is not in the record of an ended order."""
    if not _is_about(report, order) or missing_quantity(order, report.response(order.symbol)):
        return False
    return report.fill is None or (order.order_id, report.fill.trade_id) in applied
