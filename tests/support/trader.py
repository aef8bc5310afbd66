"""Somebody who places orders by hand through every fault."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Final, Self

import httpx

#: Within so long everything is back after a fault, seconds.
BACK_S: Final = 60.0
ACCOUNT: Final = "rehearsal"
SYMBOL: Final = "BTC/USDT"
# Binance takes 50 orders in ten seconds; strategy and resends need some of them.
_PAUSE_S: Final = 0.5


@dataclass
class Placed:
    """One order by hand.

    Attributes:
        asked_at: when it was first asked for, monotonic seconds.
        order_id: set once the API has confirmed it.
    """

    key: str
    body: dict[str, str]
    asked_at: float
    order_id: str | None = None
    refused: str | None = None


@dataclass
class Trader:
    """Places orders by hand for as long as it runs, each until the API has confirmed it.

    Attributes:
        placed: every order that it asked for.
    """

    url: Callable[[], str]
    token: Callable[[], str]
    price: Callable[[], Decimal]
    placed: list[Placed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trader", daemon=True)
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Finish the order that is being placed, and place no more."""
        self._ending.set()
        self._thread.join(BACK_S)
        assert not self._thread.is_alive(), "the trader did not end"
        if self._failure is not None:
            raise self._failure

    def confirmed(self) -> list[Placed]:
        """Orders that the API has confirmed."""
        return [each for each in self.placed if each.order_id is not None]

    def _run(self) -> None:
        try:
            # A record outlives its traders, and an address in memory is soon another one's.
            name = uuid.uuid4().hex
            for number in count(1):
                if self._ending.is_set():
                    return
                self._place(Placed(f"{name}-{number}", self._body(number), 0.0))
                self._ending.wait(_PAUSE_S)
        except BaseException as error:  # noqa: BLE001 - told by stop(), to the test
            self._failure = error

    def _body(self, number: int) -> dict[str, str]:
        order = {"account": ACCOUNT, "symbol": SYMBOL, "quantity": "0.002", "type": "market"}
        if number % 3 == 2:
            return {**order, "side": "sell", "quantity": "0.001"}
        if number % 3 == 0:
            limit = str((self.price() * Decimal("0.8")).quantize(Decimal(1)))
            return {**order, "side": "buy", "type": "limit", "limit_price": limit}
        return {**order, "side": "buy"}

    def _place(self, order: Placed) -> None:
        order.asked_at = time.monotonic()
        self.placed.append(order)
        while not self._ending.is_set() or time.monotonic() - order.asked_at < BACK_S / 2:
            answer = self._asked(order)
            if answer is not None and answer.status_code == 201:
                order.order_id = answer.json()["order_id"]
                return
            if answer is not None and answer.status_code < 500:
                order.refused = answer.text
                return
            time.sleep(0.2)

    def _asked(self, order: Placed) -> httpx.Response | None:
        try:
            return httpx.post(
                f"{self.url()}/api/v1/orders",
                json=order.body,
                headers={
                    "Authorization": f"Bearer {self.token()}",
                    "Idempotency-Key": order.key,
                },
                timeout=40,
                trust_env=False,
            )
        except (httpx.HTTPError, OSError, KeyError):
            return None
