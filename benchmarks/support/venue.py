"""The simulated venue as the benchmark drives it: its market, its faults, its record."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

MINUTE_MS: Final = 60_000
#: 2026-03-02T00:00Z, a Monday.
START_MS: Final = 1_772_409_600_000
_HISTORY_BARS: Final = 1_500
_FUTURE_BARS: Final = 3_000


def symbols(count: int) -> list[str]:
    """Names of the benchmark's instruments."""
    return [f"P{number:02}/USDT" for number in range(count)]


def simulator_options(directory: Path, names: Sequence[str]) -> list[str]:
    """A stepped market of candles that are written here, one file for each symbol.

    On every bar ``moving_average_cross`` with 2 and 3 bars buys or sells, by turns.
    """
    options = ["--clock", "stepped", "--start", str(START_MS), "--weight-limit", "0"]
    # Nothing is left over of what was bought, as dust is.
    options += ["--fee-asset", "quote"]
    for number, symbol in enumerate(names):
        path = directory / f"candles-{number:02}.csv"
        path.write_text(_candles(number))
        options += ["--replay", str(path), "--replay-symbol", symbol]
    return options


def _candles(number: int) -> str:
    lines = ["open_time,open,high,low,close,volume"]
    for bar in range(-_HISTORY_BARS, _FUTURE_BARS):
        # Up and down by turns: the averages of two and three bars cross on every bar.
        opened, closed = (100 + number + each % 2 / 5 for each in (bar, bar + 1))
        high, low = max(opened, closed) + 0.02, min(opened, closed) - 0.02
        volume = 50_000 + bar % 97 / 1_000
        at = START_MS + bar * MINUTE_MS
        lines.append(f"{at},{opened:.2f},{high:.2f},{low:.2f},{closed:.2f},{volume:.3f}")
    return "\n".join(lines) + "\n"


class Venue:
    """One connection to the simulator, kept open."""

    def __init__(self, url: str) -> None:
        host = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(host, timeout=30)
        self._lock = threading.Lock()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON.

        Raises:
            RuntimeError: the simulator refused.
        """
        with self._lock:
            text = None if body is None else json.dumps(body)
            self._connection.request(method, path, text, dict(headers or {}))
            response = self._connection.getresponse()
            answer = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"{method} {path.partition('?')[0]}: {answer}")
        return answer

    def market_ms(self) -> int:
        """Market time."""
        return int(self.call("GET", "/control/clock")["market_ms"])

    def step(self) -> None:
        """Let one minute of the market pass."""
        self.call("POST", "/control/advance", {"by_ms": MINUTE_MS})

    def delay(self, symbol: str, ms: int) -> None:
        """Send this symbol's klines so much later than the others', as real venues do."""
        stream = f"{symbol.replace('/', '').lower()}@kline_*"
        self.call("POST", "/control/faults", {"action": "ws_delay", "stream": stream, "ms": ms})

    def placed(self) -> dict[str, int]:
        """Wall time, ms, at which each order arrived for the first time, by client order id."""
        found: dict[str, int] = {}
        since = 0
        while True:
            page = self.call(
                "GET", f"/control/record/requests?path=/api/v3/order&method=POST&since_seq={since}"
            )["requests"]
            for entry in page:
                found.setdefault(entry["params"]["newClientOrderId"], entry["wall_ms"])
            if not page:
                return found
            since = page[-1]["seq"]

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class BareTrader:
    """Places market orders with nothing around the request itself."""

    def __init__(self, venue: Venue, name: str) -> None:
        self._venue = venue
        opened = {"name": name, "balances": {"USDT": "1000000"}}
        self._keys = venue.call("POST", "/control/accounts", opened)
        self._count = 0

    def buy(self, symbol: str) -> None:
        """Buy one unit at the market."""
        self._count += 1
        query = urlencode(
            {
                "symbol": symbol.replace("/", ""),
                "side": "BUY",
                "type": "MARKET",
                "quantity": "1",
                "newClientOrderId": f"bare{self._count}",
                "newOrderRespType": "FULL",
                "timestamp": time.time_ns() // 1_000_000,
            }
        )
        key = self._keys["api_secret"].encode()
        signature = hmac.new(key, query.encode(), hashlib.sha256).hexdigest()
        path = f"/api/v3/order?{query}&signature={signature}"
        self._venue.call("POST", path, headers={"X-MBX-APIKEY": self._keys["api_key"]})
