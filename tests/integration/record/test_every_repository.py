"""Every public method of every repository is asked, on both databases.

Each statement that comes of it is compiled for MySQL and SQLite and looked through before it runs
(``tests.support.statements``), so a new method whose SQL is not shared, or which computes with
money, fails here; and so does a new method that is not asked (``questions``, beside).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from app.models import JobRow
from app.repositories.base import KeyedRepository, Repository
from app.repositories.database import open_engine
from app.repositories.kline_series import KlineSeriesRepository
from app.repositories.migrating import upgrade
from app.repositories.unit import Unit, Units
from tests.integration.record.questions import market, platform, strategies, trading
from tests.support.asking import Asked, questions, repositories
from tests.support.record import ManualClock, units_over
from tests.support.statements import BothDialects, NotShared

#: One unit for each, in an order in which every row finds what it refers to.
STORIES: tuple[Callable[[Unit], None], ...] = (
    trading.accounts,
    strategies.strategies,
    strategies.jobs_and_backtests,
    strategies.instances,
    strategies.signals,
    trading.risk,
    trading.orders,
    trading.order_events,
    trading.ledger,
    trading.positions,
    trading.triggers,
    market.catalogue,
    market.klines,
    market.rolls,
    market.days,
    market.activity,
    market.points,
    market.sources,
    market.coverage,
    market.outlines,
    market.plans,
    platform.schedule_and_leases,
    platform.tokens_and_bans,
    platform.alarms_and_waits,
    platform.world,
    platform.outbox,
    platform.sent_events,
    platform.audit,
    market.retention,
)


@pytest.fixture
def units(empty_database_url: str) -> Iterator[Units]:
    engine = open_engine(empty_database_url)
    upgrade(engine)
    yield units_over(engine, ManualClock())
    engine.dispose()


def test_every_method_of_every_repository_speaks_the_sql_of_both_databases(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BothDialects() as statements:
        asked = Asked(statements, monkeypatch)
        for story in STORIES:
            with units.write() as unit:
                story(unit)
    wanted = {question for each in repositories().values() for question in questions(each)}
    assert sorted(wanted - asked.questions) == []
    assert asked.silent == set()
    assert len(wanted) > 150


def test_every_repository_is_a_units() -> None:
    def below(base: type[Repository]) -> set[type[Repository]]:
        return {base}.union(*(below(each) for each in base.__subclasses__()))

    known = {each for each in below(Repository) if each.__module__.startswith("app.")}
    bases = {Repository, KeyedRepository, KlineSeriesRepository}
    assert known - bases == set(repositories().values())


def test_a_new_method_must_be_asked_and_must_speak_both(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hurry(self: Any, limit: int | None = None) -> None:
        self._session.execute(sqlite.insert(JobRow).on_conflict_do_nothing())

    jobs = repositories()["jobs"]
    before = set(questions(jobs))
    monkeypatch.setattr(jobs, "hurry", hurry, raising=False)
    name = ("JobRepository", "hurry")
    new = {name, (*name, "limit given"), (*name, "limit left out")}
    assert set(questions(jobs)) - before == new
    with BothDialects() as statements, units.write() as unit:
        asked = Asked(statements, monkeypatch)
        with pytest.raises(NotShared):
            unit.jobs.hurry()  # type: ignore[attr-defined]
    assert asked.questions & new == {name, (*name, "limit left out")}
