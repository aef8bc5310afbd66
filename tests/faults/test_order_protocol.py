"""No fault doubles an order, and none loses one.

Intents are driven on by four workers while replies are lost, requests refused, accepted late,
answered 503 or 429; queries lag; workers are killed between any two steps of the protocol, sleep
before they send, and pick the same order twice. At the end the simulator's own record says what
became of each. Every element of the protocol is needed: without any one of them, orders double.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.order_rehearsal import Outcome, Rehearsal
from tests.support.simulator import SimulatorProcess, simulator

__all__ = ["simulator"]
Factory = Callable[..., SimulatorProcess]


def rehearse(
    start: Factory,
    database_url: str,
    data_dir: Path,
    *,
    intents: int,
    variant: str = "ours",
    seed: int = 1,
    seconds: float = 100,
) -> Outcome:
    """One rehearsal from intents to outcome."""
    process = start(seed=seed, weight_limit=0)
    with closing(Rehearsal(database_url, process, data_dir)) as rehearsal:
        rehearsal.submit(intents)
        rehearsal.strike()
        killed = rehearsal.drive(variant, seed=seed, seconds=seconds)
        return rehearsal.outcome(killed)


@pytest.mark.timeout(240)
def test_sixty_intents_under_faults_and_each_is_one_order(
    simulator: Factory, database_url: str, tmp_path: Path
) -> None:
    outcome = rehearse(simulator, database_url, tmp_path, intents=60)
    assert outcome.killed > 0, "no worker was killed: the rehearsal rehearsed nothing"
    assert outcome.is_clean, outcome


# Five rehearsals of at most 40 s, and what starting them takes on a machine that does other work.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("variant", ["no-settle", "fresh-timestamp", "no-claim"])
def test_each_element_of_the_protocol_is_needed(
    simulator: Factory, variant: str, tmp_path: Path
) -> None:
    """Taking one element away doubles orders; a rehearsal that did not notice would be vain."""
    for seed in range(1, 6):
        place = tmp_path / str(seed)
        url = f"sqlite:///{place / 'record.db'}"
        outcome = rehearse(
            simulator, url, place, intents=60, variant=variant, seed=seed, seconds=40
        )
        if outcome.doubled:
            return
    pytest.fail(f"{variant}: no order doubled in five rehearsals")


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_two_hundred_intents(
    simulator: Factory, database_url: str, tmp_path: Path, seed: int
) -> None:
    outcome = rehearse(simulator, database_url, tmp_path, intents=200, seed=seed, seconds=600)
    assert outcome.is_clean, outcome
