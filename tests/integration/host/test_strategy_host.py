"""Whatever a strategy does in its process, the caller gets an answer that names it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from research_tables import gapped, instrument, run

from app.adapters.strategy_host import HostLimits, StrategyHost, StrategyHosts
from app.core.backtest.spec import BacktestSpec
from app.core.errors import TidemarkError, UnknownName
from app.core.strategies.builtin.moving_average_cross import MovingAverageCross
from app.core.strategies.errors import (
    BadParameter,
    BadStrategyFile,
    StrategyCrashed,
    StrategyFailed,
    StrategyTimedOut,
)
from app.core.strategies.evaluation import EvaluationRequest, evaluate
from app.core.strategies.loader import StrategyRef
from tests.support.waiting import until

FRAME = gapped(1, bars=40)
CROSS = StrategyRef("moving_average_cross")
PARAMS = {"fast": 3, "slow": 8}


@pytest.fixture(scope="module")
def host() -> Iterator[StrategyHost]:
    with StrategyHost(HostLimits(evaluate_seconds=5)) as shared:
        yield shared


def request_for(**changes: Any) -> EvaluationRequest:
    request = EvaluationRequest(
        strategy="test",
        strategy_id="i1",
        params={},
        exchange="binance",
        interval="1m",
        instruments=(instrument(),),
        frames=(FRAME,),
        capital=Decimal(10_000),
    )
    return replace(request, **changes)


def strategy(body: str, head: str = "") -> StrategyRef:
    """A user's file whose ``on_kline`` is ``body``."""
    text = f"""\
from tidemark import BaseStrategy
{head}

class Mine(BaseStrategy):
    def on_kline(self, kline):
{textwrap.indent(textwrap.dedent(body).strip(), "        ")}
"""
    return StrategyRef("mine.py", text)


def test_an_evaluation_in_the_child_equals_one_in_process(host: StrategyHost) -> None:
    request = request_for(params=PARAMS)
    assert host.evaluate(CROSS, request) == evaluate(request, MovingAverageCross)


def test_a_backtest_in_the_child_equals_one_in_process_and_shows_progress(
    host: StrategyHost,
) -> None:
    spec = BacktestSpec(
        strategy="MovingAverageCross",
        params=PARAMS,
        exchange="binance",
        interval="1m",
        instruments=(instrument(),),
    )
    seen: list[tuple[int, int]] = []
    theirs = host.backtest(CROSS, spec, [FRAME], lambda *step: seen.append(step))
    ours = run(MovingAverageCross, FRAME, params=PARAMS)
    assert theirs.result_hash == ours.result_hash
    assert theirs.to_json() == ours.to_json()
    assert seen[-1] == (40, 40)


def test_a_builtin_and_a_file_are_described(host: StrategyHost) -> None:
    info = host.inspect(CROSS)
    assert info.schema["properties"]["fast"]["default"] == 10
    mine = host.inspect(strategy("return None"))
    assert mine.class_name == "Mine"
    assert len(mine.version) == 64
    assert host.warm_up(CROSS, PARAMS, "binance", "1m", [instrument()]) == 7


def test_what_a_strategy_prints_does_not_reach_the_protocol(host: StrategyHost) -> None:
    noisy = strategy("""
        import os, sys
        print("hello from the strategy" * 10)
        sys.stdout.flush()
        os.write(1, b"raw bytes")
        sys.stdin.read()
    """)
    assert host.evaluate(noisy, request_for()).bars == 40
    # Its words come by another pipe than its answer.
    until(lambda: "hello from the strategy" in host.output(), 10)


FAILURES: dict[str, tuple[str, str, int]] = {
    "an exception": ("x = 1\nreturn 1 / 0", "ZeroDivisionError: division by zero", 7),
    "sys.exit": ("import sys\nsys.exit(3)", "SystemExit: 3", 7),
    "two gigabytes": ("return bytearray(2 * 1024 ** 3)", "MemoryError", 6),
    "a fork": ("import os\nos.fork()", "may not start or signal processes", 7),
    "a shell": ("import os\nos.system('true')", "may not start or signal processes", 7),
    "a subprocess": (
        "import subprocess\nsubprocess.run(['true'])",
        "may not start or signal processes",
        7,
    ),
    "the network": (
        "import socket\nsocket.create_connection(('127.0.0.1', 9))",
        "may not use the network",
        7,
    ),
    "endless recursion": ("return self.on_kline(kline)", "RecursionError", 6),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failing_strategy_gives_its_line_and_harms_nobody(name: str, host: StrategyHost) -> None:
    body, words, line = FAILURES[name]
    with pytest.raises(StrategyFailed) as caught:
        host.evaluate(strategy(body), request_for())
    assert words in caught.value.message
    assert "'i1'" in caught.value.message
    assert caught.value.line == line
    assert host.evaluate(CROSS, request_for(params=PARAMS)).bars > 0


def test_a_wrong_answer_is_refused(host: StrategyHost) -> None:
    with pytest.raises(StrategyFailed, match="returned from on_kline: a str"):
        host.evaluate(strategy("return ['buy']"), request_for())


def test_an_endless_loop_is_stopped_by_the_clock() -> None:
    limits = HostLimits(evaluate_seconds=0.5, start_seconds=5)
    with StrategyHost(limits) as own:
        own.inspect(CROSS)
        with pytest.raises(StrategyTimedOut, match=r"'mine.py' did not answer within 0\.5 s"):
            own.evaluate(strategy("while True: pass"), request_for())
        assert own.inspect(CROSS).name == "moving_average_cross"


def test_a_host_that_was_killed_before_its_child_started_starts_none() -> None:
    """Whoever stops the process may come between the wish for a backtest and its child."""
    with StrategyHost(HostLimits(evaluate_seconds=60)) as own:
        own.kill()
        with pytest.raises(StrategyCrashed, match="ended before it began"):
            own.evaluate(strategy("while True: pass"), request_for())


def test_a_strategy_that_ends_its_process_is_named_with_its_last_words(host: StrategyHost) -> None:
    body = "import os\nprint('farewell', flush=True)\nos._exit(7)"
    with pytest.raises(StrategyCrashed, match=r"exit code 7\); its last words: farewell") as caught:
        host.evaluate(strategy(body), request_for())
    assert caught.value.strategy == "mine.py"
    assert host.evaluate(CROSS, request_for(params=PARAMS)).bars > 0


def test_one_instance_does_not_wait_for_another_or_fall_with_it() -> None:
    hosts = StrategyHosts(HostLimits(evaluate_seconds=5), size=2)
    try:
        hosts.host("good").inspect(CROSS)
        with pytest.raises(StrategyCrashed):
            hosts.host("bad").evaluate(strategy("import os\nos.abort()"), request_for())
        assert hosts.host("good").evaluate(CROSS, request_for(params=PARAMS)).bars > 0
        hosts.host("third").inspect(CROSS)
        assert hosts.host("good") is hosts.host("good")
    finally:
        hosts.close()


def test_the_child_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://root:hunter2@localhost/tidemark")
    monkeypatch.setenv("TIDEMARK_MASTER_KEY", "hunter2")
    with StrategyHost() as own:
        own.evaluate(strategy("import os\nprint(dict(os.environ))"), request_for())
        own.close()
        ref = strategy("import os\nraise ValueError(sorted(os.environ))")
        with pytest.raises(StrategyFailed) as caught:
            own.evaluate(ref, request_for())
    assert "hunter2" not in caught.value.message
    assert "DATABASE_URL" not in caught.value.message
    assert "PATH" in caught.value.message


BAD_FILES: dict[str, tuple[str, str]] = {
    "a syntax error": ("class Mine(:\n", r"mine\.py, line 1: invalid syntax"),
    "a missing import": (
        "import nothing_like_this\n",
        r"line 1: ModuleNotFoundError: No module named 'nothing_like_this'",
    ),
    "no strategy": ("x = 1\n", "defines no strategy"),
    "two strategies": (
        "from tidemark import BaseStrategy\n"
        "class A(BaseStrategy):\n    def on_kline(self, kline): pass\n"
        "class B(BaseStrategy):\n    def on_kline(self, kline): pass\n",
        r"defines 2 strategies \(A, B\)",
    ),
    "no on_kline": (
        "from tidemark import BaseStrategy\nclass A(BaseStrategy):\n    pass\n",
        "A has no on_kline method",
    ),
    "a default outside its bounds": (
        "from tidemark import BaseStrategy, IntParameter\n"
        "class A(BaseStrategy):\n    n = IntParameter(1, low=2, high=9)\n",
        "the default of parameter 'n' was 1; it must be a whole number from 2 to 9",
    ),
    "null bytes": ("x = '\0'\n", r"mine\.py"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_gives_one_sentence(name: str, host: StrategyHost) -> None:
    source, words = BAD_FILES[name]
    with pytest.raises(BadStrategyFile, match=words) as caught:
        host.inspect(StrategyRef("mine.py", source))
    assert "\n" not in caught.value.message


def test_errors_keep_their_types_across_the_pipe(host: StrategyHost) -> None:
    with pytest.raises(UnknownName, match="moving_average_cross"):
        host.inspect(StrategyRef("moving_avrage_cross"))
    with pytest.raises(BadParameter, match="'fast' was 0; it must be a whole number from 2 to 400"):
        host.evaluate(CROSS, request_for(params={"fast": 0}))
    with pytest.raises(TidemarkError, match="no parameter 'fats'"):
        host.warm_up(CROSS, {"fats": 1}, "binance", "1m", [instrument()])


def test_a_caller_that_gives_up_ends_the_run() -> None:
    class Cancelled(Exception):
        pass

    def cancel(done: int, total: int) -> None:
        raise Cancelled

    spec = BacktestSpec(
        strategy="x", exchange="binance", interval="1m", instruments=(instrument(),), params=PARAMS
    )
    with StrategyHost() as own:
        with pytest.raises(Cancelled):
            own.backtest(CROSS, spec, [FRAME], cancel)
        assert own.inspect(CROSS).name == "moving_average_cross"


def test_a_caller_gives_up_on_a_run_that_says_nothing() -> None:
    class Cancelled(Exception):
        pass

    seen: list[tuple[int, int]] = []

    def cancel(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) > 1:
            raise Cancelled

    spec = BacktestSpec(
        strategy="x", exchange="binance", interval="1m", instruments=(instrument(),), params={}
    )
    endless = strategy("while True: pass")
    with StrategyHost(HostLimits(backtest_seconds=60)) as own, pytest.raises(Cancelled):
        own.backtest(endless, spec, [FRAME], cancel)
    assert seen == [(0, 0), (0, 0)]


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, threading\n"
        "from app.adapters.strategy_host import StrategyHost\n"
        "from app.core.strategies.loader import StrategyRef\n"
        "host = StrategyHost()\n"
        "host.inspect(StrategyRef('moving_average_cross'))\n"
        "text = 'from tidemark import BaseStrategy\\nwhile True: pass\\n'\n"
        "loop = StrategyRef('loop.py', text)\n"
        "threading.Thread(target=host.inspect, args=(loop,), daemon=True).start()\n"
        "print(host._child._process.pid, flush=True)\n"
        "threading.Event().wait()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        waiter = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
    try:
        assert select.select([waiter], [], [], 10)[0], "the child outlived its parent"
    finally:
        os.close(waiter)
