"""Whatever a venue reports of an order, in whatever order and however often, the books hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.money import ZERO
from app.core.orders.state import FINAL
from app.core.orders.types import (
    OrderResponse,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    VenueFill,
)
from app.core.portfolio.ledger import Book, transfer_entries
from app.core.risk.context import ReferencePrice
from app.models import AccountRow, OrderRow, StrategyInstanceRow
from app.repositories.unit import Unit, Units
from app.services.orders.cancelling import request_cancel
from app.services.orders.fills import apply_fills, apply_response, post
from app.services.orders.intake import ManualOrder, OrderIntake
from app.services.orders.ports import OrderTiming
from tests.support.catalogue import instrument
from tests.support.record import CountingIds, ManualClock, ManualMarketClock, record, units_over

D = Decimal
SYMBOL = "BTC/USDT"
PRICE = D("50000")
#: The trades that the venue made of one order; any of them may be reported at any time.
PARTS = [D("0.003"), D("0.001"), D("0.0042"), D("0.0018")]
QUANTITY = sum(PARTS, ZERO)
REPORTED = [
    OrderStatus.ACKNOWLEDGED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.FILLED,
    OrderStatus.CANCELLED,
    OrderStatus.EXPIRED,
    OrderStatus.REJECTED,
]
trades = st.lists(st.integers(0, len(PARTS) - 1), max_size=6)
steps = st.one_of(
    st.tuples(st.just("fills"), trades),
    st.tuples(st.just("answer"), st.sampled_from(REPORTED), st.integers(0, len(PARTS)), trades),
    st.tuples(st.just("cancel")),
)


class FixedPrice:
    """A price that never ages."""

    def reference(self, exchange: str, symbol: str) -> ReferencePrice | None:
        """The price."""
        return ReferencePrice(PRICE, 0, False)


@dataclass
class Books:
    """A record with a catalogue, and accounts as they are needed."""

    units: Units
    ids: CountingIds

    def order(self, side: Side, limit: Decimal | None) -> OrderRow:
        """A claimed order of a fresh account."""
        account_id = self.units.run(self._open)
        intake = OrderIntake(self.units, FixedPrice(), ManualMarketClock(), self.ids, OrderTiming())
        decision, order = intake.submit_order(
            ManualOrder(
                account_id,
                SYMBOL,
                side,
                OrderType.LIMIT if limit else OrderType.MARKET,
                QUANTITY,
                limit,
                TimeInForce.GTC,
                "key",
            )
        )
        assert order is not None, decision.reason
        assert self.units.run(lambda unit: self._claim(unit, order.order_id))
        return order

    def _claim(self, unit: Unit, order_id: str) -> bool:
        row = unit.orders.lock(order_id)
        return unit.orders.claim(row, owner="test", request_ts=1, now_ms=1)

    def _open(self, unit: Unit) -> str:
        account_id = self.ids.new()
        unit.accounts.add(
            AccountRow(
                id=account_id,
                name=account_id,
                kind="simulated",
                exchange="binance",
                account_type="spot",
                status="active",
                sealed_credentials="",
                trade_cursor={},
                synced_ts=0,
                created_at=1,
            )
        )
        unit.flush()
        for kind in ("manual", "external"):
            unit.instances.add(_builtin(self.ids.new(), account_id, kind))
        unit.flush()
        external = unit.instances.builtin(account_id, "external").id
        for asset, amount in (("USDT", D(1000)), ("BTC", D(1))):
            entries = transfer_entries(
                (external, Book.TRANSFERS), (external, Book.HOLDINGS), asset, amount
            )
            post(unit, account_id, entries, self.ids.new(), "opening", None)
        return account_id


def _builtin(identity: str, account_id: str, kind: str) -> StrategyInstanceRow:
    return StrategyInstanceRow(
        id=identity,
        name=kind,
        kind=kind,
        account_id=account_id,
        version_id=None,
        exchange="binance",
        symbols=[],
        interval="",
        params={},
        capital=ZERO,
        compounding=False,
        status="running",
        state={},
        created_at=1,
        updated_at=1,
    )


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    with record(f"sqlite:///{tmp_path_factory.mktemp('books') / 'record.db'}") as engine:
        units, ids = units_over(engine, ManualClock()), CountingIds()
        units.run(
            lambda unit: unit.instruments.refresh("binance", [instrument()], ids.new, unit.now_ms)
        )
        yield Books(units, ids)


def venue_fill(order: OrderRow, number: int) -> VenueFill:
    """Trade ``number`` of the order; fees come in base, quote, a third coin, and as a rebate."""
    fee, asset = [
        (D("0.000003"), "BTC"),
        (D("0.05"), "USDT"),
        (D("0.0001"), "BNB"),
        (D("-0.01"), "USDT"),
    ][number]
    return VenueFill(
        f"{order.order_id[-6:]}{number}",
        "77",
        SYMBOL,
        Side(order.side),
        PRICE - number,
        PARTS[number],
        fee,
        asset,
        number,
        False,
    )


def carry_out(unit: Unit, ids: CountingIds, order: OrderRow, step: tuple[Any, ...]) -> None:
    if step[0] == "cancel":
        request_cancel(unit, order.order_id)
    elif step[0] == "fills":
        apply_fills(unit, ids, order, [venue_fill(order, number) for number in step[1]])
    else:
        _, status, known, carried = step
        filled = sum(PARTS[:known], ZERO)
        response = OrderResponse(
            order.client_order_id,
            "77",
            SYMBOL,
            status,
            QUANTITY,
            filled,
            tuple(venue_fill(order, number) for number in carried if number < known),
        )
        apply_response(unit, ids, order, response, "test")


def assert_books_hold(unit: Unit, order: OrderRow) -> None:
    fills = unit.ledger.fills_of_order(order.order_id)
    assert order.filled_quantity == sum((fill.quantity for fill in fills), ZERO)
    assert len({fill.trade_id for fill in fills}) == len(fills)
    sums: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for row in unit.ledger.postings(order.account_id):
        sums[row.txn_id, row.asset] += row.amount
        held[row.asset] += row.amount if row.book == Book.HOLDINGS else ZERO
    assert not [key for key, total in sums.items() if total]
    for balance in unit.accounts.balances(order.account_id):
        assert balance.free + balance.locked == held[balance.asset]
        is_reserved = balance.asset == order.reserved_asset
        assert balance.locked == (order.reserved_amount if is_reserved else ZERO)
    assert order.reserved_amount >= 0
    if order.status in FINAL:
        assert order.reserved_amount == 0
    if order.filled_quantity == QUANTITY:
        assert order.status in FINAL
    if order.status == OrderStatus.FILLED:
        assert order.filled_quantity == QUANTITY
    moved = sum((fill.quantity for fill in fills), ZERO) * Side(order.side).sign
    fees = sum((fill.fee for fill in fills if fill.fee_asset == "BTC"), ZERO)
    assert held["BTC"] == 1 + moved - fees


@settings(max_examples=60, deadline=None)
@given(
    side=st.sampled_from(Side),
    limit=st.sampled_from([None, D("49000.01"), D("51000")]),
    sequence=st.lists(steps, max_size=9),
)
@example(Side.BUY, None, [("cancel",), ("answer", OrderStatus.FILLED, 4, []), ("fills", [0, 3])])
@example(Side.SELL, None, [("answer", OrderStatus.CANCELLED, 0, []), ("fills", [3, 3, 0, 1, 2])])
@example(Side.BUY, D("51000"), [("answer", OrderStatus.EXPIRED, 1, [0]), ("fills", [1, 2, 3])])
def test_any_sequence_of_answers_trades_and_cancels_keeps_the_books(
    books: Books, side: Side, limit: Decimal | None, sequence: list[tuple[Any, ...]]
) -> None:
    order_id = books.order(side, limit).order_id
    ended: str | None = None
    for step in sequence:

        def work(unit: Unit, step: tuple[Any, ...] = step) -> None:
            carry_out(unit, books.ids, unit.orders.lock(order_id), step)

        books.units.run(work)
        with books.units.read() as unit:
            order = unit.orders.get(order_id)
            assert_books_hold(unit, order)
        if ended is not None:
            assert order.status == ended
        if order.status in FINAL:
            ended = order.status
