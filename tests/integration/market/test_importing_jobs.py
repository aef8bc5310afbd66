"""The job of an import: taken up again, cancelled, failed, and refused before it begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import Conflict, InvalidInput
from app.services.importing import ImportOrder
from app.services.importing import jobs as import_jobs
from app.services.importing.account import at_file, progress_of
from app.services.jobs import JobService
from tests.integration.market.importing import Importing, file, walk
from tests.support.record import START_MS

M = 60_000
T = START_MS


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


def test_a_job_that_rests_keeps_what_came_in_and_goes_on_behind_it(
    world: Importing, tmp_path: Path, small_chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused while its second chunk is read: that one is read again, the first one is not."""
    path = file(tmp_path, *walk(range(450)))
    job_id = world.jobs.start(ImportOrder(str(path), "binance", "BTC/USDT", "1m")).id
    jobs = JobService(world.units, world.hints, world.clock, world.ids)
    with monkeypatch.context() as patched:
        patched.setattr(import_jobs, "ahead", paused_behind(1, lambda: jobs.pause(job_id)))
        assert world.jobs.run(job_id) == "queued"
    assert len(world.stored("BTC/USDT")) == 100
    world.hints.sent.clear()
    assert jobs.sweep() == 0, "nobody is asked to work on it"
    assert world.jobs.run(job_id) == "not_claimed"
    jobs.resume(job_id)
    assert world.hints.sent == [("collection.import_files", job_id)]
    result = world.driven(job_id).result or {}
    assert (result["rows"], result["new"], result["unchanged"]) == (450, 450, 0)


def paused_behind(count: int, pause: Callable[[], object]) -> Callable[[Iterable[Any]], Any]:
    """Gives what it is given, and has the job paused behind so many chunks."""

    def chunks(found: Iterable[Any]) -> Iterator[Any]:
        for number, chunk in enumerate(found):
            if number == count:
                pause()
            yield chunk

    return chunks


def test_an_import_that_ended_before_its_end_is_tried_again(
    world: Importing, tmp_path: Path
) -> None:
    """Its first file is stored by then and told as unchanged."""
    folder = tmp_path / "data"
    for name in ("BTC_USDT-1m.csv", "ETH_USDT-1m.csv"):
        file(folder, *walk(range(20)), name=name)
    (folder / "ETH_USDT-1m.csv").write_text("what is this\n")
    jobs = JobService(world.units, world.hints, world.clock, world.ids)
    first = world.finished(ImportOrder(str(folder), "binance"))
    assert first.state == "failed"
    file(folder, *walk(range(20)), name="ETH_USDT-1m.csv")
    again = jobs.retry(first.id)
    assert (again.state, again.params) == ("queued", first.params)
    with pytest.raises(Conflict, match="does the work"):
        jobs.retry(first.id)
    done = world.driven(again.id)
    assert done.state == "succeeded"
    assert ((done.result or {})["new"], (done.result or {})["unchanged"]) == (20, 20)


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


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        ({"source": "/nowhere"}, "does not exist; give a file, a directory or a URL"),
        ({"symbol": ""}, "does not say what it holds; give --symbol and --interval"),
        ({"symbol": "BTCUSDT", "interval": "1m"}, "write it as in BTC/USDT"),
        ({"symbol": "BTC/USDT", "interval": "7m"}, "interval '7m' is not known"),
        ({"symbol": "BTC/USDT", "interval": "1m", "kind": "last"}, "kind was 'last'"),
        ({"symbol": "BTC/USDT", "interval": "1m", "exchange": "Big Exchange"}, "write its id"),
        ({"symbol": "BTC/USDT", "interval": "1m", "trades": True, "funding": True}, "alone"),
        ({"source": "https://data.binance.vision"}, "needs --symbol, --interval and --start"),
    ],
)
def test_an_order_that_cannot_work_is_refused_at_once(
    here: Importing, tmp_path: Path, order: dict[str, Any], sentence: str
) -> None:
    path = file(tmp_path, *walk(range(3)))
    with pytest.raises(InvalidInput, match=sentence):
        here.jobs.start(ImportOrder(**{"source": str(path), "exchange": "binance", **order}))
    with here.units.read() as unit:
        assert unit.jobs.page(10, None).rows == []


@pytest.mark.parametrize(
    "symbol",
    [
        "/",
        "a b/../../x",
        "A\nB/C",
        "A/B C",
        "A/",
        "/B",
        "../..",
        "A/B:",
        "A/B/C",
        "A\\/B",
        "A/" + "B" * 63,
    ],
)
def test_what_can_be_no_symbol_is_refused(here: Importing, tmp_path: Path, symbol: str) -> None:
    path = file(tmp_path, *walk(range(3)))
    for order in (
        ImportOrder(str(path), "binance", symbol, "1m"),
        ImportOrder("https://archive.test", "binance", symbol, "1m", start=T),
    ):
        with pytest.raises(InvalidInput, match=r"symbol was .*; write it as in BTC/USDT"):
            here.jobs.start(order)


@pytest.mark.parametrize("symbol", ["币安人生/USDT", "1000PEPE/USDT:USDT-240628", "A/" + "B" * 62])
def test_a_symbol_need_not_be_ascii(here: Importing, tmp_path: Path, symbol: str) -> None:
    path = file(tmp_path, *walk(range(3)))
    result = here.result(path, symbol, "1m", exchange="my-own_1", new_exchange=True)
    assert [each["in_catalogue"] for each in result["series"]] == [False]
    assert len(here.stored(symbol, exchange="my-own_1")) == 3


@pytest.mark.parametrize("exchange", ["", "a b", "a/b", "Binance", "b" * 33, "b\n", "-b"])
def test_what_can_be_no_exchange_is_refused(here: Importing, tmp_path: Path, exchange: str) -> None:
    path = file(tmp_path, *walk(range(3)))
    with pytest.raises(InvalidInput, match="write its id, as in binance"):
        here.jobs.start(ImportOrder(str(path), exchange, "A/B", "1m"))


def test_a_file_whose_name_gives_no_symbol_keeps_no_other_out(
    here: Importing, tmp_path: Path
) -> None:
    for name in ("A_B-1m.csv", "my notes_x-1m.csv"):
        file(tmp_path / "data", *walk(range(3)), name=name)
    job = here.finished(ImportOrder(str(tmp_path / "data"), "binance"))
    assert (job.error or {})["code"] == "unplaced-files"
    assert [name for name, _ in (job.result or {})["unplaced"]] == ["my notes_x-1m.csv"]
    assert len(here.stored("A/B")) == 3


def test_progress_counts_bars_and_funding_rates_alike(here: Importing, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    file(folder, "ts,rate\n", *(f"{T + n * 28_800_000},0.0001\n" for n in range(91)), name="r.csv")
    order = ImportOrder(str(folder / "r.csv"), "binanceusdm", "BTC/USDT:USDT", funding=True)
    done = here.finished(order)
    assert (done.progress["rows"], (done.result or {})["rows"]) == (91, 91)
    rates = f"[[{T},0.0001],[{T + 28_800_000},0.0002]]"
    (folder / "r.csv").unlink()
    file(folder, rates, name="XRP_USDT_USDT-8h-funding_rate.json")
    file(folder, *walk(range(5)), name="A_B-1m.csv")
    file(folder, *walk(range(7)), name="Z_Z-1m.csv")
    done = here.finished(ImportOrder(str(folder), "binanceusdm"))
    assert (done.progress["rows"], (done.result or {})["rows"]) == (14, 14)


def test_how_long_it_takes_is_told_by_the_sizes_of_the_files_and_what_was_read(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    """Two files, the second of three times the size; half of that is 1.5 of 4 parts."""
    cursor = {"files": [["A", 100, 0], ["B", 300, 0]], "file": 0, "series": {}}
    assert progress_of(cursor, 400)["eta_s"] is None
    half = {"read": 50}
    assert progress_of({**cursor, "verdict": half}, 1_000, 100)["eta_s"] == 7.0
    cursor = at_file({**cursor, "verdict": half}, 1)
    assert progress_of(cursor, 2_000, 300)["eta_s"] == 6.0
    assert progress_of({**cursor, "verdict": {"read": 150}}, 5_000, 300)["eta_s"] == 3.0
    assert progress_of({**cursor, "verdict": {"read": 999}}, 5_000, 300)["eta_s"] == 0.0
    assert progress_of(at_file(cursor, 2), 5_000)["eta_s"] == 0.0
    path = file(tmp_path, *walk(range(400)))
    here.clock.cost_s = 15.0
    job = here.jobs.start(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    assert here.jobs.run(job.id) == "queued"
    with here.units.read() as unit:
        told = unit.jobs.get(job.id).progress
    read, work_s = told["rows"], told["work_ms"] / 1000
    assert 0 < read < 400
    assert told["eta_s"] == pytest.approx(work_s * (400 - read) / read, rel=0.05)
    assert here.driven(job.id).progress["eta_s"] is None


def test_a_file_of_bad_rows_of_one_time_fails_as_any_other_of_bad_rows(
    here: Importing, tmp_path: Path
) -> None:
    """Each says the same as the first one, which is bad."""
    path = file(tmp_path, *[f"{T},1,0.5,2,1,7\n"] * 5)
    job = here.finished(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    assert (job.state, (job.error or {})["code"]) == ("failed", "no-good-row")
