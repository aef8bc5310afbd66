"""What a page of klines costs whoever asks the API for it, and how that grows with the record.

MariaDB, the API process and eight clients, each a thread of a process beside them with its own
connection and one request at a time: ``GET /api/v1/klines``, 1,000 minutes of a series and a
time by chance. No page is asked for twice, and none has a file of the kline store: every answer
comes from the table. Measured with a million stored bars, and again with a hundred million in
a hundred series.

- ``p50_ms … p99_ms``: at the client, from the request's first byte to the body's last, with as
  many requests as the API takes (``requests_per_s``).
- ``service_p95_ms``: within the API, by its ``Server-Timing`` header, while the same clients ask
  at the pace of people who look at charts, 5 requests a second each; ``paced_p95_ms`` is the
  client's side of that. At full load the same figure (``busy_service_p95_ms``) is mostly the
  wait for the other seven.

``ratios.growth_p95`` is the client's p95 with all bars over that with a million.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, text

from benchmarks.support.stack import Stack, load_average, running_stack
from benchmarks.support.statistics import summary

EXCHANGE: Final = "binance"
BARS: Final = 1_000
CLIENTS: Final = 8
_MINUTE_MS: Final = 60_000
_START: Final = int(datetime(2022, 1, 1, tzinfo=UTC).timestamp() * 1000)
_PER_SERIES: Final = 1_000_000
_SERIES: Final = 100
_FULL_LOAD: Final = 3_000
_PACED: Final = 1_000
_PACE_PER_S: Final = 5.0
# Rows of one copying statement: its undo log stays small.
_COPY: Final = 250_000


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure and return ``{"figures": {...}, "ratios": {...}}``.

    Args:
        quick: three series of 50,000 bars and few requests, to see that it works.
    """
    size, series, share = (50_000, 3, 20) if quick else (_PER_SERIES, _SERIES, 1)
    # The whole catalogue of processes would compete for the cores: an API answers alone.
    with running_stack(lambda _: (), only=("api",), log_level="ERROR") as stack:
        queries = _Queries(stack, size, share)
        queries.store(1)
        small = queries.measure("_1m_bars", 1)
        queries.store(series)
        full = queries.measure("", series)
        figures = small | full | queries.sizes()
    figures["load_average"] = load_average()
    ratios = {
        "growth_p95": round(full["p95_ms"] / small["p95_ms_1m_bars"], 2),
        "growth_service_p95": round(full["service_p95_ms"] / small["service_p95_ms_1m_bars"], 2),
    }
    return {"figures": figures, "ratios": ratios}


class _Queries:
    def __init__(self, stack: Stack, size: int, share: int) -> None:
        self._stack = stack
        self._size = size
        self._share = share
        self._token = stack.parts.tokens.create("bench")
        self._stored = 0
        self._run = 0

    def store(self, series: int) -> None:
        """Bring the record to so many series; all but the first are copies made within it."""
        with self._stack.parts.engine.connect() as connection:
            connection.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 600")
            for number in range(self._stored, series):
                connection.execute(
                    text(
                        "INSERT INTO kline_series (id, exchange, symbol, kind, `interval`, "
                        "grid_offset_ms, past_version, created_at) "
                        "VALUES (:id, :exchange, :symbol, 'trade', '1m', 0, 0, :at)"
                    ),
                    {
                        "id": number + 1,
                        "exchange": EXCHANGE,
                        "symbol": symbol(number),
                        "at": _START,
                    },
                )
                if number == 0:
                    self._insert(connection)
                else:
                    self._copy(connection, number + 1)
                connection.commit()
            connection.exec_driver_sql("ANALYZE TABLE klines").all()
        self._stored = series

    def measure(self, suffix: str, series: int) -> dict[str, float]:
        """Figures over so many series."""
        busy = self._asked(series, _FULL_LOAD // self._share, 0.0)
        paced = self._asked(series, _PACED // self._share, _PACE_PER_S)
        return {
            **{f"{name}{suffix}": value for name, value in _percentiles("", busy["client"])},
            f"requests_per_s{suffix}": round(len(busy["client"]) / busy["seconds"], 1),
            f"service_p95_ms{suffix}": summary("s", paced["service"])["s_p95_ms"],
            f"paced_p95_ms{suffix}": summary("s", paced["client"])["s_p95_ms"],
            f"busy_service_p95_ms{suffix}": summary("s", busy["service"])["s_p95_ms"],
        }

    def sizes(self) -> dict[str, float]:
        """Stored bars, and what they take on the disk."""
        with self._stack.parts.engine.connect() as connection:
            size = connection.exec_driver_sql(
                "SELECT data_length + index_length FROM information_schema.tables "
                "WHERE table_schema = DATABASE() AND table_name = 'klines'"
            ).scalar_one()
        bars = self._stored * self._size
        return {"bars": bars, "mb_per_million_bars": round(float(size) / bars, 1)}

    def _asked(self, series: int, requests: int, pace: float) -> Mapping[str, Any]:
        """Times in ms of requests to pages that nobody has asked for yet."""
        self._run += 1
        order = {
            "url": self._stack.runtime.api_url,
            "token": self._token,
            "clients": CLIENTS,
            "pace": pace,
            "paths": self._paths(series, requests),
        }
        done = subprocess.run(
            (sys.executable, "-m", "benchmarks.support.query_clients"),
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=True,
        )
        answer: Mapping[str, Any] = json.loads(done.stdout)
        return answer

    def _paths(self, series: int, requests: int) -> list[str]:
        dice = np.random.default_rng(self._run)
        of_series = dice.integers(0, series, requests)
        firsts = dice.integers(0, self._size - BARS, requests)
        return [
            f"/api/v1/klines?exchange={EXCHANGE}&symbol={symbol(int(number))}&interval=1m"
            f"&limit={BARS}&start={_START + int(first) * _MINUTE_MS}"
            f"&end={_START + (int(first) + BARS) * _MINUTE_MS}"
            for number, first in zip(of_series, firsts, strict=True)
        ]

    def _insert(self, connection: Connection) -> None:
        """The first series: a walk with two decimals in prices and five in volumes."""
        page = 10_000
        statement = (
            "INSERT INTO klines (series_id, open_ts, open, high, low, close, volume, "
            "quote_volume, trade_count) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        )
        dice = np.random.default_rng(1)
        walk = 6_000_000 + np.cumsum(dice.integers(-900, 901, self._size))
        for first in range(0, self._size, page):
            rows = []
            for number in range(first, min(first + page, self._size)):
                opened, close = int(walk[max(number - 1, 0)]), int(walk[number])
                high, low = max(opened, close) + number % 397, min(opened, close) - number % 389
                cents = [f"{each // 100}.{each % 100:02d}" for each in (opened, high, low, close)]
                ts = _START + number * _MINUTE_MS
                volume = f"{number % 90}.{number % 99_991:05d}"
                rows.append((1, ts, *cents, volume, f"{number % 5_000_000}.5", number % 900))
            connection.exec_driver_sql(statement, rows)
        connection.commit()

    def _copy(self, connection: Connection, target: int) -> None:
        for first in range(0, self._size, _COPY):
            connection.execute(
                text(
                    "INSERT INTO klines SELECT :target, open_ts, open, high, low, close, volume, "
                    "quote_volume, trade_count FROM klines "
                    "WHERE series_id = 1 AND open_ts >= :start AND open_ts < :end"
                ),
                {
                    "target": target,
                    "start": _START + first * _MINUTE_MS,
                    "end": _START + (first + _COPY) * _MINUTE_MS,
                },
            )
            connection.commit()


def symbol(number: int) -> str:
    """A series' symbol, as it stands in a query."""
    return f"B{number:03d}/USDT"


def _percentiles(name: str, values: list[float]) -> list[tuple[str, float]]:
    return [(key.removeprefix("_"), value) for key, value in summary(name, values).items()]
