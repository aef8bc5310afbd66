"""How fast klines are stored and read, in rows per second of wall time.

On SQLite in a temporary directory, and on the database that ``TIDEMARK_BENCH_DATABASE_URL``
names, as in ``mysql+pymysql://root@127.0.0.1:3307/bench``: once with LOAD DATA LOCAL (``bulk``)
and once without. A page has 1,000 rows, as collection stores them; each is one transaction.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from app.adapters.clock import SystemClock
from app.core.market.klines import KlineRow
from app.models import Base
from app.repositories.database import open_engine
from app.repositories.unit import Unit, Units

_MINUTE_MS: Final = 60_000
_ROWS: Final = 100_000
_PAGE: Final = 1_000


class Nobody:
    """Takes hints and forgets them."""

    def publish(self, task: str, *ids: str) -> bool:  # noqa: ARG002
        """Forget it."""
        return True


class NoEvents:
    """Takes events and forgets them."""

    def publish(self, rows: list[tuple[int, str, dict[str, Any]]]) -> None:
        """Forget them."""


def run() -> dict[str, Any]:
    """Measure and return ``{"figures": {...}, "ratios": {...}}``."""
    rows = _rows()
    with tempfile.TemporaryDirectory() as folder:
        figures = _measured("sqlite", f"sqlite:///{folder}/bench.db", rows, bulk=False)
    ratios: dict[str, float] = {}
    url = os.environ.get("TIDEMARK_BENCH_DATABASE_URL")
    if url:
        for way, bulk in (("mysql_bulk", True), ("mysql_plain", False)):
            figures |= _measured(way, url, rows, bulk=bulk)
        ratios["mysql_bulk_to_plain_store"] = round(
            figures["mysql_bulk_store"] / figures["mysql_plain_store"], 2
        )
    return {"figures": figures, "ratios": ratios}


def _measured(way: str, url: str, rows: Sequence[KlineRow], *, bulk: bool) -> dict[str, int]:
    engine = open_engine(url, local_infile=bulk)
    try:
        Base.metadata.create_all(engine)
        units = Units(engine, SystemClock(), Nobody(), NoEvents())
        series = units.run(lambda unit: unit.klines.series("bench", uuid.uuid4().hex, "1m", 0))
        figures = {
            f"{way}_store": _speed(lambda: _store(units, series.id, rows, covered=False)),
            f"{way}_store_again": _speed(lambda: _store(units, series.id, rows, covered=True)),
        }
        with units.read() as unit:
            figures[f"{way}_read_frame"] = _speed(lambda: unit.klines.read(series, 0, 2**60))
            figures[f"{way}_read_exact"] = _speed(
                lambda: unit.klines.read_exact(series.id, 0, 2**60)
            )
    finally:
        engine.dispose()
    return figures


def _store(units: Units, series_id: int, rows: Sequence[KlineRow], *, covered: bool) -> None:
    for position in range(0, len(rows), _PAGE):
        page = rows[position : position + _PAGE]

        def work(unit: Unit, page: Sequence[KlineRow] = page) -> None:
            unit.klines.lock_series(series_id)
            unit.klines.store(series_id, page, covered=covered, source="bench", now_ms=0)

        units.run(work)


def _rows() -> list[KlineRow]:
    """Bars with two decimals in prices and five in volumes, as Binance's BTC/USDT has."""
    rows = []
    for minute in range(_ROWS):
        price = Decimal(6_000_000 + minute % 977)
        prices = [(price + step).scaleb(-2) for step in (0, 9, -9, 3)]
        volumes = [Decimal(minute % 99_991 * scale).scaleb(-5) for scale in (1, 61_234)]
        rows.append(KlineRow._make([minute * _MINUTE_MS, *prices, *volumes, minute % 1_000]))
    return rows


def _speed(work: Callable[[], object]) -> int:
    began = time.perf_counter()
    work()
    return round(_ROWS / (time.perf_counter() - began))
