"""From a signal to the venue's acknowledgement, on the full stack against the simulator.

Private MariaDB, RabbitMQ and Redis, every process supervised as by ``tidemark up --full``, one
account, and instances of ``moving_average_cross`` on markets that go up and down by turns, so
that it orders on every bar. The market moves on by a minute each second, and the venue sends
the symbols' bars one after another within that second: one instance makes 1 order/s, twenty
make 20, evenly.

What is measured is never less than what it is named after:

- *signal committed* is taken from the row's ``created_at``, the start of the transaction;
- *acknowledgement committed* is the arrival of the order's event in a process beside the stack.
  Events are published after the commit;
- *frame in* is when the venue sent the frame: the earliest frame of the step as received
  beside the stack, less its delay, plus the symbol's own.

``ratios`` compare with the least that the protocol could cost, measured right after on the same
services: three durable commits and one bare request, one after another.

``BENCH_ORDERS_LOG`` names a file for every order's times.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from app.services.strategies.instances import NewInstance
from app.wiring.heap import settle_heap
from benchmarks.support.order_times import OrderTimes, read_times
from benchmarks.support.stack import Stack, load_average, running_stack, wait_until
from benchmarks.support.statistics import percentile, summary
from benchmarks.support.venue import (
    BareTrader,
    Venue,
    simulator_options,
    symbols,
)
from benchmarks.support.watching import Acknowledgements, Frames, Tasks

_EXCHANGE: Final = "binance"
_MANY: Final = 20
_STEP_S: Final = 1.0
# A market clock that was read just before a step is believed for 50 ms.
_FIRST_MS: Final = 60
_SPACING_MS: Final = 46
_SETTLE_S: Final = 180.0
_COMMITS: Final = 3


@dataclass(frozen=True, slots=True)
class _Rate:
    """One part of the run.

    Attributes:
        suffix: of its figures.
        steps: bars that count.
    """

    suffix: str
    instances: int
    steps: int


_FULL: Final = (_Rate("_1ps", 1, 65), _Rate(f"_{_MANY}ps", _MANY, 35))
_QUICK: Final = (_Rate("_1ps", 1, 4), _Rate(f"_{_MANY}ps", _MANY, 3))


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure and return ``{"figures": {...}, "ratios": {...}}``.

    Args:
        quick: a few orders, to see that it works.
    """
    names = symbols(_MANY)
    with running_stack(lambda directory: simulator_options(directory, names)) as stack:
        return _Orders(stack, names).run(_QUICK if quick else _FULL)


class _Orders:
    """One run over a running stack."""

    def __init__(self, stack: Stack, names: Sequence[str]) -> None:
        self._stack = stack
        self._parts = stack.parts
        self._names = names
        self._venue = Venue(stack.settings.simulator_url)
        self._delays = {name: _FIRST_MS + n * _SPACING_MS for n, name in enumerate(names)}
        self._running: list[str] = []
        self._log: list[dict[str, Any]] = []

    def run(self, rates: Sequence[_Rate]) -> dict[str, Any]:
        """All rates, one after the other, and the reference."""
        self._prepare()
        figures: dict[str, float] = {}
        url, broker = self._stack.settings.simulator_url, self._stack.settings.broker_url
        for rate in rates:
            with ExitStack() as watch:
                acks = watch.enter_context(Acknowledgements(broker))
                tasks = watch.enter_context(Tasks(broker))
                frames = watch.enter_context(Frames(url, self._names[: rate.instances]))
                figures |= self._measure(rate, acks, tasks, frames)
        for name in ("signal_to_ack", "kline_to_ack"):
            figures[f"{name}_p95_ms"] = max(figures[f"{name}_p95_ms{r.suffix}"] for r in rates)
        figures |= self._reference()
        least = figures["reference_p95_ms"]
        ratios = {
            f"{name}{rate.suffix}_to_reference": round(
                figures[f"{name}_p95_ms{rate.suffix}"] / least, 2
            )
            for name in ("signal_to_ack", "kline_to_ack")
            for rate in rates
        }
        self._venue.close()
        self._write_log()
        return {"figures": figures, "ratios": ratios}

    # -- the stack's part ---------------------------------------------------------------

    def _prepare(self) -> None:
        parts = self._parts
        parts.market_data.sync_instruments(_EXCHANGE)
        self._account = parts.accounts.add_simulated(
            "bench", _EXCHANGE, {"USDT": Decimal(1_000_000)}
        )
        # A worker opens it, and then compares it with the venue.
        wait_until(
            lambda: parts.accounts.get("bench").status == "active",
            _SETTLE_S,
            "opening the account",
        )
        wait_until(lambda: parts.gate.state("bench").is_trusted, _SETTLE_S, "comparing the account")
        for name, delay in self._delays.items():
            self._venue.delay(name, delay)
        # Whoever watches must not pause either: what it sees is stamped when it sees it.
        settle_heap()

    def _start_instances(self, count: int) -> None:
        """As many as are wanted; each has ordered once when this returns."""
        parts = self._parts
        new = self._names[len(self._running) : count]
        if not new:
            return
        now = self._venue.market_ms()
        parts.collection.plans.create(f"bars {count}", _EXCHANGE, new, ["1m"], now)
        for name in new:
            row = parts.instances.create(
                NewInstance(
                    name=f"cross {name[:3]}",
                    strategy="moving_average_cross",
                    account=self._account.id,
                    symbols=(name,),
                    interval="1m",
                    capital=Decimal(10_000),
                    params={"fast": 2, "slow": 3, "fraction": "0.01"},
                    max_position=Decimal(10_000),
                    max_orders_per_day=100_000,
                )
            )
            parts.instances.start(row.id)
            self._running.append(row.id)
        deadline = time.monotonic() + _SETTLE_S
        while not all(parts.queries.fill_count(each) for each in self._running):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not every instance has traded: {self._idle()}")
            # Slowly, for a worker that is still starting would let the signals grow too old.
            self._steps(1)
            time.sleep(2 * _STEP_S)

    def _idle(self) -> str:
        """Why instances have no fill, as far as the rows know."""
        found = []
        for each in self._running:
            if not self._parts.queries.fill_count(each):
                row = self._parts.instances.get(each)
                why = [d.reason for d in self._parts.queries.decisions(each) if not d.passed]
                found.append(f"{row.name} {row.status} {row.error or ''} {why[-1:]}")
        return "; ".join(found)

    def _steps(self, count: int) -> None:
        """Let bars pass at the run's own pace, whether or not the stack keeps up."""
        began = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, began + number * _STEP_S - time.monotonic()))
            self._venue.step()
        time.sleep(max(0.0, began + count * _STEP_S - time.monotonic()))

    def _measure(
        self, rate: _Rate, acks: Acknowledgements, tasks: Tasks, frames: Frames
    ) -> dict[str, float]:
        self._start_instances(rate.instances)
        self._steps(2)
        first = self._venue.market_ms()
        cpu, statements = self._stack.cpu_seconds(), self._stack.statements()
        began = time.monotonic()
        self._steps(rate.steps)
        seconds = time.monotonic() - began
        used = {
            name: at - cpu[name] for name, at in self._stack.cpu_seconds().items() if name in cpu
        }
        asked = {name: n - statements[name] for name, n in self._stack.statements().items()}
        load = load_average()
        last = self._venue.market_ms()
        time.sleep(_STEP_S)  # reading the rows would slow down the last orders
        times = self._settled(first, last, acks, tasks, frames)
        self._log += [{"rate": rate.suffix, **each.as_json()} for each in times]
        count = len(times)
        figures = _latencies(times, rate.suffix)
        figures[f"signals{rate.suffix}"] = count
        figures[f"signals_per_s{rate.suffix}"] = round(count / seconds, 2)
        figures[f"load_average{rate.suffix}"] = load
        if count:
            figures[f"cpu_ms_per_signal{rate.suffix}"] = round(1000 * sum(used.values()) / count, 1)
            for name, seconds_used in sorted(used.items()):
                figures[f"cpu_ms_per_signal{rate.suffix}.{name}"] = round(
                    1000 * seconds_used / count, 1
                )
            for name, number in sorted(asked.items()):
                figures[f"{name}_per_signal{rate.suffix}"] = round(number / count, 1)
        return figures

    def _settled(
        self, first: int, last: int, acks: Acknowledgements, tasks: Tasks, frames: Frames
    ) -> list[OrderTimes]:
        """The times of the orders that the bars opening in [first, last) caused, once all
        of them have been answered, or have not been for a good while."""
        placed = self._venue.placed
        found: list[OrderTimes] = []

        def done() -> bool:
            found[:] = read_times(self._parts, self._running, first, last)
            return all(each.is_judged and (each.order_id in acks.seen) for each in found)

        with suppress(TimeoutError):  # what is still open counts as without a definite answer
            wait_until(done, 20.0, "the last orders")
        at_venue = placed()
        for each in found:
            each.complete(acks.seen, tasks.started, at_venue)
            each.take_frame(frames.closed, self._delays)
        return found

    # -- what it could cost at the least --------------------------------------------------

    def _reference(self) -> dict[str, float]:
        """Three durable commits and a bare request in sequence; 100 times."""
        trader = BareTrader(self._venue, "reference")
        commits: list[float] = []
        requests: list[float] = []
        sums: list[float] = []
        engine = self._parts.engine
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE bench_commits (id INTEGER PRIMARY KEY)"))
            for number in range(100):
                began = time.perf_counter()
                for part in range(_COMMITS):
                    at = time.perf_counter()
                    connection.execute(
                        text("INSERT INTO bench_commits VALUES (:id)"),
                        {"id": number * _COMMITS + part},
                    )
                    connection.commit()
                    commits.append(1000 * (time.perf_counter() - at))
                at = time.perf_counter()
                trader.buy(self._names[0])
                requests.append(1000 * (time.perf_counter() - at))
                sums.append(1000 * (time.perf_counter() - began))
        return {
            **summary("reference", sums),
            **summary("reference_commit", commits),
            **summary("reference_request", requests),
        }

    def _write_log(self) -> None:
        name = os.environ.get("BENCH_ORDERS_LOG")
        if name:
            Path(name).write_text("".join(json.dumps(each) + "\n" for each in self._log))


def _latencies(times: Sequence[OrderTimes], suffix: str) -> dict[str, float]:
    answered = [each for each in times if each.is_answered]
    if not answered:
        raise RuntimeError(f"none of {len(times)} orders was answered")
    figures: dict[str, float] = {
        **summary("signal_to_ack", [each.signal_to_ack for each in answered], suffix),
        **summary(
            "kline_to_ack",
            [each.kline_to_ack for each in answered if each.kline_to_ack is not None],
            suffix,
        ),
    }
    for hop in OrderTimes.HOPS:
        values = [each.hops[hop] for each in answered if hop in each.hops]
        for percent in (50, 95) if values else ():
            figures[f"hop.{hop}_p{percent}_ms{suffix}"] = round(percentile(values, percent), 1)
    # Percentiles are of answered orders alone: they say little where many others were not.
    figures[f"answered{suffix}"] = len(answered)
    figures[f"expired_or_denied{suffix}"] = sum(not each.order_id for each in times)
    figures[f"without_answer{suffix}"] = sum(
        bool(each.order_id) and not each.is_answered for each in times
    )
    # Their bars came by REST before the venue's stream had sent them.
    figures[f"bars_by_rest{suffix}"] = sum(each.kline_to_ack is None for each in answered)
    return figures
