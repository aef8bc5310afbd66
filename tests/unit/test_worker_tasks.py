"""What the tasks of a worker have in common."""

from __future__ import annotations

import pytest

from workers.runtime import in_turn


def test_a_part_that_fails_holds_up_no_other_and_is_told() -> None:
    done: list[str] = []

    def fails(name: str) -> None:
        done.append(name)
        raise ValueError(name)

    with pytest.raises(ValueError, match="first"):
        in_turn(
            lambda: done.append("before"),
            lambda: fails("first"),
            lambda: done.append("between"),
            lambda: fails("second"),
            lambda: done.append("after"),
        )
    assert done == ["before", "first", "between", "second", "after"]
