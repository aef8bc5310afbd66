"""The market adapter of one venue, at a venue that the test scripts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

import pytest

from app.adapters.budget import InProcessBudget
from app.core.exchanges.factory import market_adapter
from app.core.ports import MarketAdapter
from tests.support.record import ManualClock, shared_data
from tests.support.stub_venue import Reply, StubVenue

#: Bodies that are no data, whatever was asked for.
NO_DATA = [
    b"",
    b"<html>maintenance</html>",
    b'{"code":"0","retCode":0,"data":[["179516',
    b'"a text"',
    b"null",
    b"NaN",
    b'{"code":"0","retCode":0,"data":[NaN]}',
    b'{"code":"0","code":"0","data":[],"retCode":0,"retCode":0,"result":{"list":[]}}',
    b"\xff\xfe",
    b"[" * 200_000,
    b'{"a":1' + b"0" * 100_000 + b"}",
]


class Bans:
    """Bans that the test reads."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, int, str]] = []

    def bans(self) -> Mapping[str, int]:
        """None at the start."""
        return {}

    def save_ban(self, exchange: str, until_ms: int, reason: str) -> None:
        """Note it."""
        self.saved.append((exchange, until_ms, reason))


class MarketEdge:
    """One venue's adapter with its budget and a clock that moves by hand.

    Attributes:
        stub: what stands for the venue.
    """

    def __init__(self, exchange: str, stub: StubVenue) -> None:
        self.stub = stub
        self.clock = ManualClock()
        self.bans = Bans()
        self.budget = InProcessBudget(self.clock, self.bans, sleep=self._sleep)
        self.market: MarketAdapter = market_adapter(
            exchange, self.budget, self.clock, base_url=stub.url, timeout_s=5.0
        )

    def serve(self, path: str, *bodies: Any) -> None:
        """Answer GETs of a path with these bodies, in order; the last one again and again."""
        self.stub.on("GET", path, *(Reply(body) for body in bodies))

    def asked(self) -> list[tuple[str, dict[str, str]]]:
        """Path and parameters of every request so far, which are forgotten."""
        asked = [(request.path, request.params) for request in self.stub.asked]
        self.stub.asked.clear()
        return asked

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(max(1, round(seconds * 1000)))


def capture(name: str) -> Any:
    """The body of a recorded answer; the test skips where there is none."""
    folder = shared_data()
    if folder is None:
        pytest.skip("no folder of recorded answers beside the checkout")
    with gzip.open(folder / "venue-captures" / name, "rb") as file:
        return json.load(file)["body"]
