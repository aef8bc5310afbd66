"""What the suite serves in part, whole: three months of Kraken, half of them missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.market.test_real_replay import KRAKEN, Venue, klines, rows_of
from tests.support.record import record, shared_data
from tests.support.simulator import SimulatorProcess

pytestmark = [
    pytest.mark.faults,
    # Each of 30,000 gaps is asked for three times before it counts as the venue's.
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(shared_data() is None, reason="no ../shared/data with real klines"),
]


def test_every_bar_of_three_months_is_stored_and_every_missing_one_proven(tmp_path: Path) -> None:
    file = klines(KRAKEN)
    served: dict[str, Any] = {
        "replay": {"BTC/USDC": file},
        "start": "2026-04-25T00:00:00Z",
        "weight_limit": 0,
    }
    with (
        SimulatorProcess(**served) as simulator,
        record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine,
    ):
        venue, rows = Venue(engine, simulator.url), rows_of(file)
        report = venue.collect("BTC/USDC", "1m", rows)
        assert venue.stored("BTC/USDC", "1m") == rows
    gaps = report["gaps"]
    assert (len(rows), gaps["bars"], gaps["longest"]) == (56_717, 72_883, 87)
    assert (report["exchange_side"], report["character"]) == (72_883, "omits")
