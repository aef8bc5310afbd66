"""The request budget of each venue: why requests are sent, and by which address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol


class Purpose(StrEnum):
    """Why a request is sent; cancels and queries keep a reserve that data may not use."""

    DATA = "data"
    ORDER = "order"
    CANCEL = "cancel"


#: The end of what has none, ms of wall time.
ALWAYS: Final = 2**62
#: Name of this machine's own address among those by which a venue is reached.
OWN: Final = ""


class Addresses(Protocol):
    """The addresses by which public market data are asked for: this machine's own, and proxies.

    What is signed goes by the own one alone: keys are bound to it, and a proxy must not see them.
    """

    def offered(self) -> list[str]:
        """Names to choose from: the own address, and the proxies that can be reached.

        One that could not be reached is offered again for one request, after a pause.
        """
        ...

    def url(self, address: str) -> str | None:
        """URL of a proxy, with its password; None for the own address."""
        ...

    def failed(self, address: str, *, was_reached: bool) -> None:
        """Learn that no whole answer came by a proxy, or that it could not be reached at all."""
        ...

    def worked(self, address: str) -> None:
        """Learn that a whole answer came by a proxy."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a venue's budget is used, over some addresses together.

    Attributes:
        used: weight in the present minute.
        limit: weight of a minute.
        banned_until: ms of wall time; None while one of the addresses may send.
        polite_until: ms of wall time until which each of the addresses is treated gently, as
            after a ban; ``ALWAYS`` where that is a setting; None where one of them is not.
    """

    used: int
    limit: int
    banned_until: int | None
    polite_until: int | None = None


class RequestBudget(Protocol):
    """The request weight of each venue and address, shared by all that talk to it."""

    def acquire(
        self,
        exchange: str,
        weight: int,
        purpose: Purpose,
        timeout: float,
        addresses: Sequence[str] = (OWN,),
    ) -> str:
        """Take ``weight`` from the present minute, waiting up to ``timeout`` seconds.

        Returns:
            The address that pays: of those given, the one with the most room left.

        Raises:
            BudgetExhausted: no weight within the timeout; carries when to try again.
            RateLimited: the venue asked each address to slow down for longer than the timeout.
            VenueBanned: the venue banned every address; carries until when.
        """
        ...

    def correct(self, exchange: str, used_weight: int, address: str = OWN) -> None:
        """Learn what the venue says was used in the present minute."""
        ...

    def back_off(self, exchange: str, until_ms: int, address: str = OWN) -> None:
        """Send nothing before a wall time: the venue asked to slow down. Not persisted."""
        ...

    def ban(self, exchange: str, until_ms: int, reason: str, address: str = OWN) -> None:
        """Stop all traffic of an address to the venue until a wall time; survives a restart."""
        ...

    def banned_until(self, exchange: str, address: str = OWN) -> int | None:
        """End of the ban in force, ms of wall time, or None."""
        ...

    def usage(self, exchange: str, addresses: Sequence[str] = (OWN,)) -> Usage:
        """What is used of the present minute, as far as it is known."""
        ...
