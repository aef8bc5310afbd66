"""``python -m tests.soak``: see `make soak`.

MINUTES (60) how long, ORDERS_PER_S (1), KILL_EVERY_S (150), SEED (1). The last line is one JSON
object; exit code 1 on a breach. Samples and logs stay in ``var/soak/<time>``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from app.services.invariants import Breach
from tests.soak.chaos import Chaos
from tests.soak.judging import Life, lives
from tests.soak.load import Load
from tests.soak.sampling import Backlog, Sampler
from tests.soak.stack import Stack, running
from tests.support.simulator import ROOT, SimulatorControl
from tests.support.waiting import until
from tests.support.world import World

_REST_S: Final = 120.0
#: Alarms that kills and a full day's worth of orders in an hour may raise.
_EXPECTED_ALARMS: Final = frozenset(
    {"denied", "account-not-comparable", "schedule-silent", "schedule-back"}
)


def main() -> int:
    """Soak; the exit code."""
    minutes = float(os.environ.get("MINUTES", "60"))
    seed = int(os.environ.get("SEED", "1"))
    home = ROOT / "var" / "soak" / time.strftime("%Y%m%dT%H%M%S")
    _say(f"{minutes:g} minutes; samples and logs in {home}")
    with running(home) as stack:
        figures, breaches = _soak(stack, home, minutes * 60, seed)
    for line in breaches:
        _say(f"BREACH  {line}")
    figures["breaches"] = len(breaches)
    sys.stdout.write(
        json.dumps({"benchmark": "soak", "figures": figures, "ratios": {}}, sort_keys=True) + "\n"
    )
    return 1 if breaches else 0


def _soak(stack: Stack, home: Path, seconds: float, seed: int) -> tuple[dict[str, Any], list[str]]:
    load = Load(stack, float(os.environ.get("ORDERS_PER_S", "1")), seed)
    load.prepare()
    sampler = Sampler(stack, home)
    log = (home / "kills.log").open("w")

    def tell(what: str) -> None:
        log.write(f"{sampler.second()}\t{what}\n")
        log.flush()
        _say(f"{sampler.second():7.0f} s  {what}")

    chaos = Chaos(stack, float(os.environ.get("KILL_EVERY_S", "150")), seed, tell)
    for part in (sampler, load, chaos):
        part.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and sampler.failure is None:
        time.sleep(1)
    for part in (chaos, load, sampler):
        part.stop()
    log.close()
    breaches = [f"{name}: {each}" for name, each in _failures(sampler, load, chaos)]
    broken = _broken(stack)
    found = lives(sampler.samples)
    breaches += [str(each) for each in broken]
    breaches += [each for life in found for each in life.breaches()]
    _table(found)
    return _figures(stack, load, chaos, sampler, found, broken), breaches


def _failures(sampler: Sampler, load: Load, chaos: Chaos) -> list[tuple[str, str]]:
    found = [("load", each) for each in load.given_up]
    found += [("chaos", each) for each in chaos.failures]
    if not load.verifications:
        found.append(("load", "not one day was compared with the venue"))
    if sampler.failure is not None:
        found.append(("samples", repr(sampler.failure)))
    return found


def _broken(stack: Stack) -> list[Breach]:
    """What must always hold and does not, in the record and against the venue's own."""
    world = World(stack.parts, SimulatorControl(stack.simulator_url))
    try:
        until(stack.is_up, _REST_S, "every process is back")
        until(world.idle, _REST_S, "the stack came to rest")
    except AssertionError as error:
        return [Breach("rest", "stack", str(error))]
    first = world.breaches(expected=_EXPECTED_ALARMS)
    if not first:
        return []
    # A market that runs fills and closes bars between two looks; what is broken stays so.
    until(world.idle, _REST_S, "the stack came to rest again")
    keys = {(each.invariant, each.subject) for each in first}
    again = world.breaches(expected=_EXPECTED_ALARMS)
    return [each for each in again if (each.invariant, each.subject) in keys]


def _figures(
    stack: Stack,
    load: Load,
    chaos: Chaos,
    sampler: Sampler,
    found: list[Life],
    broken: list[Breach],
) -> dict[str, Any]:
    judged = [life for life in found if life.is_judged]
    with stack.parts.units.read() as unit:
        orders = Counter(
            str(order.status)
            for account in unit.accounts.all()
            for order, _passed, _at in unit.audit.orders(account.id)
        )
    return {
        "minutes": round(sampler.second() / 60, 1),
        "orders": sum(orders.values()),
        "orders_by_status": dict(orders),
        "requests_by_status": {str(key): count for key, count in load.answered.items()},
        "verifications": load.verifications,
        "kills": chaos.kills,
        "restarts": sum(each["restarts"] for each in stack.processes().values()),
        "invariant_breaches": len(broken),
        "lives_judged": len(judged),
        "worst_mb_per_hour": round(max((x.memory_slope for x in judged), default=0.0), 1),
        "worst_growth_mb": round(max((x.memory_growth for x in judged), default=0.0), 1),
        "worst_descriptor_growth": max((x.descriptor_growth for x in judged), default=0.0),
        "most_outbox": _most(sampler.backlogs, "outbox"),
        "most_queued": _most(sampler.backlogs, "queued"),
        "last_dead_letters": sampler.backlogs[-1].dead if sampler.backlogs else -1,
    }


def _most(backlogs: list[Backlog], name: str) -> int:
    return max((getattr(each, name) for each in backlogs), default=-1)


def _table(found: list[Life]) -> None:
    _say(f"{'process':<20}{'s':>6}{'MB':>8}{'MB/h':>8}{'+MB':>7}{'files':>7}{'+files':>8}  judged")
    for each in found:
        _say(
            f"{each.name:<20}{each.seconds:>6.0f}{each.memory:>8.1f}{each.memory_slope:>8.1f}"
            f"{each.memory_growth:>7.1f}{each.descriptors:>7.0f}{each.descriptor_growth:>8.0f}"
            f"  {'yes' if each.is_judged else 'no'}"
        )


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
