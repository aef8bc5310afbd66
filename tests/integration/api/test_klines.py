"""Klines over the API: columns, pages, files, and what is derived from them."""

from __future__ import annotations

import csv
import io
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from app.core.market.intervals import HOUR_MS
from app.repositories.unit import Unit
from tests.integration.api.two_hours import GAP, MINUTE, SERIES, bar_of, columns, store_two_hours
from tests.support.api import ApiClient, TradingDay
from tests.support.record import START_MS

EXTRA = "extra=trade_count,quote_volume"


@pytest.fixture(autouse=True, scope="module")
def _stored(day: TradingDay) -> None:
    store_two_hours(day)


def test_klines_come_as_columns_of_floats(api: ApiClient) -> None:
    found = columns(api.get(f"/klines?{SERIES}&start={START_MS}&limit=3"))
    assert found["open_ts"] == [START_MS, START_MS + MINUTE, START_MS + 2 * MINUTE]
    assert found["open"] == [64000.0, 64000.1, 64000.2]
    assert found["volume"] == [1.5, 2.5, 3.5]


def test_exact_klines_are_the_texts_of_the_table(api: ApiClient) -> None:
    found = columns(api.get(f"/klines?{SERIES}&start={START_MS}&limit=2&exact=true"))
    assert found["open"] == ["64000", "64000.1"]
    assert found["low"] == ["63999.7", "63999.8"]


def test_pages_of_klines_meet_and_cross_gaps(api: ApiClient) -> None:
    """The range is said once more with each cursor; the cursor is a time, so that it is a start."""
    asked = f"/klines?{SERIES}&start={START_MS}&end={START_MS + 110 * MINUTE}&limit=25"
    for name in ("cursor", "start"):
        response = api.get(asked)
        seen = columns(response)["open_ts"]
        while (after := response.json()["next_cursor"]) is not None:
            path = f"{asked}&cursor={after}" if name == "cursor" else _with_start(asked, after)
            response = api.get(path)
            seen += columns(response)["open_ts"]
        assert seen == [START_MS + n * MINUTE for n in range(110) if n not in GAP]


def test_without_a_start_the_latest_bars_come(api: ApiClient) -> None:
    found = columns(api.get(f"/klines?{SERIES}&limit=2"))
    assert found["open_ts"] == [START_MS + 118 * MINUTE, START_MS + 119 * MINUTE]
    before = columns(api.get(f"/klines?{SERIES}&limit=1&end=2026-03-01T00:10:00Z"))
    assert before["open_ts"] == [START_MS + 9 * MINUTE]


def test_a_longer_interval_is_derived_from_whole_bars(api: ApiClient) -> None:
    series = SERIES.replace("1m", "5m")
    found = columns(api.get(f"/klines?{series}&start={START_MS}"))
    assert len(found["open_ts"]) == 24 - 2
    assert found["close"][0] == pytest.approx(64000.5)
    assert math.isclose(found["volume"][0], sum(1.5 + n for n in range(5)))


def test_a_range_without_bars_is_empty(api: ApiClient) -> None:
    response = api.get(f"/klines?{SERIES}&start=2030-01-01T00:00:00Z")
    assert columns(response)["open_ts"] == []
    assert response.json()["has_more"] is False
    nothing = api.get("/klines?exchange=binance&symbol=ETH/USDT&interval=1m")
    assert columns(nothing)["open_ts"] == []


def test_a_symbol_that_is_none_is_refused(api: ApiClient) -> None:
    for path in ("klines", "coverage"):
        response = api.get(f"/{path}?exchange=binance&symbol=NO/SUCH&interval=1m")
        assert (response.status_code, response.json()["code"]) == (422, "unknown-name")


def test_csv_and_arrow_hold_the_columns_of_json(api: ApiClient) -> None:
    path = f"/klines?{SERIES}&start={START_MS}&limit=25"
    expected = columns(api.get(path))
    as_csv = api.get(f"{path}&format=csv")
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(as_csv.text)))
    assert [int(row["open_ts"]) for row in rows] == expected["open_ts"]
    assert [float(row["close"]) for row in rows] == expected["close"]
    as_arrow = api.get(f"{path}&format=arrow")
    assert as_arrow.headers["content-type"] == "application/vnd.apache.arrow.stream"
    with pa.ipc.open_stream(as_arrow.content) as reader:
        assert reader.read_all().to_pydict() == expected
    following = api.get(path).json()["next_cursor"]
    assert as_csv.headers["next-cursor"] == as_arrow.headers["next-cursor"] == str(following)
    exact = api.get(f"{path}&format=csv&exact=true").text.splitlines()
    assert exact[1].split(",")[1:3] == ["64000", "64000.3"]


def test_bars_that_have_not_changed_are_not_sent_again(api: ApiClient, day: TradingDay) -> None:
    path = f"/klines?{SERIES}&start={START_MS}&limit=25"
    first = api.get(path)
    tag = first.headers["etag"]
    again = api.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert api.get(f"{path}&format=csv").headers["etag"] != tag

    def revise(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms)
        unit.klines.lock_series(series.id)
        bar = bar_of(3)._replace(volume=Decimal("77.7"))
        unit.klines.store(series.id, [bar], covered=True, source="test", now_ms=unit.now_ms)

    day.container.bulk_units.run(revise)
    changed = api.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert columns(changed)["volume"][3] == 77.7


def test_a_long_answer_is_compressed_where_the_client_takes_it(api: ApiClient) -> None:
    path = f"/klines?{SERIES}&start={START_MS}&limit=100"
    plain = api.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for accepted in ("gzip", "br, gzip;q=0.5"):
        zipped = api.get(path, headers={"Accept-Encoding": accepted})
        assert zipped.headers["content-encoding"] == "gzip"
        assert zipped.headers["vary"] == "Accept-Encoding, Authorization"
        assert zipped.json() == plain.json()
        assert int(zipped.headers["content-length"]) < len(plain.content) / 2
    refused = api.get(path, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers


def _with_start(path: str, start: int) -> str:
    """The same question with another start."""
    return path.replace(f"start={START_MS}", f"start={start}")


def test_bars_of_the_mark_price_are_asked_for_by_their_kind(
    api: ApiClient, day: TradingDay
) -> None:
    def store(unit: Unit) -> None:
        names = ("binance", "BTC/USDT", "1m")
        series = unit.klines.series(*names, unit.now_ms, kind="mark")
        unit.klines.lock_series(series.id)
        bar = bar_of(0)._replace(volume=Decimal(0))
        unit.klines.store(series.id, [bar], covered=False, source="test", now_ms=unit.now_ms)

    day.container.bulk_units.run(store)
    found = api.get(f"/klines?{SERIES}&kind=mark")
    assert found.json()["kind"] == "mark"
    assert columns(found)["volume"] == [0.0]
    assert columns(api.get(f"/klines?{SERIES}&kind=mark&exact=true"))["volume"] == ["0"]
    assert columns(api.get(f"/klines?{SERIES}&kind=index"))["open_ts"] == []
    assert api.get(f"/klines?{SERIES}&kind=last").status_code == 422
    gaps = api.get(f"/gaps?{SERIES}&kind=mark").json()
    assert (gaps["data"], gaps["note"]) == ([], None)
    found = api.get(f"/coverage?{SERIES}&kind=mark&start={START_MS}&end={START_MS + MINUTE}").json()
    assert (found["kind"], found["counts"]["pending"], found["is_kept"]) == ("mark", 1, False)
    assert api.get(f"/coverage?{SERIES}&kind=last").status_code == 422


def test_hours_derive_from_five_minutes_where_no_minutes_are_kept(
    api: ApiClient, day: TradingDay
) -> None:
    def store(unit: Unit) -> None:
        series = unit.klines.series("binance", "ETH/USDT", "5m", unit.now_ms)
        unit.klines.lock_series(series.id)
        bars = [bar_of(n)._replace(open_ts=START_MS + n * 5 * MINUTE) for n in range(24)]
        unit.klines.store(series.id, bars, covered=False, source="test", now_ms=unit.now_ms)

    day.container.bulk_units.run(store)
    path = "/klines?exchange=binance&symbol=ETH/USDT&interval=1h"
    assert columns(api.get(path))["open_ts"] == [START_MS, START_MS + HOUR_MS]
    assert columns(api.get(path.replace("1h", "3m")))["open_ts"] == []


def _tell_more(day: TradingDay, minute: int, quote: str, count: int) -> None:
    def tell(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms)
        unit.klines.lock_series(series.id)
        bar = bar_of(minute)._replace(quote_volume=Decimal(quote), trade_count=count)
        unit.klines.store(series.id, [bar], covered=True, source="test", now_ms=unit.now_ms)

    day.container.bulk_units.run(tell)


def test_quote_volume_and_trade_count_come_where_they_are_asked_for(
    api: ApiClient, day: TradingDay
) -> None:
    path = f"/klines?{SERIES}&start={START_MS + 50 * MINUTE}&limit=3"
    before = api.get(f"{path}&{EXTRA}")
    nothing = columns(before)
    assert (nothing["quote_volume"], nothing["trade_count"]) == ([None] * 3, [None] * 3)
    # A venue that says them later than the bar tells something new.
    _tell_more(day, 51, "0.3", 7)
    after = api.get(f"{path}&{EXTRA}", headers={"If-None-Match": before.headers["etag"]})
    found = columns(after)
    plain = columns(api.get(path))
    assert found == plain | {"quote_volume": [None, 0.3, None], "trade_count": [None, 7, None]}
    assert list(found)[-2:] == ["quote_volume", "trade_count"]
    exact = columns(api.get(f"{path}&{EXTRA}&exact=true"))
    assert exact["quote_volume"] == [None, "0.3", None]
    assert list(columns(api.get(f"{path}&extra=trade_count"))) == [*plain, "trade_count"]
    lines = api.get(f"{path}&{EXTRA}&format=csv").text.splitlines()
    assert lines[0] == "open_ts,open,high,low,close,volume,quote_volume,trade_count"
    assert [line.split(",")[-2:] for line in lines[1:]] == [["", ""], ["0.3", "7"], ["", ""]]


@pytest.mark.parametrize(("exact", "stated"), [("false", pa.float64()), ("true", pa.string())])
def test_arrow_says_the_type_of_a_column_without_a_value(
    api: ApiClient, exact: str, stated: pa.DataType
) -> None:
    path = f"/klines?{SERIES}&start={START_MS}&limit=3&format=arrow&exact={exact}&{EXTRA}"
    with pa.ipc.open_stream(api.get(path).content) as reader:
        table = reader.read_all()
    assert table.schema.field("quote_volume").type == stated
    assert table.schema.field("trade_count").type == pa.int64()


def test_longer_bars_say_the_sums(api: ApiClient, day: TradingDay) -> None:
    for minute in range(60, 65):
        _tell_more(day, minute, "1.5", 2)
    series = "exchange=binance&symbol=BTC/USDT&interval=5m"
    found = columns(api.get(f"/klines?{series}&start={START_MS + 60 * MINUTE}&limit=1&{EXTRA}"))
    assert (found["quote_volume"], found["trade_count"]) == ([7.5], [10])


def test_an_extra_column_that_is_none_is_refused(api: ApiClient) -> None:
    refused = api.get(f"/klines?{SERIES}&extra=vwap")
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown-name")
