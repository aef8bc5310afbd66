"""Questions about the schedule, events, alarms, tokens and the audit of it all."""

from __future__ import annotations

from app.models import ApiTokenRow
from app.repositories.unit import Unit
from tests.integration.record.questions.rows import ID, NOW, SYMBOL, row


def schedule_and_leases(unit: Unit) -> None:
    assert unit.system.take_slot("t", 1, "me", NOW)
    assert unit.system.last_runs() == {"t": 1}
    assert unit.system.last_run("t") == 1
    unit.system.prune_slots(2)
    assert unit.system.last_run("t") is None
    assert unit.system.take_lease("l:1", "me", NOW, 10) == 1
    assert unit.system.holds_lease("l:1", "me", 1, NOW)
    assert len(unit.system.leases("l:", NOW)) == 1
    unit.system.release_lease("l:1", "me")
    unit.system.drop_leases("l:")
    assert unit.system.leases("l:", NOW) == []


def tokens_and_bans(unit: Unit) -> None:
    assert not unit.system.knew_token("d")
    unit.system.add_token(row(ApiTokenRow, digest="d"))
    assert unit.system.knew_token("d")
    assert [unit.system.token_by_digest("d")] == unit.system.tokens()
    unit.system.save_ban("binance", NOW, "418", 0)
    unit.system.save_ban("binance", NOW + 1, "418", 0)
    assert [ban.until for ban in unit.system.bans(NOW)] == [NOW + 1]


def alarms_and_waits(unit: Unit) -> None:
    assert unit.system.begin_alarm("a", "text", NOW)
    assert not unit.system.begin_alarm("a", "text", NOW)
    assert unit.system.alarm_stands("a")
    assert unit.system.standing_alarms("a") == ["a"]
    assert unit.system.end_alarm("a")
    assert not unit.system.end_alarm("a")
    assert unit.system.take_slot("t", 2 * NOW, "me", NOW)
    assert unit.waits.end_future(NOW, reply_ms=1) == 1
    assert unit.system.last_run("t") is None


def world(unit: Unit) -> None:
    assert unit.system.world() is None
    assert unit.system.claim_world("real", NOW) == "real"
    assert unit.system.claim_world("simulated", NOW) == unit.system.world() == "real"
    assert unit.system.holds_market()
    unit.system.forget_world()
    assert unit.system.world() is None


def outbox(unit: Unit) -> None:
    unit.emit("risk.alert.info", {"schema": "alerts.v1"})
    ((event_id, _, _),) = unit.close()
    later = unit.now_ms + 1
    (event,) = unit.outbox.unsent(later)
    assert event.id == event_id
    assert unit.audit.unsent_events(later) == unit.audit.alerts() == [event]
    assert unit.audit.last_event("risk.alert.info") is event
    assert unit.audit.last_event_id() == event.id
    assert unit.outbox.backlog() == 1
    unit.outbox.mark_sent([event.id], 1)
    assert unit.outbox.backlog() == 0


def sent_events(unit: Unit) -> None:
    unit.outbox.prune(2)
    assert unit.audit.last_event_id() == 0


def audit(unit: Unit) -> None:
    found, _ = unit.audit.orders(ID)
    assert found[1:] == (True, 0)
    assert [event.seq for event in unit.audit.order_events(ID)] == [1, 2, 3]
    assert [fill.trade_id for fill in unit.audit.fills(ID)] == ["7"]
    assert [posting.book for posting in unit.audit.postings(ID)] == ["holdings"]
    assert [position.symbol for position in unit.audit.positions(ID)] == [SYMBOL]
    assert [balance.asset for balance in unit.audit.balances(ID)] == ["USDT"]
    assert unit.audit.stuck_orders(10**9) == [found[0]]
    assert len(unit.audit.stuck_signals(10**9)) == len(unit.audit.stuck_jobs(10**9)) == 1
    assert len(list(unit.audit.klines(1))) == 3
