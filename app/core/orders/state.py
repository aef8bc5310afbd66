"""The order state machine.

    NEW ──claim──▶ SENDING ──ack──▶ ACKNOWLEDGED ──▶ PARTIALLY_FILLED ──▶ FILLED
     │               │  └─proof of refusal─▶ REJECTED (or NEW, to be sent again)
     │               └─anything else─▶ UNKNOWN ──query──▶ found: as the venue says
     │                                            └─proven absent─▶ NEW or EXPIRED
     └─too old─▶ EXPIRED     working ──cancel──▶ PENDING_CANCEL ──▶ CANCELLED

A final state never changes. A fill that arrives after it is added to the order's quantities
and raises an alarm, but the state stays.
"""

from __future__ import annotations

from typing import Final

from app.core.errors import TidemarkError
from app.core.orders.types import OrderStatus as S

FINAL: Final = frozenset({S.FILLED, S.CANCELLED, S.REJECTED, S.EXPIRED})
LIVE: Final = frozenset(S) - FINAL
#: Resting at the venue, as far as we know.
WORKING: Final = frozenset({S.ACKNOWLEDGED, S.PARTIALLY_FILLED, S.PENDING_CANCEL})
#: A worker must act: send, resolve, or finish a cancel.
UNSETTLED: Final = frozenset({S.NEW, S.SENDING, S.UNKNOWN, S.PENDING_CANCEL})

_VENUE_SAYS: Final = frozenset(
    {S.ACKNOWLEDGED, S.PARTIALLY_FILLED, S.FILLED, S.CANCELLED, S.EXPIRED, S.REJECTED}
)
ALLOWED: Final[dict[S, frozenset[S]]] = {
    S.NEW: frozenset({S.SENDING, S.EXPIRED, S.CANCELLED, S.REJECTED}),
    S.SENDING: _VENUE_SAYS | {S.NEW, S.UNKNOWN},
    S.UNKNOWN: _VENUE_SAYS | {S.NEW},
    S.ACKNOWLEDGED: frozenset(
        {S.PARTIALLY_FILLED, S.FILLED, S.PENDING_CANCEL, S.CANCELLED, S.EXPIRED, S.REJECTED}
    ),
    S.PARTIALLY_FILLED: frozenset({S.FILLED, S.PENDING_CANCEL, S.CANCELLED, S.EXPIRED}),
    S.PENDING_CANCEL: frozenset(
        {S.ACKNOWLEDGED, S.PARTIALLY_FILLED, S.FILLED, S.CANCELLED, S.EXPIRED}
    ),
    S.FILLED: frozenset(),
    S.CANCELLED: frozenset(),
    S.REJECTED: frozenset(),
    S.EXPIRED: frozenset(),
}


class IllegalMove(TidemarkError):
    """An order was about to make a move that its state does not allow."""

    code = "illegal-order-move"


def may_move(current: S, target: S) -> bool:
    """Whether an order may go from one state to another; staying is always allowed."""
    return current == target or target in ALLOWED[current]


def require_move(current: S, target: S) -> S:
    """``target`` if the move is allowed.

    Raises:
        IllegalMove: it is not.
    """
    if not may_move(current, target):
        raise IllegalMove(f"an order cannot go from {current} to {target}")
    return target
