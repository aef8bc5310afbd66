"""Collection plans: what may be asked for, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.errors import Conflict, InvalidInput, NotFound, UnknownName
from app.core.exchanges.errors import BadVenueAnswer
from tests.integration.market.collecting import SYMBOL, Collecting
from tests.support.record import record


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        yield Collecting(engine)


def test_plans_refuse_what_cannot_be(world: Collecting) -> None:
    for changed, error in (
        ({"symbols": []}, InvalidInput),
        ({"intervals": []}, InvalidInput),
        ({"intervals": ["1w"]}, InvalidInput),
        ({"intervals": ["7m"]}, UnknownName),
        ({"symbols": ["BTC/USDT", "btc/usdt"]}, UnknownName),
        ({"symbols": ["X" * 500]}, UnknownName),
        ({"name": ""}, InvalidInput),
        ({"name": "a\nb"}, InvalidInput),
        ({"since_ms": -1}, InvalidInput),
        ({"symbols": [SYMBOL], "intervals": ["1m"] * 3, "name": "x" * 65}, InvalidInput),
    ):
        with pytest.raises(error):
            world.plan(**changed)
    world.plan()
    with pytest.raises(Conflict):
        world.plan()
    assert len(world.service.plans.page(10).rows) == 1


def test_plans_are_listed_switched_off_and_deleted(world: Collecting) -> None:
    first, second = world.plan(), world.plan(name="q", symbols=[SYMBOL, SYMBOL])
    assert second.symbols == [SYMBOL]
    page = world.service.plans.page(1)
    assert [plan.id for plan in page.rows] == [second.id]
    assert [plan.id for plan in world.service.plans.page(1, page.next_cursor).rows] == [first.id]
    assert world.service.plans.enable(first.id, False).enabled is False
    world.service.plans.delete(first.id)
    with pytest.raises(NotFound):
        world.service.plans.get(first.id)
    assert world.service.plans.named("p") is None
    for missing in (world.service.plans.delete, world.service.start, world.service.follow):
        with pytest.raises(NotFound):
            missing(first.id)


def test_an_empty_catalogue_is_fetched_and_an_empty_answer_is_not_believed(
    world: Collecting,
) -> None:
    kept, world.venue.catalogue = world.venue.catalogue, []
    with pytest.raises(BadVenueAnswer):
        world.plan()
    world.venue.catalogue = kept
    world.plan()
    with world.units.read() as unit:
        assert unit.instruments.get("binance", SYMBOL) == kept[0]
        assert unit.instruments.of_exchange("binance", trading_only=True) == kept
        assert unit.instruments.page(None, 1, ("binance", SYMBOL)) == kept[1:]
