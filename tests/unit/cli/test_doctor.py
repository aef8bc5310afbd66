"""The doctor says what is wrong, and how to mend it, in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.errors import Unavailable
from app.core.exchanges.errors import VenueUnreachable
from app.services import doctor
from app.services.doctor import Check, examine

GIB = 1024**3

NOW = 1_772_323_200_000
KNOWN = ("0002", "0001")


def fine() -> None:
    """A component that answers."""


def refuses() -> None:
    """A component that does not."""
    raise ConnectionRefusedError("root:secret@db:3306")


def skewed(ms: int) -> Callable[[], int]:
    """A venue whose clock is that far away."""
    return lambda: ms


def away() -> int:
    """A venue that cannot be reached."""
    raise Unavailable("the simulated exchange does not answer")


@pytest.mark.parametrize(
    ("found", "mend"),
    [
        (doctor.check_database("mysql at db", refuses), "TIDEMARK_DATABASE_URL"),
        (doctor.check_migrations(None, "0002", KNOWN), "tidemark system migrate"),
        (doctor.check_migrations("0001", "0002", KNOWN), "tidemark system migrate"),
        (doctor.check_broker("amqp at mq", refuses), "TIDEMARK_BROKER_URL"),
        (doctor.check_cache("redis at cache", refuses), "TIDEMARK_REDIS_URL"),
        (doctor.check_schedule(None, NOW), "tidemark up --full"),
        (doctor.check_schedule(NOW - 31_000, NOW), "31 s ago"),
        (doctor.check_exchange("binance", away), "cannot be reached"),
        (doctor.check_exchange("binance", skewed(1_500)), "NTP"),
        (doctor.check_address("gw:3128", True, {}, {}, {}), "TIDEMARK_PROXIES"),
        (doctor.check_clock(0), "NTP"),
        (doctor.check_disk(Path("/"), "the disk", GIB // 2), "TIDEMARK_DATA_DIR"),
    ],
)
def test_what_is_wrong_comes_with_how_to_mend_it(found: tuple[bool, str], mend: str) -> None:
    ok, detail = found
    assert not ok
    assert mend in detail
    assert "secret" not in detail


@pytest.mark.parametrize(
    "found",
    [
        doctor.check_database("sqlite", fine),
        doctor.check_migrations("0002", "0002", KNOWN),
        doctor.check_migrations("0003", "0002", KNOWN),
        doctor.check_broker("amqp", fine),
        doctor.check_broker("", None),
        doctor.check_cache("redis", fine),
        doctor.check_schedule(NOW - 2_000, NOW),
        doctor.check_cache(None, None),
        doctor.check_exchange("binance", skewed(-900)),
        doctor.check_address("", False, {}, {}, {}),
        doctor.check_address("gw:3128", False, {"okx": "2026-03-01T00:00:00.000Z"}, {}, {}),
        doctor.check_clock(1_800_000_000_000),
        doctor.check_disk(Path("/no/such/place"), "the disk"),
        doctor.check_disk(Path("/"), "the disk", 2 * GIB),
        doctor.check_runtime(True, True),
        doctor.check_runtime(True, False),
        doctor.check_runtime(False, False),
    ],
)
def test_what_is_well_says_so(found: tuple[bool, str]) -> None:
    assert found[0], found[1]


def test_an_address_says_which_venues_it_asks_politely() -> None:
    polite = {"okx": "2026-03-02T00:10:00.000Z", "bybit": ""}
    assert doctor.check_address("", False, {}, {}, polite) == (
        True,
        "the own address is used for market data; bybit is asked politely, as it is set; okx is "
        "asked politely, until 2026-03-02T00:10:00.000Z, after a ban",
    )


def test_a_secret_that_others_can_read_is_found(tmp_path: Path) -> None:
    secret = tmp_path / "api-token"
    assert doctor.check_data_dir(tmp_path, [secret])[0]
    secret.write_text("tdm_x")
    secret.chmod(0o640)
    ok, detail = doctor.check_data_dir(tmp_path, [secret])
    assert not ok
    assert f"chmod 600 {secret}" in detail
    secret.chmod(0o600)
    assert doctor.check_data_dir(tmp_path, [secret])[0]


def test_a_data_directory_may_be_missing_but_not_be_a_file(tmp_path: Path) -> None:
    assert doctor.check_data_dir(tmp_path / "new" / "deep", [])[0]
    file = tmp_path / "file"
    file.touch()
    assert not doctor.check_data_dir(file, [])[0]


def test_one_check_that_breaks_does_not_keep_the_others_from_being_made() -> None:
    def breaks() -> tuple[bool, str]:
        raise RuntimeError("unforeseen")

    def unavailable() -> tuple[bool, str]:
        raise Unavailable("it is away; start it")

    findings = examine(
        [Check("a", breaks), Check("b", unavailable), Check("c", lambda: (True, "well"))]
    )
    assert [finding.ok for finding in findings] == [False, False, True]
    assert findings[1].detail == "it is away; start it"
    assert doctor.as_json(findings)[2] == {"component": "c", "ok": True, "detail": "well"}


def test_the_vault_is_well_where_its_key_opens_every_account() -> None:
    path = Path("vault.key")
    assert doctor.check_vault(path, None)[0]
    assert doctor.check_vault(path, lambda: (3, 3))[0]
    ok, sentence = doctor.check_vault(path, lambda: (2, 3))
    assert not ok
    assert "2 of 3" in sentence


def test_one_cause_is_told_once_and_what_needs_it_is_not_looked_at() -> None:
    looked: list[str] = []

    def look(name: str, ok: bool) -> tuple[bool, str]:
        looked.append(name)
        return ok, name

    found = examine(
        [
            Check("database", lambda: look("database", False)),
            Check("migrations", lambda: look("migrations", True), needs="database"),
            Check("exchange", lambda: look("exchange", True)),
        ]
    )
    assert looked == ["database", "exchange"]
    assert [each.ok for each in found] == [False, False, True]
    assert found[1].detail == "not checked: the database does not answer"


def test_an_exchange_that_cannot_be_reached_is_named_once_with_what_to_do() -> None:
    def silent() -> int:
        raise VenueUnreachable("binance", "no connection, its name was not found")

    ok, detail = doctor.check_exchange("binance", silent)
    assert not ok
    assert detail.count("binance") == 1
    assert "see that this machine is online" in detail
