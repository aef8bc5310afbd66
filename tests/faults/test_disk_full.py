"""Row 40: the disk of the record is full, or that of logs, heartbeats and beat's file.

A commit that finds no room is no order. What was under way is found again by its row once there
is room, reads are served meanwhile, and a log that cannot be written holds up nobody.
"""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from decimal import Decimal
from pathlib import Path

import pytest

from app.config import Settings
from app.core.errors import Unavailable
from app.core.orders.state import UNSETTLED
from app.core.orders.types import OrderStatus
from app.models import AccountRow, OrderRow
from tests.support.api import ApiClient, api_over
from tests.support.disk import Disk, damaged, small_disk
from tests.support.installation import Installation, installed
from tests.support.servers import MariaDBServer
from tests.support.simulator import ROOT, SimulatorProcess
from tests.support.stories import STRATEGIES
from tests.support.world import World
from workers.beat_schedule import BEAT_SCHEDULE
from workers.celery_app import build_celery
from workers.heartbeat import BeatScheduler
from workers.signs import CONSUMING, RECONNECTING, STUCK, VARIABLE, complaint, take_back, touch

# MariaDB's tables have some room in themselves; SQLite's have none.
MOST_ORDERS = 150


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)])
def here(
    request: pytest.FixtureRequest, exchange: SimulatorProcess, disk: Disk, tmp_path: Path
) -> Iterator[Installation]:
    """An installation whose record, and nothing else, is on the small disk."""
    with ExitStack() as stack:
        url = f"sqlite:///{disk.path / 'tidemark.db'}"
        if request.param == "mysql":
            url = stack.enter_context(MariaDBServer(disk.path / "mysql")).create_database("small")
        given = {"database_url": url, "strategies": STRATEGIES}
        yield stack.enter_context(installed(exchange, tmp_path / "data", **given))
        disk.clear()


@pytest.fixture
def account(here: Installation) -> AccountRow:
    row = here.account(USDT="100000")
    here.sync(row)
    return row


def filled_up(here: Installation, account: AccountRow, disk: Disk) -> str:
    """Fill the disk and trade on until an order is refused; the refused one's key."""
    disk.fill()
    for number in range(MOST_ORDERS):
        key = f"filling-{number}"
        try:
            here.submit(account, "buy", "0.0001", key=key)
        except Unavailable:
            return key
        with suppress(Unavailable):
            here.settle()
    raise AssertionError("a full disk took every order")


def orders_of(here: Installation, account: AccountRow) -> list[OrderRow]:
    with here.parts.units.read() as unit:
        return list(unit.orders.of_instance(here.manual(account).id, 1_000))


def recovered(here: Installation, disk: Disk) -> None:
    """Room is made, and the sweeps go on as they would have."""
    disk.clear()
    here.queue.waiting.clear()
    for _ in range(4):
        here.wait(7_000)


def assert_whole(here: Installation, account: AccountRow) -> None:
    """Nothing is corrupt, nothing is left under way, and nothing is broken."""
    assert damaged(here.parts.engine) == []
    with here.parts.units.read() as unit:
        assert unit.orders.count_unsettled(account.id) == 0
    world = World(here.parts, here.venue, carried=True)
    assert world.breaches(expected=("account-not-comparable",)) == []


@pytest.fixture
def api(here: Installation, account: AccountRow) -> Iterator[ApiClient]:
    with api_over(here.parts) as client:
        yield client


def test_a_full_disk_refuses_orders_serves_reads_and_trades_on_with_room(
    here: Installation, account: AccountRow, disk: Disk, api: ApiClient
) -> None:
    here.plan(bars=3)
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    refused = filled_up(here, account, disk)
    # The tasks of before are still tried; none of them may make anything up.
    with suppress(Unavailable):
        here.settle()
    known = {row.order_id for row in orders_of(here, account)}
    funds, sent = here.balance(account, "USDT"), len(here.at_venue(account))

    body = {"account": account.name, "symbol": "BTC/USDT", "side": "buy", "type": "market",
            "quantity": "0.0001"}  # fmt: skip
    for _ in range(5):
        answer = api.post("/orders", body, headers={"Idempotency-Key": refused})
        assert (answer.status_code, answer.json()["code"]) == (503, "disk-full")
        assert answer.headers["Retry-After"]
    assert {row.order_id for row in orders_of(here, account)} == known
    assert here.balance(account, "USDT") == funds
    assert len(here.at_venue(account)) == sent
    for path in ("/orders", f"/orders/{resting.order_id}", "/accounts", "/plans"):
        assert api.get(path).status_code == 200
    # Sweeps and closed bars go on; a bar that could not be kept is fetched again.
    for _ in range(3):
        with suppress(Unavailable):
            here.wait(7_000)
        with suppress(Unavailable):
            here.bars(1)
    assert {row.order_id for row in orders_of(here, account)} == known

    recovered(here, disk)
    here.bars(1)
    assert here.order(account, "buy", "0.0001", key=refused).status == OrderStatus.FILLED
    assert here.row(resting).status == OrderStatus.ACKNOWLEDGED
    here.parts.canceller.request(resting.order_id)
    here.settle()
    assert here.row(resting).status == OrderStatus.CANCELLED
    assert_whole(here, account)


@pytest.mark.parametrize("here", [pytest.param("mysql", marks=pytest.mark.mysql)], indirect=True)
def test_what_was_under_way_when_the_disk_filled_is_found_again(
    here: Installation, account: AccountRow, disk: Disk
) -> None:
    """MariaDB's tables fill one by one: orders were sent, and their fills found no room."""
    filled_up(here, account, disk)
    with suppress(Unavailable):
        here.settle()
    under_way = [row for row in orders_of(here, account) if row.status in UNSETTLED]
    assert under_way, "nothing was under way: the rehearsal rehearsed nothing"
    # What cannot be booked keeps the account from being compared, and so from new orders.
    for _ in range(4):
        here.clock.advance(11_000)
        with suppress(Unavailable):
            here.sync(account)
    sent = len(here.at_venue(account))
    for number in range(5):
        with suppress(Unavailable):
            here.submit(account, "buy", "0.0001", key=f"beyond-{number}")
            here.settle()
    assert len(here.at_venue(account)) == sent

    orders = orders_of(here, account)
    recovered(here, disk)
    ended = [here.row(row) for row in orders]
    assert {row.status for row in ended} == {OrderStatus.FILLED}
    assert all(len(here.sends(row)) == row.attempt == 1 for row in ended)
    assert here.order(account, "buy", "0.0001").status == OrderStatus.FILLED
    assert_whole(here, account)


@pytest.mark.parametrize("here", ["sqlite"], indirect=True)
@pytest.mark.parametrize("step", ["before_claim", "after_claim", "after_send"])
def test_a_disk_that_fills_between_two_steps_of_an_order(
    here: Installation, account: AccountRow, disk: Disk, step: str
) -> None:
    """SQLite's disk is full from one commit to the next: no claim, no send; sent, so asked for."""
    _, order = here.submit(account, "buy", "0.01")
    assert order is not None
    here.checkpoint = lambda at: disk.fill() if at == step else None
    with pytest.raises(Unavailable, match="disk is full"):
        here.settle()
    here.checkpoint = lambda _at: None
    claimed = step != "before_claim"
    row = here.row(order)
    assert row.status == (OrderStatus.SENDING if claimed else OrderStatus.NEW)
    assert row.status in UNSETTLED
    assert len(here.sends(order)) == (1 if claimed else 0)
    assert here.balance(account, "USDT")[1] > 0, "its funds stay held"

    recovered(here, disk)
    assert here.row(order).status == OrderStatus.FILLED
    assert len(here.sends(order)) == 1
    assert here.balance(account, "USDT")[1] == Decimal(0)
    assert_whole(here, account)


LOGGING = """
import sys, structlog
from app.logs import configure_logs

configure_logs("INFO", "json")
log = structlog.get_logger("rehearsal")
for line in sys.stdin:
    for number in range(2_000):
        log.info("a_line", part=line.strip(), number=number, words="x" * 200)
    print(line.strip(), flush=True)
"""


def test_a_log_that_cannot_be_written_holds_up_nobody(disk: Disk) -> None:
    """The process goes on at once, and its lines are there again when there is room."""
    log = disk.path / "worker.log"

    def works(part: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{part}\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 30)[0], f"it is held up: {part}"
        assert process.stdout.readline().strip() == part

    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", LOGGING],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    with process:
        works("before")
        disk.fill()
        works("full")
        disk.clear()
        works("after")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
    written = log.read_text(errors="replace")
    assert written.count('"part": "before"') == written.count('"part": "after"') == 2_000
    assert written.count('"part": "full"') < 2_000


def test_beat_starts_and_goes_on_without_room_for_its_file(disk: Disk) -> None:
    """What is due is a row; the file only says when it was last sent."""
    celery = build_celery(Settings(environment="testing", data_dir=disk.path))

    def beat() -> BeatScheduler:
        return BeatScheduler(celery, schedule_filename=str(disk.path / "celerybeat-schedule"))

    began_before = beat()
    disk.fill()
    for scheduler in (began_before, beat()):
        assert set(BEAT_SCHEDULE) <= set(scheduler.schedule)
        scheduler.sync()
        scheduler.close()
    disk.clear()
    with closing(beat()) as begun_after:
        assert set(BEAT_SCHEDULE) <= set(begun_after.schedule)


def test_a_sign_of_life_needs_no_room(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor would kill a silent process, again and again."""
    path = disk.path / "worker.beat"
    monkeypatch.setenv(VARIABLE, str(path))
    touch(RECONNECTING)
    assert complaint(path, 1) is None
    take_back(path)
    assert complaint(path, 1) == "it has given no sign of life yet"
    disk.fill()
    touch(STUCK, "orders.send" * 1_000)
    assert str(complaint(path, 1)).startswith("it is stuck: orders.send")
    touch(CONSUMING)
    assert complaint(path, 1) is None
    assert "silent" in str(complaint(path, 1, time.time() + 5))
    assert "ahead of the clock" in str(complaint(path, 1, time.time() - 3_600))
