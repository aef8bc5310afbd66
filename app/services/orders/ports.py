"""What the order services need from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from app.core.ports import TradeAdapter

# What waits is driven on within 10 s.
_MOST_PATIENCE_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class OrderTiming:
    """How long an order request may live, and how long silence must last to mean absence.

    Attributes:
        recv_window_ms: the venue refuses a request that is older than this. At most 2 s, so
            that a paused sender cannot wake up and send (the fence).
        settle_ms: lag after which a venue's query surely sees what its engine accepted.
        reply_deadline_ms: how long a sender may wait for the venue's answer.
        retry_ms: pause before a refused-for-now order or a failed query is tried again.
        max_attempts: sends of one intent before it is given up as expired.
    """

    recv_window_ms: int = 2_000
    settle_ms: int = 1_000
    reply_deadline_ms: int = 5_000
    retry_ms: int = 1_000
    max_attempts: int = 20

    def patience_ms(self, asked_for_ms: int) -> int:
        """Pause before a question is put again that was open for so long: 1 to 5 s.

        A venue that is away for hours is not asked each second for each order, and one that is
        back is asked within seconds.
        """
        return max(self.retry_ms, min(asked_for_ms // 5, _MOST_PATIENCE_MS))


@dataclass(frozen=True, slots=True)
class TradingDesk:
    """One account's gateway, ready: keys open, markets loaded, clock measured.

    Attributes:
        venue_ms: the venue's wall clock now, ms, known to half of a request's window; asks nobody.
    """

    adapter: TradeAdapter
    venue_ms: Callable[[], int]


class TradingDesks(Protocol):
    """Gateways by account."""

    def open(self, account_id: str) -> TradingDesk:
        """The desk of an account. Everything that may wait happens here, before a claim.

        Raises:
            VenueError: the venue cannot be reached, or its budget is used up.
            Unavailable: the account's keys cannot be opened here, or the venue's time is not
                known well enough to sign a request.
        """
        ...

    def cancel_desk(self, account_id: str) -> TradingDesk:
        """As ``open``, from the reserve that is kept for cancels and queries."""
        ...


#: Called between the steps of the protocol with the step's name; faults are rehearsed here.
Checkpoint = Callable[[str], None]


def no_checkpoint(step: str) -> None:
    """The checkpoint of normal operation."""
