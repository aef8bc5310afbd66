"""A process that drives orders on while faults strike it.

``python -m tests.support.order_worker`` reads one JSON object from stdin, imports everything
once, and forks workers until every order of the account has settled. A worker that is killed
between two steps of the protocol is replaced at once, as a supervisor would do.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

# Everything heavy is imported before the fork: a worker then starts in milliseconds.
import ccxt  # noqa: F401
import requests  # noqa: F401

from app.adapters.celery_queue import NoQueue
from app.config import Settings
from app.core.exchanges import loopback  # noqa: F401
from app.core.orders.types import OrderResponse, OrderStatus
from app.models import OrderRow
from app.repositories.unit import Unit
from app.services.orders.ports import OrderTiming, TradingDesk
from app.services.orders.records import request_of
from app.services.orders.resolving import OrderResolver
from app.services.orders.sending import OrderSender
from app.wiring import Container

#: Windows short enough for a test; the ratios are those of the defaults.
TIMING = OrderTiming(
    recv_window_ms=500, settle_ms=400, reply_deadline_ms=1_000, retry_ms=60, max_attempts=40
)
_KILL = 0.06
_PAUSE = 0.06
# Past the reply deadline (1 s), a resend by somebody else and its fill, also on a slow machine:
# a sleeper that wakes before the resend has filled finds its id in use, and proves nothing.
_PAUSE_S = 3.0


class FreshTimestampSender(OrderSender):
    """Ablation: the request carries the time of sending, not the committed one."""

    def _place(self, desk: TradingDesk, order: OrderRow) -> OrderResponse:
        request = replace(request_of(order), timestamp_ms=self._clock.now_ms())
        return desk.adapter.place_order(request)


class NoClaimSender(OrderSender):
    """Ablation: whoever has read NEW sends, without compare-and-set."""

    def _claim(
        self, order: OrderRow, desk: TradingDesk, market_now: int, found: OrderResponse | None
    ) -> OrderRow | None:
        def take(unit: Unit) -> OrderRow:
            row = unit.orders.lock(order.order_id)
            row.status = OrderStatus.SENDING
            row.attempt += 1
            row.request_ts = self._request_timestamp(desk)
            row.not_before = unit.now_ms + self._timing.reply_deadline_ms
            return row

        return self._units.run(take)


class TrustingResolver(OrderResolver):
    """Ablation: the first "not found" is taken as proof of absence."""

    def _settled(self, order: OrderRow, desk: TradingDesk) -> bool:
        return True


SENDERS: dict[str, type[OrderSender]] = {
    "fresh-timestamp": FreshTimestampSender,
    "no-claim": NoClaimSender,
}
RESOLVERS: dict[str, type[OrderResolver]] = {"no-settle": TrustingResolver}


def faulty_checkpoint(dice: random.Random) -> Callable[[str], None]:
    """Kills this process, or puts it to sleep before it sends, with fixed probabilities."""

    def checkpoint(step: str) -> None:
        if dice.random() < _KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == "after_claim" and dice.random() < _PAUSE:
            time.sleep(_PAUSE_S)

    return checkpoint


def work(task: dict[str, Any], seed: int) -> None:
    """Drive orders on until none of the account is unsettled or the deadline has passed."""
    dice = random.Random(seed)
    settings = Settings(
        data_dir=Path(task["data_dir"]),
        database_url=task["database_url"],
        simulator_url=task["simulator_url"],
        venue_timeout_s=0.9,
        venue_weight=1_000_000,
        environment="testing",
    )
    parts = Container(settings, NoQueue(), checkpoint=faulty_checkpoint(dice))
    parts.__dict__["timing"] = TIMING
    sender = SENDERS.get(task["variant"], OrderSender)(
        parts.units,
        parts.desks,
        parts.clock,
        parts.market_clock,
        parts.ids,
        TIMING,
        parts.owner,
        faulty_checkpoint(dice),
    )
    resolver = RESOLVERS.get(task["variant"], OrderResolver)(
        parts.units, parts.desks, parts.clock, parts.market_clock, parts.ids, TIMING
    )
    steps: dict[str, Callable[[str], object]] = {
        OrderStatus.NEW: sender.send,
        OrderStatus.SENDING: resolver.resolve,
        OrderStatus.UNKNOWN: resolver.resolve,
        OrderStatus.PENDING_CANCEL: parts.canceller.cancel,
    }
    while time.monotonic() < task["deadline"]:
        with parts.units.read() as unit:
            if not unit.orders.count_unsettled(task["account_id"]):
                return
            due = [(row.status, row.order_id) for row in unit.orders.unsettled(unit.now_ms)]
        if due:
            status, order_id = dice.choice(due)
            steps[status](order_id)
        else:
            time.sleep(0.02)


def supervise(task: dict[str, Any]) -> int:
    """Keep the workers alive; how many were killed."""
    dice = random.Random(task["seed"])
    running: set[int] = set()
    killed = 0
    for _ in range(task["workers"]):
        running.add(_fork(task, dice.getrandbits(32)))
    while running:
        pid, status = os.wait()
        running.discard(pid)
        if os.WIFSIGNALED(status):
            killed += 1
            running.add(_fork(task, dice.getrandbits(32)))
        elif os.WEXITSTATUS(status):
            for other in running:
                os.kill(other, signal.SIGKILL)
            raise SystemExit(f"a worker failed with status {os.WEXITSTATUS(status)}")
    return killed


def _fork(task: dict[str, Any], seed: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work(task, seed)
    except BaseException:  # noqa: BLE001 - told by the exit status, after a traceback
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    given["deadline"] = time.monotonic() + given["seconds"]
    print(json.dumps({"killed": supervise(given)}))
