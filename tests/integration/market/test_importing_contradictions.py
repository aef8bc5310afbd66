"""A file that is of something else than the series that it is imported into is kept out of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from app.core.market.klines import KlineRow
from app.models import JobRow
from app.services.importing import ImportOrder
from tests.integration.market.importing import Importing, bar, file, line, walk
from tests.support.record import START_MS

M = 60_000
T = START_MS


def asked(world: Importing, path: Path, **more: Any) -> JobRow:
    return world.finished(ImportOrder(str(path), "binance", "BTC/USDT", "1m", **more))


def other_market(minutes: range) -> list[str]:
    """Bars of prices that no correction makes of those of ``walk``."""
    return [line(T + n * M, f"{500 + n % 7}.5") for n in minutes]


def from_the_venue(world: Importing, rows: Sequence[KlineRow]) -> None:
    """Bars stored as a collection does."""
    with world.units.write() as unit:
        series = unit.klines.locked("binance", "BTC/USDT", "1m", 1)
        unit.klines.store(series.id, rows, covered=False, source="rest:binance", now_ms=1)


@pytest.mark.parametrize("source", ["venue", "file"])
def test_the_bars_of_another_market_replace_none(
    world: Importing, tmp_path: Path, source: str
) -> None:
    if source == "venue":
        from_the_venue(world, [bar(T + n * M, 100) for n in range(100)])
    else:
        world.result(file(tmp_path, *[line(T + n * M, 100) for n in range(100)]), "BTC/USDT", "1m")
    before = world.stored("BTC/USDT")
    other = file(tmp_path, *other_market(range(150)), name="other.csv")
    job = asked(world, other)
    assert (job.state, job.error) == (
        "failed",
        {
            "code": "contradicted",
            "message": "other.csv contradicts 100 of the 100 bars of BTC/USDT 1m that are stored "
            "of its times, their closes by 403.500% and their volumes by 0.000% at the median, and "
            "replaced none of them; if it is of that market and what is stored is wrong, say "
            "--revise",
        },
    )
    assert world.stored("BTC/USDT") == before
    done = asked(world, other, revise=True)
    assert (done.state, (done.result or {})["revised"], (done.result or {})["new"]) == (
        "succeeded", 100, 50,
    )  # fmt: skip


def test_a_file_that_agrees_with_most_corrects_the_others(here: Importing, tmp_path: Path) -> None:
    here.result(file(tmp_path, *walk(range(100))), "BTC/USDT", "1m")
    for wrong, state in ((50, "succeeded"), (51, "failed")):
        lines = [*other_market(range(wrong)), *walk(range(wrong, 100))]
        job = asked(here, file(tmp_path, *lines, name="b.csv"))
        assert job.state == state
        here.result(file(tmp_path, *walk(range(100))), "BTC/USDT", "1m", revise=True)


@pytest.mark.parametrize(
    ("stored", "stated", "state"),
    [
        # (close, volume) of the bars that both have; a last bar had not closed when it was stored.
        ([(100, 7)], [(100.2, 19)], "succeeded"),
        ([(100, 7)] * 4, [(100.2, 19)] * 4, "succeeded"),
        ([(100, 7)] * 5, [(100.2, 19)] * 5, "failed"),
        ([(100, 7)] * 2, [(3.5, 7)] * 2, "failed"),
        ([(100, 0)] * 9, [(100, 7)] * 9, "failed"),
    ],
)
def test_few_bars_are_corrected_unless_their_prices_lie_elsewhere(
    here: Importing, tmp_path: Path, stored: Any, stated: Any, state: str
) -> None:
    first = [line(T + n * M, *each) for n, each in enumerate(stored)]
    here.result(file(tmp_path, *first), "BTC/USDT", "1m")
    second = [line(T + n * M, *each) for n, each in enumerate(stated)]
    assert asked(here, file(tmp_path, *second, name="b.csv")).state == state


def test_what_a_file_adds_to_bars_contradicts_none(here: Importing, tmp_path: Path) -> None:
    """Of bars without a quote volume the archive's file states one; a third states another."""
    here.result(file(tmp_path, *walk(range(100))), "BTC/USDT", "1m")

    def whole(quote: int) -> list[str]:
        lines = [each.strip() for each in walk(range(100))]
        return [f"{each},{T + n * M + M - 1},{quote},3,1,1,0\n" for n, each in enumerate(lines)]

    added = asked(here, file(tmp_path, *whole(700), name="BTCUSDT-1m-2026-03.csv"))
    told = added.result or {}
    assert (added.state, told["filled"], told["revised"]) == ("succeeded", 100, 0)
    job = asked(here, file(tmp_path, *whole(701), name="BTCUSDT-1m-2026-03.csv"))
    assert "stored of its times, their quote volumes or trade counts, and" in job.error["message"]  # type: ignore[index]


@pytest.mark.parametrize("downwards", [False, True])
def test_of_another_market_nothing_comes_in_before_its_first_stored_bar_either(
    world: Importing, tmp_path: Path, small_chunks: int, downwards: bool
) -> None:
    """Stored are minutes 150 to 450; the file has 600, in chunks of a hundred."""
    world.result(file(tmp_path, *walk(range(150, 450))), "BTC/USDT", "1m")
    before, spans = world.stored("BTC/USDT"), world.spans("BTC/USDT")
    lines = other_market(range(600))
    other = file(tmp_path, *(lines[::-1] if downwards else lines), name="other.csv")
    job = asked(world, other)
    assert (job.state, (job.error or {})["code"]) == ("failed", "contradicted")
    assert (world.stored("BTC/USDT"), world.spans("BTC/USDT")) == (before, spans)
    late = file(tmp_path, *walk(range(600), T - 60 * M), name="late.csv")
    job = asked(world, late)
    assert (job.state, (job.error or {})["code"]) == ("failed", "shifted")
    assert (world.stored("BTC/USDT"), world.spans("BTC/USDT")) == (before, spans)
    right = asked(world, file(tmp_path, *walk(range(600)), name="right.csv"))
    assert ((right.result or {})["new"], (right.result or {})["unchanged"]) == (300, 300)


def test_bars_that_are_not_shifted_come_in_despite_no_shift(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    """``--despite-shift`` says that what is stored lies at the wrong hours, and no more."""
    here.result(file(tmp_path, *walk(range(300))), "BTC/USDT", "1m")
    before = here.stored("BTC/USDT")
    for name, minutes in (("few.csv", range(90)), ("many.csv", range(300))):
        other = file(tmp_path, *other_market(minutes), name=name)
        job = asked(here, other, despite_shift=True)
        assert (job.state, (job.error or {})["code"]) == ("failed", "contradicted")
        assert here.stored("BTC/USDT") == before


@pytest.mark.parametrize("first", [0, 170])
def test_a_shifted_file_comes_in_whole_despite_its_shift(
    here: Importing, tmp_path: Path, small_chunks: int, first: int
) -> None:
    """Its first chunk may meet too few bars for a shift to be told, and its last one does: each
    has bars that are an hour away from those stored, which lie in minutes 170 to 440."""
    here.result(file(tmp_path, *walk(range(170, 440))), "BTC/USDT", "1m")
    late = [line(T + n * M, *each.strip().split(",")[4:]) for n, each in shifted(range(first, 440))]
    path = file(tmp_path, *late, name="late.csv")
    assert (asked(here, path).error or {})["code"] == "shifted"
    done = asked(here, path, despite_shift=True)
    assert (done.state, done.error) == ("succeeded", None)
    assert (done.result or {})["revised"] == 270
    assert [row.open_ts for row in here.stored("BTC/USDT")] == [
        T + n * M for n in range(first, 440)
    ]


def shifted(minutes: range) -> list[tuple[int, str]]:
    """Bars of ``walk`` as they are an hour later."""
    return list(zip(minutes, walk(range(minutes.start + 60, minutes.stop + 60)), strict=True))
