"""The state file: one JSON line for each thing that changed, so that a restart goes on.

A line is written and flushed as one piece after each operation, and every few seconds of a
running clock, so that after a crash market time goes back by no more than that. A last
line that was torn by a crash is dropped with a warning; any other damage is refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TextIO

from app.core.errors import InvalidInput
from simulator.clock import ClockMode, MarketClock
from simulator.exchange import Account, Exchange
from simulator.ledger import Holding
from simulator.observing import OrderEvent
from simulator.orders import Order
from simulator.venue import Venue

_VERSION: Final = 1
# Market time between two lines of a running clock at which nothing happens.
_NOTE_MS: Final = 5_000


class Journal:
    """Writes what changes at a venue, and the time of a running clock.

    Register it as an observer of the exchange.

    Args:
        path: the file; it is created with a first line that names the seed.
    """

    def __init__(self, path: Path, venue: Venue) -> None:
        self._exchange = venue.exchange
        self._clock: MarketClock = venue.clock
        self._changed: dict[int, Order] = {}
        self._known_accounts = set(venue.exchange.accounts)
        is_new = not path.exists() or path.stat().st_size == 0
        self._noted = self._clock.now()
        self._file: TextIO = path.open("a", encoding="utf-8")
        if is_new:
            self._write({"tidemark_simulator": _VERSION, "seed": venue.seed})
        if self._clock.mode is ClockMode.RUNNING:
            venue.on_step.append(self._on_step)

    def close(self) -> None:
        """Note the time and close the file."""
        self.on_commit({})
        self._file.close()

    def on_order(self, event: OrderEvent) -> None:
        """See ``Observer.on_order``."""
        self._changed[event.order.id] = event.order

    def on_commit(self, balances: Mapping[str, Mapping[str, Holding]]) -> None:
        """See ``Observer.on_commit``."""
        self._noted = self._clock.now()
        line: dict[str, Any] = {"market_ms": self._noted}
        fresh = [a for a in self._exchange.accounts.values() if a.name not in self._known_accounts]
        if fresh:
            self._known_accounts |= {account.name for account in fresh}
            line["accounts"] = [[a.name, a.api_key, a.api_secret] for a in fresh]
        if self._changed:
            line["orders"] = [order.to_json() for order in self._changed.values()]
            self._changed.clear()
        if balances:
            line["balances"] = {
                account: {
                    asset: [str(held.free), str(held.locked)] for asset, held in assets.items()
                }
                for account, assets in balances.items()
            }
        self._write(line)

    def _on_step(self, _start: int, end: int, is_last: bool) -> None:
        if is_last and end - self._noted >= _NOTE_MS:
            self.on_commit({})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


def restore(path: Path, venue: Venue) -> None:
    """Bring a fresh venue to where the file ends; a file that is not there changes nothing.

    Raises:
        InvalidInput: the file belongs to another seed, is damaged, or is no journal.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    orders: dict[int, Order] = {}
    market_ms = 0
    for number, line in _lines(path, venue.seed):
        try:
            market_ms = _apply(line, venue.exchange, orders)
        except (KeyError, ValueError, TypeError, ArithmeticError):
            raise InvalidInput(f"state file {path}: line {number} is damaged") from None
    unknown = {o.ticket.symbol for o in orders.values()} - set(venue.markets)
    if unknown:
        raise InvalidInput(f"state file {path} trades {min(unknown)}, which is not listed now")
    venue.exchange.restore(orders.values())
    if market_ms:
        venue.clock.resume(market_ms)


def _lines(path: Path, seed: int) -> list[tuple[int, dict[str, Any]]]:
    data = path.read_bytes()
    whole, newline, torn = data.rpartition(b"\n")
    if torn:
        sys.stderr.write(f"simulator: state file {path}: dropped a torn last line\n")
        with path.open("r+b") as file:
            file.truncate(len(whole) + len(newline))
    lines = []
    for number, text in enumerate(whole.split(b"\n"), start=1):
        try:
            lines.append((number, json.loads(text)))
        except ValueError:
            raise InvalidInput(f"state file {path}: line {number} is damaged") from None
    header = lines[0][1] if lines else None
    if not isinstance(header, dict) or header.get("tidemark_simulator") != _VERSION:
        raise InvalidInput(f"{path} is not a state file of this simulator")
    if header.get("seed") != seed:
        raise InvalidInput(f"state file {path} was written with seed {header.get('seed')}")
    return lines[1:]


def _apply(line: dict[str, Any], exchange: Exchange, orders: dict[int, Order]) -> int:
    for name, key, secret in line.get("accounts", []):
        exchange.add_account(Account(name, key, secret))
    for data in line.get("orders", []):
        orders[data["order_id"]] = Order.from_json(data)
    for account, assets in line.get("balances", {}).items():
        for asset, (free, locked) in assets.items():
            exchange.ledger.restore(account, asset, Decimal(free), Decimal(locked))
    return int(line["market_ms"])
