"""The main job by hand: collect, backtest, trade; with no runtime, each command does its work."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from app.cli.locking import RuntimeLock
from app.cli.session import session
from app.services.listings import Listings
from tests.integration.cli.conftest import Tidemark
from tests.support.api import container_in
from tests.support.simulator import SimulatorProcess, simulator

__all__ = ["simulator"]

START = "2026-03-01T00:00:00Z"


@pytest.fixture
def exchange(
    simulator: Callable[..., SimulatorProcess], monkeypatch: pytest.MonkeyPatch
) -> SimulatorProcess:
    """A simulated exchange that the settings name."""
    running = simulator(seed=7, start=START, spread_bps=0)
    monkeypatch.setenv("TIDEMARK_SIMULATOR_URL", running.url)
    return running


def test_history_is_collected_tested_and_exported(
    tidemark: Tidemark, exchange: SimulatorProcess
) -> None:
    collect = ("data", "collect", "-s", "BTC/USDT", "-i", "1m", "--since", "2026-02-28")
    collected = tidemark(*collect, "--json")
    assert collected.code == 0, collected.err
    (job,) = collected.document["jobs"]
    assert (job["state"], job["result"]["present"]) == ("succeeded", 1440)
    assert "lacks nothing" in tidemark(*collect).out
    coverage = tidemark("data", "coverage", "-s", "BTC/USDT", "--json").document
    assert (coverage["expected"], coverage["gaps"]) == (1440, 0)
    assert "No gap." in tidemark("data", "coverage", "-s", "BTC/USDT").out

    klines = tidemark("data", "klines", "-s", "BTC/USDT", "-i", "1h").out.splitlines()
    assert klines[0] == "open_ts,open,high,low,close,volume"
    assert len(klines) == 1 + 24
    columns = tidemark("data", "klines", "-s", "BTC/USDT", "-i", "1m", "--json").document
    assert len(columns["columns"]["open"]) == 1440

    backtest = (
        *("backtest", "run", "moving_average_cross", "-s", "BTC/USDT", "-i", "5m"),
        *("--start", "2026-02-28", "--end", "2026-03-01", "-p", "fast=3", "-p", "slow=9"),
    )
    tested = tidemark(*backtest)
    assert tested.code == 0, tested.err
    assert "Assumptions" in tested.out
    (row,) = tidemark("backtest", "list", "--json").document["data"]
    assert (row["status"], row["spec"]["params"]) == ("succeeded", {"fast": 3, "slow": 9})
    assert tidemark("backtest", "show", row["id"]).out.startswith(tested.out[:200])
    assert row["metrics"]["trades"] > 0
    assert "moving_average_cross" in tidemark("backtest", "list").out
    kinds = [each["kind"] for each in tidemark("job", "list", "--json").document["data"]]
    assert kinds == ["backtest", "collection"]
    assert tidemark("job", "list").code == 0
    assert tidemark("job", "show", row["job_id"]).code == 0


def test_a_job_that_fails_says_why_and_exits_1(
    tidemark: Tidemark, exchange: SimulatorProcess
) -> None:
    assert tidemark("data", "symbols", "--refresh").code == 0
    outcome = tidemark(
        *("backtest", "run", "moving_average_cross", "-s", "BTC/USDT", "-i", "1h"),
        *("--start", "2026-02-01", "--end", "2026-02-02"),
    )
    assert outcome.code == 1
    assert "collect" in outcome.err
    (failed,) = tidemark("backtest", "list", "--json").document["data"]
    assert "collect" in tidemark("backtest", "show", failed["id"]).out
    shown = tidemark("backtest", "show", failed["id"], "--json").document
    assert "collect" in shown["error"]["message"]


def test_an_order_is_placed_filled_shown_and_cancelled(
    tidemark: Tidemark, exchange: SimulatorProcess
) -> None:
    opened = tidemark("account", "add-simulated", "demo", "-b", "USDT=10000", "--json")
    assert opened.document["status"] == "active"
    taken = tidemark("account", "add-simulated", "demo", "-b", "USDT=1")
    assert (taken.code, "exists already; choose another name" in taken.err) == (2, True)
    first = tidemark("data", "symbols", "--refresh", "--json", "-n", "1").document
    following = ("--cursor", first["next_cursor"])
    rest = tidemark("data", "symbols", "--json", *following).document
    symbols = [each["symbol"] for each in first["data"] + rest["data"]]
    assert (symbols, rest["has_more"]) == (sorted(set(symbols)), False)
    price = tidemark("data", "price", "-s", "BTC/USDT", "--json").document
    assert price["source"] == "ticker"

    buy = ("order", "place", "buy", "0.01", "-s", "BTC/USDT", "-a", "demo", "--key", "one")
    bought = tidemark(*buy, "--json")
    assert bought.code == 0, bought.err
    assert bought.document["status"] == "filled"
    assert bought.document["reserve_buffer"] == "0.01"
    value = Decimal(bought.document["reference_price"]) * Decimal("0.01")
    assert Decimal(bought.document["reserved_initial"]) == value * Decimal("1.01")
    assert tidemark(*buy, "--json").document["order_id"] == bought.document["order_id"]
    assert len(exchange.control.orders()) == 1
    empty = tidemark(*buy[:-1], "")
    assert (empty.code, len(exchange.control.orders())) == (2, 1)
    assert "idempotency key" in empty.err
    shown = tidemark("order", "show", bought.document["order_id"], "--json").document
    assert len(shown["fills"]) >= 1
    said = tidemark("order", "show", bought.document["order_id"])
    assert re.search(r"reserve_buffer +1 %", said.out)

    refused = tidemark("order", "place", "buy", "5", "-s", "BTC/USDT", "-a", "demo")
    assert refused.code == 1
    assert "BALANCE_TOO_LOW" in refused.err
    assert "reserve_buffer=0.01" in refused.err

    far = tidemark(
        *("order", "place", "buy", "0.01", "-s", "BTC/USDT", "-a", "demo"),
        *("--type", "limit", "--price", "1000"),
    )
    assert far.code == 1
    assert "the exchange refused the order" in far.err
    below = str(int(Decimal(price["price"]) * 95 / 100))
    limit = ("--type", "limit", "--price", below, "--json")
    resting = tidemark("order", "place", "buy", "0.01", "-s", "BTC/USDT", "-a", "demo", *limit)
    assert resting.document["status"] == "acknowledged"
    assert len(tidemark("order", "list", "--open", "--json").document["data"]) == 1
    cancelled = tidemark("order", "cancel", resting.document["order_id"], "--json")
    assert cancelled.document["status"] == "cancelled"
    account = tidemark("account", "show", "demo", "--json").document
    assert [each["symbol"] for each in account["positions"]] == ["BTC/USDT"]
    assert "BTC/USDT" in tidemark("account", "show", "demo").out
    assert "demo" in tidemark("account", "list").out
    assert "filled" in tidemark("order", "list").out
    assert tidemark("doctor").code == 0


def test_beside_a_runtime_an_order_is_waited_for_and_told_in_a_few_lines(
    tidemark: Tidemark, exchange: SimulatorProcess, data_dir: Path
) -> None:
    tidemark("account", "add-simulated", "demo", "-b", "USDT=10000")
    tidemark("data", "symbols", "--refresh")
    stop = threading.Event()

    buy = ("order", "place", "buy", "0.01", "-s", "BTC/USDT", "-a", "demo")
    with container_in(data_dir, simulator_url=exchange.url) as parts, RuntimeLock(data_dir):
        listings = Listings(parts.units)

        def work() -> None:
            while not stop.wait(0.3):
                for row in listings.orders(10, None, open_only=True).rows:
                    parts.sender.send(row.order_id)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            filled = tidemark(*buy)
            price = str(exchange_price(tidemark) * 95 // 100)
            rests = tidemark(*buy, "--type", "limit", "--price", price)
        finally:
            stop.set()
            worker.join()
        began = time.monotonic()
        silent = tidemark(*buy)
    assert re.search(r"status +filled *\n", filled.out)
    assert re.search(r"filled +0.01 of 0.01 *\n", filled.out)
    assert re.search(r"average price +\d", filled.out)
    assert re.search(r"fee +0.00001 BTC", filled.out)
    (order_id,) = re.findall(r"more +tidemark order show (\S+)", filled.out)
    assert "may be sent until" in tidemark("order", "show", order_id).out
    assert "acknowledged: it is open at the exchange" in rests.out
    assert len(rests.out.splitlines()) <= 6
    assert "new: no word of the exchange yet" in silent.out
    assert time.monotonic() - began < 10


def exchange_price(tidemark: Tidemark) -> int:
    """The latest price, in whole quote units."""
    return int(Decimal(tidemark("data", "price", "-s", "BTC/USDT", "--json").document["price"]))


def test_an_instance_is_created_started_shown_and_stopped(
    tidemark: Tidemark, exchange: SimulatorProcess
) -> None:
    tidemark("account", "add-simulated", "demo", "-b", "USDT=10000")
    tidemark("data", "symbols", "--refresh")
    create = (
        *("instance", "create", "ma", "--strategy", "moving_average_cross", "-a", "demo"),
        *("-s", "BTC/USDT", "-i", "1m", "--capital", "5000", "-p", "fast=5", "-p", "slow=10"),
    )
    assert tidemark(*create, "--json").document["status"] == "created"
    taken = tidemark(*create)
    assert (taken.code, "already; choose another name" in taken.err) == (2, True)
    silent = tidemark("instance", "start", "ma")
    assert (silent.code, "tidemark data plans add" in silent.err) == (1, True)
    plan = ("data", "plans", "add", "minutes", "-s", "BTC/USDT", "-i", "1m")
    tidemark(*plan, "--since", "2026-01-01")
    started = tidemark("instance", "start", "ma", "--json")
    assert started.document["status"] == "running"
    assert "tidemark up" in started.err
    assert tidemark("instance", "show", "ma", "--json").document["params"] == {
        "fast": 5,
        "slow": 10,
    }
    shown = tidemark("instance", "show", "ma").out
    assert "running" in shown
    # The open of the last bar as people read it, not in milliseconds.
    assert re.search(r"cursor_ts +20\d\d-\d\d-\d\dT\d\d:\d\d:00\.000Z", shown), shown
    assert "ma" in tidemark("instance", "list").out
    assert tidemark("instance", "stop", "ma", "--json").document["status"] == "stopped"


def test_a_plan_says_what_it_skips_and_one_of_nothing_else_is_refused(
    tidemark: Tidemark, exchange: SimulatorProcess
) -> None:
    venue = exchange.control
    venue.change_instrument("ETH/USDT", status="BREAK")
    add = ("data", "plans", "add")
    rest = ("-i", "1h", "--since", "2026-02-27")
    refused = tidemark(*add, "ether", "-s", "ETH/USDT", *rest)
    assert refused.code == 2
    assert "trades none of these symbols now: ETH/USDT (halted)" in refused.err
    assert "see: tidemark data symbols" in refused.err
    said = "majors skips ETH/USDT, halted: its venue does not trade it now"
    made = tidemark(*add, "majors", "-s", "BTC/USDT", "-s", "ETH/USDT", *rest)
    assert made.code == 0
    for outcome in (made, tidemark("data", "plans")):
        assert said in " ".join(outcome.out.split())
    collected = tidemark("data", "collect", "majors", "--json").document
    assert [job["params"]["symbol"] for job in collected["jobs"]] == ["BTC/USDT"]
    assert [each["symbol"] for each in collected["skipped"]] == ["ETH/USDT"]
    venue.change_instrument("ETH/USDT", status="TRADING")
    tidemark("data", "symbols", "--refresh")
    assert "skips" not in tidemark("data", "plans").out
    jobs = tidemark("data", "collect", "majors", "--json").document["jobs"]
    assert [job["params"]["symbol"] for job in jobs] == ["ETH/USDT"]


def test_funding_rates_of_a_plan_are_accounted_for(
    tidemark: Tidemark, exchange: SimulatorProcess
) -> None:
    perpetual = ("-e", "binanceusdm", "-s", "BTC/USDT:USDT")
    account = ("data", "points-coverage", *perpetual)
    tidemark("data", "symbols", "-e", "binanceusdm", "--refresh")
    nothing = tidemark(*account)
    assert (nothing.code, "add a plan with --extra funding" in nothing.err) == (2, True)
    add = ("data", "plans", "add", "perpetual", *perpetual, "-i", "1h", "--extra", "funding")
    assert tidemark(*add, "--since", "2026-02-20").code == 0
    with session() as here:
        assert here.container.collection.follow_all().errors == {}
    found = tidemark(*account, "--json").document
    assert found["present"] == found["expected"] > 20
    said = tidemark(*account, "--start", "2026-02-22", "--end", "2026-02-24").out
    assert "funding of BTC/USDT:USDT: 6 of 6 points." in said
    assert "No gap." in said
    # The record is read without the exchange as well, up to its last point.
    exchange.stop()
    assert tidemark(*account, "--json").document["present"] == found["present"]
    blind = tidemark(*account)
    assert (blind.code, "Nothing is said of the points after the last one." in blind.out) == (
        0,
        True,
    )


def test_collecting_brings_the_funding_of_a_plan_where_nobody_follows_it(
    tidemark: Tidemark, exchange: SimulatorProcess
) -> None:
    perpetual = ("-e", "binanceusdm", "-s", "BTC/USDT:USDT")
    add = ("data", "plans", "add", "perpetual", *perpetual, "-i", "1h", "--extra", "funding")
    assert tidemark(*add, "--since", "2026-02-20").code == 0
    collected = tidemark("data", "collect", "perpetual", "--json").document
    account = tidemark("data", "points-coverage", *perpetual, "--json").document
    assert collected["points"] == account["present"] == account["expected"] > 20
    assert "funding: 0 points stored." in tidemark("data", "collect", "perpetual").out
    exchange.control.add_fault(action="status", status=503, path="*fundingRate*")
    assert tidemark(*add[:3], "other", *add[4:], "--since", "2026-02-10").code == 0
    refused = tidemark("data", "collect", "other")
    assert refused.code == 0
    assert "tidemark: BTC/USDT:USDT funding did not come: " in refused.err


def test_collecting_says_how_many_bars_were_refused(
    tidemark: Tidemark, exchange: SimulatorProcess
) -> None:
    exchange.control.add_fault(action="body", body="nan", path="*klines*", count=1)
    since = ("--since", "2026-02-20", "-i", "30m")
    told = tidemark("data", "collect", "-s", "BTC/USDT", *since).out
    head, figures = (
        line.split() for line in told.splitlines() if "stored" in line or "30m " in line
    )
    assert head[2:6] == ["stored", "refused", "present", "pending"]
    assert (figures[3], figures[5]) == ("1", "1")


def test_plans_are_added_collected_switched_and_deleted(
    tidemark: Tidemark, exchange: SimulatorProcess
) -> None:
    add = ("data", "plans", "add", "majors", "-s", "BTC/USDT", "-s", "ETH/USDT", "-i", "1h")
    assert tidemark(*add, "--since", "2026-02-27").code == 0
    taken = tidemark(*add, "--since", "2026-02-27")
    assert (taken.code, "exists already; choose another name" in taken.err) == (2, True)
    assert tidemark(*add[:3], "no", *add[4:], "--since", "soon").code == 2
    later = tidemark(*add[:3], "no", *add[4:], "--since", "2099-01-01")
    assert (later.code, "is in the future of binance" in later.err) == (2, True)
    assert "majors" in tidemark("data", "plans").out
    collected = tidemark("data", "collect", "majors", "--json").document
    assert [job["result"]["present"] for job in collected["jobs"]] == [48, 48]
    assert len(tidemark("data", "coverage", "--json").document) == 2
    assert tidemark("data", "plans", "disable", "majors", "--json").document["enabled"] is False
    disabled = tidemark("data", "collect", "majors")
    assert (disabled.code, "tidemark data plans enable majors" in disabled.err) == (1, True)
    assert tidemark("data", "plans", "enable", "majors").code == 0
    assert tidemark("data", "plans", "delete", "majors").code == 0
    assert tidemark("data", "collect", "majors").code == 2


def test_an_old_file_beside_a_plan_leaves_nothing_pending_between_them(
    tidemark: Tidemark, exchange: SimulatorProcess, tmp_path: Path
) -> None:
    """Two minutes of October 2023, and a plan since the day before yesterday."""
    old = 1_696_118_400_000
    path = tmp_path / "old.csv"
    rows = [f"{old + n * 60_000},2,3,1,2.5,7" for n in range(2)]
    path.write_text("\n".join(["ts,open,high,low,close,volume", *rows]) + "\n")
    of = ("-s", "BTC/USDT", "-i", "1m")
    assert tidemark("data", "import", str(path), *of).code == 0
    assert tidemark("data", "plans", "add", "new", *of, "--since", "2026-02-27").code == 0
    assert tidemark("data", "collect", "new").code == 0
    account = tidemark("data", "coverage", *of, "--json").document
    assert (account["counts"]["pending"], account["gaps"]) == (0, 0)
    assert account["expected"] == account["counts"]["present"]
    verified = tidemark("data", "verify", *of, "--days", "900", "--json")
    assert verified.code == 0, verified.err
    # The day of the file, and the one planned day that is over by some time.
    found = [verified.document[name] for name in ("missed", "slices_total", "skipped_days")]
    assert found == [0, 2, 898]
    told = tidemark("data", "quality", *of)
    assert "gaps: none" in told.out
