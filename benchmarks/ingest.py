"""How fast bars come in, from a file and from a venue: read, validated, stored, accounted for.

The same million bars go into the same table twice: by the import of a file, and by a bare ``LOAD
DATA LOCAL`` of the finished lines, which is the most that the server can do. The import runs in a
process of its own, whose memory is measured.

A million bars of four symbols are back-filled by REST from the simulator, four requests in flight,
beside the loop that people write with ccxt and ``executemany``.

On a private MariaDB, or on the database that ``TIDEMARK_BENCH_DATABASE_URL`` names, as in
``mysql+pymysql://root@127.0.0.1:3307/bench``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.adapters.clock import SystemClock
from app.models import Base
from app.repositories.database import open_engine
from app.repositories.unit import Units
from app.services.importing import ImportJobs, ImportOrder
from benchmarks.support.backfill import END

_MINUTE_MS: Final = 60_000
_ROWS: Final = 1_000_000
_QUICK: Final = 200_000
# 2021-01-01T00:00Z
_START: Final = 1_609_459_200_000
_FIELDS: Final = "open_ts, open, high, low, close, volume, quote_volume, trade_count"
# Of no series that an import makes.
_BARE: Final = 2_000_000_000
_SEED: Final = 20_210_101
# The plain loop is measured over a tenth of the bars: it takes its time.
_PLAIN_PART: Final = 10


class _Nobody:
    """Takes hints and forgets them; has no file."""

    def publish(self, task: str, *ids: str) -> bool:  # noqa: ARG002
        """Forget it."""
        return True

    def require_allowed(self, url: str) -> None:
        """Nothing is refused, for nothing is fetched."""

    def fetch(self, url: str, folder: Path, most_s: float) -> Path | None:
        """There is nothing to fetch."""
        del url, folder, most_s
        return None


class _NoEvents:
    """Takes events and forgets them."""

    def publish(self, rows: list[tuple[int, str, dict[str, Any]]]) -> None:
        """Forget them."""


class _RandomIds:
    def new(self) -> str:
        """An id."""
        return str(uuid.uuid4())


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure and return ``{"figures": {...}, "ratios": {...}}``."""
    rows = _QUICK if quick else _ROWS
    with tempfile.TemporaryDirectory() as folder, _database() as url:
        engine = open_engine(url, local_infile=True)
        try:
            Base.metadata.create_all(engine)
            path = Path(folder) / "BTCUSDT-1m-2021-01.csv"
            lines = Path(folder) / "lines.tsv"
            _write(path, lines, rows)
            bare_s = _load(engine, lines)
            found = _in_a_process_of_its_own("benchmarks.ingest", url, path)
            filled, looped = _backfilled(url, rows)
        finally:
            engine.dispose()
    import_s = found["seconds"]
    fill_speed = rows / filled["seconds"]
    loop_speed = rows // _PLAIN_PART / looped["seconds"]
    return {
        "figures": {
            "import_rows_per_s": round(rows / import_s),
            "load_data_rows_per_s": round(rows / bare_s),
            "backfill_rows_per_s": round(fill_speed),
            "backfill_cpu_us_per_row": round(1e6 * filled["cpu_s"] / rows, 1),
            "plain_ccxt_rows_per_s": round(loop_speed),
            "peak_rss_mb": max(found["peak_rss_mb"], filled["peak_rss_mb"]),
            "rows": rows,
        },
        "ratios": {
            "import_vs_load_data": round(bare_s / import_s, 3),
            "backfill_vs_plain_ccxt": round(fill_speed / loop_speed, 2),
        },
    }


def _backfilled(url: str, rows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The back-fill, and the plain loop over a part of it."""
    command = [sys.executable, "-m", "simulator", "--weight-limit", "0", "--clock", "stepped"]
    command += ["--start", str(END), "--parent-pid", str(os.getpid())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        simulator = json.loads(process.stdout.readline())["url"]
        module = "benchmarks.support.backfill"
        part = str(rows // _PLAIN_PART)
        looped = _in_a_process_of_its_own(module, "plain", url, simulator, part)
        filled = _in_a_process_of_its_own(module, "collect", url, simulator, str(rows))
        return filled, looped
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def _database() -> Iterator[str]:
    """A database's URL: the one that is named, or one of a private server."""
    given = os.environ.get("TIDEMARK_BENCH_DATABASE_URL")
    if given:
        yield given
        return
    from app.cli.services.mariadb import MariaDBServer

    server = MariaDBServer()
    try:
        server.start()
        yield server.create_database("bench")
    finally:
        server.close()


def _write(path: Path, lines: Path, rows: int) -> None:
    """The same bars as Binance's archive has them, and as LOAD DATA takes them."""
    source = np.random.default_rng(_SEED)
    cents = 2_900_000 + np.cumsum(source.integers(-900, 901, rows))
    spread = source.integers(0, 2_000, (2, rows))
    close = cents + source.integers(-300, 301, rows)
    high = np.maximum(cents, close) + spread[0]
    low = np.minimum(cents, close) - spread[1]
    volume = source.integers(1_000, 90_000_000, rows)
    trades = source.integers(1, 5_000, rows)
    quote = volume * 29
    with path.open("w") as file, lines.open("w") as bare:
        for row in range(rows):
            ts = _START + row * _MINUTE_MS
            prices = [
                f"{v // 100}.{v % 100:02d}" for v in map(int, _at(row, cents, high, low, close))
            ]
            amount = f"{volume[row] // 10**6}.{volume[row] % 10**6:06d}"
            turnover = f"{quote[row] // 100}.{quote[row] % 100:02d}"
            stated = [f"{each}000000" for each in prices]
            file.write(
                f"{ts},{','.join(stated)},{amount}00,{ts + 59_999},{turnover}000000,"
                f"{trades[row]},1.5,43500.0,0\n"
            )
            bare.write(f"{ts}\t{chr(9).join(prices)}\t{amount}\t{turnover}\t{trades[row]}\n")


def _at(row: int, *columns: Any) -> Iterator[Any]:
    return (column[row] for column in columns)


def _load(engine: Any, lines: Path) -> float:
    """Seconds of a bare load of all lines in one statement."""
    began = time.perf_counter()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"LOAD DATA LOCAL INFILE %s INTO TABLE klines CHARACTER SET ascii ({_FIELDS}) "
            f"SET series_id = {_BARE}",
            (str(lines),),
        )
    return time.perf_counter() - began


def _in_a_process_of_its_own(module: str, *arguments: str | Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _import(url: str, path: Path) -> dict[str, Any]:
    engine = open_engine(url, local_infile=True)
    try:
        nobody = _Nobody()
        clock = SystemClock()
        units = Units(engine, clock, nobody, _NoEvents())
        jobs = ImportJobs(units, None, nobody, _RandomIds(), clock, path.parent / "fetched")
        # A series of its own, whatever the file's name says.
        symbol = f"BTC/{uuid.uuid4().hex[:8]}"
        order = ImportOrder(str(path), "bench", symbol, despite_name=True, new_exchange=True)
        job = jobs.start(order)
        began = time.perf_counter()
        while jobs.run(job.id) == "queued":
            pass
        seconds = time.perf_counter() - began
        with units.read() as unit:
            done = unit.jobs.get(job.id)
        if done.state != "succeeded" or (done.result or {})["bad"]:
            raise SystemExit(f"the import {done.state}: {done.error or done.result}")
    finally:
        engine.dispose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_rss_mb": round(peak)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_import(sys.argv[1], Path(sys.argv[2]))))
