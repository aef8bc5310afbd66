"""Rehearsing faults on the order path: intents in, the simulator's own record to compare with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.adapters.celery_queue import NoQueue
from app.config import Settings
from app.core.money import ZERO, canonical
from app.core.orders.types import OrderStatus, OrderType, Side, TimeInForce
from app.core.portfolio.ledger import Book
from app.core.risk.context import ReferencePrice
from app.services.orders.intake import ManualOrder, OrderIntake
from app.wiring import Container
from tests.support.order_worker import TIMING
from tests.support.schema import make_tables
from tests.support.simulator import ROOT, SimulatorProcess

SYMBOL = "BTC/USDT"
#: What strikes the orders, with the probabilities of the published ablation.
FAULTS: tuple[dict[str, Any], ...] = (
    {"action": "refuse", "probability": 0.08},
    {"action": "lose_reply", "probability": 0.10},
    {
        "action": "error_after",
        "probability": 0.06,
        "status": 503,
        "message": "Unknown error, please check your request or try again later.",
    },
    {"action": "error_before", "probability": 0.04, "status": 503},
    {"action": "late_accept", "probability": 0.06, "ms": 300},
    {"action": "status", "probability": 0.04, "status": 429, "retry_after": 1},
)
QUERY_LAG_MS = 300
_EFFECTIVE = {"new", "partially_filled", "filled"}


@dataclass
class Outcome:
    """What a rehearsal ended in.

    Attributes:
        doubled: client order ids with more than one live or filled order at the venue.
        lost: orders that have not settled, or settled without an order at the venue.
        disagreeing: orders whose filled quantity differs from the venue's.
        unbalanced: assets whose postings do not sum to 0, or whose balance is not the ledger's.
    """

    killed: int
    doubled: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    disagreeing: list[str] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every invariant held."""
        return not (self.doubled or self.lost or self.disagreeing or self.unbalanced)


class FixedPrice:
    """A reference price that never ages."""

    def __init__(self, price: Decimal) -> None:
        self._price = price

    def reference(self, exchange: str, symbol: str) -> ReferencePrice | None:
        """The price."""
        del exchange, symbol
        return ReferencePrice(self._price, 0, False)


class Rehearsal:
    """One account at one simulator, with intents that workers drive on under faults."""

    def __init__(self, database_url: str, simulator: SimulatorProcess, data_dir: Path) -> None:
        self._database_url = database_url
        self._simulator = simulator
        self._data_dir = data_dir
        self.parts = Container(
            Settings(
                data_dir=data_dir,
                database_url=database_url,
                simulator_url=simulator.url,
                venue_weight=1_000_000,
                environment="testing",
            ),
            NoQueue(),
        )
        self.parts.__dict__["timing"] = TIMING
        make_tables(self.parts.engine)
        self._catalogue()
        added = self.parts.accounts.add_simulated(
            "rehearsal", "binance", {"USDT": Decimal(1_000_000), "BTC": Decimal(10)}
        )
        self.parts.opener.open(added.id)
        self.account = self.parts.accounts.get(added.id)

    def _catalogue(self) -> None:
        parts = self.parts
        listed = parts.market("binance").instruments()
        parts.units.run(
            lambda unit: unit.instruments.refresh("binance", listed, parts.ids.new, unit.now_ms)
        )

    def close(self) -> None:
        """Let go of the connections."""
        self.parts.close()

    def submit(self, intents: int) -> None:
        """Half of the intents fill at once, so that their id is free again; half rest."""
        price = self._price()
        intake = OrderIntake(
            self.parts.units,
            FixedPrice(price),
            self.parts.market_clock,
            self.parts.ids,
            TIMING,
        )
        resting = (price * Decimal("0.9")).quantize(Decimal(1))
        for number in range(intents):
            limit = resting if number % 2 else None
            decision, order = intake.submit_order(
                ManualOrder(
                    account_id=self.account.id,
                    symbol=SYMBOL,
                    side=Side.BUY,
                    type=OrderType.LIMIT if limit else OrderType.MARKET,
                    quantity=Decimal("0.001"),
                    limit_price=limit,
                    time_in_force=TimeInForce.GTC,
                    idempotency_key=f"intent-{number}",
                )
            )
            assert order is not None, decision.reason

    def strike(self) -> None:
        """Put the faults in force."""
        for fault in FAULTS:
            self._simulator.control.add_fault(method="POST", path="/api/v3/order", **fault)
        self._simulator.control.add_fault(
            action="query_lag", method="POST", path="/api/v3/order", ms=QUERY_LAG_MS
        )

    def drive(self, variant: str, *, workers: int = 4, seed: int = 1, seconds: float = 60) -> int:
        """Run the workers until every order has settled; how many were killed."""
        task = {
            "data_dir": str(self._data_dir),
            "database_url": self._database_url,
            "simulator_url": self._simulator.url,
            "account_id": self.account.id,
            "variant": variant,
            "workers": workers,
            "seed": seed,
            "seconds": seconds,
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.order_worker"],
            input=json.dumps(task),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4_000:]
        return int(json.loads(done.stdout.splitlines()[-1])["killed"])

    def outcome(self, killed: int) -> Outcome:
        """Compare our rows with the simulator's record."""
        self._simulator.control.clear_faults()
        self.parts.account_sync.sync(self.account.id)
        result = Outcome(killed)
        venue = self._simulator.control.orders(client_order_id_prefix="td")
        effective = Counter(
            order["client_order_id"] for order in venue if order["status"] in _EFFECTIVE
        )
        result.doubled = [key for key, count in effective.items() if count > 1]
        filled = {
            key: sum((Decimal(o["executed"]) for o in venue if o["client_order_id"] == key), ZERO)
            for key in effective
        }
        with self.parts.units.read() as unit:
            orders = unit.orders.page(500).rows
        for order in orders:
            settled = order.status in (OrderStatus.FILLED, OrderStatus.ACKNOWLEDGED)
            if not settled or effective[order.client_order_id] == 0:
                result.lost.append(f"{order.order_id} {order.status} {order.reason}")
            elif order.filled_quantity != filled[order.client_order_id]:
                result.disagreeing.append(order.order_id)
        result.unbalanced = self._unbalanced()
        return result

    def _unbalanced(self) -> list[str]:
        with self.parts.units.read() as unit:
            postings = unit.ledger.postings(self.account.id)
            balances = {row.asset: row for row in unit.accounts.balances(self.account.id)}
        sums: Counter[tuple[str, str]] = Counter()
        held: dict[str, Decimal] = dict.fromkeys(balances, ZERO)
        for row in postings:
            sums[row.txn_id, row.asset] += row.amount  # type: ignore[assignment]
            if row.book == Book.HOLDINGS:
                held[row.asset] = held.get(row.asset, ZERO) + row.amount
        broken = [f"txn {key}: {value}" for key, value in sums.items() if value != 0]
        broken += [
            f"{asset}: ledger {canonical(total)}"
            for asset, total in held.items()
            if total != balances[asset].free + balances[asset].locked
        ]
        return broken

    def _price(self) -> Decimal:
        return self.parts.market("binance").ticker(SYMBOL).price
