"""The checkers of what must always hold: they say nothing of a sound record, and find each break.

Each break is made past the services, by SQL on the record or at the venue, as no code of ours
may; a checker that finds nothing would make every rehearsal vain.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update

from app.adapters.celery_queue import NoQueue
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import DAY_MS
from app.core.market.klines import KlineRow
from app.core.market.rolling import ROLLED, day_of
from app.core.orders.types import OrderStatus, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import (
    AccountRow,
    BalanceRow,
    CoverageRow,
    FillRow,
    KlineRecord,
    OrderEventRow,
    OrderRow,
    PositionRow,
    PostingRow,
    RiskDecisionRow,
    SignalRow,
)
from app.repositories.unit import Unit
from app.wiring import Container
from tests.support.installation import EXCHANGE, MINUTE, SYMBOL, Installation, installed
from tests.support.order_rehearsal import Rehearsal
from tests.support.simulator import SimulatorProcess
from tests.support.stories import STRATEGIES
from tests.support.world import World

D = Decimal
# Comparing amounts in the session is refused like comparing them in SQL.
BLIND = {"synchronize_session": False}
Break = Callable[[Unit, OrderRow], object]


def traded(here: Installation) -> AccountRow:
    """An account that did a bit of everything, and bars that were collected meanwhile."""
    account = here.account(USDT="100000", BTC="2")
    here.plan(bars=5)
    holder = here.instance(account, "holder")
    here.emit(holder, Signal("BTC/USDT", Side.BUY, SignalAction.ENTER, quantity=D("0.03")))
    here.settle()
    here.bars(3)
    here.order(account, "buy", "0.02")
    here.order(account, "sell", "0.01")
    here.order(account, "sell", "1.5")  # of the opening's coins
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    here.parts.canceller.request(resting.order_id)
    here.settle()
    here.order(account, "buy", "0.01", here.away("buy"))
    assert here.orders_of(holder)
    here.sync(account)
    return account


def world(here: Installation) -> World:
    return World(here.parts, here.venue, carried=True)


def test_a_sound_world_has_no_breach(anywhere: Installation) -> None:
    traded(anywhere)
    assert world(anywhere).breaches() == []


def _filled(unit: Unit, order: OrderRow, **values: object) -> None:
    unit.session.execute(
        update(OrderRow).where(OrderRow.order_id == order.order_id).values(**values),
        execution_options=BLIND,
    )


BREAKS: dict[str, tuple[str, Break]] = {
    "a fill that is gone": (
        "O11",
        lambda unit, order: unit.session.execute(
            delete(FillRow).where(FillRow.order_id == order.order_id)
        ),
    ),
    "more filled than ordered": (
        "O11",
        lambda unit, order: _filled(unit, order, filled_quantity=order.quantity * 2),
    ),
    "a final state that came back to life": (
        "O9",
        lambda unit, order: _filled(unit, order, status=OrderStatus.ACKNOWLEDGED),
    ),
    "a life with a hole": (
        "O9",
        lambda unit, order: unit.session.execute(
            delete(OrderEventRow).where(
                OrderEventRow.order_id == order.order_id, OrderEventRow.kind == "sending"
            )
        ),
    ),
    "a request that no claim stamped": (
        "O2",
        lambda unit, order: _filled(unit, order, request_ts=1),
    ),
    "an order that risk refused": (
        "O15",
        lambda unit, order: unit.session.execute(
            update(RiskDecisionRow)
            .where(RiskDecisionRow.id == order.decision_id)
            .values(passed=False)
        ),
    ),
    "a decision after the claim": (
        "O15",
        lambda unit, order: unit.session.execute(
            update(RiskDecisionRow)
            .where(RiskDecisionRow.id == order.decision_id)
            .values(created_at=unit.now_ms + 60_000)
        ),
    ),
    "one side of a double entry": (
        "O13",
        lambda unit, order: unit.session.execute(
            delete(PostingRow).where(PostingRow.kind == "fill", PostingRow.book == "market")
        ),
    ),
    "money from nowhere": (
        "O13",
        lambda unit, order: unit.session.execute(
            update(BalanceRow).where(BalanceRow.asset == "USDT").values(free=D(1_000_000)),
            execution_options=BLIND,
        ),
    ),
    "funds that no order holds": (
        "O13",
        lambda unit, order: unit.session.execute(
            update(OrderRow)
            .where(OrderRow.status == OrderStatus.ACKNOWLEDGED)
            .values(reserved_amount=D(1)),
            execution_options=BLIND,
        ),
    ),
    "a position of no fills": (
        "O12",
        lambda unit, order: unit.session.execute(
            update(PositionRow)
            .where(PositionRow.instance_id == order.instance_id)
            .values(quantity=D(7)),
            execution_options=BLIND,
        ),
    ),
    "an order that nobody drives on": (
        "O21",
        lambda unit, order: unit.session.execute(
            update(OrderRow)
            .where(OrderRow.status == OrderStatus.ACKNOWLEDGED)
            .values(status=OrderStatus.UNKNOWN, updated_at=unit.now_ms - 40_000, not_before=0)
        ),
    ),
    "a signal that nobody judges": (
        "O21",
        lambda unit, order: unit.session.execute(
            update(SignalRow).values(status="new", created_at=unit.now_ms - 40_000)
        ),
    ),
    "an account that stays out of sight": (
        "O20",
        lambda unit, order: (
            unit.session.execute(
                update(AccountRow).values(epoch=99, reconciled_at=unit.now_ms - 90_000)
            ),
            unit.session.execute(
                text("DELETE FROM outbox WHERE topic LIKE 'system.reconciliation.%'")
            ),
        ),
    ),
    "a bar that is gone": (
        "D1",
        lambda unit, order: unit.session.execute(
            delete(KlineRecord).where(KlineRecord.open_ts == _last_bar(unit))
        ),
    ),
    "a bar of no range": (
        "D1",
        lambda unit, order: unit.session.execute(delete(CoverageRow)),
    ),
    "a bar before its close": (
        "D3",
        lambda unit, order: unit.session.execute(
            update(KlineRecord)
            .where(KlineRecord.open_ts == _last_bar(unit))
            .values(open_ts=_last_bar(unit) + 60 * MINUTE)
        ),
    ),
    "a bar that cannot be": (
        "D6",
        lambda unit, order: unit.session.execute(
            update(KlineRecord).where(KlineRecord.open_ts == _last_bar(unit)).values(low=D(0)),
            execution_options=BLIND,
        ),
    ),
    "a bar that says something else than the venue": (
        "D4",
        lambda unit, order: unit.session.execute(
            update(KlineRecord)
            .where(KlineRecord.open_ts == _last_bar(unit))
            .values(volume=D("0.12345")),
            execution_options=BLIND,
        ),
    ),
    "a roll-up that its minutes do not make": ("D13", lambda unit, order: _stray_hour(unit)),
    "an order that the venue never got": (
        "O1",
        lambda unit, order: _filled(
            unit, order, client_order_id="tdneversent", venue_order_id="987654321"
        ),
    ),
}


def _last_bar(unit: Unit) -> int:
    (series,) = unit.klines.all_series()
    newest = unit.klines.last(series.id, 2**53)
    assert newest is not None
    return newest.open_ts


def _stray_hour(unit: Unit) -> None:
    """An hour of a day that is said to be rolled up, and of which there is no minute."""
    (series,) = unit.klines.all_series()
    day = day_of(_last_bar(unit))
    rolled = unit.klines.series(EXCHANGE, SYMBOL, "1h", unit.now_ms, kind=ROLLED)
    hour = KlineColumns.of_rows([KlineRow(day, D(1), D(1), D(1), D(1), D(1))])
    unit.klines.replace(rolled.id, day, day + 1, hour, now_ms=unit.now_ms)
    series.rolled_to = day + DAY_MS


@pytest.fixture(scope="module")
def sound(
    exchange: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A record without a breach, and its venue: each break is made in a copy of it."""
    with installed(exchange, tmp_path_factory.mktemp("sound"), strategies=STRATEGIES) as here:
        traded(here)
        assert world(here).breaches() == []
        with here.parts.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        yield here


@pytest.mark.parametrize("name", BREAKS)
def test_each_break_is_found_and_named(sound: Installation, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy.db"
    shutil.copyfile(sound.data_dir / "tidemark.db", copy)
    settings = sound.parts.settings.model_copy(update={"database_url": f"sqlite:///{copy}"})
    parts = Container(settings, NoQueue())
    parts.clock = sound.clock  # type: ignore[assignment]
    invariant, broken = BREAKS[name]
    with parts.units.read() as unit:
        order = next(row for row in unit.orders.page(100).rows if row.status == OrderStatus.FILLED)
    parts.units.run(lambda unit: broken(unit, order))
    found = World(parts, sound.venue, carried=True).breaches()
    parts.close()
    assert invariant in {each.invariant for each in found}, found


def test_what_the_venue_did_twice_is_found(here: Installation) -> None:
    """The order of one intent, placed once more at the venue by a sender of nobody's."""
    account = traded(here)
    order = here.order(account, "buy", "0.01")
    hand = here.by_hand(account)
    hand.create_order(
        "BTC/USDT", "market", "buy", 0.01, None, {"newClientOrderId": order.client_order_id}
    )
    found = {each.invariant for each in world(here).breaches()}
    assert {"O1", "O10", "O12"} <= found


def test_a_request_that_left_before_its_row_was_committed_is_found(
    exchange: SimulatorProcess, tmp_path: Path
) -> None:
    with closing(Rehearsal(f"sqlite:///{tmp_path / 'record.db'}", exchange, tmp_path)) as rehearsal:
        rehearsal.submit(2)
        parts = rehearsal.parts
        with parts.units.read() as unit:
            orders = [row.order_id for row in unit.orders.page(10).rows]
        assert [parts.sender.send(each) for each in orders] == ["acknowledged", "filled"]
        world = World(parts, exchange.control)
        assert world.breaches() == []
        parts.units.run(
            lambda unit: unit.session.execute(
                update(OrderEventRow)
                .where(OrderEventRow.order_id == orders[0], OrderEventRow.kind == "sending")
                .values(at=unit.now_ms + 60_000)
            )
        )
        assert [each.invariant for each in world.breaches()] == ["O2"]
        parts.close()


def test_an_alarm_must_be_expected(here: Installation) -> None:
    traded(here)
    here.parts.risk.halt("global", "a rehearsal", "test")
    (breach,) = world(here).breaches()
    assert (breach.invariant, breach.subject) == ("alarm", "halt")
    assert world(here).breaches(expected=("halt",)) == []
