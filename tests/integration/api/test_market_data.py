"""Klines, coverage, instruments and prices over the API."""

from __future__ import annotations

import csv
import io
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from app.core.market.coverage import CoverageState, Span
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.klines import KlineRow
from app.core.market.validation import BadKline
from app.models import KlineDayRow
from app.repositories.unit import Unit
from tests.support.api import ApiClient, TradingDay
from tests.support.record import START_MS

MINUTE = 60_000
SERIES = "exchange=binance&symbol=BTC/USDT&interval=1m"
#: Two hours of minutes, of which minutes 30 to 39 are missing at the exchange.
GAP = range(30, 40)


def _bar(index: int) -> KlineRow:
    price = Decimal(64_000) + Decimal(index) / 10
    return KlineRow(
        START_MS + index * MINUTE,
        price,
        price + Decimal("0.3"),
        price - Decimal("0.3"),
        price + Decimal("0.1"),
        Decimal("1.50") + Decimal(index),
        None,
        None,
    )


@pytest.fixture(autouse=True, scope="module")
def _stored(day: TradingDay) -> None:
    bars = [_bar(index) for index in range(120) if index not in GAP]

    def store(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms)
        unit.klines.lock_series(series.id)
        unit.klines.store(series.id, bars, covered=False, source="test", now_ms=unit.now_ms)
        first, gap = START_MS, START_MS + GAP.start * MINUTE
        after, end = START_MS + GAP.stop * MINUTE, START_MS + 120 * MINUTE
        unit.coverage.save(
            series.id,
            [],
            [
                Span(first, gap, CoverageState.PRESENT),
                Span(gap, after, CoverageState.EXCHANGE_SIDE),
                Span(after, end, CoverageState.PRESENT),
            ],
        )

    day.container.bulk_units.run(store)


def columns(response: Any) -> dict[str, list[Any]]:
    """The columns of an answer, checked to be of one length."""
    assert response.status_code == 200, response.text
    found: dict[str, list[Any]] = response.json()["columns"]
    assert len({len(column) for column in found.values()}) == 1
    return found


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


@pytest.mark.parametrize("path", ["klines", "gaps", "funding", "revisions", "quarantine"])
@pytest.mark.parametrize("cursor", ["abc", "-1", "1.5", "", "٣", "99999999999999999999"])
def test_a_cursor_that_no_list_gave_out_is_refused(api: ApiClient, path: str, cursor: str) -> None:
    asked = dict(part.split("=") for part in SERIES.split("&"))
    if path == "funding":
        del asked["interval"]
    refused = api.get(f"/{path}", params={**asked, "cursor": cursor})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-cursor")


@pytest.mark.parametrize("path", ["klines", "gaps"])
def test_a_cursor_of_another_range_is_refused(api: ApiClient, path: str) -> None:
    """It would show bars that were not asked for, or none as if there were none."""
    asked = f"/{path}?{SERIES}&start={START_MS + MINUTE}&end={START_MS + 9 * MINUTE}"
    for minute in (0, 9):
        refused = api.get(f"{asked}&cursor={START_MS + minute * MINUTE}")
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid-cursor")


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


def test_coverage_accounts_for_every_bar(api: ApiClient) -> None:
    found = api.get(f"/coverage?{SERIES}").json()
    assert found["expected"] == 120
    assert found["counts"] == {
        "present": 110,
        "pending": 0,
        "exchange_side": 10,
        "before_listing": 0,
        "after_delisting": 0,
        "retired": 0,
    }
    assert found["gaps"] == 1
    assert [part["state"] for part in found["ranges"]] == ["present", "exchange_side", "present"]
    wider = api.get(f"/coverage?{SERIES}&start={START_MS - 10 * MINUTE}").json()
    assert wider["counts"]["pending"] == 10
    cut = api.get(f"/coverage?{SERIES}&limit=1").json()
    assert (len(cut["ranges"]), cut["has_more"]) == (1, True)


def test_instruments_are_listed_in_pages(api: ApiClient) -> None:
    first = api.get("/instruments?limit=1").json()
    assert [each["symbol"] for each in first["data"]] == ["BTC/USDT"]
    assert first["data"][0]["tick_size"] == "0.01"
    second = api.get("/instruments", params={"limit": "1", "cursor": first["next_cursor"]}).json()
    assert [each["symbol"] for each in second["data"]] == ["ETH/USDT"]
    assert second["has_more"] is False
    assert api.get("/instruments?exchange=okx").json()["data"] == []


@pytest.mark.parametrize(
    "path",
    ["/instruments?exchange=nope"]
    + [
        f"/{name}?exchange=nope&symbol=BTC/USDT&interval=1m"
        for name in ("klines", "coverage", "gaps")
    ],
)
def test_an_exchange_that_nobody_knows_is_said_to_be_none(api: ApiClient, path: str) -> None:
    refused = api.get(path)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown-name")
    assert refused.json()["detail"].startswith("exchange 'nope' is not known")


def test_a_price_says_how_old_it_is(api: ApiClient) -> None:
    found = api.get("/prices", params={"exchange": "binance", "symbol": "BTC/USDT"}).json()
    assert (found["price"], found["source"], found["is_stale"]) == ("64000", "live", False)
    for exchange, symbol in (("okx", "BTC/USDT"), ("binance", "NO/USDT")):
        refused = api.get("/prices", params={"exchange": exchange, "symbol": symbol})
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown-name")


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
        bar = _bar(3)._replace(volume=Decimal("77.7"))
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


def test_a_gap_is_told_with_its_proof(api: ApiClient) -> None:
    (gap,) = api.get(f"/gaps?{SERIES}").json()["data"]
    assert (gap["start"], gap["end"]) == (
        START_MS + GAP.start * MINUTE,
        START_MS + GAP.stop * MINUTE,
    )
    assert (gap["state"], gap["bars"]) == ("exchange_side", len(GAP))
    inside = api.get(f"/gaps?{SERIES}&start={gap['start'] + MINUTE}&end={gap['end']}").json()
    assert inside["data"][0]["bars"] == len(GAP) - 1
    nothing = api.get("/gaps?exchange=binance&symbol=ETH/USDT&interval=1m")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not-found")


def test_gaps_come_in_pages(api: ApiClient) -> None:
    """Three: before the first bar, the venue's own, and behind the last bar."""
    asked = f"/gaps?{SERIES}&start={START_MS - 5 * MINUTE}&end={START_MS + 125 * MINUTE}"
    whole = api.get(asked).json()
    assert (len(whole["data"]), whole["has_more"]) == (3, False)
    page, seen = api.get(f"{asked}&limit=1").json(), []
    while True:
        seen += page["data"]
        if not page["has_more"]:
            break
        page = api.get(f"{asked}&limit=1&cursor={page['next_cursor']}").json()
    assert seen == whole["data"]


def test_revisions_and_refused_bars_come_in_pages_that_new_ones_do_not_shift(
    api: ApiClient, day: TradingDay
) -> None:
    def change(hours: range, source: str) -> None:
        def work(unit: Unit) -> None:
            series = unit.klines.series("binance", "BTC/USDT", "1h", unit.now_ms, kind="index")
            unit.klines.lock_series(series.id)
            told = {"covered": True, "source": source, "now_ms": unit.now_ms}
            for volume in (1, 2):
                bars = [_hour(n)._replace(volume=Decimal(volume)) for n in hours]
                unit.klines.store(series.id, bars, **told)
            bad = [BadKline(_hour(n).open_ts, ["nan"], "no price") for n in hours]
            unit.klines.quarantine(series.id, bad, source, unit.now_ms)

        day.container.bulk_units.run(work)

    for path in ("revisions", "quarantine"):
        change(range(30, 35) if path == "revisions" else range(50, 55), "first")
        asked = f"/{path}?{SERIES.replace('1m', '1h')}&kind=index&limit=2"
        page = api.get(asked).json()
        seen = page["data"]
        change(range(40, 43) if path == "revisions" else range(60, 63), "meanwhile")
        while page["has_more"]:
            page = api.get(f"{asked}&cursor={page['next_cursor']}").json()
            seen += page["data"]
        assert [each["source"] for each in seen[:5]] == ["first"] * 5
        opened = [each["open_ts"] for each in seen]
        assert len(set(opened)) == len(opened)
        assert opened[:5] == sorted(opened[:5], reverse=True)
        assert page["next_cursor"] is None


def _hour(number: int) -> KlineRow:
    return _bar(0)._replace(open_ts=START_MS + number * HOUR_MS)


def _with_start(path: str, start: int) -> str:
    """The same question with another start."""
    return path.replace(f"start={START_MS}", f"start={start}")


def test_a_revision_shows_old_and_new_and_a_refused_bar_its_reason(
    api: ApiClient, day: TradingDay
) -> None:
    def change(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms)
        unit.klines.lock_series(series.id)
        bar = _bar(9)._replace(volume=Decimal("5.5"))
        unit.klines.store(series.id, [bar], covered=True, source="rest:binance", now_ms=unit.now_ms)
        bad = BadKline(START_MS, ["1", "nan"], "a price is not above 0")
        unit.klines.quarantine(series.id, [bad], "rest:binance", unit.now_ms)

    day.container.bulk_units.run(change)
    revision = api.get(f"/revisions?{SERIES}&limit=1").json()["data"][0]
    assert revision["open_ts"] == START_MS + 9 * MINUTE
    assert (revision["old"]["volume"], revision["new"]["volume"]) == ("10.5", "5.5")
    assert revision["source"] == "rest:binance"
    (refused,) = api.get(f"/quarantine?{SERIES}").json()["data"]
    assert (refused["row"], refused["reason"]) == (["1", "nan"], "a price is not above 0")


def test_daily_figures_are_added_up(api: ApiClient, day: TradingDay) -> None:
    def verified(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms)
        for number, differed in ((1, 0), (2, 3)):
            unit.days.put(
                KlineDayRow(
                    series_id=series.id,
                    day_ts=START_MS - number * DAY_MS,
                    expected=1_440,
                    present=1_420,
                    exchange_side=10,
                    pending=10,
                    quiet=7,
                    compared=1_420,
                    differed=differed,
                    missed=5,
                    uncompared=4,
                    derived_compared=25,
                    derived_differed=0,
                    verified_at=unit.now_ms,
                )
            )

    day.container.units.run(verified)
    found = api.get(f"/quality?{SERIES}&start={START_MS - 5 * DAY_MS}&end={START_MS}").json()
    assert [each["differed"] for each in found["days"]] == [3, 0]
    assert found["success_rate"] == pytest.approx((2_840 - 10) / 2_860)
    assert (found["missed"], found["uncompared"]) == (10, 8)
    assert found["accuracy"] == pytest.approx((2_840 - 3) / (2_840 + 8))
    empty = api.get(f"/quality?{SERIES}&start=0&end=1").json()
    assert (empty["success_rate"], empty["accuracy"], empty["days"]) == (None, None, [])


def test_what_is_traded_is_told_with_coverage_and_quality(api: ApiClient, day: TradingDay) -> None:
    """Two hours of minutes are too few to judge by; the gap and its proof are told all the same."""
    day.container.collection.activity.count_named("binance", "BTC/USDT", "1m", "trade")
    for path in (f"/coverage?{SERIES}", f"/quality?{SERIES}"):
        found = api.get(path).json()["character"]
        assert (found["verdict"], found["bars"], found["uncounted"]) == ("unknown", 110, 0)
        assert found["gaps"] == {
            "count": 1,
            "bars": len(GAP),
            "longest": len(GAP),
            "proven": len(GAP),
        }
        assert found["zero_volume"] == {"count": 0, "bars": 0, "longest": 0, "flat": 0}
        assert (found["silent"], found["is_dead"]) == (None, False)
    nothing = api.get("/coverage?exchange=binance&symbol=ETH/USDT&interval=1m").json()
    assert nothing["character"] is None


def test_a_verification_is_a_job(api: ApiClient, day: TradingDay) -> None:
    """ETH/BTC is known since three days ago, two of them over; of BTC/USDT only today is."""

    def known(unit: Unit) -> None:
        series = unit.klines.series("binance", "ETH/BTC", "5m", unit.now_ms)
        three_days = Span(START_MS - 3 * DAY_MS, START_MS, CoverageState.PENDING)
        unit.coverage.save(series.id, [], [three_days])

    day.container.bulk_units.run(known)
    body = {"exchange": "binance", "symbol": "ETH/BTC", "interval": "5m", "days": 30}
    made = api.post("/verifications", json=body)
    assert made.status_code == 202, made.text
    assert made.headers["location"] == f"/api/v1/jobs/{made.json()['id']}"
    params = made.json()["params"]
    assert (params["first_day"], params["days"]) == (START_MS - 3 * DAY_MS, 2)
    assert params["skipped_days"] == 28
    again = api.post("/verifications", json={**body, "kind": "trade"})
    assert (again.status_code, again.json()["id"]) == (202, made.json()["id"]), again.text
    other = api.post("/verifications", json={**body, "days": 1, "despite_shift": True})
    assert (other.status_code, other.json()["code"]) == (409, "verification-under-way")
    unknown = api.post("/verifications", json={**body, "kind": "candle"})
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["detail"] == "use one of trade, mark, index"
    despite = api.post("/verifications", json={**body, "despite_shift": "perhaps"})
    assert despite.status_code == 422
    refused = api.post("/verifications", json={**body, "symbol": "ETH/USDT"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-input")
    early = api.post("/verifications", json={**body, "symbol": "BTC/USDT", "interval": "1m"})
    assert (early.status_code, early.json()["code"]) == (422, "nothing-to-verify")
    assert "from 2026-03-01 on" in early.json()["detail"]


def test_bars_of_the_mark_price_are_asked_for_by_their_kind(
    api: ApiClient, day: TradingDay
) -> None:
    def store(unit: Unit) -> None:
        names = ("binance", "BTC/USDT", "1m")
        series = unit.klines.series(*names, unit.now_ms, kind="mark")
        unit.klines.lock_series(series.id)
        bar = _bar(0)._replace(volume=Decimal(0))
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
        bars = [_bar(n)._replace(open_ts=START_MS + n * 5 * MINUTE) for n in range(24)]
        unit.klines.store(series.id, bars, covered=False, source="test", now_ms=unit.now_ms)

    day.container.bulk_units.run(store)
    path = "/klines?exchange=binance&symbol=ETH/USDT&interval=1h"
    assert columns(api.get(path))["open_ts"] == [START_MS, START_MS + HOUR_MS]
    assert columns(api.get(path.replace("1h", "3m")))["open_ts"] == []


EXTRA = "extra=trade_count,quote_volume"


def _tell_more(day: TradingDay, minute: int, quote: str, count: int) -> None:
    def tell(unit: Unit) -> None:
        series = unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms)
        unit.klines.lock_series(series.id)
        bar = _bar(minute)._replace(quote_volume=Decimal(quote), trade_count=count)
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
