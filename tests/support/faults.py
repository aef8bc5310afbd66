"""A full stack that trades and collects while a rehearsal breaks it.

Private MariaDB, RabbitMQ, Redis and simulator, each behind a fault proxy; the processes of
``tidemark up --full`` under their supervisor; a strategy, orders by hand and a back-fill that go
on all the time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx
from sqlalchemy.exc import DBAPIError

from app.adapters.celery_queue import CeleryQueue, make_celery
from app.cli.locking import RuntimeLock
from app.cli.services.manager import Services
from app.cli.services.reaper import kill_session
from app.cli.supervision import state
from app.config import Settings
from app.core.orders.types import OrderStatus
from app.wiring import Container
from tests.support.data_world import DataWorld, assert_data
from tests.support.proxy import FaultProxy, Mode
from tests.support.servers import free_port
from tests.support.simulator import ROOT, SimulatorControl, SimulatorProcess
from tests.support.trader import ACCOUNT, BACK_S, SYMBOL, Trader
from tests.support.waiting import until
from tests.support.wall import WallClock
from tests.support.world import World, assert_world

#: Eight processes start at once, on two cores that others use too.
START_S: Final = 150.0
# A job whose worker died is taken over when its lease of 90 s has run out.
_FILLED_S: Final = 240.0
_SERVERS: Final = ("database", "broker", "cache", "venue")

FLIPPER: Final = '''
from tidemark import BaseStrategy


class Flipper(BaseStrategy):
    """Buys and sells by turns, one bar after the other."""

    def on_kline(self, kline):
        self.state["bars"] = self.state.get("bars", 0) + 1
        return self.buy("0.002") if self.state["bars"] % 2 else self.sell("0.001")
'''


class Stack:
    """The installation of a rehearsal; see ``standing``.

    Args:
        journal: the venue's, which is not ours; in ``home`` where None.
        wall: a clock for our processes that can be set; the machine's where None.
    """

    def __init__(
        self, home: Path, journal: Path | None = None, wall: WallClock | None = None
    ) -> None:
        self.home = home
        self._wall = wall
        self._journal = journal or home / "venue.jsonl"
        self.data_dir = home / "var"
        self.services = Services(self.data_dir / "services", detached=False)
        self.proxies: dict[str, FaultProxy] = {}
        self._settings: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self._venue_port = free_port()
        self._plans = count(1)

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Servers, venue, proxies and processes, until all are up."""
        self._settings = self.services.start()
        self.start_venue()
        urls = {
            "database": self._settings["TIDEMARK_DATABASE_URL"],
            "broker": self._settings["TIDEMARK_BROKER_URL"],
            "cache": self._settings["TIDEMARK_REDIS_URL"],
            "venue": f"http://127.0.0.1:{self._venue_port}",
        }
        self.proxies = {name: FaultProxy(_port(url)) for name, url in urls.items()}
        self._urls = {name: _through(urls[name], self.proxies[name].port) for name in _SERVERS}
        self._open()
        self.up()
        self.all_up()

    def _open(self) -> None:
        """A container of our own, past the proxies: what it sees is never part of the fault."""
        settings = Settings(
            environment="testing",
            data_dir=self.data_dir,
            database_url=self._settings["TIDEMARK_DATABASE_URL"],
            broker_url=self._settings["TIDEMARK_BROKER_URL"],
            redis_url=self._settings["TIDEMARK_REDIS_URL"],
            simulator_url=f"http://127.0.0.1:{self._venue_port}",
            log_level="ERROR",
        )
        self.parts = Container(settings, CeleryQueue(make_celery(settings.broker_url)))
        self.data = DataWorld(self.parts.units, self.control)

    def up(self) -> None:
        """Start the supervisor, as a person does."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "up", "--full", "--port", str(self._port)],
                cwd=self.home,
                env={**_clean(), **self.environment()},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def environment(self) -> dict[str, str]:
        """Settings that lead through the proxies."""
        return {
            "TIDEMARK_HOME": str(self.home),
            "TIDEMARK_DATABASE_URL": self._urls["database"],
            "TIDEMARK_BROKER_URL": self._urls["broker"],
            "TIDEMARK_REDIS_URL": self._urls["cache"],
            "TIDEMARK_SIMULATOR_URL": self._urls["venue"],
            "TIDEMARK_VENUE_WEIGHT": "1000000",
            "TIDEMARK_VENUE_TIMEOUT_S": "5",
            "TIDEMARK_FLOWER_BROKER_URL": "",
            "TIDEMARK_FLOWER_BROKER_API": "",
            **(self._wall.environment(str(ROOT)) if self._wall is not None else {}),
        }

    def close(self) -> None:
        """Kill whatever is left."""
        for proxy in self.proxies.values():
            proxy.close()
        self.kill_processes()
        if "parts" in self.__dict__:
            self.parts.close()
        if "venue" in self.__dict__:  # else a server did not start, which is to be told
            self.venue.stop(signal.SIGKILL)
        self.services.stop()

    @property
    def log(self) -> Path:
        """What ``up`` printed."""
        return self.home / "up.log"

    # -- the venue -------------------------------------------------------------------------

    def start_venue(self) -> None:
        """The simulator, going on from its journal."""
        venue = SimulatorProcess(
            clock="running",
            seed=7,
            weight_limit=0,
            port=self._venue_port,
            state=self._journal,
        )
        venue.start()
        self.venue = venue  # a trader asks it for prices meanwhile, and is told that it is away
        if "data" in self.__dict__:
            self.data.venue = self.control

    @property
    def control(self) -> SimulatorControl:
        """The simulator's own record."""
        return self.venue.control

    # -- processes -------------------------------------------------------------------------

    def states(self) -> dict[str, dict[str, Any]]:
        """Every process by name, as the supervisor wrote it."""
        known = state.read(self.data_dir)
        if self._process is None or known.get("pid") != self._process.pid:
            return {}
        return {each["name"]: each for each in known["processes"]}

    def is_up(self) -> bool:
        """Whether every process is up; fails if the supervisor has ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-3_000:]
        found = self.states()
        return bool(found) and all(each["state"] == "up" for each in found.values())

    def all_up(self, seconds: float = START_S) -> None:
        """Wait until every process is up."""
        until(self.is_up, seconds, "every process is up")

    def kill(self, name: str) -> None:
        """SIGKILL to one process, by its name in the supervisor's table, and wait for its next."""
        pid = self.states()[name]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(
            lambda: (found := self.states()[name])["state"] == "up" and found["pid"] != pid,
            BACK_S,
            f"{name} is back",
        )

    def kill_processes(self) -> None:
        """SIGKILL to the supervisor and everything that it runs, at once."""
        if self._process is None:
            return
        sessions = [each["pid"] for each in self.states().values() if each["pid"]]
        self._process.kill()
        self._process.wait()
        for session in sessions:
            kill_session(session)

    def tidemark(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command beside it."""
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=self.home,
            env={**_clean(), **self.environment()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    # -- trading and collecting ------------------------------------------------------------

    @property
    def url(self) -> str:
        """Of the API."""
        return str(RuntimeLock(self.data_dir).facts()["api_url"])

    @property
    def token(self) -> str:
        """Of the API."""
        return (self.data_dir / "api-token").read_text().strip()

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request to the API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(
            method, f"{self.url}{path}", headers=headers, timeout=60, trust_env=False, **options
        )

    def begin(self) -> None:
        """An account, a plan and a running strategy."""
        account = {"name": ACCOUNT, "balances": {"USDT": "1000000", "BTC": "10"}}
        _created(self.api("POST", "/api/v1/accounts", json=account))
        self.collect()
        source = {"name": "flipper", "source": FLIPPER}
        _created(self.api("POST", "/api/v1/strategies", json=source))
        instance = {
            "name": "flipping",
            "strategy": "flipper",
            "account": ACCOUNT,
            "symbols": [SYMBOL],
            "interval": "1m",
            "capital": "100000",
        }
        made = _created(self.api("POST", "/api/v1/instances", json=instance)).json()
        started = self.api("POST", f"/api/v1/instances/{made['id']}/start")
        assert started.status_code == 200, started.text

    def collect(self) -> list[str]:
        """Start a back-fill of a week that no earlier one has asked for; its jobs' ids."""
        number = next(self._plans)
        since = self.control.market_ms // 60_000 * 60_000 - number * 7 * 86_400_000
        plan = self.parts.collection.plans.create(
            f"back-fill {number}", "binance", [SYMBOL, "ETH/USDT"], ["1m"], since
        )
        return [row.id for row in self.parts.collection.start(plan.id)]

    def states_of(self, jobs: list[str]) -> set[str]:
        """States of jobs."""
        return {self.parts.jobs.get(each).state for each in jobs}

    def strike(self, victim: str) -> None:
        """SIGKILL to a process, a server or the venue, and start again what nobody supervises."""
        servers = {
            "MariaDB": self.services.mariadb,
            "RabbitMQ": self.services.rabbitmq,
            "Redis": self.services.redis,
        }
        if victim == "venue":
            self.venue.stop(signal.SIGKILL)
            self.start_venue()
        elif victim in servers:
            servers[victim].kill9()
            servers[victim].start()
        else:
            self.kill(victim)

    def price(self) -> Decimal:
        """The market's price, past every proxy; the last one while the venue is away."""
        # A client that the venue's end has closed says so by a RuntimeError.
        with contextlib.suppress(httpx.HTTPError, KeyError, RuntimeError):
            answer = self.control.raw("GET", "/api/v3/ticker/price", params={"symbol": "BTCUSDT"})
            self._price = Decimal(answer.json()["price"])
        return self._price

    @contextmanager
    def trading(self) -> Iterator[Trader]:
        """Orders by hand go on meanwhile."""
        with Trader(lambda: self.url, lambda: self.token, self.price) as trader:
            until(lambda: len(trader.confirmed()) >= 2, BACK_S, "trading goes on")
            yield trader

    def acknowledged_after(self, trader: Trader, moment: float, seconds: float = 90) -> float:
        """Seconds from a moment until the first order that was asked for later is acknowledged."""

        def found() -> bool:
            new = [each for each in trader.confirmed() if each.asked_at >= moment]
            try:
                with self.parts.units.read() as unit:
                    return any(
                        (row := unit.orders.find(str(each.order_id))) is not None
                        and (row.acknowledged_at is not None or row.status == OrderStatus.FILLED)
                        for each in new[:20]
                    )
            except DBAPIError:
                return False  # a record that was back within a second of our last look at it

        until(found, seconds, "an order is acknowledged again")
        return time.monotonic() - moment

    # -- the end ---------------------------------------------------------------------------

    def last_alarm(self) -> int:
        """Id of the latest event."""
        with self.parts.units.read() as unit:
            return unit.audit.last_event_id()

    def check_world(self, *, since: int, expected: tuple[str, ...] = ()) -> None:
        """Record, venue and queue, and the whole store against the venue's bars (D1 to D6)."""
        for proxy in self.proxies.values():
            proxy.turn(Mode.PASS)
        self.all_up()
        # By a clock that is wrong, claims cannot be matched with the venue's times, only counted.
        carried = self._wall is not None
        world = World(self.parts, self.control, carried=carried, alarms_after=since)
        # A buy that expired during an outage leaves the strategy nothing to sell: the gate says so.
        assert_world(world, expected=(*expected, "denied"), seconds=90)
        assert_data(self.data, seconds=_FILLED_S)

    def check(self, trader: Trader, *, since: int, expected: tuple[str, ...] = ()) -> None:
        """Everything heals, comes to rest, and must hold."""
        self.check_world(since=since, expected=expected)
        assert not [each for each in trader.placed if each.refused], trader.placed
        keys = [each.order_id for each in trader.confirmed()]
        assert len(keys) == len(set(keys))
        with self.parts.units.read() as unit:
            assert all(unit.orders.find(str(key)) for key in keys), "a confirmed order is gone"


@contextmanager
def standing(
    home: Path, journal: Path | None = None, wall: WallClock | None = None
) -> Iterator[Stack]:
    """A stack that trades and collects; killed with all it started at the end."""
    stack = Stack(home, journal, wall)
    try:
        stack.start()
        stack.begin()
        yield stack
    finally:
        stack.close()


def _created(response: httpx.Response) -> httpx.Response:
    assert response.status_code in (200, 201, 202), response.text
    return response


def _clean() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def _port(url: str) -> int:
    found = urlsplit(url).port
    assert found is not None, url
    return found


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{place}:{port}"))
