"""Questions about accounts, risk, orders and what came of them."""

from __future__ import annotations

from app.models import (
    AccountRow,
    AdjustmentRow,
    EquitySnapshotRow,
    FillRow,
    InstrumentLockRow,
    OrderRow,
    OrderTriggerRow,
    PostingRow,
    RiskDecisionRow,
    RiskRuleRow,
    TradingHaltRow,
)
from app.repositories.unit import Unit
from tests.integration.record.questions.rows import ID, NOW, ONE, SYMBOL, contents, keyed, row


def accounts(unit: Unit) -> None:
    keyed(unit.accounts, row(AccountRow, name="one", status="active", epoch=1))
    assert unit.accounts.named("one") is unit.accounts.resolve("one") is unit.accounts.resolve(ID)
    assert unit.accounts.all() == unit.accounts.distrusted(NOW)
    assert unit.accounts.opening(NOW) == []
    usdt = unit.accounts.lock_balances(ID, ["USDT"])["USDT"]
    unit.accounts.move(usdt, free=ONE, locked=-ONE, at=NOW)
    assert unit.accounts.balances(ID) == [usdt]


def risk(unit: Unit) -> None:
    unit.risk.add_rule(row(RiskRuleRow, kind="k", scope="global", enabled=True))
    assert [unit.risk.rule("k", "global")] == unit.risk.rules()
    assert contents(unit.risk.rules_for(["global"])) == contents(unit.risk.rules())
    unit.risk.add_decision(row(RiskDecisionRow, intent_key="i", passed=True))
    decision = unit.risk.decision_of(ID, "i")
    assert decision is not None
    assert unit.risk.decisions(1).rows == unit.risk.decisions_of_instance(ID, 1) == [decision]
    assert unit.risk.decisions(1, ID, ID).rows == []
    unit.risk.add_halt(row(TradingHaltRow))
    assert len(unit.risk.halts_in_force()) == 1
    unit.risk.add_instrument_lock(row(InstrumentLockRow, symbol=SYMBOL))
    assert unit.risk.locks_in_force(ID) == unit.risk.locks_in_force(ID, SYMBOL) != []
    halts, locks = unit.risk.stops(ID, SYMBOL)
    assert (len(halts), len(locks)) == (1, 1)


def orders(unit: Unit) -> None:
    made = row(OrderRow, intent_key="i", client_order_id="c", venue_order_id="v", symbol=SYMBOL)
    made.status, made.reason = "new", "waits"
    keyed(unit.orders, made)
    assert unit.orders.of_intent(ID, "i") is unit.orders.of_client_id(ID, "c") is made
    assert unit.orders.of_venue_id(ID, SYMBOL, "v") is made
    assert contents(unit.orders.of_venue_ids(ID, SYMBOL, ["v", "w"])) == contents([made])
    assert unit.orders.lock_of_client_id(ID, "c") is made
    for listed in (
        unit.orders.live(ID),
        unit.orders.held_back(ID, "waits"),
        unit.orders.live_of_instance(ID),
        unit.orders.of_instance(ID, 1),
        unit.orders.unsettled(NOW),
    ):
        assert contents(listed) == contents([made])
    assert unit.orders.count_unsettled(ID) == 1
    assert contents(unit.orders.of_client_ids(ID, ["c"])) == contents([made])
    assert unit.orders.claim(made, owner="me", request_ts=NOW, now_ms=NOW)
    other = row(OrderRow, order_id=ID[:-1] + "2", intent_key="j", client_order_id="d")
    unit.orders.write(other)
    assert contents([unit.orders.get(other.order_id)]) == contents([other])


def order_events(unit: Unit) -> None:
    """Numbered one after another, whoever adds them."""
    order = unit.orders.get(ID)
    ids = [unit.orders.add_event(order, "k", None, {}, NOW, to_tell=True) for _ in "12"]
    first, second = unit.orders.events(ID)[-2:]
    assert [first.id, second.id] == ids
    assert [first.seq, second.seq] == [2, 3]
    assert [event.id for event in unit.orders.untold(ID)] == ids
    pairs = unit.orders.untold_with_orders(ID)
    assert [(event.id, told.order_id) for event, told in pairs] == [(each, ID) for each in ids]
    unit.orders.mark_told(ID, ids[:1])
    assert [event.id for event in unit.orders.untold(ID)] == ids[1:]
    unit.orders.mark_told(ID)
    assert unit.orders.untold(ID) == []


def ledger(unit: Unit) -> None:
    unit.ledger.add_fill(row(FillRow, symbol=SYMBOL, trade_id="7"))
    fill = unit.ledger.fill(ID, SYMBOL, "7")
    assert fill is not None
    for listed in (
        unit.ledger.latest_fills(ID, 1),
        unit.ledger.fills_of_order(ID),
        unit.ledger.fills_of_instance(ID, 1),
        unit.ledger.fill_page(None, 1, None).rows,
    ):
        assert contents(listed) == contents([fill])
    assert unit.ledger.trades_of([fill.order_id]) == {(fill.order_id, "7")}
    assert unit.ledger.fill_page(ID, 1, ID).rows == []
    assert unit.ledger.count_fills(ID) == 1
    unit.ledger.post([row(PostingRow, book="holdings", at=NOW)])
    assert unit.ledger.postings(ID) == unit.ledger.postings(ID, "holdings") != []
    assert (unit.ledger.last_posting(ID), unit.ledger.last_posted_at(ID)) == (1, NOW)
    unit.ledger.add_adjustment(row(AdjustmentRow))
    assert len(unit.ledger.adjustments(ID, 1)) == 1


def positions(unit: Unit) -> None:
    position = unit.ledger.lock_position(ID, SYMBOL, ID)
    position.quantity = ONE
    assert contents(unit.ledger.positions_of_instance(ID)) == contents([position])
    assert contents(unit.ledger.positions_of_account(ID)) == contents([position])
    assert unit.ledger.held(ID, SYMBOL) == ONE
    unit.ledger.add_snapshot(row(EquitySnapshotRow, ts=NOW))
    assert [unit.ledger.snapshot_at(ID, NOW)] == unit.ledger.snapshots(ID, 1)


def triggers(unit: Unit) -> None:
    made = row(OrderTriggerRow, exchange="x", symbol=SYMBOL, status="armed", oco_group="g")
    keyed(unit.triggers, made)
    assert contents(unit.triggers.armed()) == contents([made])
    assert contents(unit.triggers.armed("x")) == contents([made])
    assert unit.triggers.of_instance(ID) == [made]
    assert unit.triggers.fire(ID, price=ONE, market_ts=NOW, signal_id=ID, now_ms=NOW)
    assert unit.triggers.cancel(ID, SYMBOL, "why", NOW) == 0
    armed = {"symbol": SYMBOL, "status": "armed", "oco_group": None, "leg": 7}
    other = row(OrderTriggerRow, id=ID[:-1] + "2", **armed)
    unit.triggers.add(other)
    assert unit.triggers.cancel(ID, "ETH/USDT", "why", NOW) == 0
    assert unit.triggers.cancel(ID, SYMBOL, "why", NOW) == 1
    assert unit.triggers.look(other.id).reason == "why"
    assert unit.triggers.cancel(ID, SYMBOL, "why", NOW, oco_group="g", trigger_id=ID) == 0
