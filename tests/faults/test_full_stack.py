"""The full stack, trading and collecting, while each of its parts is killed or cut off.

Every rehearsal ends with the whole world checked: the record by its own invariants, and against
the simulated venue's own orders, fills, balances, requests and bars.
"""

from __future__ import annotations

import time

import httpx
import pytest

from tests.faults.full_stack import MARKS, Said, collecting, until_whole
from tests.support.faults import Stack
from tests.support.proxy import Mode
from tests.support.trader import BACK_S
from tests.support.waiting import until

pytestmark = MARKS
#: Process killed → its alarms. A venue that is away is told once trading stops for it.
VICTIMS: dict[str, tuple[str, ...]] = {
    "api:1": (),
    "worker:orders": (),
    "worker:collection": (),
    "worker:strategies": (),
    "worker:backtests": (),
    "worker:alerts": (),
    "beat": (),
    "streams": (),
    "MariaDB": (),
    "RabbitMQ": (),
    "Redis": (),
    "venue": ("account-not-comparable",),
}
#: The requirement: from everything killed at once to the first order acknowledged.
MTTR_S = 60.0


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_in_mid_trade_and_mid_collection(stack: Stack, victim: str, said: Said) -> None:
    since = stack.last_alarm()
    with stack.trading() as trader:
        jobs = collecting(stack)
        moment = time.monotonic()
        stack.strike(victim)
        back = stack.acknowledged_after(trader, moment)
        until_whole(stack, jobs)
    stack.check(trader, since=since, expected=VICTIMS[victim])
    said(f"{victim} killed: first new order acknowledged after {back:.1f} s")


def ready(stack: Stack) -> int:
    try:
        return httpx.get(f"{stack.url}/ready", timeout=60, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


@pytest.mark.parametrize("server", ["database", "broker", "cache", "venue"])
def test_a_network_that_swallows_everything(stack: Stack, server: str, said: Said) -> None:
    """Rows 11, 15, 20, 21 and 26: nobody waits for ever, and all goes on when it is back."""
    since = stack.last_alarm()
    with stack.trading() as trader:
        jobs = collecting(stack)
        proxy = stack.proxies[server]
        proxy.turn(Mode.BLACKHOLE)
        begun = time.monotonic()
        if server == "database":
            until(lambda: ready(stack) == 503, 20, "the API says that it is not ready")
            told = time.monotonic() - begun
            assert told < 10, f"/ready took {told:.1f} s to say that the database is away"
            answer = stack.api(
                "POST",
                "/api/v1/orders",
                json={
                    "account": "rehearsal",
                    "symbol": "BTC/USDT",
                    "side": "buy",
                    "type": "market",
                    "quantity": "0.001",
                },
            )
            assert answer.status_code == 401 or answer.status_code >= 500, answer.text
        else:
            confirmed = len(trader.confirmed())
            until(
                lambda: len(trader.confirmed()) > confirmed + 1 or server == "venue",
                BACK_S,
                "orders are still taken",
            )
        time.sleep(max(0.0, 8.0 - (time.monotonic() - begun)))  # longer than every probe's wait
        proxy.turn(Mode.PASS)
        moment = time.monotonic()
        back = stack.acknowledged_after(trader, moment)
        until_whole(stack, jobs)
    stack.check(trader, since=since, expected=("account-not-comparable",))
    said(f"{server} cut off: first new order acknowledged {back:.1f} s after it was back")


def test_everything_killed_at_once(stack: Stack, said: Said) -> None:
    """Row 10: all processes, their supervisor, MariaDB, RabbitMQ and Redis."""
    since = stack.last_alarm()
    with stack.trading() as trader:
        jobs = collecting(stack)
        moment = time.monotonic()
        stack.kill_processes()
        for server in (stack.services.mariadb, stack.services.rabbitmq, stack.services.redis):
            server.kill9()
        stack.services.start()
        stack.up()
        back = stack.acknowledged_after(trader, moment, 3 * MTTR_S)
        until_whole(stack, jobs)
    said(f"everything killed at once: trading again after {back:.1f} s (at most {MTTR_S:.0f})")
    stack.check(trader, since=since)
    assert back < MTTR_S
