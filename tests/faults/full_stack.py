"""What the rehearsals of the full stack share: their marks, one stack for a file, a back-fill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.support.faults import BACK_S, Stack, standing
from tests.support.waiting import until

MARKS: Final = [
    pytest.mark.faults,
    pytest.mark.broker,
    pytest.mark.mysql,
    pytest.mark.redis,
    pytest.mark.xdist_group("full-stack"),
    pytest.mark.timeout(600),
]
# A job whose worker or transaction died is taken over when its lease of 90 s has run out.
WHOLE_S: Final = 240.0
Said = Callable[[str], None]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The processes and servers, standing; one stack for each file of rehearsals."""
    with standing(tmp_path_factory.mktemp("stack")) as made:
        yield made


def collecting(stack: Stack) -> list[str]:
    """Jobs of a back-fill that has begun."""
    jobs = stack.collect()
    until(lambda: stack.states_of(jobs) != {"queued"}, BACK_S, "the back-fill has begun")
    return jobs


def until_whole(stack: Stack, jobs: list[str]) -> None:
    """Wait until every job of a back-fill has succeeded; none may fail."""

    def done() -> bool:
        states = stack.states_of(jobs)
        assert "failed" not in states
        return states == {"succeeded"}

    until(done, WHOLE_S, "the back-fill is whole")
