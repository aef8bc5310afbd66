"""What the exchange tells of itself, and to whom: the journal, and the dialects' streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from simulator.ledger import Holding
from simulator.orders import Fill, Order


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Something happened to an order.

    Attributes:
        kind: ``new``, ``triggered``, ``trade``, ``canceled`` or ``expired``.
        request_id: client id of the request that cancelled it, else None.
    """

    kind: str
    order: Order
    fill: Fill | None = None
    request_id: str | None = None


class Observer(Protocol):
    """Who is told what happened, right when it happened."""

    def on_order(self, event: OrderEvent) -> None:
        """An order was accepted, triggered, filled, cancelled or expired."""
        ...

    def on_commit(self, balances: Mapping[str, Mapping[str, Holding]]) -> None:
        """An operation ended; these holdings changed, by account and asset."""
        ...
