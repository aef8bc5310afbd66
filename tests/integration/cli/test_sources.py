"""``tidemark data sources``: from a file to a table, on one machine without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.conftest import Tidemark

FILE = """\
from decimal import Decimal
from tidemark import DataSource, Observation, TextParameter


class Rain(DataSource):
    '''Millimetres of rain.'''

    where = TextParameter("", max_length=300)

    def observe(self, since):
        for line in self.fetch(self.where).decode().splitlines():
            ts, value = line.split()
            yield Observation("rain", int(ts), Decimal(value))
"""


def test_the_built_in_example_from_the_first_command_to_the_table(tidemark: Tidemark) -> None:
    assert tidemark("data", "sources", "list").out.strip() == "No data source."
    added = tidemark(
        "data", "sources", "add", "fear_greed", "--every", "6h", "-p", "location=sample"
    )
    assert added.code == 0, added.err
    assert "tidemark data sources run fear_greed" in added.out
    ran = tidemark("data", "sources", "run", "fear_greed", "--json")
    assert (ran.document["state"], ran.document["stored"]) == ("succeeded", 40)
    again = tidemark("data", "sources", "run", "fear_greed")
    assert again.out.strip() == "fear_greed: 8 observations, 0 new or changed, 0 refused."
    lines = tidemark("data", "points", "fear_greed", "--start", "2026-02-08").out.splitlines()
    assert lines == [
        "ts,value,second,label",
        "1770508800000,40,,Fear",
        "1770595200000,45,,Fear",
    ]
    read = tidemark("data", "points", "fear_greed", "--json").document
    assert (read["exchange"], len(read["data"])) == ("source:fear_greed", 40)
    assert "fear_greed" in tidemark("data", "sources", "list").out


def test_a_file_of_ones_own_is_checked_added_asked_changed_and_removed(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    file, rain = tmp_path / "rain.py", tmp_path / "rain.txt"
    file.write_text(FILE)
    rain.write_text("86400000 1.5\n172800000 NaN\n")
    assert "Rain, Millimetres of rain." in tidemark("data", "sources", "check", str(file)).out
    add = ("data", "sources", "add", str(file), "--every", "1h", "-p", f"where={rain}")
    assert tidemark(*add, "--disabled").code == 0
    ran = tidemark("data", "sources", "run", "rain")
    assert ran.out.splitlines()[0] == "rain: 2 observations, 1 new or changed, 1 refused."
    assert "not a finite number" in ran.out
    shown = tidemark("data", "sources", "show", "rain")
    assert "1 in quarantine" in shown.out
    # A file that is gone is a failure in a sentence, and what was stored stays.
    rain.unlink()
    failed = tidemark("data", "sources", "run", "rain")
    assert failed.code == 1
    assert failed.err.startswith(
        "tidemark: data source 'rain' failed in observe (rain.py, line 11)"
    )
    assert failed.err.count("\n") == 1
    document = tidemark("data", "sources", "show", "rain", "--json").document
    assert (document["failures"], document["enabled"]) == (1, False)
    assert "No such file" in document["error"]
    assert tidemark("data", "sources", "enable", "rain", "--json").document["enabled"] is True
    assert tidemark("data", "sources", "disable", "rain", "--json").document["enabled"] is False
    assert tidemark("data", "sources", "remove", "rain").code == 0
    assert tidemark("data", "points", "rain").out.splitlines()[1:] == ["86400000,1.5,,"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "nothing", "--every", "1h"], "no built-in data source; use fear_greed"),
        (["add", "/no/such.py", "--every", "1h"], "cannot be read"),
        (["add", "fear_greed", "--every", "1s"], "30s to 31d"),
        (["add", "fear_greed"], "--every"),
        (["add", "fear_greed", "--every", "1h", "-p", "x=1"], "has no parameter 'x'"),
        (["add", "fear_greed", "--every", "1h", "--name", "Fear"], "--name"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    tidemark: Tidemark, words: list[str], said: str
) -> None:
    outcome = tidemark("data", "sources", *words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert said in outcome.err
    assert outcome.err.startswith("tidemark: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "show", "enable", "remove"])
def test_a_source_that_does_not_exist_is_told_with_where_to_look(
    tidemark: Tidemark, command: str
) -> None:
    outcome = tidemark("data", "sources", command, "nobody")
    assert (outcome.code, outcome.out) == (2, "")
    assert "see: tidemark data sources list" in outcome.err
