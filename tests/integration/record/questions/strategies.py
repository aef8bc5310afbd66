"""Questions about strategies, their instances and signals, jobs and backtests."""

from __future__ import annotations

from typing import Any

from app.models import (
    BacktestRow,
    JobRow,
    SignalRow,
    StrategyInstanceRow,
    StrategyRow,
    StrategyVersionRow,
)
from app.repositories.unit import Unit
from tests.integration.record.questions.rows import ID, NOW, SYMBOL, contents, keyed, row


def strategies(unit: Unit) -> None:
    keyed(unit.strategies, row(StrategyRow, name="one"))
    assert [unit.strategies.named("one")] == unit.strategies.all()
    version = unit.strategies.add_version(row(StrategyVersionRow, app_version="1", sha256="s"))
    assert unit.strategies.version(ID) is version
    assert unit.strategies.version_of(ID, "s", "1") is version
    assert unit.strategies.newest_version(ID) is version


def jobs_and_backtests(unit: Unit) -> None:
    keyed(unit.jobs, row(JobRow, state="queued", dedupe_key="d"))
    assert [unit.jobs.live_with("d")] == unit.jobs.due(NOW)
    assert unit.jobs.any_live("d")
    assert not unit.jobs.any_live("_"), "a wildcard of LIKE is a character here"
    claimed = unit.jobs.free(ID, "me", NOW)
    assert claimed is not None
    claimed.state, claimed.lease_owner, claimed.lease_until = "running", "me", NOW + 1
    assert unit.jobs.worked_on(claimed.kind, NOW) == [claimed]
    assert unit.jobs.worked_on(claimed.kind, NOW + 1) == []
    unit.jobs.free_leases()
    assert unit.jobs.prune(NOW) == unit.jobs.prune(NOW, 5) == 0
    assert [unit.jobs.live_with("d")] == unit.jobs.due(NOW)
    keyed(unit.backtests, row(BacktestRow))
    assert unit.backtests.of_job(ID) is unit.backtests.find(ID)
    job = unit.jobs.get(ID)
    job.state, job.finished_at = "succeeded", NOW - 2
    unit.jobs.add(row(JobRow, id=ID[:-1] + "2", state="failed", finished_at=NOW - 1))
    unit.flush()
    assert unit.jobs.prune(NOW - 1) == 0
    assert len(unit.jobs.failed(job.kind, 0)) == 1
    assert unit.jobs.failed(job.kind, NOW + 1) == unit.jobs.failed("other", 0) == []
    assert [unit.jobs.prune(NOW) for _ in "12"] == [1, 0]
    assert unit.jobs.find(ID) is job, "a backtest came of it"
    job.state = "queued"


def instances(unit: Unit) -> None:
    made = row(
        StrategyInstanceRow, kind="strategy", status="running", symbols=[SYMBOL], interval="1m"
    )
    keyed(unit.instances, made)
    assert unit.instances.running() == [made]
    assert unit.instances.running_on("x", SYMBOL, "1m") == [made.id]
    assert unit.instances.of_account(ID) == [made]
    assert unit.instances.builtin(ID, "strategy") is made
    pair = unit.instances.with_account(ID)
    assert contents(pair) == contents([made, unit.accounts.get(ID)])
    account = unit.accounts.get(ID)
    account.epoch = account.reconciled_epoch + 1
    assert not unit.instances.may_trade(ID)
    account.reconciled_epoch += 1
    assert unit.instances.may_trade(ID)
    news: dict[str, Any] = {"run_id": None, "state": {}, "now_ms": NOW}
    assert unit.instances.advance(ID, seen=None, cursor_ts=1, **news)
    assert unit.instances.advance(ID, seen=1, cursor_ts=2, **news)
    assert not unit.instances.advance(ID, seen=1, cursor_ts=2, **news)
    assert unit.instances.quota(ID) is None
    assert unit.instances.lock_quota(ID) is unit.instances.lock_quota(ID)


def signals(unit: Unit) -> None:
    found = row(SignalRow, symbol=SYMBOL, leg=1, status="new", created_at=NOW)
    keyed(unit.signals, found)
    assert unit.signals.waiting(NOW) == unit.signals.of_instance(ID) == [found]
    assert contents(unit.signals.unjudged_of(ID)) == contents([found])
    assert unit.signals.waiting_of(ID) == 1
    assert unit.signals.latest_bars(ID, 2) == [found.bar_ts]
    assert unit.signals.earlier_legs(found) == []
    assert contents(unit.signals.with_account(ID)[:1]) == contents([found])
    unit.signals.write(row(SignalRow, id=ID[:-1] + "2", symbol=SYMBOL, leg=2, status="done"))
    assert unit.signals.get(ID[:-1] + "2").leg == 2
