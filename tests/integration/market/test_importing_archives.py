"""Binance's archive into the record: month by month, checked, by HTTP and from the disk."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.adapters.downloads import Downloads
from app.core.errors import InvalidInput, NotGiven, Unavailable
from app.core.market.coverage import CoverageState
from app.services.importing import ImportOrder
from tests.integration.market.importing import DAY, Importing
from tests.support.record import record

H = 3_600_000
PRESENT = CoverageState.PRESENT
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


def test_a_host_that_does_not_give_one_file_is_not_asked_for_every_other(here: Importing) -> None:
    """Of three days, as it wants a password for the first."""

    def refuse(url: str) -> None:
        raise NotGiven(f"{url} was answered with HTTP 401: the host does not give it")

    here.archive.calls = refuse
    job = here.finished(order(JANUARY, JANUARY + 3 * DAY))
    assert (job.state, (job.error or {})["code"]) == ("failed", "not-given")
    assert len(here.archive.asked) == 1


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


def test_a_file_that_was_damaged_on_its_way_is_told_by_its_own_name(tmp_path: Path) -> None:
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        world = Importing(engine, tmp_path, fetcher=Downloads(loopback_only=True))
        publish(world, "2026-01", 24, JANUARY, checksum="0" * 64)
        for url, content in world.archive.files.items():
            path = tmp_path / "site" / url.removeprefix(f"{BASE}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        with serving(tmp_path / "site") as base:
            job = world.finished(replace(order(JANUARY, JANUARY + 31 * DAY), source=base))
    (left,) = (job.result or {})["left_out"]
    assert left["reason"] == (
        "BTCUSDT-1h-2026-01.zip is not what its checksum says: it was damaged on its way; import "
        "again"
    )
    assert [each for each in (tmp_path / "fetched").rglob("*") if each.is_file()] == []


def test_a_host_beyond_this_machine_is_refused_beside_a_simulated_exchange(tmp_path: Path) -> None:
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        fetcher = Downloads(loopback_only=True)
        world = Importing(engine, tmp_path, fetcher=fetcher)
        with pytest.raises(InvalidInput, match="is not this machine"):
            world.jobs.start(order(JANUARY, JANUARY + DAY))
        # Nor where the job was made beside another one.
        with pytest.raises(InvalidInput, match="is not this machine"):
            fetcher.fetch(f"{BASE}/a.zip", tmp_path, 1.0)


def test_an_archive_without_encryption_is_refused_before_a_job_is_made(tmp_path: Path) -> None:
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        world = Importing(engine, tmp_path, fetcher=Downloads(loopback_only=False))
        with pytest.raises(InvalidInput, match="must begin with https"):
            world.jobs.start(replace(order(JANUARY, JANUARY + DAY), source="http://example.com"))
        with world.units.read() as unit:
            assert unit.jobs.page(10, None).rows == []


def test_an_archive_that_has_none_of_the_files_fails_the_import(here: Importing) -> None:
    """A symbol that it does not know looks no better than a success without a row."""
    job = here.finished(order(JANUARY, JANUARY + 3 * DAY))
    assert (job.state, (job.error or {})["code"]) == ("failed", "nothing-there")
    assert "not one file of BTC/USDT 1h" in (job.error or {})["message"]
    assert "3 asked for, BTCUSDT-1h-2026-01-01.zip first" in (job.error or {})["message"]
