"""Who streams what: database leases, divided evenly among the living processes.

Each process is a member, by a lease of its own. A group (a shard of a market, an account's user
data) is streamed by the one process that holds its lease. Nobody takes more than its even part,
and who holds more gives back, so two processes share the work within a look or two; what a dead
one held is free when its leases run out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from app.core.errors import TidemarkError
from app.core.ports import Clock
from app.repositories.unit import Unit, Units

_log = structlog.get_logger(__name__)
_MEMBERS = "stream:member:"
# Given up before the database may give it to another: time for a write that has begun.
_MARGIN = 0.8


class LeaseLost(TidemarkError):
    """A stream's lease is somebody else's by now; what it brought is theirs to write."""

    code = "lease-lost"


@dataclass(slots=True)
class Lease:
    """One group that this process holds.

    Attributes:
        epoch: grows with each owner; with the owner it is the fence.
        valid_until: monotonic time after which nothing may be written.
    """

    name: str
    owner: str
    epoch: int
    valid_until: float
    lost: bool = False

    def is_valid(self, monotonic: float) -> bool:
        """Whether this process may write by the lease, as far as it knows."""
        return not self.lost and monotonic < self.valid_until

    def fence(self, unit: Unit) -> None:
        """Refuse to write if the lease is no longer this one; call it in the transaction.

        Raises:
            LeaseLost: it is not.
        """
        if self.lost or not unit.system.holds_lease(self.name, self.owner, self.epoch, unit.now_ms):
            raise LeaseLost(f"the lease {self.name} is no longer held here")


class Leases:
    """The leases of one process. Calls block; one thread at a time.

    Args:
        owner: name of this process, different after each start.
    """

    def __init__(
        self, units: Units, clock: Clock, owner: str, *, lease_s: float, renew_s: float
    ) -> None:
        self._units = units
        self._clock = clock
        self._owner = owner
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._held: dict[str, Lease] = {}
        self._renewed_at = -math.inf

    def update(self, groups: Iterable[str]) -> dict[str, Lease]:
        """Renew, take and give back, so that this process holds its part of the groups.

        Raises:
            Exception: the database's own, where it cannot be asked; leases then run out.
        """
        wanted = set(groups)
        started = self._clock.monotonic()
        is_due = started - self._renewed_at >= self._renew_s
        with self._units.read() as unit:
            rows = unit.system.leases("stream:", unit.now_ms)
        owners = {row.name: row.owner for row in rows}
        members = {owner for name, owner in owners.items() if name.startswith(_MEMBERS)}
        keep, take, drop = self._divided(wanted, owners, members | {self._owner})
        if is_due or take or drop or self._owner not in members:
            self._write(keep | take, drop, started)
        return dict(self._held)

    def release(self) -> None:
        """Give everything back, so that another process need not wait."""
        names = [*self._held, _MEMBERS + self._owner]
        self._end(list(self._held))

        def work(unit: Unit) -> None:
            for name in names:
                unit.system.release_lease(name, self._owner)

        self._units.run(work)

    def lapse(self) -> None:
        """Note the leases whose time has passed: nobody could renew them."""
        now = self._clock.monotonic()
        self._end([name for name, lease in self._held.items() if not lease.is_valid(now)])

    def _divided(
        self, wanted: set[str], owners: dict[str, str], members: set[str]
    ) -> tuple[set[str], set[str], set[str]]:
        """Groups to keep, to take, and to give back."""
        keep: set[str] = set()
        take: set[str] = set()
        by_kind: dict[str, set[str]] = defaultdict(set)
        for name in wanted:
            by_kind[name.split(":")[1]].add(name)
        for names in by_kind.values():
            part = math.ceil(len(names) / len(members))
            mine = sorted(name for name in names if name in self._held)
            free = sorted(name for name in names if name not in owners and name not in self._held)
            keep |= set(mine[:part])
            take |= set(free[: max(0, part - len(mine))])
        return keep, take, set(self._held) - keep

    def _write(self, names: set[str], drop: set[str], started: float) -> None:
        self._end(drop)
        ttl_ms = int(self._lease_s * 1000)

        def work(unit: Unit) -> dict[str, int | None]:
            for name in sorted(drop):
                unit.system.release_lease(name, self._owner)
            wanted = [*sorted(names), _MEMBERS + self._owner]
            return {
                name: unit.system.take_lease(name, self._owner, unit.now_ms, ttl_ms)
                for name in wanted
            }

        epochs = self._units.run(work)
        self._renewed_at = started
        # From before the transaction: it must have run out here before it does in the database.
        valid_until = started + self._lease_s * _MARGIN
        for name in names:
            self._note(name, epochs[name], valid_until)

    def _note(self, name: str, epoch: int | None, valid_until: float) -> None:
        held = self._held.get(name)
        if held is not None and epoch == held.epoch:
            held.valid_until = valid_until
            return
        self._end([name])
        if epoch is not None:
            self._held[name] = Lease(name, self._owner, epoch, valid_until)

    def _end(self, names: Iterable[str]) -> None:
        for name in list(names):
            lease = self._held.pop(name, None)
            if lease is not None:
                lease.lost = True
                _log.info("stream_lease_ended", group=name)


def free_leases(units: Units) -> None:
    """Take every stream's lease from whoever held it; only where no other process can live."""
    units.run(lambda unit: unit.system.drop_leases("stream:"))
