"""A back-fill by REST in a process of its own, and the plain loop that it is compared with.

``python -m benchmarks.support.backfill collect|plain DATABASE SIMULATOR ROWS`` prints one JSON
line. Both ask the same simulated Binance for minutes and store them in the same MariaDB; at most
four requests are in flight.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final

from sqlalchemy import create_engine

from app.adapters.budget import InProcessBudget
from app.adapters.clock import SystemClock
from app.core.exchanges.factory import market_adapter
from app.core.exchanges.loopback import bind_sync
from app.core.exchanges.session import load_ccxt
from app.repositories.database import open_engine
from app.repositories.unit import Units
from app.services.collection import CollectionService
from benchmarks.kline_store import Nobody, NoEvents

SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
_MINUTE_MS: Final = 60_000
#: 2026-03-01T00:00Z, where the simulated market stands.
END: Final = 1_772_323_200_000
_PAGE: Final = 1_000


class _Still:
    """A market that stands still."""

    def now_ms(self, exchange: str) -> int:  # noqa: ARG002
        """Its time."""
        return END


class _NoBans:
    def bans(self) -> dict[str, int]:
        """None."""
        return {}

    def save_ban(self, exchange: str, until_ms: int, reason: str) -> None:
        """Stop: a ban would make the figures worthless."""
        raise RuntimeError(f"{exchange} banned us until {until_ms}: {reason}")


class _Ids:
    def new(self) -> str:
        """An id."""
        return str(uuid.uuid4())


def collect(database: str, simulator: str, rows: int) -> dict[str, Any]:
    """Collect a plan of four symbols by its jobs, a thread each."""
    load_ccxt()
    engine = open_engine(database, local_infile=True)
    clock = SystemClock()
    units = Units(engine, clock, Nobody(), NoEvents())
    budget = InProcessBudget(clock, _NoBans(), weights={"binance": 10**9})
    market = market_adapter("binance", budget, clock, base_url=simulator)
    service = CollectionService(
        units, lambda _: market, _Still(), _Ids(), clock, grace_ms={"binance": 0}
    )
    since = END - rows // len(SYMBOLS) * _MINUTE_MS
    plan = service.plans.create("bench", "binance", SYMBOLS, ["1m"], since)
    jobs = service.start(plan.id)
    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(len(SYMBOLS)) as pool:
        states = list(pool.map(lambda job: _finished(service, job.id), jobs))
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    with units.read() as unit:
        stored = sum(
            unit.klines.count(each.id, 0, 2**60) for each in unit.klines.all_series("binance")
        )
    if set(states) != {"succeeded"} or stored != rows:
        raise SystemExit(f"{stored} of {rows} bars were stored; the jobs are {states}")
    engine.dispose()
    return {"seconds": seconds, "cpu_s": used, "peak_rss_mb": _peak()}


def plain(database: str, simulator: str, rows: int) -> dict[str, Any]:
    """What people write: fetch_ohlcv in a loop, and executemany of each page."""
    import ccxt

    client = ccxt.binance({"enableRateLimit": False, "options": {"fetchCurrencies": False}})
    bind_sync(client, simulator, read_seconds=10)
    client.load_markets()
    connection = create_engine(database).raw_connection()
    since = END - rows * _MINUTE_MS
    stored = 0
    with closing(connection.cursor()) as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS plain_klines (symbol VARCHAR(32), open_ts BIGINT, "
            "open DECIMAL(36,18), high DECIMAL(36,18), low DECIMAL(36,18), close DECIMAL(36,18), "
            "volume DECIMAL(36,18), PRIMARY KEY (symbol, open_ts))"
        )
        began, cpu = time.perf_counter(), time.process_time()
        while since < END:
            page = client.fetch_ohlcv("BTC/USDT", "1m", since=since, limit=_PAGE)
            cursor.executemany(
                "INSERT INTO plain_klines VALUES (%s, %s, %s, %s, %s, %s, %s) "
                "ON DUPLICATE KEY UPDATE close = VALUES(close)",
                [("BTC/USDT", *row) for row in page if row[0] < END],
            )
            connection.commit()
            stored += len(page)
            since = page[-1][0] + _MINUTE_MS
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    if stored < rows:
        raise SystemExit(f"{stored} of {rows} bars came")
    return {"seconds": seconds, "cpu_s": used, "peak_rss_mb": _peak()}


def _finished(service: CollectionService, job_id: str) -> str:
    while (state := service.run_job(job_id)) == "queued":
        pass
    return state


def _peak() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    work = {"collect": collect, "plain": plain}[sys.argv[1]]
    sys.stdout.write(json.dumps(work(sys.argv[2], sys.argv[3], int(sys.argv[4]))) + "\n")
