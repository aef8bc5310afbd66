"""API tokens: found once a second, and revoked within that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.security.tokens import digest
from app.repositories.unit import Unit, Units
from app.services.tokens import TokenService
from tests.support.record import CountingIds, ManualClock, record, units_over


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def units(database_url: str, clock: ManualClock) -> Iterator[Units]:
    with record(database_url) as engine:
        yield units_over(engine, clock)


def revoke(unit: Unit, token: str) -> None:
    row = unit.system.token_by_digest(digest(token))
    assert row is not None
    row.revoked_at = unit.now_ms


def test_a_revoked_token_is_taken_for_a_second_at_most(units: Units, clock: ManualClock) -> None:
    tokens = TokenService(units, CountingIds(), clock)
    token = tokens.create("desk")
    assert tokens.known_name_of(token) is None, "nobody has asked the record yet"
    assert tokens.name_of(token) == "desk"
    units.run(lambda unit: revoke(unit, token))
    clock.advance(999)
    assert tokens.known_name_of(token) == "desk"
    clock.advance(1)
    assert tokens.known_name_of(token) is None
    assert tokens.name_of(token) is None
    clock.advance(-500)
    assert tokens.known_name_of(token) is None, "and what is refused is known no more"


def test_many_tokens_are_all_found(units: Units, clock: ManualClock) -> None:
    """More than are remembered."""
    tokens = TokenService(units, CountingIds(), clock)
    made = {f"desk {number}": tokens.create(f"desk {number}") for number in range(70)}
    assert {name: tokens.name_of(text) for name, text in made.items()} == {n: n for n in made}


def test_a_stranger_is_never_known(units: Units, clock: ManualClock) -> None:
    tokens = TokenService(units, CountingIds(), clock)
    assert tokens.name_of("tdm_" + "x" * 43) is None
    assert tokens.known_name_of("tdm_" + "x" * 43) is None
