"""The addresses of an installation, and alarms about its proxies."""

from __future__ import annotations

from typing import Final

from app.adapters.addresses import AddressPool
from app.config import Settings
from app.core.ports import Clock
from app.repositories.unit import Unit, Units
from app.services.alarms import begin_alarm, end_alarm

#: What the names of standing alarms about proxies begin with.
ALARM: Final = "proxy:"


class ProxyAlarms:
    """Tells once that a proxy went away, and once that it is back, whichever process saw it."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def went_away(self, name: str) -> None:
        """A proxy cannot be reached."""
        text = (
            f"the proxy {name} cannot be reached; market data are asked for by the other "
            "addresses, and it is tried again by itself; see that it runs, or take it out of "
            "TIDEMARK_PROXIES"
        )

        def work(unit: Unit) -> None:
            begin_alarm(unit, ALARM + name, "warning", "proxy-away", text, proxy=name)

        self._units.run(work)

    def came_back(self, name: str) -> None:
        """A proxy works."""

        def work(unit: Unit) -> None:
            end_alarm(
                unit, ALARM + name, "proxy-back", f"the proxy {name} is used again", proxy=name
            )

        self._units.run(work)


def make_addresses(settings: Settings, clock: Clock, units: Units) -> AddressPool:
    """The own address, and the proxies of the settings."""
    return AddressPool(settings.named_proxies, clock, ProxyAlarms(units))
