"""Files into the record: exactly what they hold, once, and accounted for."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.adapters.downloads import Downloads
from app.core.errors import InvalidInput, Unavailable
from app.core.market.coverage import CoverageState
from app.core.market.klines import KlineRow
from app.repositories.points import Point
from app.services.importing import ImportOrder
from app.services.importing import jobs as import_jobs
from tests.integration.market.importing import DAY, NOW, Importing
from tests.support.catalogue import instrument
from tests.support.record import START_MS, CountingIds, record

M = 60_000
T = START_MS
H = 60 * M
D = Decimal
PRESENT = CoverageState.PRESENT


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[Importing]:
    """On both databases."""
    with record(database_url, local_infile=True) as engine:
        yield Importing(engine, tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Importing]:
    """On SQLite, for what no database decides."""
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        yield Importing(engine, tmp_path)


def line(ts: int, price: object = 100, volume: object = 7) -> str:
    return f"{ts},{price},{price},{price},{price},{volume}\n"


def bar(ts: int, price: object = 100, volume: object = 7) -> KlineRow:
    return KlineRow(ts, *[D(str(price))] * 4, D(str(volume)))


def file(folder: Path, *lines: str, name: str = "bars.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path


def walk(minutes: range, start: int = T) -> list[str]:
    """Bars of prices that tell each from its neighbours."""
    return [line(start + n * M, f"{100 + n % 97}.{n % 89:02d}", n % 13 + 1) for n in minutes]


def test_what_the_file_states_is_what_is_stored(world: Importing, tmp_path: Path) -> None:
    lines = [line(T, "0.10", 1), line(T + M, "1e-05", 0), line(T + 3 * M, "7.5000", "0.0")]
    result = world.result(file(tmp_path, *lines), "BTC/USDT", "1m")
    expected = [bar(T, "0.1", 1), bar(T + M, "0.00001", 0), bar(T + 3 * M, "7.5", 0)]
    assert world.stored("BTC/USDT") == expected
    (series,) = result["series"]
    assert (series["new"], series["first"], series["last"]) == (3, T, T + 3 * M)
    gap = [T + 2 * M, T + 3 * M, 1]
    assert series["gaps"] == {"count": 1, "bars": 1, "longest": 1, "ranges": [gap]}
    assert series["zero_volume"]["ranges"] == [[T + M, T + 2 * M, 1], [T + 3 * M, T + 4 * M, 1]]
    # A gap in a file is no proof: the venue is still to be asked.
    assert world.spans("BTC/USDT") == [(T, T + 2 * M, PRESENT), (T + 3 * M, T + 4 * M, PRESENT)]
    assert world.events.on("market.kline.binance") == [
        {
            "schema": "klines.v1", "kind": "trade", "exchange": "binance",
            "symbol": "BTC/USDT", "interval": "1m",
            "first": T, "last": T + 3 * M, "count": 3,
        }
    ]  # fmt: skip


def test_a_file_imported_twice_changes_nothing_and_says_so(
    world: Importing, tmp_path: Path
) -> None:
    path = file(tmp_path, *walk(range(500)), line(T + 500 * M, -1))
    first = world.result(path, "BTC/USDT", "1m")
    bars, spans = world.stored("BTC/USDT"), world.spans("BTC/USDT")
    world.events.sent.clear()
    again = world.result(path, "BTC/USDT", "1m")
    assert (first["new"], first["bad"], first["quarantined"]) == (500, 1, 1)
    assert (again["new"], again["revised"], again["unchanged"]) == (0, 0, 500)
    assert (again["bad"], again["quarantined"]) == (1, 0)
    assert (world.stored("BTC/USDT"), world.spans("BTC/USDT")) == (bars, spans)
    assert world.events.on("market") == []


def test_a_bar_that_differs_is_revised_and_both_are_kept(world: Importing, tmp_path: Path) -> None:
    world.result(file(tmp_path, *walk(range(100))), "BTC/USDT", "1m")
    lines = walk(range(120))
    lines[40] = line(T + 40 * M, "140.40", "26.4")
    result = world.result(file(tmp_path, *lines, name="b.csv"), "BTC/USDT", "1m")
    assert (result["new"], result["revised"], result["unchanged"]) == (20, 1, 99)
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", "BTC/USDT", "1m")
        assert series is not None
        (revision,) = unit.klines.revisions(series.id)
    assert (revision.open_ts, revision.source) == (T + 40 * M, "file:b.csv")
    assert (revision.old["volume"], revision.new["volume"]) == ("2", "26.4")


def test_nothing_bad_is_stored_and_nothing_is_dropped(here: Importing, tmp_path: Path) -> None:
    bad = {
        line(T + 30_000): "its open time is not on the grid of 1m",
        line(T + 2 * M, "abc"): "'abc' is not a number",
        line(T + 3 * M, ""): "a number is missing",
        line(T + 4 * M, "nan"): "amount was NaN, which is not a finite number",
        line(T + 5 * M, 100, -1): "a volume or the trade count is negative",
        line(T + 1 * M, 101): "its open time is not above the one before it",
        line(NOW + DAY): "it opens in the future",
    }
    lines = walk(range(2)) + list(bad) + walk(range(10, 40))
    lines.append(line(T + 1 * M, "101.01", 2))
    result = here.result(file(tmp_path, *lines), "BTC/USDT", "1m")
    (series,) = result["series"]
    assert (series["rows"], series["new"], series["bad"]) == (len(lines), 32, 8)
    assert series["duplicates"] == {"same": 1, "differing": 1}
    assert series["off_grid"] == 1
    with here.units.read() as unit:
        found = unit.klines.find_series("binance", "BTC/USDT", "1m")
        assert found is not None
        kept = unit.klines.quarantined(found.id)
    assert {entry.reason for entry in kept} == set(bad.values())
    assert {entry.source for entry in kept} == {"file:bars.csv"}


def test_the_present_bar_is_left_out_until_it_has_closed(here: Importing, tmp_path: Path) -> None:
    path = file(tmp_path, line(NOW - M), line(NOW))
    (series,) = here.result(path, "BTC/USDT", "1m")["series"]
    assert (series["new"], series["unfinished"]) == (0, 2)  # the first has no grace yet


def test_rows_that_no_reading_explains_are_refused_whole(here: Importing, tmp_path: Path) -> None:
    path = file(tmp_path, *walk(range(100)))
    with pytest.raises(InvalidInput, match=r"100 of 100 rows of bars.csv cannot be bars"):
        here.finished(ImportOrder(str(path), "binance", "BTC/USDT", "5m", columns={
            "ts": "0", "open": "1", "high": "5", "low": "3", "close": "4", "volume": "2"
        }))  # fmt: skip
    assert here.stored("BTC/USDT", "5m") == []


def test_a_series_off_by_an_hour_is_told_and_kept_out(world: Importing, tmp_path: Path) -> None:
    world.result(file(tmp_path, *walk(range(600))), "ETH/BTC", "1m")
    before = world.stored("ETH/BTC")
    late = file(tmp_path, *walk(range(600), T - H), name="late.csv")
    job = world.finished(ImportOrder(str(late), "binance", "ETH/BTC", "1m"))
    assert (job.state, (job.error or {})["code"]) == ("failed", "shifted")
    assert "are 1 h behind the same bars as they are stored" in (job.error or {})["message"]
    assert "--utc-offset -01:00" in (job.error or {})["message"]
    assert job.result is not None
    assert job.result["shifts"] == [
        {"file": "late.csv", "series": ["binance", "ETH/BTC", "1m", "trade"], "shift_ms": -H}
    ]
    assert world.stored("ETH/BTC") == before
    healed = world.result(late, "ETH/BTC", "1m", utc_offset_ms=-H)
    assert (healed["unchanged"], healed["new"], healed["revised"]) == (600, 0, 0)


def test_many_real_corrections_are_no_shift(here: Importing, tmp_path: Path) -> None:
    here.result(file(tmp_path, *walk(range(100))), "BTC/USDT", "1m")
    other = [line(T + n * M, f"{500 + n % 7}.5") for n in range(100)]
    result = here.result(file(tmp_path, *other, name="b.csv"), "BTC/USDT", "1m")
    assert (result["revised"], result["new"]) == (100, 0)


def test_a_run_without_volume_goes_on_over_the_end_of_a_chunk(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    """Chunks of a hundred bars; runs of 3, of 120 over two chunks' ends, and of 5 at the end."""
    idle = [*range(10, 13), *range(90, 210), *range(295, 300)]
    lines = [line(T + n * M, 100, 0 if n in idle else 7) for n in range(300)]
    told = {"count": 3, "bars": 128, "longest": 120}
    for number, rows in enumerate((lines, lines[::-1])):
        path = file(tmp_path, *rows, name=f"{number}.csv")
        (found,) = here.result(path, f"IDLE{number}/USDT", "1m")["series"]
        runs = found["zero_volume"]
        assert {name: runs[name] for name in told} == told
        assert [T + 90 * M, T + 210 * M, 120] in runs["ranges"]
        assert "ends" not in runs


def test_a_complete_file_proves_what_it_lacks(world: Importing, tmp_path: Path) -> None:
    lines = [*walk(range(5)), line(T + 6 * M, "abc"), *walk(range(8, 10))]
    world.result(file(tmp_path, *lines), "BTC/USDT", "1m", complete=True)
    assert world.spans("BTC/USDT") == [
        (T, T + 5 * M, PRESENT),
        (T + 5 * M, T + 6 * M, CoverageState.EXCHANGE_SIDE),
        # What came and was bad may exist: it stays to be asked for.
        (T + 7 * M, T + 8 * M, CoverageState.EXCHANGE_SIDE),
        (T + 8 * M, T + 10 * M, PRESENT),
    ]
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", "BTC/USDT", "1m")
        assert series is not None
        proof = unit.coverage.spans(series.id)[1].proof
    assert proof == {"proof": "file", "file": "bars.csv", "seen_at": NOW}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Chunks of a hundred bars, so that a small file has many."""
    from app.core.market.files import reading

    whole = reading.rechunked
    monkeypatch.setattr(reading, "rechunked", lambda parts: whole(parts, 100))
    return 100


def test_a_file_that_descends_is_as_good(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    lines = [*walk(range(120)), *walk(range(130, 450))]
    (up,) = here.result(file(tmp_path, *lines), "UP/USDT", "1m")["series"]
    (down,) = here.result(file(tmp_path, *reversed(lines), name="down.csv"), "DOWN/USDT", "1m")[
        "series"
    ]
    assert here.stored("UP/USDT") == here.stored("DOWN/USDT")
    assert {**up, "symbol": ""} == {**down, "symbol": ""}
    assert (up["gaps"]["ranges"], up["bad"]) == ([[T + 120 * M, T + 130 * M, 10]], 0)


def test_a_slice_that_ends_goes_on_behind_its_last_chunk(
    world: Importing, tmp_path: Path, small_chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    file(folder, *walk(range(450)), name="BTC_USDT-1m.json")
    for name, minutes in (("BTC_USDT-1m", range(450)), ("ETH_USDT-1m", range(7, 250))):
        rows = ",".join(f"[{text.strip()}]" for text in walk(minutes))
        file(folder, f"[{rows}]", name=f"{name}.json")
    world.clock.cost_s = 15.0
    job = world.jobs.start(ImportOrder(str(folder), "binance"))
    states = []
    while (state := world.jobs.run(job.id)) == "queued":
        states.append(state)
    assert len(states) >= 3
    assert world.hints.sent[0] == ("collection.import_files", job.id)
    done = world.driven(job.id)
    assert (done.state, (done.result or {})["rows"], (done.result or {})["new"]) == (
        "succeeded",
        693,
        693,
    )
    assert [len(world.stored(f"{name}/USDT")) for name in ("BTC", "ETH")] == [450, 243]


def test_a_job_that_is_cancelled_ends_after_its_chunk(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    path = file(tmp_path, *walk(range(450)))
    job = here.jobs.start(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    here.units.run(lambda unit: setattr(unit.jobs.lock(job.id), "cancel_requested", True))
    assert here.jobs.run(job.id) == "cancelled"
    assert here.stored("BTC/USDT") == []
    assert here.jobs.run(job.id) == "not_claimed"


def test_a_file_that_is_gone_when_its_turn_comes_fails_the_job(
    here: Importing, tmp_path: Path
) -> None:
    path = file(tmp_path, *walk(range(5)))
    job = here.jobs.start(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    path.unlink()
    done = here.driven(job.id)
    assert (done.state, (done.error or {})["code"]) == ("failed", "invalid-input")
    assert "bars.csv does not exist" in (done.error or {})["message"]


def test_a_file_that_has_changed_is_read_from_its_beginning(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    path = file(tmp_path, *walk(range(300)))
    here.clock.cost_s = 50.0
    job = here.jobs.start(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    assert here.jobs.run(job.id) == "queued"
    file(tmp_path, *walk(range(400)))
    result = here.driven(job.id).result
    assert result is not None
    assert (result["rows"], result["new"], result["unchanged"]) == (400, 300, 100)


def test_a_directory_is_read_by_the_names_in_it(here: Importing, tmp_path: Path) -> None:
    rows = ",".join(f"[{text.strip()}]" for text in walk(range(5)))
    for name in (
        "BTC_USDT-1m.json",
        "ETH_USDT-5m.json",
        "futures/XRP_USDT_USDT-8h-funding_rate.json",
    ):
        texts = {"5m": f"[[{T},1,1,1,1,1]]", "8h": f"[[{T + 7},0.0001],[{T + 8 * H},-0.0003]]"}
        text = next((texts[part] for part in texts if part in name), f"[{rows}]")
        file(tmp_path / "data", text, name=name)
    file(tmp_path / "data", "notes", name="README.md")
    result = here.result(tmp_path / "data")
    assert [(each["symbol"], each["interval"], each["new"]) for each in result["series"]] == [
        ("BTC/USDT", "1m", 5),
        ("ETH/USDT", "5m", 1),
    ]
    assert result["skipped"] == [["README.md", "its name is not that of market data"]]
    (funding,) = result["funding"]
    assert (funding["symbol"], funding["rows"], funding["new"]) == ("XRP/USDT:USDT", 2, 2)
    assert result["new"] == 5 + 1 + 2
    assert result["series"][0]["in_catalogue"] is False


def test_a_payment_that_is_stored_keeps_its_time_and_its_mark_price(
    world: Importing, tmp_path: Path
) -> None:
    """The venue was asked for three; the file has them milliseconds beside, one with another rate,
    one twice, one more, and one in the future."""
    known = [Point(T + n * 8 * H + 3, D("0.0001"), D(50_000 + n)) for n in range(3)]
    with world.units.write() as unit:
        names = ("binanceusdm", "BTC/USDT:USDT", "funding", "")
        stored = unit.points.series(*names, 1)
        unit.points.store(stored.id, known, "rest:binanceusdm", 1)
        stored.next_ts = known[-1].ts + 1
    lines = [
        f"{T},0.0001\n",
        f"{T + 8 * H + 11},0.0002\n",
        f"{T + 16 * H + 3},0.0001\n",
        f"{T + 16 * H + 9},0.0003\n",
        f"{T + 32 * H},-0.0004\n",
        f"{NOW + DAY},0.0001\n",
    ]
    path = file(tmp_path, "ts,rate\n", *lines, name="rates.csv")
    result = world.result(path, "BTC/USDT:USDT", exchange="binanceusdm", funding=True)
    (found,) = result["funding"]
    assert (found["rows"], found["new"], found["unchanged"], found["revised"]) == (6, 1, 2, 1)
    assert (found["outside"], found["duplicates"]) == (1, {"same": 0, "differing": 1})
    assert (found["hours_apart"], found["gaps"]["bars"]) == (8, 1)
    with world.units.read() as unit:
        series = unit.points.find_series(*names)
        assert series is not None
        assert unit.points.read(series.id, 0, 1 << 62, 10) == [
            known[0],
            known[1]._replace(value=D("0.0002")),
            known[2],
            Point(T + 32 * H, D("-0.0004"), None),
        ]
        (revision,) = unit.points.revisions(series.id)
        assert (revision.old["value"], revision.new["value"]) == ("0.0001", "0.0002")
        # A plan goes on where the venue's answers ended, not where the file's.
        assert series.next_ts == known[-1].ts + 1


def test_a_folder_of_many_markets_gives_the_one_that_is_asked_for(
    here: Importing, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "spot" / "monthly" / "klines"
    for native in ("BTCUSDT", "ETHUSDT"):
        text = f"{T},100,101,99,100,7,{T + M - 1},700,3,1,1,0\n"
        file(folder / native / "1m", text, name=f"{native}-1m-2026-03.csv")
    result = here.result(tmp_path / "data", "ETH/USDT")
    assert [each["symbol"] for each in result["series"]] == ["ETH/USDT"]
    assert result["skipped"] == [["BTCUSDT-1m-2026-03.csv", "it is of another series"]]
    with pytest.raises(InvalidInput, match=r"BTCUSDT-1m-2026-03.csv does not say .* give --symbol"):
        here.result(tmp_path / "data")
    here.units.run(
        lambda unit: unit.instruments.refresh(
            "binance", [instrument("BTC/USDT"), instrument("ETH/USDT")], CountingIds().new, T
        )
    )
    both = here.result(tmp_path / "data")
    assert [each["symbol"] for each in both["series"]] == ["BTC/USDT", "ETH/USDT"]
    assert both["series"][0]["in_catalogue"] is True


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        ({"source": "/nowhere"}, "does not exist; give a file, a directory or a URL"),
        ({"symbol": ""}, "does not say what it holds; give --symbol and --interval"),
        ({"symbol": "BTCUSDT", "interval": "1m"}, "write it as in BTC/USDT"),
        ({"symbol": "BTC/USDT", "interval": "7m"}, "interval '7m' is not known"),
        ({"symbol": "BTC/USDT", "interval": "1m", "kind": "last"}, "kind was 'last'"),
        ({"symbol": "BTC/USDT", "interval": "1m", "exchange": "Big Exchange"}, "write its id"),
        ({"source": "https://data.binance.vision"}, "needs --symbol, --interval and --start"),
    ],
)
def test_an_order_that_cannot_work_is_refused_at_once(
    here: Importing, tmp_path: Path, order: dict[str, str], sentence: str
) -> None:
    path = file(tmp_path, *walk(range(3)))
    with pytest.raises(InvalidInput, match=sentence):
        here.jobs.start(ImportOrder(**{"source": str(path), "exchange": "binance", **order}))  # type: ignore[arg-type]
    with here.units.read() as unit:
        assert unit.jobs.page(10, None).rows == []


# -- Binance's archive --------------------------------------------------------------------

BASE = "https://archive.test"
# 2026-01-01T00:00Z
JANUARY = 1_767_225_600_000


def publish(world: Importing, period: str, bars: int, start: int, *, checksum: str = "") -> str:
    """Put a zip of bars and its checksum into the archive; its URL."""
    folder = "monthly" if period.count("-") == 1 else "daily"
    name = f"BTCUSDT-1h-{period}"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        lines = (
            f"{start + n * H},100,101,99,100.5,7,{start + n * H + H - 1},700,3,1,1,0\n"
            for n in range(bars)
        )
        archive.writestr(f"{name}.csv", "".join(lines))
    url = f"{BASE}/data/spot/{folder}/klines/BTCUSDT/1h/{name}.zip"
    world.archive.files[url] = packed.getvalue()
    digest = checksum or hashlib.sha256(packed.getvalue()).hexdigest()
    world.archive.files[f"{url}.CHECKSUM"] = f"{digest}  {name}.zip\n".encode()
    return url


def order(start: int, end: int) -> ImportOrder:
    return ImportOrder(BASE, "binance", "BTC/USDT", "1h", start=start, end=end)


def test_an_archive_is_read_month_by_month_and_then_day_by_day(here: Importing) -> None:
    publish(here, "2026-01", 31 * 24, JANUARY)
    publish(here, "2026-02-01", 24, JANUARY + 31 * DAY)
    publish(here, "2026-02-02", 24, JANUARY + 32 * DAY)
    job = here.finished(order(JANUARY, JANUARY + 34 * DAY))
    assert job.state == "succeeded"
    assert job.result is not None
    assert job.result["new"] == 33 * 24
    assert job.result["absent"] == ["BTCUSDT-1h-2026-02-03.zip"]
    assert here.spans("BTC/USDT", "1h") == [(JANUARY, JANUARY + 33 * DAY, PRESENT)]
    assert here.stored("BTC/USDT", "1h")[0].trade_count == 3
    # What is stored is not fetched again: of January the month alone was.
    assert [name for name in here.archive.asked if "2026-01" in name] == [
        "BTCUSDT-1h-2026-01.zip",
        "BTCUSDT-1h-2026-01.zip.CHECKSUM",
    ]
    here.archive.asked.clear()
    here.finished(order(JANUARY, JANUARY + 33 * DAY))
    assert here.archive.asked == []


@pytest.mark.parametrize("what", ["another", "none"])
def test_a_file_that_is_not_what_its_checksum_says_is_refused(here: Importing, what: str) -> None:
    url = publish(here, "2026-01", 31 * 24, JANUARY, checksum="0" * 64)
    if what == "none":
        del here.archive.files[f"{url}.CHECKSUM"]
    job = here.finished(order(JANUARY, JANUARY + 31 * DAY))
    assert job.state == "failed"
    assert "checksum" in (job.error or {})["message"]
    assert here.stored("BTC/USDT", "1h") == []


def test_a_local_archive_is_held_to_the_checksums_that_lie_beside(
    here: Importing, tmp_path: Path
) -> None:
    url = publish(here, "2026-01", 31 * 24, JANUARY)
    path = tmp_path / "BTCUSDT-1h-2026-01.zip"
    path.write_bytes(here.archive.files[url])
    beside = tmp_path / "BTCUSDT-1h-2026-01.zip.CHECKSUM"
    beside.write_text("0" * 64)
    wanted = ImportOrder(str(path), "binance", "BTC/USDT")
    with pytest.raises(InvalidInput, match="is not what its checksum says"):
        here.jobs.start(wanted)
    beside.write_bytes(here.archive.files[f"{url}.CHECKSUM"])
    assert here.finished(wanted).state == "succeeded"
    assert len(here.stored("BTC/USDT", "1h")) == 31 * 24


def test_an_archive_that_is_away_is_asked_again_later(here: Importing) -> None:
    publish(here, "2026-01", 31 * 24, JANUARY)
    failures = [Unavailable("away"), Unavailable("away")]

    def calls(_url: str) -> None:
        if failures:
            raise failures.pop()

    here.archive.calls = calls
    job = here.jobs.start(order(JANUARY, JANUARY + 31 * DAY))
    assert here.jobs.run(job.id) == "queued"
    with here.units.read() as unit:
        waiting = unit.jobs.get(job.id)
    assert waiting.not_before > here.clock.now
    assert waiting.error == {"code": "unavailable", "message": "away"}
    assert here.driven(job.id).state == "succeeded"
    assert len(here.stored("BTC/USDT", "1h")) == 31 * 24


def test_an_archive_by_http_comes_in_whole(tmp_path: Path) -> None:
    """Everything for real but the host: files, checksums, absent days and all."""
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        world = Importing(engine, tmp_path, fetcher=Downloads(loopback_only=True))
        publish(world, "2026-01", 31 * 24, JANUARY)
        publish(world, "2026-02-02", 24, JANUARY + 32 * DAY)
        for url, content in world.archive.files.items():
            path = tmp_path / "site" / url.removeprefix(f"{BASE}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        with serving(tmp_path / "site") as base:
            wanted = replace(order(JANUARY, JANUARY + 33 * DAY), source=base)
            job = world.finished(wanted)
        assert (job.state, job.error) == ("succeeded", None)
        assert job.result is not None
        assert job.result["new"] == 32 * 24
        assert job.result["absent"] == ["BTCUSDT-1h-2026-02-01.zip"]
        (series,) = job.result["series"]
        assert series["gaps"]["ranges"] == [[JANUARY + 31 * DAY, JANUARY + 32 * DAY, 24]]
        assert [each for each in (tmp_path / "fetched").rglob("*") if each.is_file()] == []


def test_a_host_beyond_this_machine_is_refused_beside_a_simulated_exchange(tmp_path: Path) -> None:
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        world = Importing(engine, tmp_path, fetcher=Downloads(loopback_only=True))
        job = world.finished(order(JANUARY, JANUARY + DAY))
        assert job.state == "failed"
        assert "is not this machine" in (job.error or {})["message"]


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A folder on loopback; its URL."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *options: Any) -> None:
            super().__init__(*options, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_job_names_its_task() -> None:
    from app.services.jobs import TASKS

    assert TASKS[import_jobs.KIND] == import_jobs.TASK
