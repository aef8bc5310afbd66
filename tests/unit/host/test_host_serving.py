"""What the strategy's process answers, without a process."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from research_tables import gapped, instrument, run

from app.core.backtest.result import BacktestResult
from app.core.backtest.spec import BacktestSpec
from app.core.errors import InvalidInput, UnknownName
from app.core.indicators.errors import BadIndicator
from app.core.strategies.builtin.moving_average_cross import MovingAverageCross
from app.core.strategies.errors import BadParameter, BadStrategyFile, StrategyFailed
from app.core.strategies.evaluation import EvaluationRequest, EvaluationResult, evaluate
from app.core.strategies.loader import StrategyRef, load_source
from app.core.strategies.plain import Blobs, from_plain, to_plain
from app.core.strategies.registry import StrategyInfo
from app.core.strategies.serving import describe_error, rebuild_error, serve
from app.core.strategies.wire import Message
from app.core.user_files import MAX_SOURCE, source_version

FRAME = gapped(1, bars=40)
CROSS = StrategyRef("moving_average_cross")
PARAMS = {"fast": 3, "slow": 8}
MINE = """\
from tidemark import BaseStrategy, IntParameter


class Base(BaseStrategy):
    bars = IntParameter(3, low=2, high=9)


class Mine(Base):
    '''Buys once.'''

    def setup(self):
        self.average = self.indicator("SMA", timeperiod=self.bars)

    def on_kline(self, kline):
        return self.target(1)
"""


def ask(op: str, ref: StrategyRef, blobs: Blobs | None = None, **header: Any) -> list[Message]:
    answers: list[Message] = []
    request = {"op": op, "ref": to_plain(ref, []), **header}
    serve(Message(request, blobs or []), answers.append)
    return answers


def test_inspect_describes_a_builtin_and_a_file() -> None:
    (answer,) = ask("inspect", CROSS)
    info = from_plain(StrategyInfo, answer.header["result"], answer.blobs)
    assert (info.name, info.class_name) == ("moving_average_cross", "MovingAverageCross")
    (answer,) = ask("inspect", StrategyRef("mine.py", MINE))
    info = from_plain(StrategyInfo, answer.header["result"], answer.blobs)
    assert (info.title, info.version) == ("Buys once.", source_version(MINE))
    assert list(info.schema["properties"]) == ["bars"]


def test_warm_up_comes_from_the_parameters() -> None:
    instruments = to_plain((instrument(),), [])
    header = {"exchange": "binance", "interval": "1m", "instruments": instruments}
    (answer,) = ask("warm_up", StrategyRef("mine.py", MINE), params={"bars": 7}, **header)
    assert answer.header["result"] == 6


def test_evaluate_answers_what_evaluate_answers() -> None:
    request = EvaluationRequest(
        strategy="x",
        strategy_id="i1",
        params=PARAMS,
        exchange="binance",
        interval="1m",
        instruments=(instrument(),),
        frames=(FRAME,),
        capital=Decimal(10_000),
    )
    blobs = Blobs()
    (answer,) = ask("evaluate", CROSS, blobs, request=to_plain(request, blobs))
    result = from_plain(EvaluationResult, answer.header["result"], answer.blobs)
    assert result == evaluate(request, MovingAverageCross)
    assert result.signals


def test_backtest_answers_progress_and_then_the_result() -> None:
    spec = BacktestSpec(
        strategy="MovingAverageCross",
        params=PARAMS,
        exchange="binance",
        interval="1m",
        instruments=(instrument(),),
    )
    blobs = Blobs()
    header = {"spec": to_plain(spec, blobs), "frames": to_plain((FRAME,), blobs)}
    *progress, answer = ask("backtest", CROSS, blobs, **header)
    assert [step.header for step in progress] == [{"progress": [40, 40]}]
    result = from_plain(BacktestResult, answer.header["result"], answer.blobs)
    assert result.result_hash == run(MovingAverageCross, FRAME, params=PARAMS).result_hash


def test_an_error_is_an_answer() -> None:
    (answer,) = ask("inspect", StrategyRef("nothing"))
    error = rebuild_error(answer.header["error"])
    assert isinstance(error, UnknownName)
    assert "use one of bollinger_reversion, moving_average_cross" in error.message


@pytest.mark.parametrize(
    "error",
    [
        StrategyFailed("i1", "failed in on_kline: x", line=3),
        BadParameter("p"),
        BadIndicator("i"),
        BadStrategyFile("f"),
        InvalidInput("v"),
    ],
)
def test_errors_survive_the_pipe(error: Any) -> None:
    back = rebuild_error(describe_error(error))
    assert (type(back), back.message, back.error_code) == (
        type(error),
        error.message,
        error.error_code,
    )
    assert getattr(back, "line", None) == getattr(error, "line", None)


def test_a_base_class_in_the_file_is_not_the_strategy() -> None:
    loaded = load_source("mine.py", MINE)
    assert loaded.__name__ == "Mine"
    assert "bars" in loaded.parameters


BAD: dict[str, tuple[str, str]] = {
    "syntax": ("x = (\n", r"mine\.py, line 1: '\(' was never closed"),
    "raising": ("x = 1\nraise ValueError('no\\nway')\n", "mine.py, line 2: ValueError: no way"),
    "silent": ("assert False\n", "mine.py, line 1: AssertionError$"),
    "leaving": ("import sys\nsys.exit(2)\n", "mine.py, line 2: SystemExit: 2"),
    "empty": ("", "defines no strategy; write a class that inherits from tidemark.BaseStrategy"),
    "a taken name": (
        "from tidemark import *\nclass A(BaseStrategy):\n    capital = BoolParameter(True)\n",
        "mine.py, line 2: BadParameter: parameter 'capital' has the name of something",
    ),
    "large": ("#" * (MAX_SOURCE + 1), "larger than 1 MB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gives_one_sentence_with_the_line(name: str) -> None:
    source, words = BAD[name]
    with pytest.raises(BadStrategyFile, match=words):
        load_source("mine.py", source)


def test_a_file_is_read_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("raise SystemExit")
    assert StrategyRef.from_file(path) == StrategyRef("mine.py", "raise SystemExit")
    with pytest.raises(BadStrategyFile, match=r"mine\.txt is not a \.py file"):
        StrategyRef.from_file(tmp_path / "mine.txt")
    with pytest.raises(BadStrategyFile, match="cannot be read: No such file"):
        StrategyRef.from_file(tmp_path / "other.py")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadStrategyFile, match=r"mine\.py is not UTF-8 text"):
        StrategyRef.from_file(path)


def test_a_helpers_name_is_not_overwritten_in_setup() -> None:
    source = (
        "from tidemark import BaseStrategy\n"
        "class A(BaseStrategy):\n"
        "    def setup(self):\n        self.position = 3\n"
        "    def on_kline(self, kline): pass\n"
    )
    strategy = load_source("mine.py", source)
    with pytest.raises(StrategyFailed, match=r"mine\.py, line 4\): .*choose another name"):
        run(strategy, FRAME)
