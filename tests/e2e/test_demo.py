"""What a stranger sees: ``make demo ONCE=1``, its numbers, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.simulator import ROOT

TIDEMARK = [sys.executable, "-m", "app.cli"]
#: The numbers of the demo's seed.
EXPECTED = {
    "klines": 86_400,
    "gaps": 0,
    "backtest": {
        "trades": 33,
        "return_pct": -1.8112,
        "max_drawdown_pct": -10.1016,
        "sharpe": -0.3674,
    },
    "signals": 12,
    "orders": 12,
    "fills": 12,
}
#: Equity of the instance at the end: every price, quantity and fee is in it.
EXPECTED_EQUITY = "9648.46151725"


def environment(home: Path) -> dict[str, str]:
    """The environment of a stranger who has a home: no setting of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    return {**kept, "PYTHONPATH": str(ROOT), "TIDEMARK_HOME": str(home)}


@pytest.mark.timeout(240)
def test_the_demo_does_the_main_job_and_its_numbers_are_those_of_its_seed(tmp_path: Path) -> None:
    done = subprocess.run(
        [*TIDEMARK, "demo", "--once"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert numbers.pop("seconds") > 0
    assert numbers == EXPECTED
    assert EXPECTED_EQUITY in done.stdout
    for part in ("Signals", "Risk decisions", "Orders", "Fills", "Positions", "Balances", "PnL"):
        assert part in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def children_of(session: int) -> list[str]:
    """Command lines of the processes in a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid pgrp session …; the name may hold anything but its last ")".
            fields = stat.read_text().rpartition(")")[2].split()
            line = (stat.parent / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            continue  # it ended while we looked
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(line)
    return found
