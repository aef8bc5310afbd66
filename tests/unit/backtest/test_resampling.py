"""Higher intervals are made of complete bars; the others are reported."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from research_tables import START, gapped, real_candles

from app.core.errors import InvalidInput, UnknownName
from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from app.core.market.klines import KlineFrame, KlineRow
from app.core.market.resampling import resample, resample_rows


def rows(frame: KlineFrame) -> list[KlineRow]:
    columns = [column.tolist() for column in frame.columns()]
    exact = [[Decimal(repr(value)) for value in column] for column in columns]
    return [
        KlineRow(int(ts), *values)
        for ts, *values in zip(frame.open_ts.tolist(), *exact, strict=True)
    ]


def test_open_high_low_close_and_volume_of_five_minutes() -> None:
    frame = gapped(1, bars=12)
    made = resample(frame, "5m")
    assert made.bars.open_ts.tolist() == [START, START + 5 * MINUTE_MS]
    assert made.incomplete == (START + 10 * MINUTE_MS,)
    bar, part = made.bars.bar(1), frame.slice(5, 10)
    assert (bar.open, bar.close) == (part.open[0], part.close[-1])
    assert (bar.high, bar.low) == (part.high.max(), part.low.min())
    assert bar.volume == 5
    assert made.bars.interval == "5m"


@given(st.sets(st.integers(0, 59), min_size=1), st.sampled_from(["3m", "5m", "15m"]))
def test_a_bar_is_made_exactly_where_all_its_parts_are(kept: set[int], to: str) -> None:
    whole, size = gapped(1, bars=60), int(to[:-1])
    rows_kept = [row for number, row in enumerate(rows(whole)) if number in kept]
    frame = KlineFrame.from_rows("binance", whole.symbol, "1m", rows_kept)
    groups = {number // size for number in kept}
    complete = {g for g in groups if all(g * size + i in kept for i in range(size))}
    made, exact = resample(frame, to), resample_rows(rows_kept, "1m", to)
    opens = [START + group * size * MINUTE_MS for group in sorted(complete)]
    assert made.bars.open_ts.tolist() == [row.open_ts for row in exact.bars] == opens
    assert made.incomplete == exact.incomplete
    assert len(made.incomplete) == len(groups - complete)
    for number, row in enumerate(exact.bars):
        bar = made.bars.bar(number)
        assert (bar.open, bar.high, bar.low, bar.close) == tuple(map(float, row[1:5]))


def test_weeks_open_on_monday_and_months_on_the_first() -> None:
    frame = gapped(2, bars=70, interval="1d")  # 2024-01-01 was a Monday
    assert resample(frame, "1w").bars.open_ts.tolist() == [
        START + 7 * DAY_MS * n for n in range(10)
    ]
    months = resample(frame, "1M")
    assert months.bars.open_ts.tolist() == [START, START + 31 * DAY_MS]
    assert months.incomplete == (START + 60 * DAY_MS,)


def test_a_grid_may_be_offset() -> None:
    frame = gapped(2, bars=48, interval="1h")
    made = resample(frame, "1d", offset_ms=8 * HOUR_MS)
    assert made.bars.open_ts.tolist() == [START + 8 * HOUR_MS]
    assert len(made.incomplete) == 2


def test_sums_are_exact_and_unknown_parts_stay_unknown() -> None:
    def row(minute: int, volume: str, quote: str | None, count: int | None) -> KlineRow:
        one = Decimal(1)
        total = None if quote is None else Decimal(quote)
        return KlineRow(
            START + minute * MINUTE_MS, one, one, one, one, Decimal(volume), total, count
        )

    tiny, huge = "0.000000000000000001", "999999999999999999"
    known = [row(0, tiny, "1.5", 2), row(1, huge, "2.5", 3), row(2, tiny, "0", 0)]
    (bar,) = resample_rows(known, "1m", "3m").bars
    assert str(bar.volume) == "999999999999999999.000000000000000002"
    assert (bar.quote_volume, bar.trade_count) == (Decimal(4), 5)
    (bar,) = resample_rows([*known[:2], row(2, tiny, None, None)], "1m", "3m").bars
    assert (bar.quote_volume, bar.trade_count) == (None, None)


def test_nothing_gives_nothing() -> None:
    assert len(resample(gapped(1, bars=3).slice(0, 0), "5m").bars) == 0
    assert resample_rows([], "1m", "5m").bars == []


@pytest.mark.parametrize(
    ("of", "to"), [("5m", "1m"), ("5m", "5m"), ("3m", "5m"), ("1w", "1M"), ("1M", "1w")]
)
def test_what_cannot_be_built_is_refused(of: str, to: str) -> None:
    with pytest.raises(InvalidInput, match=f"bars of {to} cannot be built from bars of {of}"):
        resample_rows([], of, to)


def test_bad_input_is_refused() -> None:
    with pytest.raises(UnknownName):
        resample(gapped(1, bars=3), "7m")
    with pytest.raises(InvalidInput, match="did not ascend"):
        resample_rows(list(reversed(rows(gapped(1, bars=3)))), "1m", "5m")


def five_minutes() -> dict[int, KlineRow]:
    return {row.open_ts: row for row in rows(real_candles("BTC_USDT-5m", "5m"))}


def test_one_minute_resampled_equals_the_venues_five_minutes() -> None:
    minutes, five = rows(real_candles("BTC_USDT-1m", "1m")), five_minutes()
    assert len(minutes) == 43_199
    made = resample_rows(minutes, "1m", "5m")
    common = [row for row in made.bars if row.open_ts in five]
    assert len(common) == 2_161
    assert [row for row in common if row != five[row.open_ts]] == []
    assert len(made.incomplete) == 2  # the file begins and ends inside a bar
