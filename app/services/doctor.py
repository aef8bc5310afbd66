"""Checks of every component: what is wrong, and how to mend it, in one sentence each.

A check takes what it looks at as arguments; the edges bind them. None raises: what cannot be
looked at has failed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.core.errors import TidemarkError
from app.core.ports import Usage

_LEAST_FREE_BYTES: Final = 1024**3
_WARN_FREE_BYTES: Final = 5 * 1024**3
# Beat sends its shortest task every second; half a minute without one is an alarm.
_MOST_SILENCE_S: Final = 30
# Twice what is told as an alarm. Orders are signed by the venue's clock, whatever this one shows.
_MOST_SKEW_MS: Final = 1_000
# The code was written after this time; an earlier one is a clock that was never set.
_EARLIEST_MS: Final = 1_735_689_600_000  # 2025-01-01


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        detail: one sentence: what is there; where it failed, what is wrong and how to mend it.
    """

    component: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Check:
    """A bound check of one component; ``run`` answers (ok, detail).

    Attributes:
        needs: the component without which this one cannot be looked at; empty for none.
    """

    component: str
    run: Callable[[], tuple[bool, str]]
    needs: str = ""


def examine(checks: Sequence[Check]) -> list[Finding]:
    """Run every check; one that raises has failed, with its error's words.

    What needs a component that was found wrong is not looked at: the one cause is told once.
    """
    findings: list[Finding] = []
    for check in checks:
        if any(each.component == check.needs and not each.ok for each in findings):
            detail = f"not checked: the {check.needs} does not answer"
            findings.append(Finding(check.component, False, detail))
            continue
        try:
            ok, detail = check.run()
        except TidemarkError as error:
            ok, detail = False, error.message
        except Exception as error:  # noqa: BLE001 - whatever a component does, the others are checked
            ok, detail = False, f"could not be checked: {type(error).__name__}"
        findings.append(Finding(check.component, ok, detail))
    return findings


def check_database(name: str, ping: Callable[[], None]) -> tuple[bool, str]:
    """Whether the database answers a query.

    Args:
        name: kind and place, without a password.
    """
    try:
        ping()
    except Exception as error:  # noqa: BLE001 - drivers raise their own errors
        return False, (
            f"{name} does not answer ({type(error).__name__}); start it, or correct "
            "TIDEMARK_DATABASE_URL"
        )
    return True, f"{name} answers"


def check_migrations(
    current: str | None, newest: str | None, known: Collection[str]
) -> tuple[bool, str]:
    """Whether the database has what this release needs.

    Args:
        known: the revisions that this release knows. One beyond them is a newer release's, which
            takes nothing away from what runs; only the next start is refused.
    """
    if current == newest:
        return True, f"the schema is at {newest}"
    if current is not None and current not in known:
        return True, (
            f"the schema is at {current}, of a newer release: what runs goes on, and the next "
            "start must be the newer one's"
        )
    if current is None:
        return False, "the database has no tables yet; run: tidemark system migrate"
    return False, (
        f"the schema is at {current} and this release needs {newest}; run: tidemark system migrate"
    )


def check_world(recorded: str | None, require: Callable[[], None]) -> tuple[bool, str]:
    """Whether the record holds the market that is configured.

    Args:
        recorded: whose market it holds; None before its first use.
        require: raises ``WrongWorld`` where it is not the configured one.
    """
    if recorded is None:
        return True, "the record holds no market yet; its first use decides: simulated or real"
    require()
    return True, f"the record holds the {recorded} market, which is the one that is configured"


def check_broker(name: str, ping: Callable[[], None] | None) -> tuple[bool, str]:
    """Whether the broker takes a connection; embedded has none of its own."""
    if ping is None:
        return True, "embedded: the queue lives inside the runtime"
    try:
        ping()
    except Exception as error:  # noqa: BLE001 - kombu raises its transports' own errors
        return False, (
            f"{name} does not answer ({type(error).__name__}); start it, or correct "
            "TIDEMARK_BROKER_URL"
        )
    return True, f"{name} answers"


def check_runtime(embedded: bool, running: bool) -> tuple[bool, str]:
    """Whether something takes the jobs of this data directory."""
    if not embedded:
        return True, "full: workers take the jobs from the broker"
    if running:
        return True, "a runtime holds the data directory"
    return True, "no runtime is running here, so commands do their work themselves (tidemark up)"


def check_schedule(last_ms: int | None, now_ms: int) -> tuple[bool, str]:
    """Whether periodic work is done: beat sends it every second, and each run is a row.

    Args:
        last_ms: wall time of the latest run; None where there was none.
    """
    if last_ms is None:
        return False, "no periodic task has run yet; start beat and a worker: tidemark up --full"
    age_s = max(0, now_ms - last_ms) // 1_000
    if age_s > _MOST_SILENCE_S:
        return False, (
            f"the last periodic task ran {age_s} s ago; beat or the worker of queue maintenance is "
            "down, see: tidemark system status"
        )
    return True, f"the last periodic task ran {age_s} s ago"


def check_cache(name: str | None, ping: Callable[[], None] | None) -> tuple[bool, str]:
    """Whether the cache answers; without one, prices live inside the process."""
    if name is None or ping is None:
        return True, "prices and request budget are kept inside the process"
    try:
        ping()
    except Exception as error:  # noqa: BLE001 - the client raises its own errors
        return False, (
            f"{name} does not answer ({type(error).__name__}); start it, or correct "
            "TIDEMARK_REDIS_URL"
        )
    return True, f"{name} answers"


def check_exchange(name: str, offset_ms: Callable[[], int]) -> tuple[bool, str]:
    """Whether a venue answers and its clock agrees with ours.

    Args:
        offset_ms: asks the venue; its wall clock minus ours.
    """
    try:
        offset = offset_ms()
    except TidemarkError as error:
        said = error.message.removeprefix(f"{name}: ")
        return False, (
            f"{name} cannot be reached: {said}; see that this machine is online, or name a way in "
            "TIDEMARK_PROXIES"
        )
    if abs(offset) > _MOST_SKEW_MS:
        return False, (
            f"the clock of {name} and this machine's differ by {offset} ms, so the times in the "
            "record are wrong; set this machine's clock by NTP (timedatectl set-ntp true)"
        )
    return True, f"{name} answers; its clock and ours differ by {offset} ms"


def check_address(
    name: str,
    is_away: bool,
    bans: Mapping[str, str],
    usages: Mapping[str, Usage],
    polite: Mapping[str, str],
) -> tuple[bool, str]:
    """How one of the addresses stands by which market data are asked for.

    Args:
        name: of a proxy; empty for the own address.
        is_away: whether an alarm stands that the proxy cannot be reached.
        bans: venues that answer it nothing, and until when.
        usages: by venue.
        polite: venues that it asks politely, and until when; "" where that is a setting.
    """
    what = f"proxy {name}" if name else "the own address"
    if is_away:
        return False, (
            f"{what} cannot be reached, and is tried again by itself; see that it runs, or take "
            "it out of TIDEMARK_PROXIES"
        )
    told = [f"{venue} has banned it until {until}" for venue, until in sorted(bans.items())]
    told += [
        f"{venue} is asked politely, {f'until {until}, after a ban' if until else 'as it is set'}"
        for venue, until in sorted(polite.items())
    ]
    told += [
        f"{usage.used} of {usage.limit} used at {venue} this minute"
        for venue, usage in sorted(usages.items())
        if usage.used
    ]
    return True, f"{what} is used for market data" + "".join(f"; {each}" for each in told)


def check_clock(now_ms: int) -> tuple[bool, str]:
    """Whether this machine's clock was ever set."""
    if now_ms < _EARLIEST_MS:
        return False, "this machine's clock is years behind; set it by NTP (timedatectl)"
    return True, "this machine's clock is plausible"


def check_disk(path: Path, name: str, free: int | None = None) -> tuple[bool, str]:
    """Whether the disk of a directory, called ``name``, has room."""
    if free is None:
        free = shutil.disk_usage(_existing(path)).free
    amount = f"{free / 1024**3:.1f} GiB"
    if free < _LEAST_FREE_BYTES:
        return False, (
            f"the disk of {name} has {amount} left; make room, or set TIDEMARK_DATA_DIR to a "
            "larger disk"
        )
    if free < _WARN_FREE_BYTES:
        return True, f"the disk of {name} has only {amount} left"
    return True, f"the disk of {name} has {amount} left"


def check_data_dir(path: Path, secrets: Sequence[Path]) -> tuple[bool, str]:
    """Whether the data directory can be written, and its secrets are read by nobody else."""
    if not path.exists():
        parent = _existing(path)
        if os.access(parent, os.W_OK | os.X_OK):
            return True, f"{path} does not exist yet and will be made at the first start"
        return False, f"{path} cannot be made: {parent} is not writable; choose TIDEMARK_DATA_DIR"
    if not path.is_dir():
        return False, f"{path} is not a directory; choose another TIDEMARK_DATA_DIR"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return False, f"{path} is not writable for this user; run: chown -R $USER {path}"
    for secret in secrets:
        if secret.exists() and secret.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return False, f"{secret} can be read by others; run: chmod 600 {secret}"
    return True, f"{path} is writable, and its secrets are this user's alone"


def check_vault(path: Path, can_open: Callable[[], tuple[int, int]] | None) -> tuple[bool, str]:
    """Whether this machine's key opens what the accounts were sealed with.

    Args:
        can_open: how many accounts' secrets the key opens, and of how many; None where this
            machine has no private key.
    """
    if can_open is None:
        return True, f"there is no {path} here, so this machine seals keys at most and opens none"
    opened, of = can_open()
    if opened < of:
        return False, (
            f"{path} opens the keys of {opened} of {of} accounts; put the right vault.key there, "
            "or enter the others' keys again"
        )
    return True, f"{path} opens the keys of all {of} accounts"


def as_json(findings: Sequence[Finding]) -> list[Mapping[str, Any]]:
    """The findings as plain data."""
    return [
        {"component": each.component, "ok": each.ok, "detail": each.detail} for each in findings
    ]


def _existing(path: Path) -> Path:
    """The path itself, or its nearest parent that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
