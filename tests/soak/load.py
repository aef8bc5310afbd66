"""The load: a plan, strategies, and orders by hand at a steady rate."""

from __future__ import annotations

import random
import threading
import time
import uuid
from decimal import Decimal
from typing import Any, Final

import httpx

from tests.soak.stack import Stack

SYMBOLS: Final = ("BTC/USDT", "ETH/USDT")
_QUANTITY: Final = {"BTC/USDT": Decimal("0.001"), "ETH/USDT": Decimal("0.02")}
#: Their hours of yesterday are compared with the venue again and again, all at once: what streams
#: bring is not collected, and a worker that has nothing to ask is not warm.
KEPT: Final = (*SYMBOLS, "SOL/USDT", "BNB/USDT", "XRP/USDT", "ADA/USDT", "DOGE/USDT", "ETH/BTC")
_VERIFY_EVERY_S: Final = 20.0
_PATIENCE_S: Final = 90.0
_AGAIN_S: Final = 0.5


class Load:
    """Orders from one thread, each given again with its key until it has an answer.

    Attributes:
        answered: orders that got their answer, by its HTTP status.
        verifications: jobs of comparing a day with the venue that were taken on.
        given_up: requests that had none within 90 s, with the last words.
    """

    def __init__(self, stack: Stack, rate_per_s: float, seed: int) -> None:
        self._stack = stack
        self._pause_s = 1 / rate_per_s
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=each, name=f"load-{name}", daemon=True)
            for name, each in (("orders", self._run), ("verifications", self._verify))
        ]
        self.answered: dict[int, int] = {}
        self.verifications = 0
        self.given_up: list[str] = []
        self._resting: list[str] = []
        self._bought = dict.fromkeys(SYMBOLS, 0)

    def prepare(self) -> None:
        """The account, the plan and the strategies.

        Raises:
            AssertionError: the API refuses one.
        """
        account = {"name": "soak", "balances": {"USDT": "1000000", "BTC": "5", "ETH": "50"}}
        assert self._asked("POST", "/accounts", json=account).status_code in (201, 202)
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 6 * 3_600))
        plan = {"name": "soak", "symbols": list(SYMBOLS), "intervals": ["1m"], "since": since}
        self._made("/plans", plan)
        since = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 2 * 86_400))
        self._made(
            "/plans", {"name": "kept", "symbols": list(KEPT), "intervals": ["1h"], "since": since}
        )
        for strategy, params in (
            ("moving_average_cross", {"fast": 2, "slow": 3, "fraction": "0.2"}),
            ("bollinger_reversion", {}),
        ):
            wanted = {
                "name": f"soak-{strategy}",
                "strategy": strategy,
                "account": "soak",
                "symbols": list(SYMBOLS),
                "interval": "1m",
                "capital": "100000",
                "params": params,
                "max_orders_per_day": 10_000,
            }
            self._made("/instances", wanted)
            (instance_id,) = [
                each["id"]
                for each in self._asked("GET", "/instances").json()["data"]
                if each["name"] == wanted["name"]
            ]
            started = self._asked("POST", f"/instances/{instance_id}/start")
            # 409: it was started by a request whose answer came too late.
            assert started.status_code in (200, 202, 409), started.text

    def _made(self, path: str, body: dict[str, Any]) -> None:
        """Make something of a name; 409 where an answer came too late and it is there."""
        made = self._asked("POST", path, json=body)
        assert made.status_code in (201, 409), made.text

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and take back what rests."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S + 30)
        while self._resting:
            self._asked("POST", f"/orders/{self._resting.pop()}/cancel")

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._order()
            due = max(due + self._pause_s, time.monotonic())
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _verify(self) -> None:
        while not self._stop.wait(_VERIFY_EVERY_S):
            for symbol in KEPT:
                answer = self._asked(
                    "POST", "/verifications", json={"symbol": symbol, "interval": "1h"}
                )
                # 4xx: nothing is collected yet, or its verification is still under way.
                self.verifications += answer.status_code == httpx.codes.ACCEPTED

    def _order(self) -> None:
        """A market order there or back, or a limit order that rests until a later turn."""
        symbol = self._random.choice(SYMBOLS)
        body: dict[str, Any] = {
            "account": "soak",
            "symbol": symbol,
            "quantity": str(_QUANTITY[symbol]),
        }
        if self._random.random() < 0.4:
            body |= {"side": "buy", "type": "limit", "limit_price": self._far(symbol)}
        else:
            is_back = self._bought[symbol] > 2
            self._bought[symbol] += -1 if is_back else 1
            body |= {"side": "sell" if is_back else "buy", "type": "market"}
        answer = self._asked(
            "POST", "/orders", json=body, headers={"Idempotency-Key": uuid.uuid4().hex}
        )
        self.answered[answer.status_code] = self.answered.get(answer.status_code, 0) + 1
        if body["type"] == "limit" and answer.is_success:
            self._resting.append(answer.json()["order_id"])
        if len(self._resting) > 10:
            oldest = self._resting.pop(0)
            self._asked("POST", f"/orders/{oldest}/cancel")

    def _far(self, symbol: str) -> str:
        ticker = httpx.get(
            f"{self._stack.simulator_url}/api/v3/ticker/price",
            params={"symbol": symbol.replace("/", "")},
            timeout=15,
            trust_env=False,
        )
        return str((Decimal(ticker.json()["price"]) * Decimal("0.8")).quantize(Decimal(1)))

    def _asked(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask until there is an answer that is one: a process was killed, a server is away."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                answer = self._stack.call(method, path, **options)
                said = f"{answer.status_code} {answer.text[:200]}"
                if answer.status_code < 500:
                    return answer
            except httpx.HTTPError as error:
                answer, said = None, repr(error)
            if time.monotonic() > deadline:
                self.given_up.append(f"{method} {path}: {said}")
                return answer or httpx.Response(599, text=said)
            time.sleep(_AGAIN_S)
