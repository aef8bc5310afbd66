"""Backtests as jobs: ask, run in a child process, keep the result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import structlog

from app.core.backtest.spec import DEFAULT_CASH, DEFAULT_FEE, ENGINES, BacktestSpec
from app.core.errors import Conflict, InvalidInput, TidemarkError
from app.core.market.instruments import Instrument
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame
from app.core.money import canonical, parse_amount
from app.core.ports import Clock, Ids
from app.core.strategies.evaluation import EvaluationRequest
from app.core.strategies.runtime import StrategyRuntime
from app.models import BacktestRow, JobRow
from app.repositories.base import Page
from app.repositories.unit import Unit, Units
from app.services.attempts import take
from app.services.jobs import finish, new_job
from app.services.strategies.catalogue import StrategyCatalogue, ref_of
from app.services.strategies.instances import Frames

_log = structlog.get_logger(__name__)
# A backtest that does not say so within this time is taken to be dead.
_LEASE_MS: Final = 15_000
_BEAT_S: Final = 3.0
#: Bars of one backtest; 20 symbols over two years of minutes are 21 million.
MAX_BARS: Final = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestRequest:
    """A backtest as it is asked for; times are ms, amounts quote units."""

    strategy: str
    exchange: str
    symbols: tuple[str, ...]
    interval: str
    start: int
    end: int
    params: dict[str, Any] = field(default_factory=dict)
    cash: Decimal = DEFAULT_CASH
    fee: Decimal = DEFAULT_FEE
    compounding: bool = False
    engine: str = ENGINES[0]

    def as_json(self) -> dict[str, Any]:
        """The request as it is kept with the backtest."""
        return {
            "strategy": self.strategy,
            "exchange": self.exchange,
            "symbols": list(self.symbols),
            "interval": self.interval,
            "start": self.start,
            "end": self.end,
            "params": self.params,
            "cash": canonical(self.cash),
            "fee": canonical(self.fee),
            "compounding": self.compounding,
            "engine": self.engine,
        }


class BacktestService:
    """Creates, runs and reads backtests."""

    def __init__(
        self,
        units: Units,
        ids: Ids,
        clock: Clock,
        catalogue: StrategyCatalogue,
        frames: Frames,
        runtime: StrategyRuntime,
    ) -> None:
        self._units = units
        self._ids = ids
        self._clock = clock
        self._catalogue = catalogue
        self._frames = frames
        self._runtime = runtime

    def create(self, request: BacktestRequest) -> BacktestRow:
        """Queue a backtest.

        Raises:
            UnknownName: strategy, symbol or interval.
            InvalidInput: the rest does not fit, or there are too many bars.
        """
        bars = _expected_bars(request)
        with self._units.read() as unit:
            strategy, version = self._catalogue.current(unit, request.strategy)
            instruments = self._instruments(unit, request)
        spec = _spec(request, instruments, version.sha256)
        self._runtime.warm_up(ref_of(strategy, version), _probe(spec))

        def work(unit: Unit) -> BacktestRow:
            backtest_id, job_id = self._ids.new(), self._ids.new()
            new_job(unit, job_id, "backtest", {"backtest_id": backtest_id, "bars": bars})
            row = unit.backtests.add(
                BacktestRow(
                    id=backtest_id,
                    job_id=job_id,
                    version_id=version.id,
                    strategy=request.strategy,
                    spec=request.as_json(),
                    status="queued",
                    created_at=unit.now_ms,
                )
            )
            unit.flush()
            return row

        return self._units.run(work)

    def get(self, backtest_id: str) -> BacktestRow:
        """One backtest.

        Raises:
            NotFound: there is none.
        """
        with self._units.read() as unit:
            return unit.backtests.get(backtest_id)

    def page(self, limit: int, cursor: str | None) -> Page[BacktestRow]:
        """Backtests, newest first."""
        with self._units.read() as unit:
            return unit.backtests.page(limit, cursor)

    def run(self, job_id: str) -> None:
        """Run the backtest of a job, unless another worker does or it has ended."""
        # A name for this run alone: another thread of this process is another owner.
        token = self._ids.new()
        claimed = self._units.run(self._claim_of(job_id, token))
        if claimed is None:
            return
        try:
            with self._heartbeat(job_id, token) as beat:
                result = self._compute(claimed, beat)
        except TidemarkError as error:
            self._end(job_id, token, error=error)
        except Exception as error:  # noqa: BLE001
            # A run that fails in an unforeseen way would be started again for ever.
            _log.exception("backtest_failed", job_id=job_id)
            self._end(job_id, token, error=TidemarkError(f"failed with {type(error).__name__}"))
        else:
            self._end(job_id, token, result=result)

    def _claim_of(self, job_id: str, token: str) -> Callable[[Unit], BacktestRow | None]:
        def claim(unit: Unit) -> BacktestRow | None:
            job = take(unit, job_id, token, _LEASE_MS)
            row = unit.backtests.of_job(job_id)
            if job is None or row is None:
                return None
            row.status = job.state
            return row if job.state == "running" else None

        return claim

    def _compute(self, row: BacktestRow, beat: Callable[[int, int], None]) -> dict[str, Any]:
        request = _request(row.spec)
        with self._units.read() as unit:
            version = unit.strategies.version(row.version_id)
            assert version is not None  # noqa: S101 - a foreign key
            strategy = unit.strategies.get(version.strategy_id)
            instruments = self._instruments(unit, request)
        ref = ref_of(strategy, version)
        spec = _spec(request, instruments, version.sha256)
        warm_up = self._runtime.warm_up(ref, _probe(spec))
        frames = self._load(request, warm_up)
        return self._runtime.backtest(ref, spec, frames, beat)

    def _load(self, request: BacktestRequest, warm_up: int) -> Sequence[KlineFrame]:
        interval = interval_of(request.interval)
        start = interval.ceil(request.start) - warm_up * interval.length_ms
        frames = [
            self._frames.frame(request.exchange, symbol, request.interval, start, request.end)
            for symbol in request.symbols
        ]
        for frame in frames:
            if len(frame.between(request.start, request.end)) == 0:
                raise InvalidInput(
                    f"no klines of {frame.symbol} {request.interval} are stored in that range; "
                    "collect them first: tidemark data collect",
                    code="no-klines",
                )
        return frames

    def _instruments(self, unit: Unit, request: BacktestRequest) -> tuple[Instrument, ...]:
        return tuple(unit.instruments.get(request.exchange, symbol) for symbol in request.symbols)

    @contextmanager
    def _heartbeat(self, job_id: str, token: str) -> Iterator[Callable[[int, int], None]]:
        """Keeps the lease while the child works; the callback notes progress and cancels."""
        done = threading.Event()
        state = {"done": 0, "total": 0, "cancelled": False}

        def beat() -> None:
            while not done.wait(_BEAT_S):
                try:
                    state["cancelled"] = self._units.run(
                        lambda unit: self._renew(unit, job_id, token, state)
                    )
                except TidemarkError as error:
                    _log.warning("lease_not_renewed", job_id=job_id, error=error.message)

        def progress(bars_done: int, bars_total: int) -> None:
            state["done"], state["total"] = bars_done, bars_total
            if state["cancelled"]:
                raise Conflict("the backtest was cancelled", code="cancelled")

        thread = threading.Thread(target=beat, name=f"lease-{job_id[:8]}", daemon=True)
        thread.start()
        try:
            yield progress
        finally:
            done.set()
            thread.join()

    def _renew(self, unit: Unit, job_id: str, token: str, state: dict[str, Any]) -> bool:
        job = unit.jobs.lock(job_id)
        if job.lease_owner == token:
            job.lease_until = unit.now_ms + _LEASE_MS
            job.progress = {"bars_done": state["done"], "bars_total": state["total"]}
        return job.cancel_requested

    def _end(
        self,
        job_id: str,
        token: str,
        *,
        result: dict[str, Any] | None = None,
        error: TidemarkError | None = None,
    ) -> None:
        def work(unit: Unit) -> None:
            job: JobRow = unit.jobs.lock(job_id)
            row = unit.backtests.of_job(job_id)
            if row is None or job.state != "running" or job.lease_owner != token:
                return  # another worker took over
            if error is not None and error.error_code == "interrupted":
                job.state, job.lease_owner, job.lease_until = "queued", None, 0
                row.status = "queued"
                return
            row.finished_at = unit.now_ms
            if result is None:
                cancelled = error is not None and error.error_code == "cancelled"
                row.status = "cancelled" if cancelled else "failed"
                finish(unit, job, row.status, error=error)
                return
            row.status = "succeeded"
            bars = result["bars"]
            job.progress = {"bars_done": bars, "bars_total": bars}
            row.metrics, row.result = result["metrics"], result
            row.result_hash, row.data_hash = result["result_hash"], result["data_hash"]
            finish(unit, job, "succeeded", result={"backtest_id": row.id})

        self._units.run(work)


def _expected_bars(request: BacktestRequest) -> int:
    if request.start >= request.end:
        raise InvalidInput("the start of a backtest must be before its end")
    if not request.symbols or len(set(request.symbols)) != len(request.symbols):
        raise InvalidInput("give at least one symbol, and each only once")
    bars = interval_of(request.interval).expected(request.start, request.end)
    bars *= len(request.symbols)
    if bars > MAX_BARS:
        raise InvalidInput(
            f"that range holds {bars} bars, more than {MAX_BARS}; take a longer interval, fewer "
            "symbols or a shorter range"
        )
    return bars


def _spec(
    request: BacktestRequest, instruments: tuple[Instrument, ...], version: str
) -> BacktestSpec:
    return BacktestSpec(
        strategy=request.strategy,
        exchange=request.exchange,
        interval=request.interval,
        instruments=instruments,
        params=request.params,
        version=version,
        start_ts=request.start,
        end_ts=request.end,
        cash=request.cash,
        fee=request.fee,
        compounding=request.compounding,
        engine=request.engine,
    )


def _probe(spec: BacktestSpec) -> EvaluationRequest:
    return EvaluationRequest(
        strategy=spec.strategy,
        strategy_id=spec.strategy,
        params=spec.params,
        exchange=spec.exchange,
        interval=spec.interval,
        instruments=spec.instruments,
        frames=(),
        capital=spec.cash,
        compounding=spec.compounding,
    )


def _request(spec: dict[str, Any]) -> BacktestRequest:
    amounts = {"cash": parse_amount(spec["cash"]), "fee": parse_amount(spec["fee"])}
    return BacktestRequest(**{**spec, **amounts, "symbols": tuple(spec["symbols"])})
