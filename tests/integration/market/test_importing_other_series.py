"""Files of another market than the series that they are imported into, as a folder of them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from app.models import JobRow
from app.services.importing import ImportOrder
from tests.integration.market.importing import DAY, Importing, file, line
from tests.support.record import START_MS

T = START_MS
M = 60_000
H = 60 * M
BASE = "https://archive.test"


def hours(day: int, price: int) -> list[str]:
    """The bars of a day of March 2026 as an archive has them; each has its own price."""
    start = T + (day - 1) * DAY
    return [
        f"{start + n * H},{p},{p},{p},{p},7,{start + n * H + H - 1},700,3,1,1,0\n"
        for n in range(24)
        for p in [price + (n * 7 + day) % 23]
    ]


def trades(day: int, price: int) -> list[str]:
    """A trade in each minute of a day."""
    start = T + (day - 1) * DAY
    return [
        f"{day * 10_000 + n},{price + n % 7},1,0,{start + n * M},true,true\n" for n in range(1_440)
    ]


def archive(folder: Path, days: range, price: int, what: str = "1h") -> Path:
    for day in days:
        rows = hours(day, price) if what == "1h" else trades(day, price)
        file(folder, *rows, name=f"BTCUSDT-{what}-2026-03-{day:02d}.csv")
    return folder


def published(world: Importing, days: range, price: int) -> None:
    """The same days by URL."""
    for day in days:
        name = f"BTCUSDT-1h-2026-03-{day:02d}"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as zipped:
            zipped.writestr(f"{name}.csv", "".join(hours(day, price)))
        url = f"{BASE}/data/spot/daily/klines/BTCUSDT/1h/{name}.zip"
        digest = hashlib.sha256(packed.getvalue()).hexdigest()
        world.archive.files[url] = packed.getvalue()
        world.archive.files[f"{url}.CHECKSUM"] = f"{digest}  {name}.zip\n".encode()


def asked(world: Importing, source: Path | str, **more: object) -> JobRow:
    return world.finished(ImportOrder(str(source), "okx", "BTC/USDT", "1h", **more))  # type: ignore[arg-type]


def stored(world: Importing) -> list[tuple[int, int]]:
    """Day of March, and price in thousands, of every stored bar's day."""
    bars = world.stored("BTC/USDT", "1h", "okx")
    return sorted({((row.open_ts - T) // DAY + 1, int(row.close) // 1_000) for row in bars})


@pytest.mark.parametrize("what", ["1h", "trades"])
def test_of_another_markets_folder_no_file_comes_in(
    world: Importing, tmp_path: Path, what: str
) -> None:
    """The 3rd is stored; of the folder's 1st to 5th none but the 3rd meets it."""
    asked(world, archive(tmp_path / "right", range(3, 4), 2_000, what))
    job = asked(world, archive(tmp_path / "wrong", range(1, 6), 7_000, what))
    assert (job.state, (job.error or {})["code"]) == ("failed", "files-left-out")
    assert stored(world) == [(3, 2)]
    left = (job.result or {})["left_out"]
    name = f"BTCUSDT-{what}-2026-03-0"
    assert [each["file"] for each in left] == [f"{name}{day}.csv" for day in range(1, 6)]
    assert {each["code"] for each in left} == {"contradicted"}
    assert (
        left[0]["reason"] == f"{name}3.csv, a file of the same series, contradicts what is stored"
    )
    # Of trades the last bar ends with the next file, or with the import.
    count = 24 if what == "1h" else 23
    assert f"contradicts {count} of the {count} bars of BTC/USDT 1h" in left[2]["reason"]
    # It is that market, and what is stored is wrong.
    right = asked(world, tmp_path / "wrong", revise=True)
    assert right.state == "succeeded"
    assert stored(world) == [(day, 7) for day in range(1, 6)]


@pytest.mark.parametrize("what", ["1h", "trades"])
def test_the_days_around_those_that_are_stored_come_in(
    here: Importing, tmp_path: Path, what: str
) -> None:
    folder = archive(tmp_path / "data", range(3, 4), 2_000, what)
    asked(here, folder)
    job = asked(here, archive(folder, range(1, 6), 2_000, what))
    assert (job.state, job.error) == ("succeeded", None)
    result = job.result or {}
    # Trades make whole bars alone, and those of a day's archive are.
    assert (result["new"], result["unchanged"], result["left_out"]) == (96, 24, [])


def test_files_without_a_period_are_told_by_their_times(here: Importing, tmp_path: Path) -> None:
    def days(folder: str, price: int, *which: int) -> Path:
        for day in which:
            rows = [",".join(row.split(",")[:6]) + "\n" for row in hours(day, price)]
            file(tmp_path / folder, *rows, name=f"part{day}.csv")
        return tmp_path / folder

    asked(here, days("right", 2_000, 3))
    job = asked(here, days("wrong", 7_000, 1, 2, 3, 4))
    assert stored(here) == [(3, 2)]
    assert len((job.result or {})["left_out"]) == 4


def test_a_folder_in_another_zones_time_stays_out_whole(here: Importing, tmp_path: Path) -> None:
    """Each file has a day of minutes; the second alone meets stored ones, an hour late."""

    def minutes(first: int, late: int) -> list[str]:
        return [
            line(T + (n + late) * M, f"{100 + n * 37 % 97}.{n * 53 % 89:02d}")
            for n in range(first, first + 1_440)
        ]

    def imported(path: Path, **more: bool) -> JobRow:
        return here.finished(ImportOrder(str(path), "okx", "BTC/USDT", "1m", **more))  # type: ignore[arg-type]

    imported(file(tmp_path, *minutes(1_440, 0)))
    before = here.stored("BTC/USDT", exchange="okx")
    for number in range(2):
        file(tmp_path / "late", *minutes(number * 1_440 + 60, 60), name=f"part{number}.csv")
    file(tmp_path / "late", *minutes(-1_440, 60), name="part-.csv")
    job = imported(tmp_path / "late")
    assert (job.state, (job.error or {})["code"]) == ("failed", "shifted")
    assert here.stored("BTC/USDT", exchange="okx") == before
    result = job.result or {}
    assert ([each["file"] for each in result["shifts"]], len(result["left_out"])) == (
        ["part0.csv"], 2,
    )  # fmt: skip
    done = imported(tmp_path / "late", despite_shift=True)
    assert (done.state, done.error) == ("succeeded", None)


@pytest.mark.parametrize("is_partly", [False, True])
def test_of_an_archive_by_url_the_file_that_tells_is_fetched_first_and_once(
    here: Importing, tmp_path: Path, is_partly: bool
) -> None:
    right = archive(tmp_path / "right", range(3, 4), 2_000)
    asked(here, right, start=T + 2 * DAY + (5 * H if is_partly else 0))
    published(here, range(1, 6), 7_000)
    by_url = {"start": T, "end": T + 5 * DAY}
    job = asked(here, BASE, **by_url)
    assert (job.state, (job.error or {})["code"]) == ("failed", "files-left-out")
    assert stored(here) == [(3, 2)]
    third = "BTCUSDT-1h-2026-03-03.zip"
    assert [name for name in here.archive.asked if "-03-" in name] == [third, f"{third}.CHECKSUM"]
    assert not list((tmp_path / "fetched").rglob("*.zip"))
    # Of its own market every file is fetched once.
    here.archive.asked.clear()
    published(here, range(1, 6), 2_000)
    here.clock.cost_s = 25.0
    job = asked(here, BASE, **by_url)
    assert (job.state, job.error) == ("succeeded", None)
    assert stored(here) == [(day, 2) for day in range(1, 6)]
    daily = [name for name in here.archive.asked if name.endswith(".zip") and "-03-" in name]
    assert daily == [f"BTCUSDT-1h-2026-03-0{day}.zip" for day in (3, 1, 2, 4, 5)]
    assert not list((tmp_path / "fetched").rglob("*.zip"))


@pytest.mark.parametrize("price", [2_000, 7_000])
def test_a_job_that_is_cut_after_the_look_goes_on_with_what_it_told(
    here: Importing, tmp_path: Path, price: int
) -> None:
    asked(here, archive(tmp_path / "right", range(3, 4), 2_000))
    here.clock.cost_s = 50.0
    job = asked(here, archive(tmp_path / "data", range(1, 6), price))
    if price == 2_000:
        assert (job.state, job.error) == ("succeeded", None)
        assert stored(here) == [(day, 2) for day in range(1, 6)]
    else:
        assert (job.state, stored(here)) == ("failed", [(3, 2)])
        assert [each["file"][-6:] for each in (job.result or {})["left_out"]] == [
            f"{day:02d}.csv" for day in range(1, 6)
        ]


def test_a_file_that_cannot_be_looked_at_says_nothing_of_the_others(
    here: Importing, tmp_path: Path
) -> None:
    """The 3rd is broken; the 4th tells that the folder is of another market."""
    asked(here, archive(tmp_path / "right", range(3, 5), 2_000))
    folder = archive(tmp_path / "wrong", range(1, 6), 7_000)
    (folder / "BTCUSDT-1h-2026-03-03.csv").write_text("broken\n")
    job = asked(here, folder)
    assert stored(here) == [(3, 2), (4, 2)]
    left = (job.result or {})["left_out"]
    assert "BTCUSDT-1h-2026-03-04.csv contradicts 24 of the 24" in left[3]["reason"]
    assert len(left) == 5
