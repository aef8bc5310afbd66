"""A simulated exchange for tests: its own process on a free loopback port.

Use the ``simulator`` fixture (import it into a ``conftest.py``) or the context manager::

    with SimulatorProcess(seed=7, start="2026-02-01T00:00:00Z", spread_bps=0) as simulator:
        account = simulator.control.create_account("alice", {"USDT": "10000"})
        exchange = simulator.ccxt(account)
        simulator.control.advance(by_ms=60_000)
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from app.core.exchanges.loopback import bind_async, bind_sync

ROOT = Path(__file__).resolve().parents[2]
# Real market data lies beside the checkout, or beside the folder that holds it.
_BESIDE = [parent / "shared" / "data" for parent in ROOT.parents]
DATA = next((folder for folder in _BESIDE if folder.is_dir()), _BESIDE[0])


@dataclass(frozen=True)
class SimAccount:
    """An account at the simulator."""

    name: str
    api_key: str
    api_secret: str


class SimulatorControl:
    """Typed client of the control API."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Any control route; a 4xx fails the test with the simulator's words."""
        response = self._http.request(method, f"/control{path}", **options)
        assert response.status_code == 200, f"{method} {path}: {response.text}"
        return response.json()

    def raw(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any route of the simulator, unchecked."""
        return self._http.request(method, path, **options)

    def clock(self) -> dict[str, Any]:
        """``{"market_ms", "wall_ms", "mode"}``."""
        result: dict[str, Any] = self.call("GET", "/clock")
        return result

    @property
    def market_ms(self) -> int:
        """Market time."""
        return int(self.clock()["market_ms"])

    def advance(self, *, to_ms: int | None = None, by_ms: int | None = None) -> int:
        """Process the tape; returns the new market time."""
        body = {"to_ms": to_ms, "by_ms": by_ms}
        given = {name: value for name, value in body.items() if value is not None}
        return int(self.call("POST", "/advance", json=given)["market_ms"])

    def create_account(self, name: str, balances: dict[str, str], **keys: str) -> SimAccount:
        """Open an account; ``api_key`` and ``api_secret`` may be given."""
        body = {"name": name, "balances": balances, **keys}
        return SimAccount(**self.call("POST", "/accounts", json=body))

    def accounts(self) -> list[dict[str, Any]]:
        """Every account with its balances."""
        result: list[dict[str, Any]] = self.call("GET", "/accounts")["accounts"]
        return result

    def deposit(self, account: str, asset: str, amount: str) -> None:
        """Change a balance from outside."""
        body = {"account": account, "asset": asset, "amount": amount}
        self.call("POST", "/deposit", json=body)

    def change_instrument(self, symbol: str, **changes: str | int) -> dict[str, Any]:
        """Change filters (tick, step, min_quantity, …), status, listing and delisting.

        ``venue`` names another venue than Binance spot; ``from_ms``, ``listed_ms`` and
        ``delisted_ms`` are market times. Returns the instrument as it is now.
        """
        body = {"symbol": symbol, **changes}
        result: dict[str, Any] = self.call("POST", "/instruments", json=body)
        return result

    def omit(self, symbol: str, from_ms: int, to_ms: int) -> None:
        """Take out the bars of Binance spot that open in [from_ms, to_ms)."""
        body = {"edit": "omit", "symbol": symbol, "from_ms": from_ms, "to_ms": to_ms}
        self.call("POST", "/klines", json=body)

    def restore(self, symbol: str) -> None:
        """Put back whatever bars were taken out."""
        self.call("POST", "/klines", json={"edit": "restore", "symbol": symbol})

    def revise(self, symbol: str, open_ms: int, volume: str) -> None:
        """State another volume for one bar."""
        body = {"edit": "revise", "symbol": symbol, "from_ms": open_ms, "volume": volume}
        self.call("POST", "/klines", json=body)

    def klines(
        self, symbol: str, interval: str, from_ms: int, to_ms: int, venue: str = "binance"
    ) -> list[list[Any]]:
        """The closed bars that a venue really has, at most 10,000, past every fault."""
        asked = {"symbol": symbol, "venue": venue, "interval": interval}
        asked |= {"from_ms": str(from_ms), "to_ms": str(to_ms)}
        result: list[list[Any]] = self.call("GET", "/record/klines", params=asked)["klines"]
        return result

    def maintain(self, mode: str) -> None:
        """Maintenance: ``trading``, ``all``, or ``none`` to come back."""
        self.call("POST", "/maintenance", json={"mode": mode})

    def add_fault(self, **rule: Any) -> int:
        """Add a fault rule; returns its id."""
        return int(self.call("POST", "/faults", json=rule)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """The fault rules with their counts."""
        result: list[dict[str, Any]] = self.call("GET", "/faults")["faults"]
        return result

    def remove_fault(self, rule_id: int) -> None:
        """Remove one fault rule."""
        self.call("DELETE", f"/faults/{rule_id}")

    def clear_faults(self) -> None:
        """Remove every fault rule."""
        self.call("DELETE", "/faults")

    def requests(self, **filters: Any) -> list[dict[str, Any]]:
        """Recorded requests (path, method, account, client_order_id, outcome, since_seq …)."""
        answer = self.call("GET", "/record/requests", params=filters)
        result: list[dict[str, Any]] = answer["requests"]
        return result

    def orders(self, **filters: str) -> list[dict[str, Any]]:
        """Recorded orders (account, symbol, status, client_order_id_prefix)."""
        result: list[dict[str, Any]] = self.call("GET", "/record/orders", params=filters)["orders"]
        return result


class SimulatorProcess:
    """A running simulator.

    Options are those of ``python -m simulator`` with underscores: ``spread_bps=0`` becomes
    ``--spread-bps 0``; ``replay`` takes a mapping of symbol to file of candles, ``funding`` of a
    perpetual's symbol to file of its rates.

    Attributes:
        url: where it listens.
        control: client of its control API.
        ready: what it printed when it was ready.
    """

    def __init__(
        self,
        *,
        replay: dict[str, Path] | None = None,
        funding: dict[str, Path] | None = None,
        **options: Any,
    ) -> None:
        arguments = [
            part
            for name, value in options.items()
            for part in (f"--{name.replace('_', '-')}", str(value))
        ]
        for symbol, file in (replay or {}).items():
            arguments += ["--replay", str(file), "--replay-symbol", symbol]
        for symbol, file in (funding or {}).items():
            arguments += ["--replay-funding", str(file), "--replay-funding-symbol", symbol]
        self._arguments = [*arguments, "--parent-pid", str(os.getpid())]
        self.url = ""
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulator", *self._arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], 30)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            self.process.kill()
            raise AssertionError(f"the simulator did not start: {self.process.communicate()[1]}")
        self.ready = json.loads(line)
        self.url = self.ready["url"]
        self.control = SimulatorControl(self.url)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process; returns its exit code."""
        self.control.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=10)
        return int(self.process.returncode)

    def ccxt(self, account: SimAccount | None = None, **config: Any) -> Any:
        """Unmodified synchronous ccxt, bound to this simulator."""
        # ccxt takes seconds to import; most users of this file need the process alone.
        import ccxt

        exchange = ccxt.binance(_config(account, config))
        bind_sync(exchange, self.url)
        return exchange

    def ccxt_pro(self, account: SimAccount | None = None, **config: Any) -> Any:
        """Unmodified ccxt.pro, bound to this simulator; call inside the event loop."""
        import ccxt.pro

        exchange = ccxt.pro.binance(_config(account, config))
        bind_async(exchange, self.url)
        return exchange


def _config(account: SimAccount | None, config: dict[str, Any]) -> dict[str, Any]:
    keys = {} if account is None else {"apiKey": account.api_key, "secret": account.api_secret}
    options = {
        "fetchCurrencies": False,
        "fetchMarkets": {"types": ["spot"]},
        **config.pop("options", {}),
    }
    return {"enableRateLimit": False, "options": options, **keys, **config}


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Ask again and again until the condition holds; returns what it answered."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)
    return answer


@pytest.fixture
def simulator() -> Iterator[Callable[..., SimulatorProcess]]:
    """Factory of simulators that end with the test."""
    running: list[SimulatorProcess] = []

    def start(**options: Any) -> SimulatorProcess:
        process = SimulatorProcess(**options)
        process.start()
        running.append(process)
        return process

    yield start
    for process in running:
        process.stop()
