"""A replayed market behind the venue's dialect."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import ccxt
import pandas as pd
import pytest

from app.core.market.intervals import MINUTE_MS
from tests.support.simulator import DATA, SimulatorProcess

Factory = Callable[..., SimulatorProcess]
FILE = DATA / "klines" / "BTC_USDT-1m.feather"
START = 1_760_000_040_000 // MINUTE_MS * MINUTE_MS

# Five minutes of which the third is missing.
TAPE = f"""timestamp_ms,open,high,low,close,volume
{START},100.5,101.5,99.5,100.0,10
{START + MINUTE_MS},100.0,100.0,97.0,98.0,20
{START + 3 * MINUTE_MS},96.0,99.0,95.0,98.5,30
{START + 4 * MINUTE_MS},98.5,98.5,98.5,98.5,0
"""


def test_orders_fill_against_the_file_and_not_in_its_gap(
    simulator: Factory, tmp_path: Path
) -> None:
    file = tmp_path / "tape.csv"
    file.write_text(TAPE)
    process = simulator(replay={"ABC/USDT": file}, start=START, spread_bps=0)
    account = process.control.create_account("alice", {"USDT": "10000"})
    exchange = process.ccxt(account)
    exchange.load_markets()

    bought = exchange.create_order("ABC/USDT", "market", "buy", 1)
    assert bought["average"] == 100.5
    limits = [
        exchange.create_order("ABC/USDT", "limit", "buy", 1, price)["id"]
        for price in (97.5, 96.5, 90.0)
    ]

    process.control.advance(by_ms=2 * MINUTE_MS)
    with pytest.raises(ccxt.MarketClosed):
        exchange.create_order("ABC/USDT", "market", "buy", 1)
    assert exchange.fetch_ticker("ABC/USDT")["last"] == 98.0

    process.control.advance(by_ms=3 * MINUTE_MS)
    orders = [exchange.fetch_order(number, "ABC/USDT") for number in limits]
    # Reached inside the second bar; jumped over by the gap to a better open; never reached.
    assert [(o["status"], o["average"]) for o in orders] == [
        ("closed", 97.5),
        ("closed", 96.0),
        ("open", None),
    ]
    rows = exchange.fetch_ohlcv("ABC/USDT", "1m", START, 10)
    assert [(row[0] - START) // MINUTE_MS for row in rows] == [0, 1, 3, 4]
    five = exchange.fetch_ohlcv("ABC/USDT", "3m", START, 10)
    assert five[0][1:] == [100.5, 101.5, 97.0, 98.0, 30.0]
    exchange.close()


@pytest.mark.skipif(not FILE.is_file(), reason=f"no real candles at {FILE}")
def test_a_real_month_comes_back_row_by_row_over_http(simulator: Factory) -> None:
    process = simulator(replay={"BTC/USDT": FILE}, weight_limit=0)
    frame = pd.read_feather(FILE)
    rows: list[list[str]] = []
    start = 0
    while True:
        query = {"symbol": "BTCUSDT", "interval": "1m", "startTime": start, "limit": 1000}
        page = process.control.raw("GET", "/api/v3/klines", params=query).json()
        if not page:
            break
        rows += page
        start = page[-1][0] + 1
    assert len(rows) == len(frame) == 43_199
    stamps = frame["date"].to_numpy(dtype="datetime64[ms]").astype("int64").tolist()
    assert [row[0] for row in rows] == stamps
    for place, name in enumerate(("open", "high", "low", "close", "volume"), start=1):
        exact = [Decimal(repr(value)) for value in frame[name].tolist()]
        assert [Decimal(row[place]) for row in rows] == exact
