"""Whose market the record holds: that of a simulated exchange, or the real one.

A series is named by exchange and symbol, whichever of the two it came from, so one record can
hold only one of them. The first process that uses an exchange writes down which; every other
that is configured for the other world is refused before it has asked or stored anything.
"""

from __future__ import annotations

from typing import Final

from app.core.errors import Unavailable, WrongWorld
from app.models import AccountRow
from app.repositories.unit import Unit, Units

SIMULATED: Final = "simulated"
REAL: Final = "real"
_REFUSED: Final = {
    REAL: (
        "this record holds the market of the simulated exchange, and the real one is asked for "
        "because no simulator is configured; start with the simulator (tidemark up), name it by "
        "TIDEMARK_SIMULATOR_URL, or set TIDEMARK_HOME to another directory for the real exchange"
    ),
    SIMULATED: (
        "this record holds the market of the real exchange, and a simulated one is asked for; "
        "start with --no-simulator and without TIDEMARK_SIMULATOR_URL, or set TIDEMARK_HOME to "
        "another directory for the simulated exchange"
    ),
}


class RecordWorld:
    """The world of this process, held against that of its record.

    Args:
        simulated: whether a simulated exchange is configured here.

    Attributes:
        own: this process's world.
    """

    def __init__(self, units: Units, *, simulated: bool) -> None:
        self._units = units
        self._held: str | None = None
        self.own: Final = SIMULATED if simulated else REAL

    @property
    def account_kinds(self) -> frozenset[str]:
        """Kinds of accounts whose venue can be reached from here."""
        return frozenset({"simulated"} if self.own == SIMULATED else {"live"})

    def require(self) -> None:
        """Nothing, where the record is of this world, or was of none until now.

        The record is read once; whoever comes first writes it down.

        Raises:
            WrongWorld: it is of the other.
        """
        if self._held is None:
            # Most find it written, and write nothing.
            self._held = self.recorded() or self._units.run(self._claim)
        if self._held != self.own:
            raise WrongWorld(_REFUSED[self.own])

    def begin(self) -> None:
        """The same, by what starts an installation: a world that was asked for in vain, by a
        command without a network say, does not bind a record in which nothing came of it.

        Raises:
            WrongWorld: the record is of the other.
        """
        self._units.run(self._release)
        self.require()

    def recorded(self) -> str | None:
        """Whose market the record holds; None before its first use."""
        with self._units.read() as unit:
            return unit.system.world()

    def admit(self, account: AccountRow) -> None:
        """Nothing, where the venue of an account is the one that is configured.

        Raises:
            Unavailable: a simulated account and no simulator, or the other way round.
            WrongWorld: the record is of the other world.
        """
        if account.kind == "simulated" and self.own == REAL:
            raise Unavailable(
                f"account {account.name} is simulated, and no simulated exchange is configured; "
                "start with the simulator (tidemark up), or set TIDEMARK_SIMULATOR_URL"
            )
        if account.kind != "simulated" and self.own == SIMULATED:
            raise Unavailable(
                f"account {account.name} is {account.kind}, and a simulated exchange is "
                "configured; start with --no-simulator"
            )
        self.require()

    def _claim(self, unit: Unit) -> str:
        return unit.system.claim_world(self.own, unit.now_ms)

    def _release(self, unit: Unit) -> None:
        if unit.system.world() not in (None, self.own) and not unit.system.holds_market():
            unit.system.forget_world()
