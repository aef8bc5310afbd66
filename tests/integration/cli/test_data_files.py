"""``tidemark data import`` and ``export``, as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.conftest import Tidemark

T = 1_767_225_600_000
M = 60_000


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Three bars, one of them bad, with a hole."""
    path = tmp_path / "bars.csv"
    rows = [
        f"{T},2,3,1,2.5,7",
        f"{T + M},2,3,2,2,0",
        f"{T + 3 * M},2,1,3,2,7",
        f"{T + 4 * M},2,3,1,2,7",
    ]
    path.write_text("\n".join(["ts,open,high,low,close,volume", *rows]) + "\n")
    return path


def test_a_file_comes_in_and_goes_out_again(tidemark: Tidemark, csv: Path, tmp_path: Path) -> None:
    words = ("data", "import", str(csv), "-s", "BTC/USDT", "-i", "1m")
    first = tidemark(*words, "--json")
    assert first.code == 0, first.err
    assert (first.document["new"], first.document["bad"]) == (3, 1)
    assert first.document["series"][0]["gaps"]["bars"] == 2
    again = tidemark(*words)
    assert again.code == 0
    assert "Every bar was stored already: nothing has changed." in again.out
    assert "BTC/USDT is not in the catalogue of binance." in again.out
    target = tmp_path / "BTC_USDT-1m.feather"
    out = tidemark("data", "export", str(target), "-s", "BTC/USDT", "-i", "1m", "--json")
    assert out.code == 0, out.err
    assert (out.document["bars"], out.document["format"]) == (3, "feather")
    back = tidemark("data", "import", str(target), "--json")
    assert (back.document["unchanged"], back.document["new"]) == (3, 0)
    listed = tidemark("job", "list", "--kind", "import", "--json")
    assert [job["state"] for job in listed.document["data"]] == ["succeeded"] * 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "/nowhere"], "/nowhere does not exist"),
        (["import", "{csv}"], "give --symbol and --interval"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--columns", "x"], "--columns had 'x'"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--utc-offset", "CET"], "UTC offset was"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--time-unit", "iso"], "bare numbers"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--format", "parquet"], "cannot be read as"),
        (["export", "a.doc", "-s", "A/B", "-i", "1m"], "say it with --format"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    tidemark: Tidemark, csv: Path, words: list[str], said: str
) -> None:
    outcome = tidemark("data", *(word.replace("{csv}", str(csv)) for word in words))
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
