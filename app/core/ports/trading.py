"""Trading: an account at its venue, and the keys that sign for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from app.core.orders.types import Balance, OrderRequest, OrderResponse, Position, VenueFill


class TradeAdapter(Protocol):
    """One account at one venue. No call is ever retried inside."""

    def prepare(self) -> None:
        """Make the calling thread ready to send, so that its next call waits for nothing else."""
        ...

    def place_order(self, request: OrderRequest) -> OrderResponse:
        """Send an order.

        Raises:
            VenueRejected: proven not accepted and final.
            VenueRetryLater: proven not accepted; the same order may be sent again later.
            VenueUnknown: anything else; the order may live.
        """
        ...

    def cancel_order(self, symbol: str, client_order_id: str) -> OrderResponse:
        """Cancel by client order id.

        Raises:
            OrderNotKnown: the venue does not know an open order of that id.
            VenueUnknown: the cancel may or may not have happened.
        """
        ...

    def get_order_status(self, symbol: str, client_order_id: str) -> OrderResponse | None:
        """The order, or None where the venue answered that it has none of that id.

        Raises:
            VenueError: the query itself failed; that proves nothing.
        """
        ...

    def open_orders(self, symbol: str | None = None) -> list[OrderResponse]:
        """All open orders of the account."""
        ...

    def own_trades(self, symbol: str, after_trade_id: str | None) -> list[VenueFill]:
        """Own trades in ascending order of trade id, after the given one."""
        ...

    def get_balance(self) -> list[Balance]:
        """All assets that are not empty."""
        ...

    def get_positions(self) -> list[Position]:
        """Open derivative positions; empty on spot."""
        ...


class KeyVault(Protocol):
    """Exchange keys. The API process holds a vault that can only seal."""

    def seal(self, context: str, secret: Mapping[str, str]) -> str:
        """Encrypt a secret for one context (an account id) and no other."""
        ...

    def open(self, context: str, sealed: str) -> dict[str, str]:
        """Decrypt.

        Raises:
            Unavailable: this process cannot open, or the text was sealed for another context.
        """
        ...
