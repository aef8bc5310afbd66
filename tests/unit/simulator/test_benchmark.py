"""The benchmark runner, and the benchmark of the simulator's klines on a few pages."""

from __future__ import annotations

import json

import pytest

from app.core.market.intervals import MINUTE_MS
from benchmarks import harness, orders, simulator_klines
from simulator.options import DEFAULT_START_MS


def test_without_a_name_it_lists_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.main([]) == 0
    assert "  simulator_klines\n" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["nope"], ["harness"], ["support"], ["--fast"], ["a", "b"]])
def test_wrong_use_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.main(wrong) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_the_last_line_is_json_or_a_table_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulator_klines, "_PAGES", 4)
    assert harness.main(["simulator_klines", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["benchmark"] == "simulator_klines"
    assert set(result) == {"benchmark", "figures", "ratios"}
    assert result["figures"]["json_dumps_ms_per_1000_klines"] > 0
    assert "cpu_vs_json_dumps" in harness.table(result)


def test_one_that_can_be_quick_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[bool] = []

    def measure(*, quick: bool = False) -> dict[str, dict[str, float]]:
        asked.append(quick)
        return {"figures": {"a_ms": 1.5}, "ratios": {}}

    monkeypatch.setattr(orders, "run", measure)
    assert harness.main(["orders", "--quick", "--json"]) == 0
    assert harness.main(["orders"]) == 0
    assert asked == [True, False]
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == {"benchmark": "orders", "figures": {"a_ms": 1.5}, "ratios": {}}


def test_all_bars_that_are_asked_for_lie_in_the_simulated_past() -> None:
    spans = (len(simulator_klines._DIALECTS) + 1) * (simulator_klines._PAGES + 1)
    last = simulator_klines._START + spans * simulator_klines._ROWS * MINUTE_MS
    assert last <= DEFAULT_START_MS
