"""``tidemark demo``: the main job in front of the user, on simulated money.

Everything happens as it does in earnest: Celery jobs collect through ccxt, a child process
backtests, signals pass the risk gate, orders are signed and sent. Only the exchange is
simulated, and its market moves in lockstep, so the numbers are the same in every run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli import demo_view
from app.cli.full import FullRuntime
from app.cli.locking import RuntimeLock
from app.cli.services.machine import ServerError
from app.cli.services.manager import Services
from app.cli.up import EmbeddedRuntime, Runtime, wait_for_end
from app.config import Settings, load_settings
from app.core.errors import Unavailable
from app.core.market.coverage import CoverageState
from app.core.market.intervals import DAY_MS, interval
from app.logs import configure_logs
from app.models import JobRow, StrategyInstanceRow
from app.services.backtests import BacktestRequest
from app.services.lockstep import Lockstep
from app.services.strategies.instances import NewInstance

_SEED: Final = 1
#: 2026-03-02T00:00Z, a Monday.
_START_MS: Final = 1_772_409_600_000
_HISTORY_MS: Final = 30 * DAY_MS
_EXCHANGE: Final = "binance"
_SYMBOLS: Final = ("BTC/USDT", "ETH/USDT")
_INTERVAL: Final = "1h"
_STRATEGY: Final = "moving_average_cross"
_PARAMS: Final = {"fast": 8, "slow": 24, "fraction": "0.45"}
_CAPITAL: Final = Decimal(10_000)
# It trades until it has this many fills, and then to the end of that bar.
_FILLS: Final = 12
_MAX_STEPS: Final = 240
_POLL_S: Final = 0.05
_JOB_LIMIT_S: Final = 120.0
_OPENING_LIMIT_S: Final = 30.0
# Flower is left out: the demo is looked at through its own tables.
_SERVICES: Final = ("TIDEMARK_DATABASE_URL", "TIDEMARK_BROKER_URL", "TIDEMARK_REDIS_URL")


@dataclass(slots=True)
class DemoResult:
    """The demo's numbers; all but ``seconds`` are the same in every run."""

    klines: int = 0
    gaps: int = 0
    backtest: dict[str, Any] = field(default_factory=dict)
    signals: int = 0
    orders: int = 0
    fills: int = 0
    seconds: float = 0.0

    def as_json(self) -> str:
        """The last line of ``make demo ONCE=1``."""
        return json.dumps(
            {
                "klines": self.klines,
                "gaps": self.gaps,
                "backtest": self.backtest,
                "signals": self.signals,
                "orders": self.orders,
                "fills": self.fills,
                "seconds": round(self.seconds, 1),
            }
        )


def run_demo(
    *,
    once: bool,
    port: int | None = None,
    data_dir: Path | None = None,
    full: bool = False,
) -> int:
    """Run the demo; the exit code.

    Args:
        once: end after the summary instead of staying up.
        port: of the API; 0 takes a free one.
        full: on separate processes over private MariaDB, RabbitMQ and Redis, which end with it.

    Raises:
        Conflict: a demo runs here already; nothing of it was touched.
    """
    console = Console()
    configure_logs("WARNING", "console")
    settings = _settings(port, data_dir, once)
    started = time.monotonic()
    with ExitStack() as stack:
        # Before anything is removed: the directory may be that of a demo that runs.
        lock = stack.enter_context(RuntimeLock(settings.data_dir))
        demo_view.opening(console, settings)
        lock.clear_directory()
        if full:
            settings = stack.enter_context(_services(settings, console))
        with console.status(f"Starting the {'processes' if full else 'embedded stack'}"):
            runtime = _started(stack, settings, lock, full=full)
        result = Demo(runtime, console).run()
        result.seconds = time.monotonic() - started
        demo_view.closing(console, runtime, result.seconds)
        if once:
            console.out(result.as_json(), highlight=False)
        else:
            _stay_up(console, runtime)
    return 0


def _started(stack: ExitStack, settings: Settings, lock: RuntimeLock, *, full: bool) -> Runtime:
    options = _simulator_options(settings)
    if not full:
        return stack.enter_context(EmbeddedRuntime(settings, options, lock=lock))
    runtime = stack.enter_context(FullRuntime(settings, options, lock=lock))
    runtime.wait_until_up()
    return runtime


@contextmanager
def _services(settings: Settings, console: Console) -> Iterator[Settings]:
    """Private services in a temporary directory, and the settings that lead to them.

    Not the services that may run in ``var/services``: their workers would take our tasks.
    """
    with TemporaryDirectory(prefix="tidemark-demo-", ignore_cleanup_errors=True) as directory:
        services = Services(Path(directory), detached=False)
        try:
            with console.status("Starting private MariaDB, RabbitMQ and Redis"):
                given = services.start()
            yield settings.model_copy(
                update={name.removeprefix("TIDEMARK_").lower(): given[name] for name in _SERVICES}
            )
        except ServerError as error:
            raise Unavailable(str(error).rstrip(".")) from None
        finally:
            services.stop()


class Demo:
    """The steps of the demo over a running stack."""

    def __init__(self, runtime: Runtime, console: Console) -> None:
        self._parts = runtime.container
        self._console = console
        self._result = DemoResult()

    def run(self) -> DemoResult:
        """Collect, backtest, trade, show."""
        self._parts.market_data.sync_instruments(_EXCHANGE)
        self._collect()
        self._backtest()
        instance = self._trade()
        demo_view.trading(self._console, self._parts, instance)
        return self._result

    def _collect(self) -> None:
        parts = self._parts
        demo_view.step(self._console, 1, "Collect 30 days of 1-minute klines of two symbols")
        plan = parts.collection.plans.create(
            name="demo",
            exchange=_EXCHANGE,
            symbols=_SYMBOLS,
            intervals=["1m"],
            since_ms=_START_MS - _HISTORY_MS,
        )
        jobs = parts.collection.start(plan.id)
        total = interval("1m").expected(_START_MS - _HISTORY_MS, _START_MS)
        with self._progress() as progress:
            bars = {job.id: progress.add_task(job.params["symbol"], total=total) for job in jobs}
            ended = self._follow_jobs(
                [job.id for job in jobs],
                lambda job: progress.update(
                    bars[job.id], completed=int(job.progress.get("rows", 0))
                ),
            )
        for job in ended:
            _require_success(job)
        for symbol in _SYMBOLS:
            coverage = parts.market_data.coverage(
                _EXCHANGE, symbol, "1m", _START_MS - _HISTORY_MS, _START_MS
            )
            self._result.klines += coverage.counts.get(CoverageState.PRESENT, 0)
            self._result.gaps += len(coverage.gaps)
        demo_view.collected(self._console, parts, _EXCHANGE, _SYMBOLS, ended)

    def _backtest(self) -> None:
        parts = self._parts
        demo_view.step(
            self._console, 2, f"Backtest {_STRATEGY} on {_INTERVAL} bars of those klines"
        )
        row = parts.backtests.create(
            BacktestRequest(
                strategy=_STRATEGY,
                exchange=_EXCHANGE,
                symbols=_SYMBOLS,
                interval=_INTERVAL,
                start=_START_MS - _HISTORY_MS,
                end=_START_MS,
                params=dict(_PARAMS),
                cash=_CAPITAL,
            )
        )
        with self._progress() as progress:
            bar = progress.add_task("backtest", total=None)
            ended = self._follow_jobs(
                [row.job_id],
                lambda job: progress.update(
                    bar,
                    completed=job.progress.get("bars_done", 0),
                    total=job.progress.get("bars_total"),
                ),
            )
        _require_success(ended[0])
        done = parts.backtests.get(row.id)
        assert done.result is not None  # noqa: S101 - the job succeeded
        self._result.backtest = demo_view.backtest_figures(done.result)
        self._console.out(done.result["report"], highlight=False)

    def _trade(self) -> StrategyInstanceRow:
        parts = self._parts
        demo_view.step(self._console, 3, "Trade it on a simulated account, in lockstep")
        added = parts.accounts.add_simulated("demo", _EXCHANGE, {"USDT": Decimal(20_000)})
        account = parts.accounts.wait_until_opened(added.id, _OPENING_LIMIT_S)
        if account.status != "active":
            raise Unavailable(f"the account was not opened: {account.sync_error or 'no worker'}")
        created = parts.instances.create(
            NewInstance(
                name="demo cross",
                strategy=_STRATEGY,
                account=account.id,
                symbols=_SYMBOLS,
                interval=_INTERVAL,
                capital=_CAPITAL,
                params=dict(_PARAMS),
                max_position=_CAPITAL,
                max_orders_per_day=50,
            )
        )
        parts.risk.set_rule("max_order_value", "global", {"max_value": "6000"})
        parts.risk.set_rule("position_limit", f"account:{account.id}", {"max_value": "8000"})
        instance = parts.instances.start(created.id)
        self._run_market(instance)
        parts.accounts.snapshot_equity()
        self._count(instance)
        return parts.instances.get(instance.id)

    def _run_market(self, instance: StrategyInstanceRow) -> None:
        parts = self._parts
        lockstep = Lockstep(
            parts.units,
            parts.queue,
            parts.simulator,
            parts.market_clock,
            parts.clock,
            parts.market_data,
            time.sleep,
        )
        length = interval(_INTERVAL).length_ms
        with self._progress("fills") as progress:
            bar = progress.add_task("market time", total=_FILLS)
            for step in range(1, _MAX_STEPS + 1):
                now = _START_MS + step * length
                lockstep.step(_EXCHANGE, now)
                fills = parts.queries.fill_count(instance.id)
                progress.update(
                    bar,
                    completed=min(fills, _FILLS),
                    description=f"market time {demo_view.clock(now)}",
                )
                if fills >= _FILLS:
                    break

    def _count(self, instance: StrategyInstanceRow) -> None:
        queries = self._parts.queries
        self._result.signals = len(queries.signals(instance.id))
        self._result.orders = len(queries.orders(instance.id))
        self._result.fills = queries.fill_count(instance.id)

    def _follow_jobs(self, job_ids: list[str], show: Any) -> list[JobRow]:
        deadline = time.monotonic() + _JOB_LIMIT_S
        while True:
            jobs = [self._parts.jobs.get(job_id) for job_id in job_ids]
            for job in jobs:
                show(job)
            if all(job.state not in ("queued", "running") for job in jobs):
                return jobs
            if time.monotonic() > deadline:
                raise Unavailable(f"jobs did not end within {_JOB_LIMIT_S:.0f} s")
            time.sleep(_POLL_S)

    def _progress(self, unit: str = "") -> Progress:
        return Progress(
            TextColumn("  {task.description}", justify="left"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            console=self._console,
            transient=False,
        )


def _settings(port: int | None, data_dir: Path | None, once: bool) -> Settings:
    given: dict[str, Any] = {
        "data_dir": data_dir or Path("var/demo"),
        "log_level": "WARNING",
        # The venue's budget is for real time; lockstep squeezes hours into seconds.
        "venue_weight": 1_000_000,
    }
    if port is not None:
        given["api_port"] = port
    elif once:
        given["api_port"] = 0
    return load_settings(**given)


def _simulator_options(settings: Settings) -> list[str]:
    return [
        *("--seed", str(_SEED)),
        *("--start", str(_START_MS)),
        *("--clock", "stepped"),
        *("--weight-limit", "0"),
        *("--state", str(settings.simulator_journal)),
    ]


def _require_success(job: JobRow) -> None:
    if job.state != "succeeded":
        said = (job.error or {}).get("message", "no reason was given")
        raise Unavailable(f"the {job.kind} job ended as {job.state}: {said}")


def _stay_up(console: Console, runtime: Runtime) -> None:
    demo_view.standing(console, runtime)
    failure = wait_for_end(runtime)
    console.print("Stopping")
    if failure is not None:
        raise Unavailable(failure)
