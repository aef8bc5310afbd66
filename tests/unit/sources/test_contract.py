"""What a data source may count on: the order of calls, its time, and how failures are told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput, UnknownName
from app.core.sources.base import Observation, SourceContext
from app.core.sources.errors import BadSourceFile, SourceFailed
from app.core.sources.loader import SourceRef, describe
from app.core.sources.period import MAX_MS, MIN_MS, period_ms, period_text, retry_pause_ms
from app.core.sources.rows import check
from app.core.sources.runtime import RunEnd
from app.core.sources.serving import MOST_ROWS, describe_error, rebuild_error, run
from app.core.strategies.errors import BadParameter
from app.source_reading import fetch
from tests.support.record import ROOT

NOW = 1_772_323_200_000
D = Decimal
HEAD = """\
from decimal import Decimal
from tidemark import DataSource, IntParameter, Observation, TextParameter


class Mine(DataSource):
    '''Counts.'''

    word = TextParameter("a", max_length=5)
    most = IntParameter(3, low=1, high=9)
    told = []

"""
PLAIN = HEAD + "    def observe(self, since):\n        yield Observation('n', since + 1, 1)\n"


class Desk:
    """A context whose time is over after so many looks at it."""

    def __init__(self, looks: int = 10**9, files: dict[str, bytes] | None = None) -> None:
        self.looks = looks
        self.rows: list[Any] = []
        self.files = files or {}

    def left(self) -> float:
        self.looks -= 1
        return float(self.looks)

    def fetch(self, location: str) -> bytes:
        if location in self.files:
            return self.files[location]
        return Path(location).read_bytes()

    def run(self, text: str | None, name: str = "mine.py", since: int = 0, **params: Any) -> RunEnd:
        context = SourceContext(lambda: NOW, self.left, self.fetch)
        ref = SourceRef(name, text)
        return run(ref, "mine", params, ["BTC/USDT"], since, context, self.rows.append)

    @property
    def found(self) -> list[Any]:
        return [check(row, NOW) for row in self.rows]


def body(text: str) -> str:
    return HEAD + "\n".join(f"    {line}" for line in text.strip().splitlines()) + "\n"


def test_a_source_is_connected_subscribed_asked_and_let_go_in_this_order() -> None:
    desk = Desk()
    end = desk.run(
        body("""
def connect(self):
    self.told.append("connect")

def subscribe(self, symbols):
    super().subscribe(symbols)
    self.told.append("subscribe")

def observe(self, since):
    self.told.append("observe")
    yield Observation("calls", since + 1, len(self.told), symbol=self.symbols[0], label=self.word)
    self.told.append("asked on")

def disconnect(self):
    assert self.told == ["connect", "subscribe", "observe", "asked on"], self.told
"""),
        since=41,
        word="hey",
    )
    assert end is RunEnd.WHOLE
    assert desk.found == [Observation("calls", 42, D(3), "BTC/USDT", None, "hey")]


@pytest.mark.parametrize("answer", ["None", "[]", "iter(())"])
def test_nothing_new_is_no_failure(answer: str) -> None:
    desk = Desk()
    assert desk.run(body(f"def observe(self, since):\n    return {answer}")) is RunEnd.WHOLE
    assert desk.rows == []


ENDLESS = body("""
def observe(self, since):
    ts = 0
    try:
        while True:
            ts += 1
            yield Observation("n", ts, ts)
    finally:
        self.closed = True

def disconnect(self):
    assert self.closed
""")


def test_a_source_that_is_told_is_asked_for_no_more_when_its_time_is_over() -> None:
    desk = Desk(looks=8)
    assert desk.run(ENDLESS) is RunEnd.TIME
    assert [each.ts for each in desk.found] == list(range(1, 9))


def test_a_run_gives_so_much_and_the_next_one_more() -> None:
    desk = Desk()
    assert desk.run(ENDLESS) is RunEnd.FULL
    assert len(desk.rows) == MOST_ROWS


FAILURES = {
    "observe": (
        "def observe(self, since):\n    yield Observation('n', 1, 1)\n    1 / 0",
        "line 14",
    ),
    "sys.exit": ("def observe(self, since):\n    import sys\n    sys.exit(3)", "SystemExit: 3"),
    "connect": (
        "def connect(self):\n    raise OSError('no line')\n"
        "def observe(self, since):\n    return []",
        "failed in connect (mine.py, line 13): OSError: no line",
    ),
    "disconnect": (
        "def disconnect(self):\n    raise OSError('twice')\n"
        "def observe(self, since):\n    return []",
        "failed in disconnect",
    ),
    "the first of two": (
        "def disconnect(self):\n    raise OSError('second')\ndef observe(self, since):\n    1 / 0",
        "ZeroDivisionError",
    ),
    "no list": ("def observe(self, since):\n    return 7", "'int' object is not iterable"),
    "__init__": (
        "def __init__(self, *given):\n    raise ValueError('a\\nb')\n"
        "def observe(self, since):\n    return []",
        "failed in __init__ (mine.py, line 13): ValueError: a b",
    ),
}


@pytest.mark.parametrize(("text", "why"), FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_says_where_and_what_in_one_sentence(text: str, why: str) -> None:
    desk = Desk()
    with pytest.raises(SourceFailed) as caught:
        desk.run(body(text))
    assert why in caught.value.message
    assert "\n" not in caught.value.message
    assert rebuild_error(describe_error(caught.value), "mine").message == caught.value.message
    assert len(desk.rows) == ("yield" in text)


REFUSED = {
    "syntax": ("def f(:\n", "mine.py, line 1"),
    "nothing": ("x = 1\n", "defines no data source"),
    "two": (
        "from tidemark import DataSource\nclass A(DataSource):\n  def observe(self, s): ...\n"
        "class B(DataSource):\n  def observe(self, s): ...\n",
        "defines 2 data sources (A, B)",
    ),
    "no observe": (
        "from tidemark import DataSource\nclass A(DataSource):\n  pass\n",
        "A has no observe method",
    ),
    "it raises": ("raise RuntimeError('no')\n", "line 1: RuntimeError: no"),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_file_that_is_no_source_is_refused_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(BadSourceFile) as caught:
        describe(SourceRef("mine.py", text), {})
    assert why in caught.value.message


def test_a_source_is_described_and_its_parameters_are_judged() -> None:
    info = describe(SourceRef("mine.py", PLAIN), {"most": "5"})
    assert (info.class_name, info.title, info.params) == ("Mine", "Counts.", {"most": 5})
    assert info.schema["properties"]["word"]["maxLength"] == 5
    for params, why in (
        ({"most": 10}, "data source 'Mine': parameter 'most' was 10"),
        ({"word": "too long"}, "text of at most 5 printable characters"),
        ({"word": 5}, "text of at most 5"),
        ({"nothing": 1}, "data source 'Mine' has no parameter 'nothing'; it has: word, most"),
    ):
        with pytest.raises(BadParameter, match=why):
            describe(SourceRef("mine.py", PLAIN), params)
    with pytest.raises(UnknownName, match=r"use fear_greed, or give a \.py file"):
        describe(SourceRef("fear"), {})
    with pytest.raises(BadSourceFile, match="something every data source has"):
        describe(SourceRef("mine.py", PLAIN.replace("word =", "fetch =")), {})


# -- the built-in, and the example that authors copy ---------------------------------------------


def test_the_sample_needs_no_network() -> None:
    desk = Desk()
    assert desk.run(None, "fear_greed", location="sample") is RunEnd.WHOLE
    days = desk.found
    assert len(days) == 40
    assert [each.ts for each in days] == sorted(each.ts for each in days)
    assert days[0] == Observation(
        "fear_greed", 1_767_225_600_000, D(20), None, None, "Extreme Fear"
    )


ANSWER = b"""{"name": "x", "data": [
 {"value": "61", "value_classification": "Greed", "timestamp": "86400", "time_until": "9"},
 {"value": "40", "value_classification": "Fear", "timestamp": "0"},
 {"value": "n/a", "value_classification": "", "timestamp": "later"}],
 "metadata": {"error": null}}"""
CSV = b"\xef\xbb\xbftimestamp,value,value_classification\n86400,61,Greed\n0,40,Fear\nlater,n/a,\n"


@pytest.mark.parametrize("content", [ANSWER, CSV], ids=["json", "csv"])
def test_an_answer_is_read_as_json_and_as_csv(content: bytes) -> None:
    desk = Desk(files={"there": content})
    desk.run(None, "fear_greed", location="there")
    bad, first, second = desk.found
    assert "whole number of milliseconds" in bad.reason
    assert (first.ts, first.value, first.label) == (0, D(40), "Fear")
    assert (second.ts, second.value, second.label) == (86_400_000, D(61), "Greed")


def test_only_the_last_week_is_given_again() -> None:
    desk = Desk()
    since = 1_767_225_600_000 + 39 * 86_400_000
    desk.run(None, "fear_greed", since=since, location="sample")
    assert len(desk.rows) == 8


def test_an_answer_that_is_an_error_fails_with_its_words() -> None:
    desk = Desk(files={"there": b'{"data": [], "metadata": {"error": "slow down"}}'})
    with pytest.raises(SourceFailed, match="the answer is an error: slow down"):
        desk.run(None, "fear_greed", location="there")


@pytest.fixture
def headlines(tmp_path: Path) -> Path:
    path = tmp_path / "sentiment.csv"
    path.write_text(
        "time,symbol,score,articles\n"
        "2026-02-27T00:00:00Z,BTC/USDT,0.25,12\n2026-02-28T00:00:00Z,ETH/USDT,-0.5,3\n"
        "2026-02-28T00:00:00Z,BTC/USDT,0.1,7\n"
    )
    return path


def test_the_example_of_the_documents_works(headlines: Path) -> None:
    example = ROOT / "docs" / "examples" / "news_sentiment.py"
    desk = Desk()
    end = desk.run(example.read_text(), example.name, location=str(headlines))
    assert end is RunEnd.WHOLE
    first, last = desk.found
    assert first == Observation(
        "news_sentiment", 1_772_150_400_000, D("0.25"), "BTC/USDT", D(12), None
    )
    assert (last.symbol, last.value) == ("BTC/USDT", D("0.1"))


def test_the_example_says_what_it_lacks() -> None:
    example = ROOT / "docs" / "examples" / "news_sentiment.py"
    with pytest.raises(SourceFailed, match=r"say where the file lies, as in -p location=/srv/news"):
        Desk().run(example.read_text(), example.name)


@pytest.mark.parametrize(("location", "said"), [(" ", "-p NAME=VALUE"), ("/", "is a directory")])
def test_what_can_be_no_file_is_told_in_words(location: str, said: str) -> None:
    with pytest.raises(OSError, match=said):
        fetch(location, 1.0)


# -- periods -------------------------------------------------------------------------------------


@given(st.integers(MIN_MS // 1_000, 99_999).map(lambda seconds: seconds * 1_000))
def test_a_period_is_read_as_it_is_written(ms: int) -> None:
    assert period_ms(period_text(ms)) == ms


@pytest.mark.parametrize("text", ["", "1", "h", "29s", "32d", "1.5h", "-1h", "1 h", "1w", "0h"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="30s to 31d"):
        period_ms(text)


@given(st.integers(MIN_MS, MAX_MS), st.integers(1, 10_000))
def test_pauses_after_failures_grow_to_the_period_or_an_hour(every: int, failures: int) -> None:
    pause = retry_pause_ms(every, failures)
    assert 30_000 <= pause <= max(every, 3_600_000)
    assert pause <= retry_pause_ms(every, failures + 1)
    assert retry_pause_ms(every, 1) == 30_000
