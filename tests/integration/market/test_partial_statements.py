"""Bars whose source says less than the one before it: nobody's bar is made of two."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from app.core.market.files.columns import KlineColumns
from app.core.market.klines import KlineRow
from app.repositories.unit import Unit, Units
from tests.support.record import START_MS, ManualClock, record, units_over

M = 60_000
D = Decimal


def keep(units: Units, rows: Sequence[KlineRow], *, as_columns: bool) -> None:
    def work(unit: Unit) -> None:
        series = unit.klines.locked("binance", "BTC/USDT", "1m", 1)
        if as_columns:
            columns = KlineColumns.of_rows(rows)
            unit.klines.store_columns(series.id, columns, covered=True, source="file:b", now_ms=1)
        else:
            unit.klines.store(series.id, rows, covered=True, source="file:b", now_ms=1)

    units.run(work)


@pytest.mark.parametrize("as_columns", [False, True])
def test_what_is_known_of_a_bar_is_not_said_of_another(database_url: str, as_columns: bool) -> None:
    """Per bar: what of it the second source states otherwise."""
    known = [
        KlineRow(START_MS + n * M, D(10), D(12), D(9), D(11), D(5), D(55), 7) for n in range(7)
    ]
    plain = [row._replace(quote_volume=None, trade_count=None) for row in known]
    stated = [
        plain[0],
        plain[1]._replace(open=D(11)),
        plain[2]._replace(high=D(13)),
        plain[3]._replace(low=D(8)),
        plain[4]._replace(close=D(12)),
        plain[5]._replace(volume=D(6)),
        plain[6]._replace(trade_count=8),
    ]
    expected = [known[0], *stated[1:6], known[6]._replace(trade_count=8)]
    with record(database_url, local_infile=True) as engine:
        units = units_over(engine, ManualClock())
        keep(units, known, as_columns=as_columns)
        keep(units, stated, as_columns=as_columns)
        with units.read() as unit:
            series = unit.klines.find_series("binance", "BTC/USDT", "1m")
            assert series is not None
            assert unit.klines.read_exact(series.id, 0, 1 << 60) == expected
            kept = unit.klines.revisions(series.id)
    assert sorted(each.open_ts for each in kept) == [row.open_ts for row in expected[1:]]
    assert {each.old["quote_volume"] for each in kept} == {"55"}
