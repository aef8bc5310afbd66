"""The checks of the doctor and of ``/ready``, bound to the parts of a container."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from app.cli.locking import RuntimeLock
from app.services import doctor
from app.services.doctor import Check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.ports import MarketAdapter
    from app.wiring import Container

_TIMEOUT_S = 3


def readiness(container: Container) -> tuple[Check, ...]:
    """What requests need: database, schema, broker, disk."""
    settings = container.settings
    return (
        # Anyone may ask: places are not named.
        _database(container, "the database"),
        _migrations(container, names_places=False),
        _broker(container, "the broker"),
        Check("disk", lambda: doctor.check_disk(settings.data_dir, "the data directory")),
    )


def services(container: Container) -> tuple[Check, ...]:
    """The services that the full stack stands on."""
    return _database(container), _broker(container), _cache(container)


def everything(container: Container) -> tuple[Check, ...]:
    """Every component, for ``tidemark doctor``."""
    settings = container.settings
    lock = RuntimeLock(settings.data_dir)
    secrets = [settings.vault_key_path, settings.data_dir / "api-token"]
    return (
        Check("settings", lambda: (True, f"{settings.environment} settings are valid")),
        Check("data directory", lambda: doctor.check_data_dir(settings.data_dir, secrets)),
        Check("disk", lambda: doctor.check_disk(settings.data_dir, str(settings.data_dir))),
        _database(container),
        _migrations(container),
        _world(container),
        _broker(container),
        Check("runtime", lambda: doctor.check_runtime(settings.is_embedded, lock.held_by_other())),
        *_schedule(container),
        _cache(container),
        _vault(container),
        Check("clock", lambda: doctor.check_clock(container.clock.now_ms())),
        *_exchanges(container),
        *_addresses(container),
    )


def _unmade(container: Container) -> bool:
    """Whether the database is a file that the first start will make."""
    from pathlib import Path

    url = container.engine.url
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()


def _database(container: Container, name: str = "") -> Check:
    from app.repositories.database import ping

    shown = name or container.engine.url.render_as_string(hide_password=True)

    def check() -> tuple[bool, str]:
        if _unmade(container):
            return True, f"{shown} does not exist yet and will be made at the first start"
        return doctor.check_database(shown, lambda: ping(container.probe_engine))

    return Check("database", check)


def _migrations(container: Container, *, names_places: bool = True) -> Check:
    from app.repositories.migrating import current_revision, newest_revision, revisions
    from app.repositories.unfinished import is_unfinished, require_whole

    def check() -> tuple[bool, str]:
        if _unmade(container):
            return True, "the first start brings the schema"
        if names_places:
            require_whole(container.probe_engine)
        elif is_unfinished(container.probe_engine):
            return False, "the record is a restore that did not end"
        current = current_revision(container.probe_engine)
        return doctor.check_migrations(current, newest_revision(), revisions())

    return Check("migrations", check, needs="database")


def _world(container: Container) -> Check:
    def check() -> tuple[bool, str]:
        recorded = _recorded_world(container)
        return doctor.check_world(recorded, container.world.require)

    return Check("world", check, needs="database")


def _recorded_world(container: Container) -> str | None:
    """Whose market the record holds; None too where the next start makes the table for it."""
    from app.repositories.migrating import pending

    if not _has_record(container) or pending(container.probe_engine):
        return None
    return container.world.recorded()


def _broker(container: Container, name: str = "") -> Check:
    settings = container.settings
    if settings.is_embedded:
        return Check("broker", lambda: doctor.check_broker("", None))

    def ping() -> None:
        from kombu import Connection

        with Connection(settings.broker_url, connect_timeout=_TIMEOUT_S) as connection:
            connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_S)

    shown = name or _shown(settings.broker_url)
    return Check("broker", lambda: doctor.check_broker(shown, ping))


def _schedule(container: Container) -> tuple[Check, ...]:
    """Of the full stack: embedded does its periodic work only while its runtime is up."""
    if container.settings.is_embedded:
        return ()

    def check() -> tuple[bool, str]:
        with container.units.read() as unit:
            runs = unit.system.last_runs()
        return doctor.check_schedule(max(runs.values(), default=None), container.clock.now_ms())

    return (Check("schedule", check, needs="database"),)


def _vault(container: Container) -> Check:
    path = container.settings.vault_key_path

    def opened() -> tuple[int, int]:
        from app.core.errors import Unavailable
        from app.wiring.vault import open_vault

        vault, count = open_vault(path, can_read=True), 0
        with container.units.read() as unit:
            accounts = [] if _unmade(container) else list(unit.accounts.all())
        for account in accounts:
            try:
                vault.open(account.id, account.sealed_credentials)
                count += 1
            except Unavailable:
                continue
        return count, len(accounts)

    if not path.exists():
        return Check("vault", lambda: doctor.check_vault(path, None))
    return Check("vault", lambda: doctor.check_vault(path, opened), needs="database")


def _cache(container: Container) -> Check:
    url = container.settings.redis_url
    if not url:
        return Check("cache", lambda: doctor.check_cache(None, None))

    def ping() -> None:
        import redis

        with redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S) as client:
            client.ping()

    return Check("cache", lambda: doctor.check_cache(_shown(url), ping))


def _exchanges(container: Container) -> tuple[Check, ...]:
    from app.core.exchanges.factory import TRADED
    from app.services.worlds import SIMULATED

    settings = container.settings
    if settings.simulator_url:

        def simulated() -> int:
            return int(container.simulator.clock()["wall_ms"]) - container.clock.now_ms()

        name = f"the simulated exchange at {settings.simulator_url}"
        return (Check("exchange", lambda: doctor.check_exchange(name, simulated)),)

    def asked(exchange: str) -> int:
        sent = container.clock.now_ms()
        theirs = _market(container, exchange).server_time_ms()
        return theirs - (sent + container.clock.now_ms()) // 2

    def check(exchange: str) -> tuple[bool, str]:
        if _recorded_world(container) == SIMULATED:
            return False, f"{exchange} was not asked, for the record holds the simulated market"
        return doctor.check_exchange(exchange, lambda: asked(exchange))

    return tuple(Check(f"exchange {exchange}", partial(check, exchange)) for exchange in TRADED)


def _addresses(container: Container) -> tuple[Check, ...]:
    """Of each address, the own one and those of proxies, where a record tells how they are."""
    names = container.addresses.all()
    if _unmade(container):
        return ()

    def check(name: str) -> tuple[bool, str]:
        from app.core.exchanges.factory import VENUES
        from app.core.ports import ALWAYS
        from app.schemas.times import rfc3339
        from app.wiring.addresses import ALARM

        with container.units.read() as unit:
            is_away = unit.system.alarm_stands(ALARM + name)
        ends = {venue: container.budget.banned_until(venue, name) for venue in VENUES}
        bans = {venue: rfc3339(end) for venue, end in ends.items() if end is not None}
        usages = {venue: container.budget.usage(venue, [name]) for venue in VENUES}
        polite = {venue: each.polite_until for venue, each in usages.items()}
        gentle = {
            venue: "" if until == ALWAYS else rfc3339(until)
            for venue, until in polite.items()
            if until is not None
        }
        return doctor.check_address(name, is_away, bans, usages, gentle)

    return tuple(
        Check(f"address {name or 'own'}", partial(check, name), needs="database") for name in names
    )


def _market(container: Container, exchange: str) -> MarketAdapter:
    """A venue's public data; without the record of bans where no database can tell of them.

    To look decides nothing: a record that holds no market yet is not made the real one's by it.
    """
    from app.adapters.budget import InProcessBudget
    from app.core.exchanges.factory import market_adapter

    timeout_s = container.settings.venue_timeout_s
    if _has_record(container):
        if _recorded_world(container) is not None:
            return container.market(exchange)
        return market_adapter(
            exchange,
            container.budget,
            container.clock,
            timeout_s=timeout_s,
            addresses=container.addresses,
        )
    budget = InProcessBudget(container.clock, _NoBans())
    return market_adapter(exchange, budget, container.clock, timeout_s=timeout_s)


def _has_record(container: Container) -> bool:
    from app.repositories.database import ping

    if _unmade(container):
        return False
    answers, _ = doctor.check_database("", lambda: ping(container.probe_engine))
    return answers


class _NoBans:
    """No record of bans; see ``app.adapters.budget.BanStore``."""

    def bans(self) -> Mapping[str, int]:
        """None is known."""
        return {}

    def save_ban(self, scope: str, until_ms: int, reason: str) -> None:
        """Nowhere to keep it; the check itself says that the venue refused."""


def _shown(url: str) -> str:
    """A URL without what is secret in it."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or ''}"
