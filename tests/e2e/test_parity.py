"""One strategy class, two worlds: a backtest and a live run over real candles agree bit for bit.

The simulator replays a month of BTC/USDT minutes. Two built-in strategies trade on it through
the whole stack (Celery jobs, risk gate, signed orders, fills, ledger), one with market and one
with limit orders. A backtest over the same bars must have emitted the same signals, and filled
them at the same prices.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.cli.up import EmbeddedRuntime
from app.config import Settings
from app.core.market.intervals import DAY_MS
from app.core.market.intervals import interval as interval_of
from app.models import SignalRow
from app.services.backtests import BacktestRequest
from app.services.lockstep import Lockstep
from app.services.strategies.instances import NewInstance
from app.wiring import Container
from tests.support.record import shared_data
from tests.support.simulator import wait_until

SYMBOL = "BTC/USDT"
#: 2026-03-24T00:00Z; the file begins at noon of the day before.
LIVE_FROM = 1_774_310_400_000
#: Whole bars of 15 minutes from there to the file's end.
WHOLE = 2_831
MOST = 100_000
CAPITAL = Decimal(10_000)
STRATEGIES: dict[str, dict[str, Any]] = {
    "moving_average_cross": {"fast": 4, "slow": 11, "fraction": "0.5"},
    "bollinger_reversion": {"period": 12, "width": 1.2, "fraction": "0.5"},
}


@dataclass(frozen=True)
class Intent:
    """What a signal says, apart from the ids of its rows."""

    cause: str
    leg: int
    bar_ts: int
    side: str
    type: str
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    tag: str


@dataclass(frozen=True)
class Span:
    """What is lived through: so many bars of an interval."""

    interval: str
    bars: int

    @property
    def end(self) -> int:
        """Close of the last one."""
        return LIVE_FROM + self.bars * interval_of(self.interval).length_ms


@pytest.mark.parametrize(
    "span",
    [
        pytest.param(Span("1m", 180), marks=pytest.mark.timeout(240), id="three hours of minutes"),
        pytest.param(
            Span("15m", WHOLE),
            marks=[pytest.mark.faults, pytest.mark.timeout(3_600)],
            id="the whole file in quarters",
        ),
    ],
)
def test_backtest_and_live_emit_the_same_signals_and_fill_alike(tmp_path: Path, span: Span) -> None:
    """By the quarter a limit order may meet a better minute within its bar, so that only what
    is bought at the market must fill alike."""
    data = shared_data()
    if data is None:
        pytest.skip("real market data is not here: it lies in shared/data beside the checkout")
    candles = data / "klines" / "BTC_USDT-1m.feather"
    options = ["--replay", str(candles), "--replay-symbol", SYMBOL]
    options += ["--start", str(LIVE_FROM), "--clock", "stepped", "--weight-limit", "0"]
    options += ["--spread-bps", "0", "--fee-asset", "quote"]
    settings = Settings(data_dir=tmp_path, environment="testing", venue_weight=1_000_000)
    with EmbeddedRuntime(settings, options, api=False) as runtime:
        parts = runtime.container
        collect(parts)
        instances = start_instances(parts, span.interval)
        market = Lockstep(
            parts.units,
            parts.queue,
            parts.simulator,
            parts.market_clock,
            parts.clock,
            parts.market_data,
            time.sleep,
        )
        length = interval_of(span.interval).length_ms
        for close in range(LIVE_FROM + length, span.end + 1, length):
            market.step("binance", close)
        for strategy, instance_id in instances.items():
            result = backtest(parts, strategy, span)
            lived = signals(parts, instance_id)
            assert intents(lived) == expected_intents(result), strategy
            if span.interval == "1m" or strategy == "moving_average_cross":
                assert fills(parts, instance_id) == [
                    (Decimal(fill["price"]), Decimal(fill["quantity"])) for fill in result["fills"]
                ]
            assert len(result["fills"]) >= 10, f"{strategy} hardly traded: {len(result['fills'])}"


def collect(parts: Container) -> None:
    """Everything of the file before the live run begins."""
    parts.market_data.sync_instruments("binance")
    plan = parts.collection.plans.create(
        name="parity",
        exchange="binance",
        symbols=[SYMBOL],
        intervals=["1m"],
        since_ms=LIVE_FROM - DAY_MS // 3,
    )
    (job,) = parts.collection.start(plan.id)
    wait_until(lambda: parts.jobs.get(job.id).state == "succeeded", seconds=60)


def signals(parts: Container, instance_id: str) -> Sequence[SignalRow]:
    """The live signals, in order."""
    with parts.units.read() as unit:
        return unit.signals.of_instance(instance_id, MOST)


def fills(parts: Container, instance_id: str) -> list[tuple[Decimal, Decimal]]:
    """Price and quantity of the live fills, in order."""
    with parts.units.read() as unit:
        newest_first = unit.ledger.fills_of_instance(instance_id, MOST)
    return [(fill.price, fill.quantity) for fill in reversed(newest_first)]


def start_instances(parts: Container, interval: str) -> dict[str, str]:
    """One running instance for each strategy, on one account."""
    added = parts.accounts.add_simulated("parity", "binance", {"USDT": 2 * CAPITAL})
    account = parts.accounts.wait_until_opened(added.id, 30)
    made = {}
    for strategy, params in STRATEGIES.items():
        row = parts.instances.create(
            NewInstance(
                name=strategy,
                strategy=strategy,
                account=account.id,
                symbols=(SYMBOL,),
                interval=interval,
                capital=CAPITAL,
                params=params,
            )
        )
        made[strategy] = parts.instances.start(row.id).id
    return made


def backtest(parts: Container, strategy: str, span: Span) -> dict[str, Any]:
    """The same bars in a backtest, by a job in a child process."""
    row = parts.backtests.create(
        BacktestRequest(
            strategy=strategy,
            exchange="binance",
            symbols=(SYMBOL,),
            interval=span.interval,
            start=LIVE_FROM,
            end=span.end,
            params=STRATEGIES[strategy],
            cash=CAPITAL,
        )
    )
    wait_until(lambda: parts.backtests.get(row.id).status not in ("queued", "running"), 60)
    done = parts.backtests.get(row.id)
    assert done.result is not None, parts.jobs.get(done.job_id).error
    return done.result


def intents(rows: Any) -> list[Intent]:
    """What live signals that became orders said, in order."""
    return [
        Intent(
            row.cause,
            row.leg,
            row.bar_ts,
            row.side,
            row.type,
            row.quantity,
            row.limit_price,
            row.stop_price,
            row.tag,
        )
        for row in rows
        if row.action != "cancel"
    ]


def expected_intents(result: dict[str, Any]) -> list[Intent]:
    """What the backtest's orders said, in order."""
    found = []
    for order in result["orders"]:
        _, _, cause, leg = order["key"].split("|")
        limit, stop = order["limit_price"], order["stop_price"]
        found.append(
            Intent(
                cause,
                int(leg),
                order["created_ts"],
                order["side"],
                order["type"],
                Decimal(order["quantity"]),
                None if limit is None else Decimal(limit),
                None if stop is None else Decimal(stop),
                order["tag"],
            )
        )
    return found
