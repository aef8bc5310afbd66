"""The simulator as a process: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.simulator import ROOT, SimulatorProcess, wait_until

Factory = Callable[..., SimulatorProcess]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulator", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "loopback only"),  # noqa: S104
        (["--replay", "absent.csv", "--replay-symbol", "BTC/USDT"], "does not exist"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert done.stderr.startswith("simulator: ")
    assert done.stderr.count("\n") == 1


def test_a_symbol_that_is_no_spot_pair_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("0,1,1,1,1,1\n60,1,1,1,1,1\n")
    done = run("--replay", str(file), "--replay-symbol", "BTCUSDT")
    assert (done.returncode, done.stdout) == (2, "")
    assert "write it as BTC/USDT" in done.stderr


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_that_it_is_ready_in_one_line_and_ends_cleanly(
    simulator: Factory, number: signal.Signals
) -> None:
    process = simulator(seed=3, start="2026-03-01T00:00:00Z")
    assert process.ready == {
        "url": process.url,
        "pid": process.process.pid,
        "seed": 3,
        "market_ms": 1_772_323_200_000,
    }
    assert process.stop(number) == 0


def test_it_ends_when_its_parent_dies() -> None:
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'simulator', '--parent-pid',"
        " str(os.getpid())], stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=30,
        check=False,
    )
    orphan = json.loads(parent.stdout)["pid"]

    def is_gone() -> bool:
        try:
            os.kill(orphan, 0)
        except ProcessLookupError:
            return True
        # An orphan that nobody reaps stays as a zombie.
        return Path(f"/proc/{orphan}/stat").read_text().split()[2] == "Z"

    wait_until(is_gone)


class TestState:
    def test_a_restarted_simulator_goes_on_where_it_was(
        self, simulator: Factory, tmp_path: Path
    ) -> None:
        options = {"seed": 5, "state": tmp_path / "state.jsonl", "spread_bps": 0}
        first = simulator(**options)
        alice = first.control.create_account("alice", {"USDT": "100000"})
        exchange = first.ccxt(alice)
        exchange.create_order("BTC/USDT", "market", "buy", 0.1)
        resting = exchange.create_order("BTC/USDT", "limit", "buy", 0.1, 50_000)
        first.control.advance(by_ms=90_000)
        first.process.kill()
        first.process.wait()

        second = simulator(**options)
        assert second.control.market_ms == first.ready["market_ms"] + 90_000
        again = second.ccxt(alice)
        assert again.fetch_balance()["BTC"]["total"] == 0.0999
        assert again.fetch_balance()["USDT"]["used"] == 5_000
        assert [o["id"] for o in again.fetch_open_orders("BTC/USDT")] == [resting["id"]]
        assert again.cancel_order(resting["id"], "BTC/USDT")["status"] == "canceled"
        fresh = again.create_order("BTC/USDT", "market", "buy", 0.1)
        assert int(fresh["id"]) == int(resting["id"]) + 1
        assert len(again.fetch_my_trades("BTC/USDT")) == 2
        exchange.close()
        again.close()

    def test_a_torn_last_line_is_dropped_with_a_warning(
        self, simulator: Factory, tmp_path: Path
    ) -> None:
        state = tmp_path / "state.jsonl"
        first = simulator(state=state)
        first.control.create_account("alice", {"USDT": "5"})
        first.stop()
        state.write_bytes(state.read_bytes() + b'{"market_ms":17')
        second = simulator(state=state)
        assert [a["name"] for a in second.control.accounts()] == ["alice"]
        second.control.create_account("bob", {})
        second.stop()
        third = simulator(state=state)
        assert [a["name"] for a in third.control.accounts()] == ["alice", "bob"]
