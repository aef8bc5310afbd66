"""How the venue of a job stands: what is used of its budget, and how long the job waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.core.exchanges.politeness import polite_ms, with_rests
from app.core.ports import Clock, RequestBudget
from app.models import JobRow
from app.services.jobs import LIVE

# Kinds that ask a venue, and say which one in their parameters.
_ASKING: Final = ("collection", "verification")


@dataclass(frozen=True, slots=True)
class VenueLoad:
    """One venue at this moment.

    Attributes:
        used: request weight of the present minute, by all addresses; None where a process that
            does not tell this one counts it.
        limit: weight of a minute, of all addresses.
        banned_until: wall time of the ban's end, ms, if every address is banned.
        ban_s: seconds until then, rounded up.
        now_ms: wall time of this moment.
        polite_until: until when each address is treated gently, see ``Usage``; None where one is
            not.
        addresses: by how many it is asked.
    """

    exchange: str
    used: int | None
    limit: int
    banned_until: int | None
    ban_s: int | None
    now_ms: int
    polite_until: int | None = None
    addresses: int = 1

    def progress_of(self, job: JobRow) -> dict[str, Any]:
        """The progress of one of the venue's live jobs, what it waits for now in its ETA.

        That is the time for which it was put off, as where the budget of a minute is used up, and
        a ban. A job that rests waits for a person.
        """
        eta = job.progress.get("eta_s")
        if eta is None or job.paused:
            return job.progress
        if self.polite_until is not None:
            eta = self._polite_eta(job, eta)
        wait_ms = max(job.not_before, self.banned_until or 0) - self.now_ms
        return {**job.progress, "eta_s": round(eta + max(0, wait_ms) / 1000, 1)}

    def _polite_eta(self, job: JobRow, eta: float) -> float:
        """The rest of a job in seconds, its requests apart as the polite profile has them.

        A page of a collection is one request; a day of a verification is some.
        """
        rest = job.progress.get("slices_total", 0) - job.progress.get("slices_done", 0)
        least_ms = polite_ms(max(0, rest), self.addresses) if job.kind == "collection" else 0
        return max(with_rests(eta), least_ms / 1000)


class JobVenues:
    """Looks at the budgets of venues.

    Args:
        addresses: those by which market data are asked for.
    """

    def __init__(
        self, budget: RequestBudget, addresses: Callable[[], Sequence[str]], clock: Clock
    ) -> None:
        self._budget = budget
        self._addresses = addresses
        self._clock = clock

    def of(self, job: JobRow, *, counts_here: bool = True) -> VenueLoad | None:
        """How the venue of a live job stands; None for one that has ended or asks no venue.

        Args:
            counts_here: False where another process sends the requests and nobody shares the
                count. Bans are rows, and known everywhere.
        """
        if job.kind not in _ASKING or job.state not in LIVE:
            return None
        exchange = str(job.params["exchange"])
        addresses = self._addresses()
        usage = self._budget.usage(exchange, addresses)
        until = usage.banned_until
        now = self._clock.now_ms()
        left = None if until is None else max(0, -((now - until) // 1000))
        used = usage.used if counts_here else None
        polite = usage.polite_until
        return VenueLoad(exchange, used, usage.limit, until, left, now, polite, len(addresses))

    def of_all(self, jobs: Iterable[JobRow], *, counts_here: bool = True) -> dict[str, VenueLoad]:
        """The same by the ids of jobs; each venue is looked at once."""
        seen: dict[str, VenueLoad | None] = {}
        found: dict[str, VenueLoad] = {}
        for job in jobs:
            if job.kind not in _ASKING or job.state not in LIVE:
                continue
            exchange = str(job.params["exchange"])
            if exchange not in seen:
                seen[exchange] = self.of(job, counts_here=counts_here)
            load = seen[exchange]
            if load is not None:
                found[job.id] = load
        return found
