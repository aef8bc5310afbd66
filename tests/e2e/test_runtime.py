"""The embedded runtime under load: orders never wait for backtests, and it always stops."""

from __future__ import annotations

import socket
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

from app.cli.locking import RuntimeLock
from app.cli.up import EmbeddedRuntime
from app.config import Settings
from app.core.errors import Conflict
from app.core.market.intervals import DAY_MS
from app.core.orders.types import OrderType, Side, TimeInForce
from app.services.backtests import BacktestRequest
from app.services.orders.intake import ManualOrder
from app.wiring import Container
from tests.support.simulator import wait_until

ENDLESS = '''
from tidemark import BaseStrategy


class Endless(BaseStrategy):
    """Never answers."""

    def on_kline(self, kline):
        while True:
            pass
'''
OPTIONS = ["--seed", "3", "--clock", "stepped", "--weight-limit", "0"]


def endless_backtests(parts: Container, count: int) -> list[str]:
    """Backtests that run until they are ended; their job ids."""
    parts.market_data.sync_instruments("binance")
    parts.catalogue.add_file("endless", ENDLESS)
    now = parts.market_clock.now_ms("binance")
    plan = parts.collection.plans.create(
        name="day",
        exchange="binance",
        symbols=["BTC/USDT"],
        intervals=["1h"],
        since_ms=now - DAY_MS,
    )
    (job,) = parts.collection.start(plan.id)
    wait_until(lambda: parts.jobs.get(job.id).state == "succeeded", 30)
    request = BacktestRequest(
        strategy="endless",
        exchange="binance",
        symbols=("BTC/USDT",),
        interval="1h",
        start=now - DAY_MS,
        end=now,
    )
    return [parts.backtests.create(request).job_id for _ in range(count)]


@pytest.mark.timeout(180)
def test_orders_pass_and_ctrl_c_ends_it_while_backtests_take_every_thread(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, environment="testing")
    runtime = EmbeddedRuntime(settings, OPTIONS, api=False)
    with runtime:
        parts = runtime.container
        jobs = endless_backtests(parts, 6)
        wait_until(lambda: sum(parts.jobs.get(each).state == "running" for each in jobs) == 2, 30)
        added = parts.accounts.add_simulated("busy", "binance", {"USDT": Decimal(10_000)})
        account = parts.accounts.wait_until_opened(added.id, 30)
        _, order = parts.intake.submit_order(
            ManualOrder(
                account_id=account.id,
                symbol="BTC/USDT",
                side=Side.BUY,
                type=OrderType.MARKET,
                quantity=Decimal("0.01"),
                limit_price=None,
                time_in_force=TimeInForce.GTC,
                idempotency_key="busy-1",
            )
        )
        assert order is not None
        wait_until(lambda: parts.queries.order(order.order_id)[0].status == "filled", 15)
        with pytest.raises(Conflict, match="another Tidemark runs"):
            EmbeddedRuntime(settings, None, api=False).__enter__()
        began = time.monotonic()
    assert time.monotonic() - began < 60
    assert not [each for each in threading.enumerate() if each.name.startswith("worker-")]
    assert socket.getdefaulttimeout() is None, "the workers left a limit on everybody's sockets"
    with EmbeddedRuntime(settings, OPTIONS, api=False) as again:
        states = {again.container.jobs.get(each).state for each in jobs}
        assert states <= {"queued", "running"}, "a backtest was lost by the stop"
        for each in jobs:
            again.container.jobs.cancel(each)


@pytest.mark.timeout(120)
def test_it_says_its_record_and_a_simulator_that_dies_is_noticed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, environment="testing")
    with EmbeddedRuntime(settings, OPTIONS, api=False) as runtime:
        assert runtime.failure() is None
        facts = RuntimeLock(tmp_path).facts()
        assert facts["record"] == f"sqlite:///{tmp_path / 'tidemark.db'}"
        child = runtime._child
        assert child is not None
        child._process.kill()
        child._process.wait()
        assert "simulated exchange has ended" in str(runtime.failure())
