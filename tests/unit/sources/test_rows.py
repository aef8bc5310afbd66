"""Observations on their way: what is good is kept exactly, what is not is told in a sentence."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.money import checked
from app.core.sources.base import Observation
from app.core.sources.rows import SKEW_MS, BadObservation, check, stated

NOW = 1_772_323_200_000
D = Decimal

names = st.from_regex(r"[a-z][a-z0-9_]{0,20}x", fullmatch=True)
words = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=60)
amounts = st.decimals(-(10**17), 10**17, allow_nan=False, allow_infinity=False, places=12)
observations = st.builds(
    Observation,
    series=names,
    ts=st.integers(0, NOW + SKEW_MS),
    value=amounts,
    symbol=st.none() | words,
    second=st.none() | amounts,
    label=st.none() | words,
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200)
anything = st.recursive(
    scalars, lambda each: st.lists(each, max_size=7) | st.dictionaries(st.text(), each, max_size=3)
)
like_rows = st.lists(
    anything | st.builds(lambda text: {"decimal": text}, st.text(max_size=40)),
    min_size=6,
    max_size=6,
)


def through_the_pipe(item: object) -> Any:
    return json.loads(json.dumps(stated(item)))


@given(observations)
def test_what_is_good_arrives_exactly(observation: Observation) -> None:
    assert check(through_the_pipe(observation), NOW) == observation


@given(anything | like_rows)
def test_whatever_a_process_sends_is_an_observation_or_can_be_kept_aside(row: Any) -> None:
    """The process of a source may send any JSON; the databases must take what is made of it."""
    found = check(row, NOW)
    if isinstance(found, Observation):
        assert checked(found.value) == found.value
        assert 0 <= found.ts <= NOW + SKEW_MS
        text = [found.series, found.symbol or "", found.label or ""]
    else:
        assert 0 < len(found.reason) <= 200
        text = [found.reason, json.dumps(found.row, allow_nan=False, ensure_ascii=False)]
        assert len(found.row) <= 6
    for each in text:
        assert "\x00" not in each
        each.encode("utf-8")


GOOD = Observation("mood", NOW, D("1.5"))
BAD = {
    "a float": (GOOD._replace(value=1.5), "its value was float; give a Decimal"),
    "a bool": (GOOD._replace(value=True), "its value was bool; give a Decimal"),
    "text": (GOOD._replace(value="1.5"), "its value was text; give a Decimal"),
    "nothing": (GOOD._replace(value=None), "its value was none; give a Decimal"),
    "NaN": (GOOD._replace(value=D("NaN")), "not a finite number"),
    "infinity": (GOOD._replace(second=D("-Infinity")), "not a finite number"),
    "a second float": (GOOD._replace(second=0.5), "its second was float"),
    "too large": (GOOD._replace(value=D(10) ** 18), "more than 18 digits"),
    "a huge exponent": (GOOD._replace(value=D("1E+999999")), "more than 18 digits"),
    "too fine": (GOOD._replace(value=D("1E-19")), "more than 18 decimals"),
    "a huge int": (GOOD._replace(value=10**5_000), "its value was int"),
    "the future": (GOOD._replace(ts=NOW + SKEW_MS + 1), "more than a minute in the future"),
    "before 1970": (GOOD._replace(ts=-1), "before 1970"),
    "seconds with a point": (GOOD._replace(ts=NOW / 1_000), "whole number of milliseconds"),
    "no series": (GOOD._replace(series=""), "must be named with a-z"),
    "a dotted series": (GOOD._replace(series="a.b"), "must be named with a-z"),
    "a venue's series": (GOOD._replace(series="funding"), "which is what venues state"),
    "a symbol with a space": (GOOD._replace(symbol="BTC USDT"), "without spaces"),
    "a symbol too long": (GOOD._replace(symbol="B" * 65), "at most 64"),
    "a label too long": (GOOD._replace(label="x" * 65), "at most 64"),
    "a label of two lines": (GOOD._replace(label="a\nb"), "printable"),
    "half a character": (GOOD._replace(label="\udc00"), "printable"),
    "a dict": ({"series": "mood"}, "is no Observation but dict"),
    "a tuple": (("mood", NOW, D(1)), "is no Observation but tuple"),
    "None": (None, "is no Observation but NoneType"),
}


@pytest.mark.parametrize(("item", "why"), BAD.values(), ids=BAD.keys())
def test_what_is_bad_is_told_in_a_sentence(item: object, why: str) -> None:
    found = check(through_the_pipe(item), NOW)
    assert isinstance(found, BadObservation)
    assert why in found.reason
    assert "\n" not in found.reason


def test_a_whole_number_is_an_amount_and_a_minute_of_skew_is_no_future() -> None:
    whole = GOOD._replace(value=42, ts=NOW + SKEW_MS)
    assert check(through_the_pipe(whole), NOW) == GOOD._replace(value=D(42), ts=NOW + SKEW_MS)
