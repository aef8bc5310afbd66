"""What serving klines costs the simulator.

CPU time of the server process alone, over 300 requests of 1,000 one-minute klines each. The
pages do not overlap, so each is computed from the seed, as when a collector fetches a
history; then the same page again and again, as when it is in the cache. Beside them: the
naive server's work, ``json.dumps`` of the same rows, in this process. The other dialects serve a
third as many perpetual's pages each, which are computed from the spot market's; OKX gives no more
than 300 rows at once, so that a page of it is four requests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx

from app.core.market.intervals import DAY_MS, MINUTE_MS

_PAGES: Final = 300
_ROWS: Final = 1_000
# 2023-01-01. All that is asked for lies before the market's default start, 2026-01-01.
_START: Final = 1_672_531_200_000
# (path, rows that one request gives)
_DIALECTS: Final = {
    "binanceusdm": (
        "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime={start}&limit={rows}",
        1_000,
    ),
    "okx": (
        "/api/v5/market/history-candles?instId=BTC-USDT-SWAP&before={before}&after={after}"
        "&limit={rows}",
        250,
    ),
    "bybit": (
        "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=1&start={start}&limit={rows}",
        1_000,
    ),
}
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def run() -> dict[str, Any]:
    """Measure and return ``{"figures": {...}, "ratios": {...}}``."""
    command = [sys.executable, "-m", "simulator", "--weight-limit", "0", "--parent-pid"]
    process = subprocess.Popen([*command, str(os.getpid())], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the simulator has no standard output")
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client(base_url=url, trust_env=False) as client:
            return _measure(client, process.pid)
    finally:
        process.terminate()
        process.communicate()


def _measure(client: httpx.Client, pid: int) -> dict[str, Any]:
    def page(number: int, interval: str = "1m", length: int = MINUTE_MS) -> httpx.Response:
        query: dict[str, str | int] = {
            "symbol": "BTCUSDT",
            "interval": interval,
            "startTime": _START + number * _ROWS * length,
            "limit": _ROWS,
        }
        return client.get("/api/v3/klines", params=query)

    rows = page(0).json()
    if len(rows) != _ROWS:
        raise AssertionError(f"the simulator answered {len(rows)} rows, not {_ROWS}")
    wall = time.perf_counter()
    cold = _cpu_ms(pid, lambda: [page(number) for number in range(1, _PAGES + 1)])
    wall = time.perf_counter() - wall
    warm = _cpu_ms(pid, lambda: [page(1) for _ in range(_PAGES)])
    naive = _own_cpu_ms(lambda: [json.dumps(rows).encode() for _ in range(_PAGES)])
    others = {
        name: _dialect(client, pid, name, first=place * _PAGES)
        for place, name in enumerate(_DIALECTS)
    }
    daily = _cpu_ms(pid, lambda: [page(-1 - _PAGES, "1d", DAY_MS // _ROWS)])
    return {
        "figures": {
            "cpu_ms_per_1000_klines": round(cold / _PAGES, 3),
            "cpu_ms_per_1000_klines_cached": round(warm / _PAGES, 3),
            "json_dumps_ms_per_1000_klines": round(naive / _PAGES, 3),
            **{f"cpu_ms_per_1000_klines_{name}": cost for name, cost in others.items()},
            "klines_per_second_one_client": round(_PAGES * _ROWS / wall),
            "cpu_ms_first_1000_daily_klines": round(daily, 1),
        },
        "ratios": {
            "cpu_vs_json_dumps": round(cold / naive, 3),
            "cached_cpu_vs_json_dumps": round(warm / naive, 3),
        },
    }


def _dialect(client: httpx.Client, pid: int, name: str, *, first: int) -> float:
    """CPU milliseconds for 1,000 klines of a perpetual, computed from the seed.

    ``first`` is the page to begin with, one that no other dialect was asked for.
    """
    path, rows = _DIALECTS[name]
    pages = max(1, _PAGES // 3)

    def page(number: int) -> None:
        for part in range(_ROWS // rows):
            start = _START + (number * _ROWS + part * rows) * MINUTE_MS
            span = {"start": start, "before": start - 1, "after": start + rows * MINUTE_MS}
            answer = client.get(path.format(rows=rows, **span))
            if answer.status_code != 200 or answer.text.count("[") < rows:
                raise AssertionError(f"{path} answered {answer.text[:200]}")

    page(first)

    def every_page() -> None:
        for number in range(first + 1, first + pages + 1):
            page(number)

    cost = _cpu_ms(pid, every_page)
    return round(cost / pages, 3)


def _cpu_ms(pid: int, work: Callable[[], Any]) -> float:
    """CPU milliseconds that another process spends while ``work`` runs."""
    before = _process_cpu_ms(pid)
    work()
    return _process_cpu_ms(pid) - before


def _process_cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / _TICKS_PER_SECOND * 1000


def _own_cpu_ms(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1000
