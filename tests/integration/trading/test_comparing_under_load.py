"""Orders go through while the account is compared again and again: no difference is invented."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from app.core.orders.state import LIVE
from app.core.orders.types import OrderStatus
from app.core.portfolio.comparison import Verdict
from app.models import AccountRow
from app.services.orders import comparing
from app.services.orders import sync as sync_module
from app.services.orders.comparing import Outcome
from tests.support.installation import MINUTE, SYMBOL, Installation

D = Decimal
_WORKERS, _INTENTS, _MOST_LOOKS = 3, 14, 400
# Fewer comparisons that found the record standing still would prove little; a busy machine, on
# which one run ends with fewer, gets more runs.
_AGREED, _RUNS = 5, 4


class Desk:
    """Traders, a market that moves, and comparisons, all at once on one account."""

    def __init__(self, here: Installation, account: AccountRow, seed: int) -> None:
        self.here = here
        self.account = account
        self.seed = seed
        self.traded = threading.Event()
        self.looks = 0

    def trade(self, number: int) -> None:
        """Place orders that fill at once, rest near, rest far, and are taken back."""
        dice = random.Random(self.seed * 100 + number)
        here, parts = self.here, self.here.parts
        for turn in range(_INTENTS):
            side = dice.choice(["buy", "sell"])
            sign = D(1) if side == "sell" else D(-1)
            limit = None
            if dice.random() < 0.6:
                away = D(str(dice.choice(["0.0002", "0.001", "0.05"])))
                limit = str((here.price() * (1 + sign * away)).quantize(D("0.01")))
            _, order = here.submit(
                self.account, side, "0.01", limit, key=f"{self.seed}-{number}-{turn}"
            )
            if order is None:
                continue
            parts.sender.send(order.order_id)
            if dice.random() < 0.3 and here.row(order).status not in ("filled", "new"):
                self.take_back(order.order_id)

    def take_back(self, order_id: str) -> None:
        """Cancel an order, unless it has just filled."""
        from app.core.errors import Conflict

        try:
            self.here.parts.canceller.request(order_id)
        except Conflict:
            return
        self.here.parts.canceller.cancel(order_id)

    def move(self) -> None:
        """Let the market run, which fills what rests near."""
        while not self.traded.wait(0.15):
            self.here.market(by_ms=MINUTE)

    def compare(self, number: int) -> None:
        """Compare without a pause; wall time leaps, so each look is a full one, and a difference
        seen twice would count at once."""
        here = self.here
        while not self.traded.is_set() and self.looks < _MOST_LOOKS:
            self.looks += 1
            if number == 0 and self.looks % 5 == 0:
                here.parts.gate.require_reconciliation("another start", self.account.id)
            here.clock.now += 31_000  # not the monotonic clock: no request times out by it
            here.parts.account_sync.sync(self.account.id)

    def run(self) -> None:
        """All of it, until the last trader is done."""
        with ThreadPoolExecutor(_WORKERS + 3) as pool:
            others = [pool.submit(self.move), *(pool.submit(self.compare, n) for n in range(2))]
            traders = [pool.submit(self.trade, number) for number in range(_WORKERS)]
            try:
                for each in traders:
                    each.result(timeout=100)
            finally:
                self.traded.set()
            for each in others:
                each.result(timeout=60)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2])
def test_no_difference_is_invented_while_orders_go_through(
    anywhere: Installation, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = anywhere
    account = here.account(USDT="200000", BTC="3")
    outcomes: Counter[Outcome] = Counter()
    inner = sync_module.AccountSync._compare_totals

    def counted(self: Any, visit: Any) -> Outcome:
        outcome = inner(self, visit)
        outcomes[outcome] += 1
        return outcome

    def at_first_sight(found: Mapping[str, Decimal], *_: Any, **__: Any) -> Verdict:
        suspected.extend(found)
        return Verdict({}, {asset: {"difference": "", "since": 0} for asset in found})

    suspected: list[str] = []
    monkeypatch.setattr(sync_module.AccountSync, "_compare_totals", counted)
    # Not even one look may see a difference: the second is for venues whose answers lag.
    monkeypatch.setattr(comparing, "weigh", at_first_sight)
    here.queue.losing = True
    for again in range(_RUNS):
        Desk(here, account, seed + 100 * again).run()
        if outcomes[Outcome.AGREED] > _AGREED:
            break
    here.queue.losing = False

    # It was a rehearsal: comparisons ended, and some had the record move under them.
    assert outcomes[Outcome.AGREED] > _AGREED, outcomes
    assert outcomes[Outcome.MOVED] + outcomes[Outcome.OPEN] > 0, outcomes
    assert suspected == []
    assert here.alarms("reconciliation-difference") == []
    assert here.alarms("foreign-trade") == []
    assert here.alarms("foreign-order") == []
    assert here.parts.locks.adjustments(account.id, 10) == []
    for _ in range(15):
        here.wait(10_000)
        here.reconcile(account)
    with here.parts.units.read() as unit:
        live = unit.orders.live(account.id)
    assert {row.status for row in live} <= {OrderStatus.ACKNOWLEDGED, OrderStatus.PARTIALLY_FILLED}
    assert here.parts.gate.state(account.id).is_trusted
    ours = {row.client_order_id for row in live}
    theirs = here.by_hand(account).fetch_open_orders(SYMBOL)
    assert ours == {each["clientOrderId"] for each in theirs}
    assert all(row.status in LIVE for row in live)
    here.check(account)
