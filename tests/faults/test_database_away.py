"""The way to the database is cut, or swallows everything: nothing is sent without its row.

Rows 14 to 16: a COMMIT whose reply is lost looks to the client exactly like one that never
arrived, so whoever tries again must find out, by key, which it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from app.core.orders.types import OrderStatus
from app.repositories import database
from app.repositories.database import open_probe
from tests.support.installation import Installation, installed
from tests.support.proxy import Direction, FaultProxy, Mode
from tests.support.servers import MariaDBServer
from tests.support.simulator import SimulatorProcess
from tests.support.stories import STRATEGIES
from tests.support.world import World

COMMIT = b"COMMIT"
# One answer may take so long here; the rest is this machine's noise.
ANSWER_S = 1


@pytest.fixture
def way(mariadb: MariaDBServer) -> Iterator[FaultProxy]:
    """The way to MariaDB."""
    with FaultProxy(mariadb.port) as proxy:
        yield proxy


@pytest.fixture
def far(
    exchange: SimulatorProcess,
    mariadb: MariaDBServer,
    way: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Installation]:
    """An installation whose database is at the other end of the proxy."""
    monkeypatch.setattr(database, "_READ_TIMEOUT_S", ANSWER_S)
    name = f"far_{time.time_ns()}"
    url = make_url(mariadb.create_database(name)).set(port=way.port)
    given = {"database_url": url.render_as_string(hide_password=False), "strategies": STRATEGIES}
    with installed(exchange, tmp_path, **given) as installation:
        yield installation
    mariadb.drop_database(name)


def sound(here: Installation) -> bool:
    return World(here.parts, here.venue, carried=True).breaches() == []


@pytest.mark.parametrize("arrives", [True, False], ids=["arrived", "lost on the way"])
def test_a_commit_without_a_reply_is_looked_up_by_its_key(
    far: Installation, way: FaultProxy, arrives: bool
) -> None:
    account = far.account()
    far.sync(account)
    limit = far.away("buy")
    way.cut_at(Direction.REQUEST, COMMIT, deliver=arrives)
    with pytest.raises(DBAPIError):
        far.submit(account, "buy", "0.01", limit, key="one intent")
    assert way.cut == 1
    decision, order = far.submit(account, "buy", "0.01", limit, key="one intent")
    assert decision.passed
    assert order is not None
    far.parts.sender.send(order.order_id)
    (there,) = far.at_venue(account)
    assert there["client_order_id"] == order.client_order_id
    with far.parts.units.read() as unit:
        assert [row.order_id for row in unit.orders.live(account.id)] == [order.order_id]
    assert sound(far)


@pytest.mark.parametrize("arrives", [True, False], ids=["arrived", "lost on the way"])
@pytest.mark.parametrize("step", ["before_claim", "after_send"])
def test_a_sender_that_loses_a_commit_leaves_one_order(
    far: Installation, way: FaultProxy, step: str, arrives: bool
) -> None:
    account = far.account()
    far.sync(account)
    _, order = far.submit(account, "buy", "0.01", far.away("buy"))
    assert order is not None

    def cut(at: str) -> None:
        if at == step and way.cut == 0:
            way.cut_at(Direction.REQUEST, COMMIT, deliver=arrives)

    far.checkpoint = cut
    with pytest.raises(DBAPIError):
        far.parts.sender.send(order.order_id)
    # Not one byte left for the venue before the claim was known to be committed.
    assert len(far.sends(order)) == (1 if step == "after_send" else 0)
    for _ in range(4):
        far.wait(7_000)
    assert way.cut == 1
    assert far.row(order).status == OrderStatus.ACKNOWLEDGED
    (there,) = far.at_venue(account)
    assert there["status"] == "new"
    assert sound(far)


def test_a_database_that_swallows_everything_holds_nobody_for_long(
    far: Installation, way: FaultProxy
) -> None:
    account = far.account()
    far.sync(account)
    sent = len(far.at_venue(account))
    way.turn(Mode.BLACKHOLE)
    begun = time.monotonic()
    with pytest.raises(DBAPIError):
        far.submit(account, "buy", "0.01")
    took = time.monotonic() - begun
    # The pool's look at the connection it hands out, then a new one's greeting.
    assert took < 10 * ANSWER_S, f"an order was held for {took:.1f} s"
    assert len(far.at_venue(account)) == sent
    way.turn(Mode.PASS)
    assert far.order(account, "buy", "0.01").status == OrderStatus.FILLED
    assert sound(far)


def test_readiness_asks_a_database_that_swallows_everything_for_two_seconds(
    mariadb: MariaDBServer, way: FaultProxy
) -> None:
    url = make_url(mariadb.url).set(port=way.port).render_as_string(hide_password=False)
    probe = open_probe(url)
    with probe.connect() as connection:
        connection.execute(text("SELECT 1"))
    way.turn(Mode.BLACKHOLE)
    begun = time.monotonic()
    with pytest.raises(DBAPIError):
        probe.connect()
    # Two seconds by its setting; /ready asks twice and has five.
    assert time.monotonic() - begun < 4.5
    probe.dispose()


def test_a_killed_database_comes_back_with_what_it_had_confirmed(
    exchange: SimulatorProcess, tmp_path: Path
) -> None:
    with MariaDBServer() as server:
        url = server.create_database("killed")
        with installed(exchange, tmp_path, database_url=url, strategies=STRATEGIES) as here:
            account = here.account()
            here.sync(account)
            _, order = here.submit(account, "buy", "0.01", here.away("buy"))
            assert order is not None
            here.checkpoint = lambda step: server.kill9() if step == "after_send" else None
            with pytest.raises(DBAPIError):
                here.parts.sender.send(order.order_id)
            here.checkpoint = lambda step: None
            server.start()
            for _ in range(4):
                here.wait(7_000)
            assert here.row(order).status == OrderStatus.ACKNOWLEDGED
            assert len(here.at_venue(account)) == 1
            assert sound(here)
