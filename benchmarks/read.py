"""How fast a million bars are read: warm from the kline store's files, and cold from MariaDB.

``ratios.warm_vs_feather`` is pandas' reading of the same bars from a feather file as freqtrade
writes it, over a warm read; ``ratios.cold_vs_pymysql`` is PyMySQL's fetching of the rows into the
same columns, over a cold read, which has no file yet and makes them. Times are of the wall and
the least of several runs for each, taken by turns; files are in the page cache for both.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.adapters.clock import SystemClock
from app.cli.services.mariadb import MariaDBServer
from app.core.market.klines import KlineFrame, KlineRow
from app.models import Base, KlineSeriesRow
from app.repositories.database import open_engine
from app.repositories.kline_store import KlineStore
from app.repositories.segments import SegmentFiles
from app.repositories.unit import Unit, Units
from benchmarks.kline_store import Nobody, NoEvents

_MINUTE_MS: Final = 60_000
#: 2022-01-01T00:00Z; a million minutes end in November of the next year.
_START: Final = 1_640_995_200_000
_ROWS: Final = 1_000_000
_PAGE: Final = 50_000
_WARM_RUNS: Final = 9
_COLD_RUNS: Final = 3


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure and return ``{"figures": {...}, "ratios": {...}}``.

    Args:
        quick: with 50,000 bars.
    """
    rows = 50_000 if quick else _ROWS
    with tempfile.TemporaryDirectory(prefix="tidemark-read-") as folder:
        home = Path(folder)
        with MariaDBServer(home / "mariadb") as server:
            engine = open_engine(server.create_database("bench"), local_infile=True)
            try:
                Base.metadata.create_all(engine)
                return _Reads(Units(engine, SystemClock(), Nobody(), NoEvents()), home, rows).run()
            finally:
                engine.dispose()


class _Reads:
    def __init__(self, units: Units, home: Path, rows: int) -> None:
        self._units = units
        self._home = home
        self._rows = rows
        self._series = units.run(
            lambda unit: unit.klines.series("binance", "BTC/USDT", "1m", _START)
        )

    def run(self) -> dict[str, Any]:
        self._store_rows()
        end = _START + self._rows * _MINUTE_MS
        self._frame = KlineStore(self._units, None).read(self._series, 0, end)
        assert len(self._frame) == self._rows  # noqa: S101 - else the figures mean nothing
        feather = self._written_feather()

        import pandas as pd

        store = KlineStore(self._units, SegmentFiles(self._home / "segments", 2**40))
        warm, by_feather = _least_of(
            _WARM_RUNS,
            lambda: store.read(self._series, 0, end),
            lambda: pd.read_feather(feather),
        )
        cold, by_driver = _least_of(_COLD_RUNS, lambda: self._cold(end), self._fetched)
        table = _least_of(
            _COLD_RUNS, lambda: KlineStore(self._units, None).read(self._series, 0, end)
        )[0]
        month = 43_200 * _MINUTE_MS
        page = _least_of(50, lambda: store.read(self._series, _START, _START + month))[0]
        speed = {
            "warm": warm,
            "feather": by_feather,
            "cold": cold,
            "pymysql": by_driver,
            "table": table,
        }
        figures = {f"{name}_ms": round(1000 * each, 2) for name, each in speed.items()}
        figures |= {f"{name}_rows_per_s": round(self._rows / each) for name, each in speed.items()}
        figures["month_ms"] = round(1000 * page, 3)
        figures["database_mb"] = self._database_mb()
        files = (self._home / "segments").glob("*/*")
        figures["segments_mb"] = round(sum(each.stat().st_size for each in files) / 1e6, 1)
        ratios = {
            "warm_vs_feather": round(by_feather / warm, 2),
            "cold_vs_pymysql": round(by_driver / cold, 2),
        }
        return {"figures": figures, "ratios": ratios}

    def _database_mb(self) -> float:
        """Data and indexes of the bars, as the server counts them."""
        with self._units.read() as unit:
            connection = unit.session.connection()
            connection.exec_driver_sql("ANALYZE TABLE klines").all()
            size = connection.exec_driver_sql(
                "SELECT data_length + index_length FROM information_schema.tables "
                "WHERE table_schema = DATABASE() AND table_name = 'klines'"
            ).scalar_one()
        return round(float(size) / 1e6, 1)

    def _cold(self, end: int) -> KlineFrame:
        folder = self._home / "cold"
        shutil.rmtree(folder, ignore_errors=True)
        return KlineStore(self._units, SegmentFiles(folder, 2**40)).read(self._series, 0, end)

    def _fetched(self) -> list[Any]:
        """What a program without a store does: fetch the rows, and make columns of them."""
        with self._units.read() as unit:
            connection = unit.session.connection().connection.dbapi_connection
            with connection.cursor() as cursor:  # type: ignore[union-attr]
                cursor.execute(
                    "SELECT open_ts, open, high, low, close, volume FROM klines "
                    "WHERE series_id = %s ORDER BY open_ts",
                    (self._series.id,),
                )
                columns = list(zip(*cursor.fetchall(), strict=True))
        return [np.array(columns[0])] + [np.array(each, dtype=np.float64) for each in columns[1:]]

    def _written_feather(self) -> Path:
        import pandas as pd

        frame = self._frame
        names = ("open", "high", "low", "close", "volume")
        path = self._home / "BTC_USDT-1m.feather"
        pd.DataFrame(
            {"date": pd.to_datetime(frame.open_ts, unit="ms", utc=True)}
            | dict(zip(names, frame.columns(), strict=True))
        ).to_feather(path, compression="lz4", compression_level=9)
        return path

    def _store_rows(self) -> None:
        for position in range(0, self._rows, _PAGE):
            page = _bars(position, min(_PAGE, self._rows - position))
            self._units.run(partial(_stored, series=self._series, page=page))


def _stored(unit: Unit, series: KlineSeriesRow, page: list[KlineRow]) -> None:
    unit.klines.lock_series(series.id)
    unit.klines.store(series.id, page, covered=False, source="bench", now_ms=0)


def _bars(first: int, count: int) -> list[KlineRow]:
    """Bars with two decimals in prices and five in volumes, as Binance's BTC/USDT has."""
    dice = np.random.default_rng(first)
    walk = 6_000_000 + np.cumsum(dice.integers(-900, 901, count))
    wicks = dice.integers(0, 400, (2, count))
    volumes = dice.integers(0, 9_000_000, count)
    rows = []
    for number in range(count):
        opened, close = int(walk[number - 1 if number else 0]), int(walk[number])
        high = max(opened, close) + int(wicks[0][number])
        low = min(opened, close) - int(wicks[1][number])
        prices = [Decimal(each).scaleb(-2) for each in (opened, high, low, close)]
        volume = Decimal(int(volumes[number])).scaleb(-5)
        ts = _START + (first + number) * _MINUTE_MS
        rows.append(KlineRow._make([ts, *prices, volume, volume * prices[0], number % 900]))
    return rows


def _least_of(runs: int, *works: Callable[[], object]) -> list[float]:
    """The least wall time of each, seconds; they take turns, and the first turn does not count."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs + 1):
        for work, taken in zip(works, times, strict=True):
            gc.collect()
            began = time.perf_counter()
            kept = work()
            taken.append(time.perf_counter() - began)
            del kept
    return [min(taken[1:]) for taken in times]
